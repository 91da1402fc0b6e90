//! Scores -> how well each method tells kin from strangers, in numbers.

mod answers;
mod look;
mod method;
mod together;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Serialize;

pub use self::answers::Answered;
pub use self::answers::Spread;
pub(in crate::bench) use self::look::Look;
pub use self::together::Together;
use super::measure::Bench;
use super::plan::Plan;
use super::recovery;
use super::recovery::Recovered;
use super::score::Status;
use super::settings::Bars;
use super::verdicts::Judged;
use crate::verdict::Calibration;

/// Schema tag of `bench.json`.
pub const SCHEMA: &str = "kinprobe/bench-result/v1";

/// False-positive rates that power is stated at.
pub const RATES: [f64; 2] = [0.01, 0.001];

/// Level of the intervals.
pub const LEVEL: f64 = 0.95;

/// Everything the bench found.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Program name and version.
    pub tool: String,
    /// Name of the tier.
    pub tier: String,
    /// Of every random choice.
    pub seed: u64,
    /// Items asked by suite.
    pub suites: BTreeMap<String, usize>,
    /// What single methods read, in place of what is recorded meanwhile.
    pub taps: BTreeMap<String, String>,
    /// Models.
    pub members: Vec<Model>,
    /// Pre-training runs.
    pub runs: usize,
    /// What was measured, by change and relation.
    pub measured: Vec<Count>,
    /// In the order of a report.
    pub methods: Vec<Method>,
    /// What the verdict says, by change and known relation.
    pub verdict: Vec<Said>,
    /// The verdict on independent pairs.
    pub false_positives: Called,
    /// How exactly what was done to a model is read off it, by change.
    pub recovered: Vec<Recovered>,
    /// Models beside the zoo's, if there are any.
    pub real: Option<Real>,
    /// Whether the scores that the verdict multiplies rise together among strangers.
    pub together: Vec<Together>,
    /// Which pairs answer more alike than their panel.
    pub answered: Vec<Answered>,
    /// Peak memory of the process in bytes, where the system tells.
    pub peak_bytes: Option<u64>,
    /// Command that makes it again.
    pub reproduce: String,
}

/// Models that are not of the zoo.
#[derive(Debug, Clone, Serialize)]
pub struct Real {
    /// How many.
    pub models: usize,
    /// The verdict on independent pairs of two of them.
    pub false_positives: Called,
}

/// One model.
#[derive(Debug, Clone, Serialize)]
pub struct Model {
    /// On this bench.
    pub name: String,
    /// Of its files.
    pub digest: String,
    /// Pre-training runs it has weights of.
    pub runs: BTreeSet<String>,
}

/// How often something was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Count {
    /// Of the suspect.
    pub change: String,
    /// Known relation.
    pub relation: String,
    /// Pairs of models.
    pub pairs: usize,
    /// Different sets of runs among them: the unit of independence.
    pub runs: usize,
}

/// One method.
#[derive(Debug, Clone, Serialize)]
pub struct Method {
    /// Id.
    pub id: String,
    /// Version.
    pub version: u32,
    /// Methods of one family read the same data.
    pub family: String,
    /// Whether it reads weights or activations, which alone are evidence of lineage.
    pub of_lineage: bool,
    /// Whether it has a p-value; that is then its score.
    pub p_values: bool,
    /// Cost of its cross-fitted likelihood ratios, where it has any.
    pub cost: Option<f64>,
    /// Power by change and relation.
    pub cells: Vec<Cell>,
    /// ROC curve of all kin against independent pairs, unchanged.
    pub roc: Vec<(f64, f64)>,
    /// Independent pairs called at the method's own level, where it has one.
    pub called: Option<Called>,
    /// Whether its p-values of independent runs are valid.
    pub null: Option<Null>,
    /// Median wall time on a pair.
    pub seconds: f64,
    /// Growth of peak memory on one pair, where the system tells.
    pub bytes: Option<u64>,
    /// Outcomes by kind.
    pub outcomes: BTreeMap<Status, usize>,
}

/// Power of one method in one group of pairs.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Of the suspect.
    pub change: String,
    /// Known relation; `kin` for all that share weights.
    pub relation: String,
    /// Whether such pairs share weights: if not, what is called is a false alarm.
    pub lineage: bool,
    /// Pairs.
    pub pairs: usize,
    /// Sets of runs among them.
    pub runs: usize,
    /// Pairs the method applies to; the others count as not detected.
    pub applicable: usize,
    /// Independent pairs they are held against (same change), and pairs of runs among those.
    pub independent: usize,
    /// Sets of runs among those.
    pub independent_runs: usize,
    /// Area under the ROC curve, ties a half.
    pub auc: Option<f64>,
    /// Share detected at each of [`RATES`].
    pub power: Vec<Power>,
}

/// Power at one false-positive rate.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Power {
    /// Asked for.
    pub rate: f64,
    /// Share of pairs detected.
    pub detected: f64,
    /// Whether there are enough independent pairs to tell the rate from zero.
    pub resolved: bool,
}

/// False positives, by pairs and by runs.
#[derive(Debug, Clone, Serialize)]
pub struct Called {
    /// What is counted, in words.
    pub level: String,
    /// Independent pairs.
    pub pairs: u64,
    /// Called.
    pub pairs_called: u64,
    /// Clopper and Pearson, over pairs.
    pub pairs_interval: (f64, f64),
    /// Pairs of runs.
    pub runs: u64,
    /// With a pair that was called.
    pub runs_called: u64,
    /// Clopper and Pearson, over pairs of runs: the honest one.
    pub runs_interval: (f64, f64),
}

/// P-values of pairs of independent runs, one pair each, unchanged.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Null {
    /// Pairs of runs.
    pub n: usize,
    /// Two-sided distance to uniform, and its p-value. Discrete tests fail it harmlessly.
    pub kolmogorov_smirnov: (f64, f64),
    /// One-sided: p-values too small. Only this one tells an invalid test.
    pub too_small: (f64, f64),
}

/// What the verdict says of one group of pairs.
#[derive(Debug, Clone, Serialize)]
pub struct Said {
    /// Of the suspect.
    pub change: String,
    /// Known relation.
    pub relation: String,
    /// Pairs.
    pub pairs: usize,
    /// Sets of runs among them.
    pub runs: usize,
    /// How often which words.
    pub words: BTreeMap<String, usize>,
}

/// What a summary says besides what was measured.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Program name and version.
    pub tool: String,
    /// Name of the tier.
    pub tier: String,
    /// Of every random choice.
    pub seed: u64,
    /// Items asked by suite.
    pub suites: BTreeMap<String, usize>,
    /// What single methods read, in words.
    pub taps: BTreeMap<String, String>,
    /// How near is near enough for what is recovered.
    pub bars: Bars,
    /// Command that makes it again.
    pub reproduce: String,
}

/// Word for all relations that share weights.
pub const KIN: &str = "kin";

impl Summary {
    /// Summarises a bench and its verdicts.
    pub fn new(
        plan: &Plan,
        bench: &Bench,
        judged: &[Judged],
        calibration: &Calibration,
        frame: Frame,
    ) -> Self {
        let look = Look {
            plan,
            bench,
            judged,
        };
        let mut methods: Vec<&str> = Vec::new();
        for score in bench.measured.iter().flat_map(|one| &one.scores) {
            if !methods.contains(&score.method.as_str()) {
                methods.push(&score.method);
            }
        }
        let runs: BTreeSet<&String> = plan
            .members
            .iter()
            .flat_map(|member| &member.runs)
            .collect();
        Self {
            schema: SCHEMA,
            tool: frame.tool,
            tier: frame.tier,
            seed: frame.seed,
            suites: frame.suites,
            taps: frame.taps,
            members: plan
                .members
                .iter()
                .map(|member| Model {
                    name: member.name.clone(),
                    digest: bench.digests.get(&member.name).cloned().unwrap_or_default(),
                    runs: member.runs.clone(),
                })
                .collect(),
            runs: runs.len(),
            measured: look.counts(),
            methods: methods
                .into_iter()
                .filter_map(|id| look.method(id, calibration))
                .collect(),
            verdict: look.said(),
            false_positives: look.false_positives(),
            recovered: recovery::recovered(&look, calibration, frame.bars),
            real: look.real(),
            together: together::together(&look, calibration),
            answered: answers::answered(&look),
            peak_bytes: bench.peak,
            reproduce: frame.reproduce,
        }
    }
}
