//! The finding in numbers, words and a table.

use super::stored::Apart;
use super::{Found, Match};
use crate::evidence::control::Controls;
use crate::evidence::{Finding, Pair, Table};
use crate::text::ModelText;

/// Rows of detail.
const MOST_ROWS: usize = 400;

impl Found {
    /// Of the model that has the larger part in common.
    pub(super) fn share(&self) -> f64 {
        self.reference.share().max(self.suspect.share())
    }

    fn counted(&self) -> impl Iterator<Item = &Match> {
        self.matches.iter().filter(|m| m.apart.is_none())
    }

    pub(super) fn finding(&self, pair: &Pair<'_>, controls: &Controls) -> Finding {
        let counted = self.counted().count();
        let apart = self.matches.len() - counted;
        let renamed = self.counted().filter(|m| m.reference != m.suspect).count();
        let mut details = controls.details(self.share());
        details.extend([
            ("share_of_reference", self.reference.share()),
            ("share_of_suspect", self.suspect.share()),
            ("unmatched_reference", self.reference.unmatched as f64),
            ("unmatched_suspect", self.suspect.unmatched as f64),
            ("roles_shared", self.roles.0 as f64),
            ("roles_identical", self.roles.1 as f64),
            ("identical_tensors", counted as f64),
            ("set_apart", apart as f64),
        ]);
        if self.same_container {
            details.insert("renamed_tensors", renamed as f64);
        }
        let mut caveats = Vec::new();
        if pair.population.is_empty() {
            caveats.push(
                "no independent model was at hand to show which tensors anyone may have".to_owned(),
            );
        }
        Finding {
            statistic: self.share(),
            n: self.compared,
            null: format!(
                "trained numbers do not coincide by chance; {}",
                controls.words(self.share())
            ),
            log10_p: None,
            interval: None,
            details,
            explanation: self.explanation(counted, apart, renamed),
            caveats,
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: (!self.matches.is_empty()).then(|| self.table()),
        }
    }

    fn explanation(&self, counted: usize, apart: usize, renamed: usize) -> String {
        let mut text = if counted == 0 {
            "No trained tensor is bit-identical".to_owned()
        } else {
            format!(
                "{counted} tensors are bit-identical: {:.1} % of the reference's and {:.1} % of the suspect's numbers",
                100.0 * self.reference.share(),
                100.0 * self.suspect.share()
            )
        };
        if self.same_container && renamed > 0 {
            text += &format!("; {renamed} of them are stored under another name");
        }
        if apart > 0 {
            text += &format!("; {apart} identical constants or buffers are set apart");
        }
        text + "."
    }

    fn table(&self) -> Table {
        let shown = |name: &str| ModelText::new(name).clipped(80);
        let mut rows: Vec<Vec<String>> = self
            .matches
            .iter()
            .take(MOST_ROWS)
            .map(|m| {
                vec![
                    shown(&m.reference),
                    shown(&m.suspect),
                    m.what.clone(),
                    m.how.to_owned(),
                    m.apart.map_or("yes", Apart::words).to_owned(),
                ]
            })
            .collect();
        if self.matches.len() > MOST_ROWS {
            let more = format!("and {} more", self.matches.len() - MOST_ROWS);
            rows.push([more.as_str(), "", "", "", ""].map(str::to_owned).to_vec());
        }
        let columns = ["reference", "suspect", "shape or role", "how", "counts"];
        Table {
            columns: columns.map(str::to_owned).to_vec(),
            rows,
        }
    }
}
