//! Several models that one may have been made from: which of them, a mixture, or none.

use serde::{Deserialize, Serialize};

use super::{Calibration, Lineage, LineageConclusion, judge};
use crate::evidence::Assessment;
use crate::evidence::mixture::{Mixture, Share};
use crate::stat::multiple;

/// Two-sided 95 % of a normal law.
const NORMAL_95: f64 = 1.959_964;

/// Models that a mixture is looked for among, at most.
const MOST: usize = 4;

/// What separates one parent from several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentScale {
    /// Least share of what the nearest leaves open that a sum of several explains, for `merged`.
    pub merged_gain: f64,
    /// Least such share for `between`.
    pub between_gain: f64,
    /// Least share of a parent in a mixture.
    pub least_share: f64,
    /// Origin of the numbers.
    pub because: String,
}

/// One candidate with its evidence and the tables it is judged by.
pub struct Claim {
    /// Its label.
    pub label: String,
    /// Every method's outcome, candidate against suspect.
    pub assessments: Vec<Assessment>,
    /// Without what the two models' own runs added.
    pub calibration: Calibration,
}

/// What may be said of the candidates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parents {
    /// `merged`, `between`, `nearest`, `none` or `undetermined`.
    pub conclusion: Conclusion,
    /// Why, in one or two sentences.
    pub because: String,
    /// Places of the candidates that the conclusion names, the most telling first.
    pub named: Vec<usize>,
    /// In the order they were given.
    pub candidates: Vec<Candidate>,
    /// The best sum of related candidates, where two or more can be added up.
    pub mixture: Option<Mixed>,
}

/// The words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// A sum of several explains the suspect.
    Merged,
    /// A sum of several is nearer than each, and leaves something open.
    Between,
    /// One is nearest.
    Nearest,
    /// Independent of all of them.
    None,
    /// Cannot tell.
    Undetermined,
}

/// One candidate, judged beside the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Its label.
    pub label: String,
    /// Lineage at levels that allow for the number of candidates.
    pub lineage: Lineage,
    /// The exact test's p-value after Holm's adjustment for the number of candidates.
    pub log10_p_adjusted: Option<f64>,
    /// Share of the weights in common, as stored.
    pub common: Option<f64>,
    /// Mean cosine of matched units' directions after both were brought into one basis.
    pub aligned: Option<f64>,
}

/// A sum of candidates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mixed {
    /// Places of the candidates in it.
    pub parents: Vec<usize>,
    /// `linear`, or `spherical` when the shares are those of the angle between two.
    pub kind: &'static str,
    /// Of everything.
    pub whole: Parts,
    /// Of what lies outside of blocks (`null`) and of each block.
    pub layers: Vec<Parts>,
}

/// Shares in one part of the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parts {
    /// Block.
    pub layer: Option<u32>,
    /// One per parent.
    pub shares: Vec<f64>,
    /// Half of the 95 % interval of each, if what is left open is noise.
    pub half_widths: Vec<f64>,
    /// Share of what the nearest parent leaves open that the sum explains.
    pub gain: Option<f64>,
}

impl Parents {
    /// Judges every candidate at levels that allow for their number (Holm): exact tests by their adjusted
    /// p-values, likelihood ratios by as many times more as there are candidates.
    pub fn judge(claims: &[Claim]) -> Self {
        let alone: Vec<Lineage> = claims
            .iter()
            .map(|claim| judge(&claim.assessments, &claim.calibration).lineage)
            .collect();
        let raw: Vec<f64> = alone
            .iter()
            .map(|lineage| lineage.log10_p.unwrap_or(0.0))
            .collect();
        let most = (claims.len().max(1) as f64).log10();
        let adjusted = multiple::holm(&raw);
        let candidates = claims
            .iter()
            .zip(&alone)
            .enumerate()
            .map(|(at, (claim, alone))| {
                let stricter = claim.calibration.stricter(adjusted[at] - raw[at], most);
                Candidate {
                    label: claim.label.clone(),
                    lineage: judge(&claim.assessments, &stricter).lineage,
                    log10_p_adjusted: alone.log10_p.map(|_| adjusted[at]),
                    common: number(claim, "weight.difference", "sigma")
                        .and_then(|_| statistic(claim, "weight.difference")),
                    aligned: number(claim, "weight.unit_agreement", "fit_similarity"),
                }
            });
        Self {
            conclusion: Conclusion::Undetermined,
            because: String::new(),
            named: Vec::new(),
            candidates: candidates.collect(),
            mixture: None,
        }
    }

    /// Places of the related candidates, the nearest first: by what weights have in common as they are
    /// stored, or, where no candidate has anything, in one basis. At most as many as a mixture may have.
    pub fn related(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.candidates.len())
            .filter(|at| self.candidates[*at].lineage.conclusion == LineageConclusion::Related)
            .collect();
        let stored = places
            .iter()
            .any(|at| self.candidates[*at].common.is_some());
        let near = |at: &usize| {
            let one = &self.candidates[*at];
            if stored { one.common } else { one.aligned }.unwrap_or(f64::NEG_INFINITY)
        };
        places.sort_by(|a, b| near(b).total_cmp(&near(a)).then(a.cmp(b)));
        places.truncate(MOST);
        places
    }

    /// Concludes; `mixture` is of the candidates in `places`, in that order.
    #[must_use]
    pub fn conclude(
        mut self,
        places: &[usize],
        mixture: Option<&Mixture>,
        scale: &ParentScale,
    ) -> Self {
        self.mixture = mixture.and_then(|mixture| mixed(places, mixture, scale));
        let gain = self.mixture.as_ref().and_then(|mixed| mixed.whole.gain);
        (self.conclusion, self.named) = match (places, &self.mixture, gain) {
            (_, Some(mixed), Some(gain)) if gain >= scale.merged_gain => {
                (Conclusion::Merged, mixed.parents.clone())
            }
            (_, Some(mixed), Some(gain)) if gain >= scale.between_gain => {
                (Conclusion::Between, mixed.parents.clone())
            }
            ([nearest, ..], ..) => (Conclusion::Nearest, vec![*nearest]),
            ([], ..) => (self.without_parent(), Vec::new()),
        };
        self.because = self.words();
        self
    }

    fn without_parent(&self) -> Conclusion {
        let independent =
            |one: &Candidate| one.lineage.conclusion == LineageConclusion::Independent;
        if !self.candidates.is_empty() && self.candidates.iter().all(independent) {
            Conclusion::None
        } else {
            Conclusion::Undetermined
        }
    }

    fn words(&self) -> String {
        let labels: Vec<&str> = self
            .named
            .iter()
            .map(|at| self.candidates[*at].label.as_str())
            .collect();
        let labels = labels.join(", ");
        let left = |mixed: &Mixed| 100.0 * (1.0 - mixed.whole.gain.unwrap_or(0.0));
        match (self.conclusion, &self.mixture) {
            (Conclusion::Merged, Some(mixed)) => format!(
                "A {} mixture of {labels} leaves {:.2} % of what the nearest of them leaves open.",
                mixed.kind,
                left(mixed)
            ),
            (Conclusion::Between, Some(mixed)) => format!(
                "A mixture of {labels} leaves {:.0} % of what the nearest of them leaves open: consistent with a thinned \
                 merge (TIES, DARE), with a merge that was trained on, and with a stage on the way from one to \
                 another.",
                left(mixed)
            ),
            (Conclusion::Nearest, _) => format!(
                "{labels} is the nearest of those that are related. Whether it came first, or both come from a third, \
                 these numbers do not tell."
            ),
            (Conclusion::None, _) => {
                "The observations support that the suspect is independent of every candidate."
                    .to_owned()
            }
            _ => "No candidate is shown to be related, and not all of them to be independent."
                .to_owned(),
        }
    }
}

fn statistic(claim: &Claim, id: &str) -> Option<f64> {
    let mut all = claim.assessments.iter();
    Some(all.find(|one| one.card.id == id)?.finding()?.statistic)
}

fn number(claim: &Claim, id: &str, name: &str) -> Option<f64> {
    let mut all = claim.assessments.iter();
    let finding = all.find(|one| one.card.id == id)?.finding()?;
    finding.details.get(name).copied()
}

/// The sum of those of `places` that have a share in it, in the order in which `mixture` has them; `None`
/// when fewer than two have.
pub fn mixed(places: &[usize], mixture: &Mixture, scale: &ParentScale) -> Option<Mixed> {
    let mut chosen: Vec<usize> = (0..places.len()).collect();
    // Two that are the same, or one that is a sum of others: the farthest goes.
    while mixture.whole.fit(&chosen).is_none() {
        chosen.pop()?;
    }
    let shares = mixture.whole.fit(&chosen)?.coefficients;
    let kept = chosen.iter().zip(&shares);
    let chosen: Vec<usize> = kept
        .filter(|(_, share)| **share >= scale.least_share)
        .map(|(at, _)| *at)
        .collect();
    if chosen.len() < 2 {
        return None;
    }
    let sum: f64 = mixture.whole.fit(&chosen)?.coefficients.iter().sum();
    let spherical =
        mixture.whole.angle.is_some() && places.len() == 2 && (sum - 1.0).abs() > scale.least_share;
    let part = |share: &Share| parts(share, &chosen, spherical);
    Some(Mixed {
        parents: chosen.iter().map(|at| places[*at]).collect(),
        kind: if spherical { "spherical" } else { "linear" },
        whole: part(&mixture.whole)?,
        layers: mixture.parts.iter().filter_map(part).collect(),
    })
}

fn parts(share: &Share, chosen: &[usize], spherical: bool) -> Option<Parts> {
    let fit = share.fit(chosen)?;
    let half_widths = fit.errors.iter().map(|error| NORMAL_95 * error).collect();
    let shares = match share.angle.filter(|_| spherical) {
        Some(angle) => vec![1.0 - angle, angle],
        None => fit.coefficients,
    };
    Some(Parts {
        layer: share.layer,
        shares,
        half_widths,
        gain: share.gain(chosen),
    })
}

#[cfg(test)]
mod tests;
