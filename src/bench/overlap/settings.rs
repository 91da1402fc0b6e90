//! The part of `datasets/bench.yaml` that `--simulate overlap` follows.

use serde::{Deserialize, Serialize};

/// What is simulated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// Items that every model answers.
    pub items: usize,
    /// A p-value at most this counts.
    pub level: f64,
    /// Share of the answers that a copy takes over.
    pub copied: f64,
    /// Mean and standard deviation of the models' ability, in units of the logistic function.
    pub ability: (f64, f64),
    /// Pairs of independent models that are held against one panel.
    pub pairs_per_panel: usize,
    /// Of these pairs, so many are made into copies besides.
    pub copies_per_panel: usize,
    /// What the panel's p-value is to hold.
    pub bars: Bars,
    /// The worlds.
    pub worlds: Vec<Cell>,
}

/// What a p-value is to hold.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bars {
    /// Largest share of independent pairs at or below the level.
    pub false_positive_rate: f64,
    /// Smallest share of copies at or below the level.
    pub power: f64,
}

/// One world and the size of its panel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Shown in the table.
    pub name: String,
    /// Standard deviation of the items' difficulty.
    pub difficulty_sd: f64,
    /// Standard deviation of the logarithm of a wrong option's weight.
    pub distractor_sd: f64,
    /// Options of each item.
    pub options: u32,
    /// Whether the tests are told how many options there are.
    #[serde(default)]
    pub options_known: bool,
    /// Subjects that items belong to in turn.
    #[serde(default)]
    pub subjects: usize,
    /// Standard deviation of a model's extra ability in a subject.
    #[serde(default)]
    pub skill_sd: f64,
    /// Share of wrong answers that are a model's own, at mean ability.
    #[serde(default)]
    pub own: f64,
    /// Log odds of a tempting wrong answer against one's own, per standard deviation of the ability.
    #[serde(default)]
    pub leaning: f64,
    /// Models of the panel.
    pub panel: usize,
    /// Pairs of independent models.
    pub pairs: usize,
}

impl Overlap {
    /// Panels that a world needs for its pairs.
    pub(super) fn panels_of(&self, cell: &Cell) -> usize {
        cell.pairs.div_ceil(self.pairs_per_panel.max(1))
    }

    /// What makes it impossible to follow, if anything does.
    pub fn fault(&self) -> Option<String> {
        let share = |x: f64| x > 0.0 && x < 1.0;
        let names: std::collections::BTreeSet<&str> =
            self.worlds.iter().map(|cell| cell.name.as_str()).collect();
        let small = |cell: &&Cell| cell.panel < 3 || cell.options < 2 || cell.pairs == 0;
        if !share(self.level) || !share(self.copied) {
            Some("overlap: level and copied are between 0 and 1".to_owned())
        } else if self.items == 0 || self.pairs_per_panel == 0 {
            Some("overlap: no items or no pairs".to_owned())
        } else if self.copies_per_panel > self.pairs_per_panel {
            Some("overlap: more copies than pairs in a panel".to_owned())
        } else if names.len() < self.worlds.len() {
            Some("overlap: two worlds have one name".to_owned())
        } else if let Some(cell) = self
            .worlds
            .iter()
            .find(|cell| !(0.0..1.0).contains(&cell.own))
        {
            Some(format!("overlap: {}: own is a share below 1", cell.name))
        } else {
            self.worlds.iter().find(small).map(|cell| {
                format!(
                    "overlap: {} has no pairs, under 3 models or under 2 options",
                    cell.name
                )
            })
        }
    }
}
