//! Scores -> how well each method tells kin from strangers, in numbers.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Serialize;

use super::change::NONE;
use super::measure::Bench;
use super::plan::Plan;
use super::score::Measured;
use super::score::Status;
use super::score::card;
use super::tables;
use super::verdicts::Judged;
use crate::evidence::Needs;
use crate::stat::interval;
use crate::stat::roc;
use crate::stat::uniform;
use crate::verdict::Calibration;
use crate::verdict::LineageConclusion;
use crate::verdict::population::INDEPENDENT;
use crate::verdict::population::Measure;
use crate::verdict::population::is_lineage;

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
    /// Peak memory of the process in bytes, where the system tells.
    pub peak_bytes: Option<u64>,
    /// Command that makes it again.
    pub reproduce: String,
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
            peak_bytes: bench.peak,
            reproduce: frame.reproduce,
        }
    }
}

struct Look<'a> {
    plan: &'a Plan,
    bench: &'a Bench,
    judged: &'a [Judged],
}

/// Pairs of one kind.
type Kind<'a> = (&'a str, &'a str);

impl Look<'_> {
    fn change(&self, one: &Measured) -> &str {
        self.plan.changes[one.task.change].name()
    }

    /// Pairs that exist, with their verdicts.
    fn pairs(&self) -> impl Iterator<Item = (&Measured, &Judged)> {
        let all = self.bench.measured.iter().zip(self.judged);
        all.filter(|(_, judged)| judged.conclusion.is_some())
    }

    /// Groups in the order of the plan's changes, then of relations.
    fn kinds(&self) -> Vec<(Kind<'_>, Vec<(&Measured, &Judged)>)> {
        let mut kinds: BTreeMap<(usize, &str), Vec<(&Measured, &Judged)>> = BTreeMap::new();
        for (one, judged) in self.pairs() {
            let key = (one.task.change, one.task.relation.as_str());
            kinds.entry(key).or_default().push((one, judged));
        }
        kinds
            .into_iter()
            .map(|((change, relation), pairs)| {
                ((self.plan.changes[change].name(), relation), pairs)
            })
            .collect()
    }

    fn runs<'b>(&self, pairs: impl Iterator<Item = &'b Measured>) -> usize {
        let runs: BTreeSet<_> = pairs.map(|one| self.plan.runs(&one.task)).collect();
        runs.len()
    }

    fn counts(&self) -> Vec<Count> {
        let kinds = self.kinds().into_iter();
        kinds
            .map(|((change, relation), pairs)| Count {
                change: change.to_owned(),
                relation: relation.to_owned(),
                pairs: pairs.len(),
                runs: self.runs(pairs.iter().map(|(one, _)| *one)),
            })
            .collect()
    }

    fn said(&self) -> Vec<Said> {
        let kinds = self.kinds().into_iter();
        kinds
            .map(|((change, relation), pairs)| {
                let mut words: BTreeMap<String, usize> = BTreeMap::new();
                for (_, judged) in &pairs {
                    *words.entry(judged.says()).or_default() += 1;
                }
                Said {
                    change: change.to_owned(),
                    relation: relation.to_owned(),
                    pairs: pairs.len(),
                    runs: self.runs(pairs.iter().map(|(one, _)| *one)),
                    words,
                }
            })
            .collect()
    }

    fn false_positives(&self) -> Called {
        let related = |judged: &Judged| judged.conclusion == Some(LineageConclusion::Related);
        let independent = self
            .pairs()
            .filter(|(one, _)| one.task.relation == INDEPENDENT)
            .map(|(one, judged)| (one, related(judged)));
        self.called("verdict: related".to_owned(), independent)
    }

    fn called<'b>(
        &self,
        level: String,
        pairs: impl Iterator<Item = (&'b Measured, bool)>,
    ) -> Called {
        let (mut all, mut hits) = (0, 0);
        let mut runs: BTreeMap<BTreeSet<String>, bool> = BTreeMap::new();
        for (one, called) in pairs {
            all += 1;
            hits += u64::from(called);
            *runs.entry(self.plan.runs(&one.task)).or_default() |= called;
        }
        let runs_called = runs.values().filter(|called| **called).count() as u64;
        Called {
            level,
            pairs: all,
            pairs_called: hits,
            pairs_interval: interval::clopper_pearson(hits, all, LEVEL),
            runs: runs.len() as u64,
            runs_called,
            runs_interval: interval::clopper_pearson(runs_called, runs.len() as u64, LEVEL),
        }
    }

    fn method(&self, id: &str, calibration: &Calibration) -> Option<Method> {
        let card = card(id)?;
        let by = tables::measure(&self.bench.measured, id);
        let of_lineage = matches!(card.needs, Needs::Weights | Needs::Activations);
        let mut seconds: Vec<f64> = Vec::new();
        let mut outcomes: BTreeMap<Status, usize> = BTreeMap::new();
        for score in self.bench.measured.iter().filter_map(|one| one.score(id)) {
            *outcomes.entry(score.status).or_default() += 1;
            if score.status == Status::Measured {
                seconds.push(score.seconds);
            }
        }
        seconds.sort_by(f64::total_cmp);
        let (kin, strangers) = (
            self.scores(id, by, NONE, KIN),
            self.scores(id, by, NONE, INDEPENDENT),
        );
        let table = calibration
            .populations
            .iter()
            .find(|table| table.method == id);
        Some(Method {
            id: id.to_owned(),
            version: card.version,
            family: card.family.to_owned(),
            of_lineage,
            p_values: by == Measure::MinusLog10P,
            cost: table.and_then(|table| table.cost),
            cells: self.cells(id, by),
            roc: roc::curve(&kin, &strangers),
            called: self.called_at_level(id, calibration),
            null: self.null(id).filter(|_| by == Measure::MinusLog10P),
            seconds: if seconds.is_empty() {
                0.0
            } else {
                interval::quantile(&seconds, 0.5)
            },
            bytes: self.bench.memory.get(card.id).copied(),
            outcomes,
        })
    }

    fn called_at_level(&self, id: &str, calibration: &Calibration) -> Option<Called> {
        let test = calibration.exact.get(id)?;
        let level = test.decides_at_log10_p;
        let pairs = self
            .pairs()
            .filter(|(one, _)| one.task.relation == INDEPENDENT)
            .filter_map(|(one, _)| Some((one, one.score(id)?.log10_p? <= level)));
        Some(self.called(format!("log10 p at most {level}"), pairs))
    }

    /// One pair of each pair of runs: the first of the plan, both unchanged.
    fn null(&self, id: &str) -> Option<Null> {
        let mut by_runs: BTreeMap<BTreeSet<String>, f64> = BTreeMap::new();
        for (one, _) in self.pairs() {
            if one.task.relation != INDEPENDENT || self.change(one) != NONE {
                continue;
            }
            if let Some(log10_p) = one.score(id).and_then(|score| score.log10_p) {
                let runs = self.plan.runs(&one.task);
                by_runs.entry(runs).or_insert(libm::exp10(log10_p));
            }
        }
        let values: Vec<f64> = by_runs.into_values().collect();
        (!values.is_empty()).then(|| Null {
            n: values.len(),
            kolmogorov_smirnov: uniform::kolmogorov_smirnov(&values),
            too_small: uniform::too_small(&values),
        })
    }

    fn is_in(one: &Measured, relation: &str) -> bool {
        if relation == KIN {
            is_lineage(&one.task.relation)
        } else {
            one.task.relation == relation
        }
    }

    fn group<'b>(
        &'b self,
        change: &'b str,
        relation: &'b str,
    ) -> impl Iterator<Item = &'b Measured> {
        self.pairs()
            .map(|(one, _)| one)
            .filter(move |one| self.change(one) == change && Self::is_in(one, relation))
    }

    /// Scores of a group; what does not apply scores lowest.
    fn scores(&self, id: &str, by: Measure, change: &str, relation: &str) -> Vec<f64> {
        self.group(change, relation)
            .filter_map(|one| one.score(id))
            .map(|score| tables::value(score, by).unwrap_or(f64::NEG_INFINITY))
            .collect()
    }

    fn cells(&self, id: &str, by: Measure) -> Vec<Cell> {
        let mut cells = Vec::new();
        for change in &self.plan.changes {
            let name = change.name();
            let mut relations: BTreeSet<&str> = self
                .group(name, KIN)
                .map(|one| one.task.relation.as_str())
                .collect();
            let others = self.pairs().filter(|(one, _)| self.change(one) == name);
            relations.extend(others.map(|(one, _)| one.task.relation.as_str()));
            relations.remove(INDEPENDENT);
            let mut wanted = vec![KIN];
            // Relations apart only where nothing was done: else there would be hundreds of cells.
            if change.is_none() {
                wanted.extend(relations);
            }
            cells.extend(
                wanted
                    .into_iter()
                    .filter_map(|relation| self.cell(id, by, name, relation)),
            );
        }
        cells
    }

    fn cell(&self, id: &str, by: Measure, change: &str, relation: &str) -> Option<Cell> {
        let scores = self.scores(id, by, change, relation);
        let strangers = self.scores(id, by, change, INDEPENDENT);
        if scores.is_empty() {
            return None;
        }
        let power = |rate: f64| {
            let at = roc::at_rate(&scores, &strangers, rate)?;
            Some(Power {
                rate,
                detected: at.detected as f64 / scores.len() as f64,
                resolved: at.resolved,
            })
        };
        Some(Cell {
            change: change.to_owned(),
            relation: relation.to_owned(),
            lineage: relation == KIN || is_lineage(relation),
            pairs: scores.len(),
            runs: self.runs(self.group(change, relation)),
            applicable: scores.iter().filter(|score| score.is_finite()).count(),
            independent: strangers.len(),
            independent_runs: self.runs(self.group(change, INDEPENDENT)),
            auc: roc::auc(&scores, &strangers),
            power: RATES.iter().filter_map(|rate| power(*rate)).collect(),
        })
    }
}
