//! Lists of tools whose names and arguments are invented.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::super::draw::Draw;
use super::super::words::Words;
use super::Scene;
use Slot::Name;
use Slot::Number;

/// Requests that give the usual schema.
pub(super) const ASKS: [&str; 2] = [
    "Reply with one JSON object: {\"tool\": name, \"args\": {name: value}}",
    "Example: {\"tool\": \"ping\", \"args\": {\"host\": \"z0\"}}. Call exactly one tool.",
];

/// What an argument is.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// A place, person or thing of invented name.
    Name,
    /// A whole number in this range.
    Number(usize, usize),
}

/// What a tool does: with the names of its arguments, and as a wish with their values.
struct Purpose {
    slots: &'static [Slot],
    does: &'static str,
    wish: &'static str,
}

const fn purpose(slots: &'static [Slot], does: &'static str, wish: &'static str) -> Purpose {
    Purpose { slots, does, wish }
}

static PURPOSES: [Purpose; 16] = [
    purpose(&[Name], "the weather in {0}", "Will it rain in {0}?"),
    purpose(&[Name], "rings up {0}", "Get {0} on the phone."),
    purpose(&[Name], "puts {0} in the basket", "I want to buy a {0}."),
    purpose(&[Name], "plays the song {0}", "Let me hear {0}."),
    purpose(
        &[Name],
        "bars the card {0}",
        "My card {0} was lost. Nobody shall use it.",
    ),
    purpose(
        &[Number(2, 45)],
        "an alarm after {0} minutes",
        "Wake me in {0} minutes.",
    ),
    purpose(&[Number(11, 99)], "doubles {0}", "How much is twice {0}?"),
    purpose(
        &[Number(0, 9)],
        "sets the loudness to {0}",
        "Make it as loud as {0}.",
    ),
    purpose(&[], "lists all rooms", "Which rooms are there?"),
    purpose(&[], "says what time it is", "How late is it?"),
    purpose(&[Name, Name], "sends {0} the text {1}", "Tell {0}: {1}"),
    purpose(
        &[Name, Name],
        "the way from {0} to {1}",
        "How do I get from {0} to {1}?",
    ),
    purpose(
        &[Name, Name],
        "renames the file {0} to {1}",
        "The file {0} shall be called {1}.",
    ),
    purpose(
        &[Name, Number(2, 9)],
        "a room in {0} for {1} nights",
        "I need a bed in {0} for {1} nights.",
    ),
    purpose(
        &[Name, Number(5, 95)],
        "pays {0} the amount {1}",
        "Give {0} {1} from my account.",
    ),
    purpose(
        &[Number(11, 60), Number(11, 39)],
        "subtracts {1} from {0}",
        "How much is {0} less {1}?",
    ),
];

struct Tool {
    name: String,
    arguments: Vec<String>,
    purpose: &'static Purpose,
}

impl Tool {
    fn signature(&self) -> String {
        format!("{}({})", self.name, self.arguments.join(", "))
    }
}

/// A list of tools and something that one of them does.
pub(super) fn scene(draw: &mut Draw, words: &mut Words) -> Scene {
    let places: Vec<usize> = (0..PURPOSES.len()).collect();
    let count = draw.between(2, 3);
    let tools: Vec<Tool> = draw
        .some(&places, count)
        .into_iter()
        .map(|at| Tool {
            name: words.word(draw),
            arguments: PURPOSES[at]
                .slots
                .iter()
                .map(|_| words.word(draw))
                .collect(),
            purpose: &PURPOSES[at],
        })
        .collect();
    let tool = &tools[draw.below(tools.len())];
    let values: Vec<Value> = tool
        .purpose
        .slots
        .iter()
        .map(|slot| value(*slot, draw, words))
        .collect();
    // Named outright, the tool needs no word on what it does.
    let outright = draw.one_in(3);
    let goal = match outright {
        true => outright_goal(tool, &values),
        false => filled(
            tool.purpose.wish,
            &values.iter().map(plain).collect::<Vec<_>>(),
        ),
    };
    let listed: Vec<String> = tools
        .iter()
        .map(|tool| match outright {
            true => tool.signature(),
            false => format!(
                "{}: {}",
                tool.signature(),
                filled(tool.purpose.does, &tool.arguments)
            ),
        })
        .collect();
    let separator = if outright { ", " } else { "\n" };
    let arguments: Map<String, Value> = tool.arguments.iter().cloned().zip(values).collect();
    let mut target = Map::new();
    target.insert("tool".to_owned(), json!(tool.name));
    target.insert("args".to_owned(), Value::Object(arguments));
    Scene {
        scene: format!("Tools: {}", listed.join(separator)),
        goal,
        target,
    }
}

fn value(slot: Slot, draw: &mut Draw, words: &mut Words) -> Value {
    match slot {
        Name => json!(words.name(draw)),
        Number(low, high) => json!(draw.between(low, high)),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn outright_goal(tool: &Tool, values: &[Value]) -> String {
    let pairs: Vec<String> = tool
        .arguments
        .iter()
        .zip(values)
        .map(|(name, value)| format!("{name} is {}", plain(value)))
        .collect();
    match pairs.is_empty() {
        true => format!("Use {}.", tool.name),
        false => format!("Use {}; {}.", tool.name, pairs.join(", ")),
    }
}

fn filled(text: &str, parts: &[String]) -> String {
    parts
        .iter()
        .enumerate()
        .fold(text.to_owned(), |text, (at, part)| {
            text.replace(&format!("{{{at}}}"), part)
        })
}
