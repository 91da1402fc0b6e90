//! Suites that are made and not written: every item a function of a seed.
//!
//! What is drawn anew for a seed cannot have been read before, neither by a model nor by whoever trained
//! it. The same seed gives the same bytes everywhere; the first items of a longer suite are those of a
//! shorter one.

mod agent;
mod draw;
pub mod folder;
pub mod script;
mod words;

use serde_json::Map;
use serde_json::Value;

/// Something that suites are rendered of.
pub struct Kind {
    /// Id of the suite, and its name on the command line.
    pub id: &'static str,
    /// What it asks, in a line.
    pub about: &'static str,
    /// Items, unless said otherwise.
    pub items: usize,
    rows: fn(u64, usize) -> Vec<Map<String, Value>>,
    manifest: fn(u64, &Named<'_>) -> String,
}

/// All kinds.
pub static KINDS: &[Kind] = &[Kind {
    id: "agent-actions",
    about: "goals on invented pages and with invented tools, each answered by one JSON action",
    items: 300,
    rows: agent::rows,
    manifest: agent::manifest,
}];

/// The seed of the shipped suites.
pub const SHIPPED_SEED: u64 = 0;

/// Most items: as many as a dataset may have.
pub const MAX_ITEMS: usize = 100_000;

/// A rendered suite: two files that belong beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The suite's id; of the shipped seed and number of items the kind's own, else with both in it.
    pub id: String,
    /// Content of `<id>.jsonl`.
    pub dataset: String,
    /// Content of `<id>.yaml`.
    pub manifest: String,
    /// Hash of the dataset, lower-case hex.
    pub sha256: String,
}

/// What a manifest names.
struct Named<'a> {
    id: &'a str,
    items: usize,
    sha256: &'a str,
}

impl Kind {
    /// The kind of that name.
    pub fn find(id: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.id == id)
    }

    /// Renders `items` items of `seed`.
    pub fn render(&self, seed: u64, items: usize) -> Rendered {
        let items = items.clamp(1, MAX_ITEMS);
        let mut dataset = String::new();
        for row in (self.rows)(seed, items) {
            dataset.push_str(&Value::Object(row).to_string());
            dataset.push('\n');
        }
        let sha256 = super::load::hash(dataset.as_bytes());
        let id = match (seed, items) {
            (SHIPPED_SEED, shipped) if shipped == self.items => self.id.to_owned(),
            _ => format!("{}-{seed}-{items}", self.id),
        };
        let named = Named {
            id: &id,
            items,
            sha256: &sha256,
        };
        Rendered {
            manifest: (self.manifest)(seed, &named),
            id,
            dataset,
            sha256,
        }
    }
}
