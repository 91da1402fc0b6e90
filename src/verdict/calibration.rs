//! Thresholds, with where each comes from. They live in a data file, never in code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::parents::ParentScale;
use super::{Population, RelationScale};

/// Where the table lies below the data root.
pub const PATH: &str = "datasets/calibration/verdict.json";

/// Schema tag of the table.
pub const SCHEMA: &str = "kinprobe/calibration/v1";

/// Every number a conclusion depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The table format this program reads.
    pub schema: String,
    /// Exact tests by method id.
    pub exact: BTreeMap<String, ExactTest>,
    /// When bit-identical tensors decide.
    pub identical: Identical,
    /// The weakest child that the exact test must find for kin to be excluded.
    pub power: Power,
    /// When vocabularies count as extended or overlapping.
    pub tokenizer: TokenizerScale,
    /// When construction plans count as similar.
    pub architecture: ArchitectureScale,
    /// Smallest panel that a behaviour conclusion may stand on.
    pub panel: Panel,
    /// When scores of a population decide.
    pub population: Decides,
    /// What tells relations apart.
    pub relation: RelationScale,
    /// What tells a mixture from one parent.
    pub parents: ParentScale,
    /// The method that tells a shared start from shared training, by its id.
    pub shared_start: String,
    /// The methods that read both models as they are stored: where one of them decides, gains of norms
    /// correspond and that method's number means something.
    pub shared_start_where: Vec<String>,
    /// Scores on pairs of known truth, one table per method and version: what likelihood ratios come
    /// from, without the runs of the pair that is judged.
    #[serde(skip)]
    pub populations: Vec<Population>,
    /// The same with every run: what would have been found.
    #[serde(skip)]
    pub everything: Arc<Everything>,
}

/// Every table, and what was found out about it once.
#[derive(Debug, Default)]
pub struct Everything {
    /// The tables.
    pub tables: Vec<Population>,
    /// What the methods with these tables miss, in words.
    pub(super) blind_spots: Mutex<BTreeMap<BTreeSet<String>, Option<String>>>,
}

impl PartialEq for Everything {
    fn eq(&self, other: &Self) -> bool {
        self.tables == other.tables
    }
}

/// An exact test's level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactTest {
    /// Method version this was set for; another version is not judged by it.
    pub version: u32,
    /// The test decides when its `log10_p` is at or below this.
    pub decides_at_log10_p: f64,
    /// Origin of the number.
    pub because: String,
}

/// When bit-identical tensors decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identical {
    /// Method version this was set for.
    pub version: u32,
    /// Least share of the smaller model's non-trivial elements that are bit-identical.
    pub decides_at_share: f64,
    /// Origin of the number.
    pub because: String,
}

/// The simulated child of the power statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// Noise added to each row, as a multiple of the row's own length.
    pub noise: u32,
    /// Origin of the number.
    pub because: String,
}

/// When likelihood ratios from the tables decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decides {
    /// Least base-10 likelihood ratio that concludes `related`.
    pub decides_at_log10_lr: f64,
    /// Origin of the number.
    pub because: String,
    /// Families that read different matrices: their logarithms are added.
    pub independent_families: Vec<String>,
    /// Why these, and how far their scores rise together on pairs of independent runs.
    pub independent_because: String,
}

/// Words for vocabularies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerScale {
    /// `extended` when at least this share of the smaller vocabulary keeps its ids in the larger.
    pub extended_at: f64,
    /// `overlapping` when the Jaccard index is at least this.
    pub overlapping_at: f64,
    /// Origin of the numbers.
    pub because: String,
}

/// Words for construction plans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchitectureScale {
    /// `similar` when at least this share of the plan's axes agree.
    pub similar_at: f64,
    /// Origin of the number.
    pub because: String,
}

/// Smallest panel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// Independent models.
    pub least_models: u32,
    /// Answers are more alike than the panel's at or below this rank p-value.
    pub more_alike_at_p: f64,
    /// Behaviour is more alike than the panel's at or below this p-value of the tests against it.
    pub beyond_panel_at_p: f64,
    /// Origin of the numbers.
    pub because: String,
}

/// What is wrong with the table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("{}: {source}: name the folder that holds `datasets` with KINPROBE_DATA", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is not such a table.
    #[error("{}: not a calibration table: {source}; restore the file that came with the program", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// A number makes no sense.
    #[error("{}: {reason}; restore the file that came with the program", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        reason: String,
    },
}

impl Calibration {
    /// Reads `datasets/calibration/verdict.json` and the tables beside it below `data_root`.
    ///
    /// # Errors
    /// When a file is missing, does not parse, or holds a number outside its range.
    pub fn load(data_root: &Path) -> Result<Self, Error> {
        let path = data_root.join(PATH);
        let bytes = std::fs::read(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let table: Self = serde_json::from_slice(&bytes).map_err(|source| Error::Parse {
            path: path.clone(),
            source,
        })?;
        match table.fault() {
            None => Ok(table.with(Population::load_all(data_root)?)),
            Some(reason) => Err(Error::Value { path, reason }),
        }
    }

    /// The same with these tables in place of its own.
    #[must_use]
    pub fn with(self, populations: Vec<Population>) -> Self {
        Self {
            everything: Arc::new(Everything {
                tables: populations.clone(),
                blind_spots: Mutex::default(),
            }),
            populations,
            ..self
        }
    }

    /// For models of whose weights only a sample was read: exact tests hold, the tables, which are of
    /// whole models, do not.
    #[must_use]
    pub fn for_samples(&self) -> Self {
        Self {
            populations: Vec::new(),
            everything: Arc::default(),
            ..self.clone()
        }
    }

    /// The same with every score left out of the tables that one of `runs` took part in: a pair of
    /// those runs is judged by what is known of others.
    #[must_use]
    pub fn without(&self, runs: &BTreeSet<String>) -> Self {
        Self {
            populations: self
                .everything
                .tables
                .iter()
                .map(|table| table.without(runs))
                .collect(),
            ..self.clone()
        }
    }

    /// The same with every exact test's level below its own by `log10_p` orders of magnitude, and
    /// likelihood ratios asked for `log10_lr` orders more: for one of several tests. Identical bits need
    /// no such room.
    #[must_use]
    pub fn stricter(&self, log10_p: f64, log10_lr: f64) -> Self {
        // What is missed at one level says nothing about another: found out anew.
        let mut stricter = Self {
            everything: Arc::new(Everything {
                tables: self.everything.tables.clone(),
                blind_spots: Mutex::default(),
            }),
            ..self.clone()
        };
        for test in stricter.exact.values_mut() {
            test.decides_at_log10_p -= log10_p;
        }
        stricter.population.decides_at_log10_lr += log10_lr;
        stricter
    }

    /// Names of models with this digest that the tables have scores of. A model that stands for its run
    /// has the run's name.
    pub fn known_as(&self, digest: &str) -> BTreeSet<String> {
        let models = self
            .everything
            .tables
            .iter()
            .flat_map(|table| &table.models);
        models
            .filter(|(_, known)| *known == digest)
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn fault(&self) -> Option<String> {
        if self.schema != SCHEMA {
            return Some(format!("the schema is not `{SCHEMA}`"));
        }
        let shares = [
            (
                "identical.decides_at_share",
                self.identical.decides_at_share,
            ),
            ("tokenizer.extended_at", self.tokenizer.extended_at),
            ("tokenizer.overlapping_at", self.tokenizer.overlapping_at),
            ("architecture.similar_at", self.architecture.similar_at),
            ("panel.more_alike_at_p", self.panel.more_alike_at_p),
            ("panel.beyond_panel_at_p", self.panel.beyond_panel_at_p),
            ("parents.merged_gain", self.parents.merged_gain),
            ("parents.between_gain", self.parents.between_gain),
            ("parents.least_share", self.parents.least_share),
        ];
        for (name, share) in shares {
            if !(share > 0.0 && share <= 1.0) {
                return Some(format!(
                    "`{name}` is {share}, not a share above 0 and up to 1"
                ));
            }
        }
        let ratio = self.population.decides_at_log10_lr;
        if !(ratio.is_finite() && ratio > 0.0) {
            return Some("`population.decides_at_log10_lr` is not above 0".to_owned());
        }
        self.exact
            .iter()
            .find(|(_, test)| {
                !test.decides_at_log10_p.is_finite() || test.decides_at_log10_p >= 0.0
            })
            .map(|(id, _)| format!("`exact.{id}.decides_at_log10_p` is not below 0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_shipped_table_loads_and_every_number_has_an_origin() {
        let table = Calibration::load(&shipped()).unwrap();
        let origins = [
            &table.identical.because,
            &table.power.because,
            &table.tokenizer.because,
            &table.architecture.because,
            &table.panel.because,
            &table.population.because,
            &table.relation.because,
            &table.parents.because,
            &table.population.independent_because,
        ];
        let exact = table.exact.values().map(|test| &test.because);
        assert!(exact.chain(origins).all(|because| because.len() > 40));
    }

    #[test]
    fn wrong_tables_are_refused_with_the_file_and_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Calibration::load(folder.path()).unwrap_err().to_string();
        assert!(
            missing.contains("verdict.json") && missing.contains("KINPROBE_DATA"),
            "{missing}"
        );
        let good = std::fs::read_to_string(shipped().join(PATH)).unwrap();
        let changes = [
            (
                "\"decides_at_share\": 0.5",
                "\"decides_at_share\": 0",
                "identical.decides_at_share",
            ),
            (
                "\"decides_at_log10_p\": -9.0",
                "\"decides_at_log10_p\": 0.0",
                "decides_at_log10_p",
            ),
            ("calibration/v1", "calibration/v2", "schema"),
            ("\"power\"", "\"powers\"", "powers"),
            (
                "\"decides_at_log10_lr\": 4.0",
                "\"decides_at_log10_lr\": -4.0",
                "decides_at_log10_lr",
            ),
        ];
        std::fs::create_dir_all(folder.path().join(PATH).parent().unwrap()).unwrap();
        for (from, to, named) in changes {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            std::fs::write(folder.path().join(PATH), bad).unwrap();
            let error = Calibration::load(folder.path()).unwrap_err().to_string();
            assert!(
                error.contains("verdict.json") && error.contains(named),
                "{error}"
            );
        }
    }
}
