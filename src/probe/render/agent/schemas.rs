//! Invented schemas: keys and verbs for one action on a page.

use serde_json::Map;
use serde_json::Value;

use super::super::draw::Draw;
use super::super::words::Words;

/// Schemas of one suite.
const SCHEMAS: usize = 4;

/// The usual verbs, and what they are explained by.
const VERBS: [(&str, &str); 3] = [("click", "press"), ("type", "write"), ("select", "choose")];

/// Stands for the keys `action`, `element` and `value`.
pub(super) struct Schema {
    action: String,
    element: String,
    value: String,
    /// For [`VERBS`], in their order.
    verbs: [String; 3],
}

/// The schemas of `seed`, no word twice.
pub(super) fn invent(seed: u64) -> Vec<Schema> {
    let mut draw = Draw::new(seed, "agent schemas");
    let mut words = Words::default();
    let mut word = || words.word(&mut draw);
    (0..SCHEMAS)
        .map(|_| Schema {
            action: word(),
            element: word(),
            value: word(),
            verbs: [word(), word(), word()],
        })
        .collect()
}

impl Schema {
    /// Its keys.
    pub fn keys(&self) -> [String; 3] {
        [&self.action, &self.element, &self.value].map(Clone::clone)
    }

    /// Keys and verbs.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.keys().into_iter().chain(self.verbs.iter().cloned())
    }

    /// An action of usual keys in these.
    pub fn translate(&self, target: &Map<String, Value>) -> Map<String, Value> {
        target
            .iter()
            .map(|(key, value)| match key.as_str() {
                "action" => {
                    let usual = VERBS.iter().position(|(verb, _)| value == verb);
                    let verb = usual.map_or("", |at| self.verbs[at].as_str());
                    (self.action.clone(), Value::from(verb))
                }
                "element" => (self.element.clone(), value.clone()),
                _ => (self.value.clone(), value.clone()),
            })
            .collect()
    }

    /// The request that gives it.
    pub fn ask(&self, draw: &mut Draw) -> String {
        let Self {
            action,
            element,
            value,
            verbs: [press, write, choose],
        } = self;
        if draw.one_in(2) {
            return format!(
                "One JSON object: {action} is {press} ({}), {write} ({}) or {choose} ({}), {element} is the element, \
                 {value} the text if needed.",
                VERBS[0].1, VERBS[1].1, VERBS[2].1
            );
        }
        format!(
            "Example: {{\"{action}\": \"{write}\", \"{element}\": \"z0\", \"{value}\": \"hello\"}}. {press} presses, \
             {choose} chooses."
        )
    }
}
