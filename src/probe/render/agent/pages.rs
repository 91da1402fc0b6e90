//! Pages with buttons, links, fields, menus and offers.

use serde_json::Map;
use serde_json::Value;

use super::super::draw::Draw;
use super::super::words::Words;
use super::Scene;

/// Requests that give the usual schema.
pub(super) const ASKS: [&str; 3] = [
    "One JSON object with the keys action (click, type, select), element and, where needed, value.",
    "Reply with one JSON object: {\"action\": \"click\", \"type\" or \"select\", \"element\": id, \"value\": text if needed}",
    "Example: {\"action\": \"type\", \"element\": \"z0\", \"value\": \"hello\"}. Other actions: click, select.",
];

/// One thing on a page.
struct Element {
    kind: &'static str,
    id: String,
    label: String,
    /// Of a menu what may be chosen, of an offer its price.
    rest: String,
}

/// What is to be done with an element.
enum Act {
    Click,
    Type(String),
    Select(String),
}

const ORDINALS: [&str; 3] = ["first", "second", "third"];

/// A page and something to do on it.
pub(super) fn scene(draw: &mut Draw, words: &mut Words) -> Scene {
    let task = draw.below(10);
    let (elements, at, act, goal) = match task {
        0..3 => press(draw, words),
        3..5 => enter(draw, words),
        5 => choose(draw, words),
        6 => by_place(draw, words),
        7 => by_price(draw, words),
        8 => by_exclusion(draw, words),
        _ => sum(draw, words),
    };
    let title = match draw.below(2) {
        0 => format!("{} shop", words.name(draw)),
        _ => format!("{}, {}", words.name(draw), words.word(draw)),
    };
    let mut scene = format!("Page: {title}");
    for Element {
        kind,
        id,
        label,
        rest,
    } in &elements
    {
        scene.push_str(&format!("\n[{id}] {kind} {label}{rest}"));
    }
    Scene {
        scene,
        goal,
        target: target(&elements[at].id, act),
    }
}

fn target(element: &str, act: Act) -> Map<String, Value> {
    let (action, value) = match act {
        Act::Click => ("click", None),
        Act::Type(text) => ("type", Some(text)),
        Act::Select(text) => ("select", Some(text)),
    };
    let mut target = Map::new();
    target.insert("action".to_owned(), Value::from(action));
    target.insert("element".to_owned(), Value::from(element));
    target.extend(value.map(|text| ("value".to_owned(), Value::from(text))));
    target
}

/// Elements of these kinds in random order, with ids that tell the kind or that do not.
fn elements(draw: &mut Draw, words: &mut Words, kinds: &[&'static str]) -> Vec<Element> {
    let kinds = draw.some(kinds, kinds.len());
    let telling = draw.one_in(2);
    let numbers = draw.numbers(1, 9, kinds.len());
    let letter = char::from(b'f' + draw.below(20) as u8);
    kinds
        .iter()
        .enumerate()
        .map(|(at, kind)| Element {
            kind,
            id: match telling {
                true => format!("{}{}", &kind[..1], at + 1),
                false => format!("{letter}{}", numbers[at]),
            },
            label: words.name(draw),
            rest: String::new(),
        })
        .collect()
}

type Task = (Vec<Element>, usize, Act, String);

/// Buttons and links, at times with a field among them.
fn things(draw: &mut Draw, words: &mut Words) -> Vec<Element> {
    let count = draw.between(2, 4);
    let mut kinds: Vec<&'static str> = (0..count).map(|_| draw.pick(&["button", "link"])).collect();
    if draw.one_in(3) {
        kinds.push("field");
    }
    elements(draw, words, &kinds)
}

fn of_kind(draw: &mut Draw, elements: &[Element], kind: &str) -> Option<usize> {
    let fitting: Vec<usize> = (0..elements.len())
        .filter(|&at| elements[at].kind == kind)
        .collect();
    (!fitting.is_empty()).then(|| draw.pick(&fitting))
}

fn press(draw: &mut Draw, words: &mut Words) -> Task {
    let elements = things(draw, words);
    let kind = draw.pick(&["button", "link"]);
    let either = of_kind(draw, &elements, kind);
    let at = either
        .or_else(|| of_kind(draw, &elements, "button"))
        .or_else(|| of_kind(draw, &elements, "link"))
        .unwrap_or(0);
    let Element { kind, label, .. } = &elements[at];
    let goal = match draw.below(3) {
        0 => format!("Click {label}."),
        1 => format!("Press the {kind} {label}."),
        _ => format!("Open {label}."),
    };
    (elements, at, Act::Click, goal)
}

/// Two or three fields and a button.
fn form(draw: &mut Draw, words: &mut Words) -> (Vec<Element>, usize) {
    let fields = draw.between(2, 3);
    let mut kinds = vec!["field"; fields];
    kinds.push("button");
    let elements = elements(draw, words, &kinds);
    let at = of_kind(draw, &elements, "field").unwrap_or(0);
    (elements, at)
}

fn enter(draw: &mut Draw, words: &mut Words) -> Task {
    let (elements, at) = form(draw, words);
    let text = match draw.below(3) {
        0 => words.name(draw),
        1 => format!("{} {}", words.name(draw), words.name(draw)),
        _ => draw.between(10, 999).to_string(),
    };
    let label = &elements[at].label;
    let goal = match draw.below(2) {
        0 => format!("Type {text} into {label}."),
        _ => format!("Enter {text} as {label}."),
    };
    (elements, at, Act::Type(text), goal)
}

fn sum(draw: &mut Draw, words: &mut Words) -> Task {
    let (elements, at) = form(draw, words);
    let (a, b) = (draw.between(11, 60), draw.between(11, 39));
    let goal = format!("Type the sum of {a} and {b} into {}.", elements[at].label);
    (elements, at, Act::Type((a + b).to_string()), goal)
}

fn choose(draw: &mut Draw, words: &mut Words) -> Task {
    let mut elements = elements(draw, words, &["menu", "menu", "button"]);
    let mut options = Vec::new();
    for element in elements.iter_mut().filter(|element| element.kind == "menu") {
        options = (0..3).map(|_| words.word(draw)).collect::<Vec<String>>();
        element.rest = format!(": {}", options.join(", "));
    }
    // The options at hand are those of the last menu.
    let at = elements
        .iter()
        .rposition(|one| one.kind == "menu")
        .unwrap_or(0);
    let option = options[draw.below(options.len())].clone();
    let goal = match draw.below(2) {
        0 => format!("Set {} to {option}.", elements[at].label),
        _ => format!("{} shall be {option}.", elements[at].label),
    };
    (elements, at, Act::Select(option), goal)
}

fn by_place(draw: &mut Draw, words: &mut Words) -> Task {
    let elements = elements(
        draw,
        words,
        &["button", "button", "button", "link", "field"],
    );
    let wanted = draw.below(ORDINALS.len());
    let buttons = (0..elements.len()).filter(|&at| elements[at].kind == "button");
    let at = buttons.clone().nth(wanted).unwrap_or(0);
    let goal = format!("Press the {} button from the top.", ORDINALS[wanted]);
    (elements, at, Act::Click, goal)
}

fn by_price(draw: &mut Draw, words: &mut Words) -> Task {
    let mut elements = elements(draw, words, &["offer", "offer", "offer", "offer"]);
    let prices = draw.numbers(3, 97, elements.len());
    for (element, price) in elements.iter_mut().zip(&prices) {
        element.rest = format!(", {price}");
    }
    let cheap = draw.one_in(2);
    let ranked = (0..prices.len()).min_by_key(|&at| match cheap {
        true => prices[at],
        false => usize::MAX - prices[at],
    });
    let word = if cheap { "cheapest" } else { "dearest" };
    let goal = format!("Take the {word} offer.");
    (elements, ranked.unwrap_or(0), Act::Click, goal)
}

fn by_exclusion(draw: &mut Draw, words: &mut Words) -> Task {
    let elements = elements(draw, words, &["button", "button", "link"]);
    let buttons: Vec<usize> = (0..elements.len())
        .filter(|&at| elements[at].kind == "button")
        .collect();
    let wanted = draw.below(2);
    let goal = format!(
        "Press the button that is not {}.",
        elements[buttons[1 - wanted]].label
    );
    (elements, buttons[wanted], Act::Click, goal)
}
