//! Groups of measured pairs: how many there are, what the verdict says of them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Called;
use super::Count;
use super::LEVEL;
use super::Real;
use super::Said;
use crate::bench::measure::Bench;
use crate::bench::plan::Plan;
use crate::bench::score::Measured;
use crate::bench::verdicts::Judged;
use crate::stat::interval;
use crate::verdict::LineageConclusion;
use crate::verdict::population::INDEPENDENT;

/// A bench with its verdicts, looked at by groups of pairs.
pub(in crate::bench) struct Look<'a> {
    pub plan: &'a Plan,
    pub bench: &'a Bench,
    pub judged: &'a [Judged],
}

/// Pairs of one kind.
type Kind<'a> = (&'a str, &'a str);

impl Look<'_> {
    pub fn change(&self, one: &Measured) -> &str {
        self.plan.changes[one.task.change].name()
    }

    /// Pairs that exist, with their verdicts.
    pub fn pairs(&self) -> impl Iterator<Item = (&Measured, &Judged)> {
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

    pub fn runs<'b>(&self, pairs: impl Iterator<Item = &'b Measured>) -> usize {
        let runs: BTreeSet<_> = pairs.map(|one| self.plan.runs(&one.task)).collect();
        runs.len()
    }

    pub fn counts(&self) -> Vec<Count> {
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

    pub fn said(&self) -> Vec<Said> {
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

    pub fn false_positives(&self) -> Called {
        self.called_related(|_| true)
    }

    /// Models that are not of the zoo, and what is called among them; `None` without any.
    pub fn real(&self) -> Option<Real> {
        let models = self.plan.members.iter().filter(|member| !member.zoo);
        let models = models.count();
        (models > 0).then(|| Real {
            models,
            false_positives: self.called_related(|one| self.plan.is_real(&one.task)),
        })
    }

    fn called_related(&self, counts: impl Fn(&Measured) -> bool) -> Called {
        let related = |judged: &Judged| judged.conclusion == Some(LineageConclusion::Related);
        let independent = self
            .pairs()
            .filter(|(one, _)| one.task.relation == INDEPENDENT && counts(one))
            .map(|(one, judged)| (one, related(judged)));
        self.called("verdict: related".to_owned(), independent)
    }

    pub fn called<'b>(
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
}
