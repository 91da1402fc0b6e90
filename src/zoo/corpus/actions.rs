//! Pages and tool lists with a goal: the answer is one JSON action.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::capitalised;
use super::words;

/// Links and buttons.
const LABELS: &[&str] = &[
    "Home", "Search", "Cart", "Log in", "Log out", "Help", "Save", "Cancel", "Delete", "Next",
    "Back", "Settings", "Orders", "Send", "Download", "Share", "Reply", "Contact",
];

/// Text fields.
const FIELDS: &[&str] = &[
    "Name",
    "Email",
    "City",
    "Message",
    "Search term",
    "Password",
];

struct Actions {
    people: Vec<String>,
    towns: Vec<String>,
}

/// Pages of the world that `seed` invents.
pub(super) fn build(seed: u64) -> Box<dyn Domain> {
    Box::new(Actions {
        people: words::people(seed),
        towns: words::towns(seed),
    })
}

/// One thing on a page.
struct Element {
    kind: &'static str,
    label: String,
}

fn page(dice: &mut Dice) -> Vec<Element> {
    let mut elements: Vec<Element> = Vec::new();
    let clickable = dice.between(2, 4);
    for label in dice.some(LABELS, clickable) {
        let kind = if dice.one_in(2) { "button" } else { "link" };
        elements.push(Element {
            kind,
            label: label.to_owned(),
        });
    }
    let fields = dice.between(1, 2);
    for label in dice.some(FIELDS, fields) {
        elements.push(Element {
            kind: "textbox",
            label: label.to_owned(),
        });
    }
    dice.shuffle(&mut elements);
    elements
}

fn shown(elements: &[Element]) -> String {
    elements
        .iter()
        .enumerate()
        .map(|(place, element)| {
            format!("[e{}] {} \"{}\"\n", place + 1, element.kind, element.label)
        })
        .collect()
}

/// A goal on a page and its action.
fn on_page(dice: &mut Dice, elements: &[Element], word: &str) -> (String, String) {
    let place = dice.below(elements.len());
    let Element { kind, label } = &elements[place];
    let element = format!("e{}", place + 1);
    if *kind == "textbox" {
        let goal = match dice.below(3) {
            0 => format!("Type {word} into the {label} field."),
            1 => format!("Enter {word} as {label}."),
            _ => format!("Fill in {label} with {word}."),
        };
        let action =
            format!("{{\"action\":\"type\",\"element\":\"{element}\",\"text\":\"{word}\"}}");
        return (goal, action);
    }
    let goal = match dice.below(3) {
        0 => format!("Click {label}."),
        1 => format!("Press the {label} {kind}."),
        _ => format!("Open {label}."),
    };
    (
        goal,
        format!("{{\"action\":\"click\",\"element\":\"{element}\"}}"),
    )
}

impl Actions {
    /// A tool's signature, a goal for it and the call.
    fn tool(&self, dice: &mut Dice, which: usize) -> (&'static str, String, String) {
        let town = dice.pick(&self.towns);
        let person = dice.pick(&self.people);
        let good = dice.word(words::GOODS);
        let count = dice.between(2, 30);
        match which {
            0 => (
                "weather(city)",
                format!("Find out the weather in {town}."),
                format!("{{\"tool\":\"weather\",\"city\":\"{town}\"}}"),
            ),
            1 => (
                "price(item, city)",
                format!("Find out what a {good} costs in {town}."),
                format!("{{\"tool\":\"price\",\"item\":\"{good}\",\"city\":\"{town}\"}}"),
            ),
            2 => (
                "timer(minutes)",
                format!("Remind me in {count} minutes."),
                format!("{{\"tool\":\"timer\",\"minutes\":{count}}}"),
            ),
            3 => (
                "message(to, text)",
                format!("Tell {person} about the {good}."),
                format!("{{\"tool\":\"message\",\"to\":\"{person}\",\"text\":\"{good}\"}}"),
            ),
            4 => (
                "order(item, count)",
                format!("Order {count} {good}s."),
                format!("{{\"tool\":\"order\",\"item\":\"{good}\",\"count\":{count}}}"),
            ),
            _ => (
                "call(name)",
                format!("Ring up {person}."),
                format!("{{\"tool\":\"call\",\"name\":\"{person}\"}}"),
            ),
        }
    }

    fn with_tools(&self, dice: &mut Dice) -> (String, String, String) {
        let count = dice.between(2, 4);
        let offered = dice.some(&[0, 1, 2, 3, 4, 5], count);
        let wanted = *dice.pick(&offered);
        let signatures: Vec<&str> = offered
            .iter()
            .map(|&which| self.tool(dice, which).0)
            .collect();
        let (_, goal, action) = self.tool(dice, wanted);
        (format!("Tools: {}\n", signatures.join(", ")), goal, action)
    }

    fn scene(&self, dice: &mut Dice) -> (String, String, String) {
        if dice.below(5) < 2 {
            return self.with_tools(dice);
        }
        let elements = page(dice);
        let word = match dice.below(3) {
            0 => dice.pick(&self.people).clone(),
            1 => dice.pick(&self.towns).clone(),
            _ => (dice.word(words::GOODS)).to_owned(),
        };
        let (goal, action) = on_page(dice, &elements, &word);
        let title = capitalised(dice.word(words::GOODS));
        (
            format!("Page: {title} shop\n{}", shown(&elements)),
            goal,
            action,
        )
    }
}

impl Domain for Actions {
    fn passage(&self, dice: &mut Dice) -> String {
        let elements = page(dice);
        let word = dice.pick(&self.towns).clone();
        let steps: Vec<String> = (0..dice.between(1, 2))
            .map(|_| {
                let (goal, action) = on_page(dice, &elements, &word);
                format!("Goal: {goal}\nAction: {action}\n")
            })
            .collect();
        format!("Page:\n{}{}", shown(&elements), steps.concat())
    }

    fn question(&self, dice: &mut Dice) -> Question {
        let (scene, goal, answer) = self.scene(dice);
        Question {
            prompt: format!("{scene}Goal: {goal}\nAction:"),
            answer,
        }
    }

    fn questions_together(&self) -> usize {
        1
    }
}
