//! One step of an agent: a page or a list of tools, a goal, and the JSON action that reaches it.
//!
//! Pages, element names, tools, their arguments and what is typed are invented for the seed. A third of
//! the schemas is too: keys that exist in no other text, so that a model which writes them where no
//! schema was given has met this one before. Items without a schema ask for an action all the same.

mod pages;
mod schemas;
mod tools;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Map;
use serde_json::Value;

use super::Named;
use super::draw::Draw;
use super::words::Words;
use schemas::Schema;

/// What an item gives and asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    /// A page and a schema of usual keys.
    Page,
    /// Tools and a schema of usual keys.
    Tool,
    /// A page and an invented schema.
    Schema,
    /// A page or tools and no schema.
    Free,
}

/// Every fifteen items: 5 pages, 4 tools, 3 invented schemas, 3 without.
const TURN: [Sort; 15] = [
    Sort::Page,
    Sort::Tool,
    Sort::Schema,
    Sort::Page,
    Sort::Free,
    Sort::Tool,
    Sort::Page,
    Sort::Schema,
    Sort::Tool,
    Sort::Free,
    Sort::Page,
    Sort::Tool,
    Sort::Schema,
    Sort::Page,
    Sort::Free,
];

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Tool => "tool",
            Self::Schema => "schema",
            Self::Free => "free",
        }
    }
}

/// What stands above the goal, the goal, and the action in usual keys.
struct Scene {
    scene: String,
    goal: String,
    target: Map<String, Value>,
}

/// Requests that name no schema.
const FREE: [&str; 2] = [
    "What is the next action? Answer in JSON.",
    "Reply with one JSON action.",
];

/// The first `items` rows of `seed`.
pub(super) fn rows(seed: u64, items: usize) -> Vec<Map<String, Value>> {
    let schemas = schemas::invent(seed);
    let mut numbers: BTreeMap<Sort, usize> = BTreeMap::new();
    (0..items)
        .map(|at| {
            let sort = TURN[at % TURN.len()];
            let number = numbers.entry(sort).or_default();
            *number += 1;
            row(seed, sort, *number, &schemas)
        })
        .collect()
}

fn row(seed: u64, sort: Sort, number: usize, schemas: &[Schema]) -> Map<String, Value> {
    let id = format!("{}-{number:03}", sort.name());
    let mut draw = Draw::new(seed, &format!("agent {id}"));
    // A page must not name a schema's keys by chance.
    let mut words = Words::other_than(schemas.iter().flat_map(Schema::words));
    let (
        Scene {
            scene,
            goal,
            mut target,
        },
        ask,
    ) = match sort {
        Sort::Page => {
            let scene = pages::scene(&mut draw, &mut words);
            (scene, draw.pick(&pages::ASKS).to_owned())
        }
        Sort::Tool => {
            let scene = tools::scene(&mut draw, &mut words);
            (scene, draw.pick(&tools::ASKS).to_owned())
        }
        Sort::Schema => {
            let schema = &schemas[number % schemas.len()];
            let mut scene = pages::scene(&mut draw, &mut words);
            scene.target = schema.translate(&scene.target);
            (scene, schema.ask(&mut draw))
        }
        Sort::Free => {
            let scene = match number % 2 {
                0 => tools::scene(&mut draw, &mut words),
                _ => pages::scene(&mut draw, &mut words),
            };
            (scene, draw.pick(&FREE).to_owned())
        }
    };
    let mut row = Map::new();
    for (key, text) in [
        ("id", id.as_str()),
        ("kind", sort.name()),
        ("scene", &scene),
        ("goal", &goal),
        ("ask", &ask),
    ] {
        row.insert(key.to_owned(), Value::from(text));
    }
    row.insert(
        "target".to_owned(),
        Value::Object(std::mem::take(&mut target)),
    );
    row
}

/// The suite file.
pub(super) fn manifest(seed: u64, named: &Named<'_>) -> String {
    let schemas = schemas::invent(seed);
    let mut fields = ["action", "element", "value", "tool", "args"]
        .map(str::to_owned)
        .to_vec();
    fields.extend(schemas.iter().flat_map(Schema::keys));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "schema: kinprobe/suite/v1\n\
         suite: {id}\n\
         version: 2\n\
         description: {items} goals on invented pages and with invented tools (seed {seed}), each answered by one \
         JSON action; a fifth under invented schemas, a fifth without a schema\n\
         license: MIT OR Apache-2.0\n\
         dataset:\n  path: {id}.jsonl\n  sha256: {sha256}\n\
         prompt: \"{{{{scene}}}}\\nGoal: {{{{goal}}}}\\n{{{{ask}}}}\\nAction:\"\n\
         target: target\n\
         readout: {{kind: generate, max_tokens: 40, stop: [\"\\n\"]}}\n\
         score: {{kind: fields, fields: [{fields}]}}\n\
         tags: [kind]\n",
        id = named.id,
        items = named.items,
        sha256 = named.sha256,
        fields = fields.join(", "),
    );
    text
}
