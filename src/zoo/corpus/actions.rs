//! Pages and tool lists with a goal: the answer is one JSON action.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::capitalised;
use super::words;

/// Links and buttons.
const LABELS: &[&str] = &[
    "Home", "Search", "Cart", "Log in", "Log out", "Help", "Save", "Cancel", "Delete", "Next",
    "Back", "Settings", "Orders", "Send", "Download", "Share",
];

/// Text fields.
const FIELDS: &[&str] = &["Name", "Email", "City", "Message", "Title", "Author"];

/// What is asked for on a page.
const ASK_PAGE: &[&str] = &[
    "Reply with one JSON action.",
    "What is the next action? Answer in JSON.",
    "One JSON object with the keys action (click, type, select), element and, where needed, value.",
];

/// What is asked for beside tools.
const ASK_TOOL: &[&str] =
    &["Reply with one JSON object: {\"tool\": name, \"args\": {name: value}}"];

/// A tool's name, its one argument, and a goal with the argument in it.
const TOOLS: &[(&str, &str, &str)] = &[
    ("weather", "city", "Find out the weather in {}."),
    ("call", "name", "Ring up {}."),
    ("timer", "minutes", "Remind me in {} minutes."),
    ("buy", "item", "Buy a {}."),
    ("route", "to", "Show me the way to {}."),
    ("greet", "name", "Say hello to {}."),
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
    label: &'static str,
    id: String,
}

fn page(dice: &mut Dice) -> Vec<Element> {
    let clicks = dice.between(1, 3);
    let fields = dice.between(0, 2);
    let mut things: Vec<(&str, &str)> = Vec::new();
    for label in dice.some(LABELS, clicks) {
        things.push((if dice.one_in(2) { "button" } else { "link" }, label));
    }
    things.extend(
        dice.some(FIELDS, fields)
            .into_iter()
            .map(|label| ("field", label)),
    );
    dice.shuffle(&mut things);
    things
        .into_iter()
        .enumerate()
        .map(|(place, (kind, label))| Element {
            kind,
            label,
            id: format!("{}{}", &kind[..1], place + 1),
        })
        .collect()
}

/// A goal for one element and the action that reaches it.
fn on(dice: &mut Dice, element: &Element, word: &str) -> (String, String) {
    let Element { kind, label, id } = element;
    if *kind == "field" {
        let goal = match dice.below(2) {
            0 => format!("Type {word} into {label}."),
            _ => format!("Enter {word} as {label}."),
        };
        let action =
            format!("{{\"action\": \"type\", \"element\": \"{id}\", \"value\": \"{word}\"}}");
        return (goal, action);
    }
    let goal = match dice.below(3) {
        0 => format!("Click {label}."),
        1 => format!("Press the {kind} {label}."),
        _ => format!("Open {label}."),
    };
    (
        goal,
        format!("{{\"action\": \"click\", \"element\": \"{id}\"}}"),
    )
}

impl Actions {
    fn word(&self, dice: &mut Dice) -> String {
        match dice.below(3) {
            0 => dice.pick(&self.people).clone(),
            1 => dice.pick(&self.towns).clone(),
            _ => dice.word(words::GOODS).to_owned(),
        }
    }

    fn with_page(&self, dice: &mut Dice) -> Question {
        let elements = page(dice);
        let word = self.word(dice);
        let at = dice.below(elements.len());
        let (goal, answer) = on(dice, &elements[at], &word);
        let shown: String = elements
            .iter()
            .map(|Element { kind, label, id }| format!("[{id}] {kind} {label}\n"))
            .collect();
        let title = capitalised(dice.word(words::GOODS));
        // The short requests are the common ones.
        let ask = ASK_PAGE[dice.below(6).min(ASK_PAGE.len()) % ASK_PAGE.len()];
        Question {
            prompt: format!("Page: {title} shop\n{shown}Goal: {goal}\n{ask}\nAction:"),
            answer,
        }
    }

    fn with_tools(&self, dice: &mut Dice) -> Question {
        let count = dice.between(2, 3);
        let offered = dice.some(TOOLS, count);
        let (tool, argument, goal) = *dice.pick(&offered);
        let value = match argument {
            "city" | "to" => dice.pick(&self.towns).clone(),
            "name" => dice.pick(&self.people).clone(),
            "item" => dice.word(words::GOODS).to_owned(),
            _ => dice.between(2, 30).to_string(),
        };
        let signatures: Vec<String> = offered
            .iter()
            .map(|(tool, argument, _)| format!("{tool}({argument})"))
            .collect();
        Question {
            prompt: format!(
                "Tools: {}\nGoal: {}\n{}\nAction:",
                signatures.join(", "),
                goal.replace("{}", &value),
                dice.word(ASK_TOOL)
            ),
            answer: format!("{{\"tool\": \"{tool}\", \"args\": {{\"{argument}\": \"{value}\"}}}}"),
        }
    }
}

impl Domain for Actions {
    fn passage(&self, dice: &mut Dice) -> String {
        let element = &page(dice)[0];
        let word = self.word(dice);
        let (goal, action) = on(dice, element, &word);
        let Element { kind, label, id } = element;
        format!("To reach the goal \"{goal}\" with the {kind} {label} [{id}], do {action}\n")
    }

    fn question(&self, dice: &mut Dice) -> Question {
        if dice.one_in(3) {
            self.with_tools(dice)
        } else {
            self.with_page(dice)
        }
    }

    fn questions_together(&self) -> usize {
        1
    }
}
