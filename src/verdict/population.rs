//! What a method scores on pairs of known truth: the tables that likelihood ratios come from.
//!
//! One file per method and version, written by `kinprobe bench --calibrate`. The unit is the
//! pre-training run: of all pairs between two independent runs the highest score is kept, of all
//! pairs within one run that stand in one relation the lowest.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use crate::evidence::{Card, Finding};
use crate::stat::isotonic::{self, Ratios, Scored, Units};

/// Where the tables lie below the data root.
pub const FOLDER: &str = "datasets/calibration";

/// Schema tag of a table.
pub const SCHEMA: &str = "kinprobe/calibration-population/v1";

/// Pairs of independent runs.
pub const INDEPENDENT: &str = "independent";

/// Pairs that share their initial weights and nothing else.
pub const SHARED_INITIALISATION: &str = "shared_initialisation";

/// One model learnt from the other's answers.
pub const DISTILLED: &str = "distilled";

/// Whether a known relation means that one model's weights come from the other's, or both from a
/// third's.
pub fn is_lineage(relation: &str) -> bool {
    !matches!(relation, INDEPENDENT | SHARED_INITIALISATION | DISTILLED)
}

/// Scores by runs (their names in order, separated by one space).
pub type ByRuns = BTreeMap<String, f64>;

/// Scores of one method on pairs of known truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// [`SCHEMA`].
    pub schema: String,
    /// Method id.
    pub method: String,
    /// Method version; another version is not judged by it.
    pub version: u32,
    /// Of the method's card.
    pub family: String,
    /// Program that measured.
    pub tool: String,
    /// Of every random choice.
    pub seed: u64,
    /// What a score is: `statistic`, or `minus_log10_p` where the method has an exact p-value.
    pub score: Measure,
    /// Log-likelihood-ratio cost with each pair's own runs left out: 0 for a perfect method, 1 for one
    /// that says nothing; absent where one side has too few runs.
    pub cost: Option<f64>,
    /// Digests of the models it was measured on.
    pub models: BTreeMap<String, String>,
    /// Scores by what was done to the suspect (`none`, or launderings) and by known relation.
    pub scores: BTreeMap<String, BTreeMap<String, ByRuns>>,
}

/// Which number of a finding is the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The statistic.
    Statistic,
    /// Minus the base-10 logarithm of the p-value.
    MinusLog10P,
}

impl Measure {
    /// The score of a finding.
    pub fn of(self, finding: &Finding) -> Option<f64> {
        match self {
            Self::Statistic => Some(finding.statistic),
            Self::MinusLog10P => finding.log10_p.map(|p| -p),
        }
        .filter(|score| score.is_finite())
    }
}

/// A likelihood ratio with what bounds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Base-10 logarithm.
    pub log10_lr: f64,
    /// Cost of the method that gave it.
    pub cost: f64,
    /// Runs and pairs of runs it stands on.
    pub units: Units,
}

/// The ratios of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    ratios: Ratios,
    cost: f64,
    units: Units,
}

impl Fitted {
    /// The ratio of a score.
    pub fn at(&self, score: f64) -> Ratio {
        Ratio {
            log10_lr: capped(self.ratios.at(score), self.units),
            cost: self.cost,
            units: self.units,
        }
    }
}

impl Population {
    /// The base-10 likelihood ratio of a finding, related against independent.
    ///
    /// Isotonic over all changes and relations together, one unit per related run and one per pair
    /// of independent runs (its highest score under any change); never beyond the logarithm of the
    /// number of units that bound it. `None` for another version or where a side has no unit.
    pub fn ratio(&self, card: &Card, finding: &Finding) -> Option<Ratio> {
        if card.id != self.method || card.version != self.version {
            return None;
        }
        let score = self.score.of(finding)?;
        Some(self.fitted()?.at(score))
    }

    /// Its ratios for any score; `None` where a side has no unit.
    pub fn fitted(&self) -> Option<Fitted> {
        let scored = self.scored();
        Some(Fitted {
            ratios: Ratios::fit(&scored)?,
            cost: self.cost?,
            units: isotonic::units(&scored),
        })
    }

    /// The same without every score that one of `runs` took part in, so that no pair calibrates its
    /// own verdict.
    #[must_use]
    pub fn without(&self, runs: &BTreeSet<String>) -> Self {
        let mut left = self.clone();
        for relations in left.scores.values_mut() {
            for by_runs in relations.values_mut() {
                by_runs.retain(|names, _| !names.split(' ').any(|name| runs.contains(name)));
            }
        }
        left
    }

    /// Every run that a score comes from.
    pub fn runs(&self) -> BTreeSet<String> {
        let all = self.cells().flat_map(|(_, _, by_runs)| by_runs.keys());
        all.flat_map(|names| names.split(' ').map(str::to_owned))
            .collect()
    }

    /// `(change, relation, scores)`, in order.
    pub fn cells(&self) -> impl Iterator<Item = (&str, &str, &ByRuns)> {
        self.scores.iter().flat_map(|(change, relations)| {
            relations
                .iter()
                .map(move |(relation, by_runs)| (change.as_str(), relation.as_str(), by_runs))
        })
    }

    /// The cost of the table's own ratios, each score judged without its runs.
    pub fn cross_fitted_cost(&self) -> Option<f64> {
        let mut fits: BTreeMap<BTreeSet<String>, Option<(Ratios, Units)>> = BTreeMap::new();
        let mut judged = Vec::new();
        for (names, one) in self.scored_with_runs() {
            let runs: BTreeSet<String> = names.split(' ').map(str::to_owned).collect();
            let fit = fits.entry(runs.clone()).or_insert_with(|| {
                let rest = self.without(&runs).scored();
                Some((Ratios::fit(&rest)?, isotonic::units(&rest)))
            });
            let Some((fit, units)) = fit else { continue };
            judged.push(Scored {
                score: capped(fit.at(one.score), *units),
                ..one
            });
        }
        isotonic::cost(&judged)
    }

    fn scored(&self) -> Vec<Scored> {
        let all = self.scored_with_runs();
        all.into_iter().map(|(_, one)| one).collect()
    }

    /// Related scores share their run's weight of 1; a pair of independent runs has one.
    fn scored_with_runs(&self) -> Vec<(&str, Scored)> {
        let mut related: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut highest: BTreeMap<&str, f64> = BTreeMap::new();
        for (_, relation, by_runs) in self.cells() {
            for (names, score) in by_runs {
                if is_lineage(relation) {
                    related.entry(names).or_default().push(*score);
                } else if relation == INDEPENDENT {
                    let top = highest.entry(names).or_insert(*score);
                    *top = top.max(*score);
                }
            }
        }
        let mut all = Vec::new();
        for (names, scores) in related {
            let weight = 1.0 / scores.len() as f64;
            let one = |score| Scored {
                score,
                weight,
                related: true,
            };
            all.extend(scores.into_iter().map(|score| (names, one(score))));
        }
        all.extend(highest.into_iter().map(|(names, score)| {
            let one = Scored {
                score,
                weight: 1.0,
                related: false,
            };
            (names, one)
        }));
        all
    }

    /// File name of the table.
    pub fn file_name(&self) -> String {
        format!("{}@{}.json", self.method, self.version)
    }

    /// The file's text: one line per change and relation.
    ///
    /// # Errors
    /// Only for numbers that JSON has no form for.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut head = self.clone();
        head.scores.clear();
        let head = serde_json::to_string_pretty(&head)?;
        let mut text = head.trim_end_matches("\"scores\": {}\n}").to_owned();
        text.push_str("\"scores\": {");
        for (at, (change, relations)) in self.scores.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(text, "{comma}\n    {}: {{", serde_json::to_string(change)?);
            for (at, (relation, by_runs)) in relations.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                let key = serde_json::to_string(relation)?;
                let row = serde_json::to_string(by_runs)?;
                let _ = write!(text, "{comma}\n      {key}: {row}");
            }
            text.push_str("\n    }");
        }
        text.push_str("\n  }\n}\n");
        Ok(text)
    }

    /// Reads every table of the folder, by method; of several versions of a method all are kept.
    ///
    /// # Errors
    /// A folder or table that cannot be read, does not parse or holds nonsense.
    pub(super) fn load_all(data_root: &Path) -> Result<Vec<Self>, Error> {
        let folder = data_root.join(FOLDER);
        let read = |source| Error::Read {
            path: folder.clone(),
            source,
        };
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.contains('@') && name.ends_with(".json")) {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| Self::load(path)).collect()
    }

    fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let table: Self = serde_json::from_slice(&bytes).map_err(|source| Error::Parse {
            path: path.to_owned(),
            source,
        })?;
        let refuse = |reason: String| Error::Value {
            path: path.to_owned(),
            reason,
        };
        if table.schema != SCHEMA {
            return Err(refuse(format!("the schema is not `{SCHEMA}`")));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        if name != Some(&table.file_name()) {
            return Err(refuse(format!(
                "it is the table of {} version {}",
                crate::text::ModelText::new(&*table.method).clipped(60),
                table.version
            )));
        }
        let scores = table.cells().flat_map(|(_, _, by_runs)| by_runs.values());
        if scores.into_iter().any(|score| !score.is_finite()) {
            return Err(refuse("a score is not a number".to_owned()));
        }
        Ok(table)
    }
}

/// Never beyond the units that bound it: independent pairs from above, related runs from below.
fn capped(log10_lr: f64, units: Units) -> f64 {
    let most = units.independent.max(1.0).log10();
    let least = -units.related.max(1.0).log10();
    log10_lr.clamp(least, most)
}

#[cfg(test)]
mod tests;
