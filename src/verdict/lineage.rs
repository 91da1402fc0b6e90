//! Lineage: related when an exact test or bit-identity decides, otherwise undetermined, with what is
//! excluded and what is not.

use super::judge::Look;
use super::{Calibration, Lineage, LineageConclusion};
use crate::evidence::{Assessment, Finding};

/// The method that finds bit-identical tensors.
pub(super) const IDENTICAL: &str = "weight.identical_tensors";

/// The exact test whose power is simulated.
const POWERED: &str = "weight.row_matching";

/// What an exact test said.
struct Exact<'a> {
    assessment: &'a Assessment,
    finding: &'a Finding,
    log10_p: f64,
    decides: bool,
}

pub(super) fn judge(look: &Look<'_>, calibration: &Calibration) -> Lineage {
    let exact = strongest(look, calibration);
    let bits = look.finding(IDENTICAL);
    let shared = bits.is_some_and(|bits| bits.statistic >= calibration.identical.decides_at_share);
    let decided = exact.as_ref().filter(|exact| exact.decides);
    if decided.is_none() && !shared {
        return undetermined(look, exact.as_ref(), calibration);
    }
    let renamed = renamed(look);
    let relation = bits.and_then(|bits| relation(bits, renamed));
    Lineage {
        conclusion: LineageConclusion::Related,
        relation: relation.map(str::to_owned),
        direction: "unknown",
        laundering: renamed.then(|| "renamed".to_owned()).into_iter().collect(),
        log10_lr: None,
        log10_p: decided.map(|exact| exact.log10_p),
        decided_by: Some(
            decided
                .map_or(IDENTICAL, |exact| exact.assessment.card.id)
                .to_owned(),
        ),
        because: because(decided, bits.filter(|_| shared)),
    }
}

/// The exact test with the smallest p-value; two of one family never add up.
fn strongest<'a>(look: &Look<'a>, calibration: &Calibration) -> Option<Exact<'a>> {
    let tests = look.evidence.iter().filter_map(|assessment| {
        let test = calibration.exact.get(assessment.card.id)?;
        let finding = assessment.finding()?;
        let log10_p = finding
            .log10_p
            .filter(|_| test.version == assessment.card.version)?;
        Some(Exact {
            assessment,
            finding,
            log10_p,
            decides: log10_p <= test.decides_at_log10_p,
        })
    });
    tests.min_by(|a, b| a.log10_p.total_cmp(&b.log10_p))
}

/// `identical` and `renamed` are facts about bits; no statistic of this version tells the other
/// relations apart.
fn relation(bits: &Finding, renamed: bool) -> Option<&'static str> {
    let none = |name: &str| bits.details.get(name) == Some(&0.0);
    let whole = bits.statistic >= 1.0 && none("unmatched_reference") && none("unmatched_suspect");
    whole.then_some(if renamed { "renamed" } else { "identical" })
}

/// Whether tensors that correspond (equal bits, or equal roles) are stored under other names.
fn renamed(look: &Look<'_>) -> bool {
    let some = |id: &str, name: &str| {
        let finding = look.finding(id);
        finding
            .and_then(|finding| finding.details.get(name))
            .is_some_and(|count| *count > 0.0)
    };
    some(IDENTICAL, "renamed_tensors") || some("config.diff", "roles_renamed")
}

fn because(decided: Option<&Exact<'_>>, bits: Option<&Finding>) -> String {
    match (decided, bits) {
        (_, Some(bits)) => bits.explanation.clone(),
        (Some(exact), None) => format!(
            "{} Two models started from one random seed would look alike here.",
            first_sentence(&exact.finding.explanation)
        ),
        (None, None) => String::new(),
    }
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}

fn undetermined(look: &Look<'_>, exact: Option<&Exact<'_>>, calibration: &Calibration) -> Lineage {
    let because = match exact {
        Some(exact) => format!(
            "Not related by any test that applies ({}: log10 p = {:.1}). {}",
            exact.assessment.card.id,
            exact.log10_p,
            excluded(look, calibration)
        ),
        None => format!(
            "No exact test applies: {}.",
            look.why_not(POWERED).trim_end_matches('.')
        ),
    };
    Lineage {
        conclusion: LineageConclusion::Undetermined,
        relation: None,
        direction: "unknown",
        laundering: Vec::new(),
        log10_lr: None,
        // A silent exact test is a result too; `decided_by` says that it did not decide.
        log10_p: exact.map(|exact| exact.log10_p),
        decided_by: None,
        because,
    }
}

/// What a silent exact test excludes, by what it does on a simulated child, and what it does not.
fn excluded(look: &Look<'_>, calibration: &Calibration) -> String {
    let open = "Permuted units and rotations are not excluded.";
    let (Some(finding), Some(test)) = (look.finding(POWERED), calibration.exact.get(POWERED))
    else {
        return open.to_owned();
    };
    let noise = calibration.power.noise;
    let name = format!("power_log10_p_noise_{noise}");
    match finding.details.get(name.as_str()) {
        Some(p) if *p <= test.decides_at_log10_p => format!(
            "A simulated child with {noise} times as much noise as signal reaches {p:.0}: kin that keep their \
             units' order are excluded. {open}"
        ),
        Some(p) => format!(
            "A simulated child with {noise} times as much noise as signal reaches only {p:.1}: nothing is excluded."
        ),
        None => open.to_owned(),
    }
}

/// What every reader must know about a lineage conclusion, one line each.
pub fn limits(lineage: &Lineage) -> Vec<String> {
    let mut lines = vec![
        "lineage means shared weights or a shared random start; it says nothing about intent, licence or who was first"
            .to_owned(),
    ];
    match lineage.conclusion {
        LineageConclusion::Related => lines.push(
            "two models trained apart from one random seed and shape would also be called related".to_owned(),
        ),
        LineageConclusion::Independent | LineageConclusion::Undetermined => lines.push(
            "not excluded: kin whose hidden units were permuted or whose residual stream was rotated, layers moved \
             to another place, and distillation, which shares no weights"
                .to_owned(),
        ),
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::evidence::{self, Outcome};
    use crate::verdict;

    fn finding(statistic: f64, log10_p: Option<f64>, details: &[(&'static str, f64)]) -> Outcome {
        Outcome::Measured(Box::new(Finding {
            statistic,
            n: 10,
            null: String::new(),
            log10_p,
            interval: None,
            details: BTreeMap::from_iter(details.iter().copied()),
            explanation: "Some explanation. More of it.".to_owned(),
            caveats: Vec::new(),
            controls: Vec::new(),
            figures: Vec::new(),
            table: None,
        }))
    }

    fn judged(outcomes: &[(&str, Outcome)]) -> verdict::Findings {
        let calibration = Calibration::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let assessments: Vec<Assessment> = outcomes
            .iter()
            .map(|(id, outcome)| Assessment {
                card: evidence::methods()
                    .map(evidence::Evidence::card)
                    .find(|card| card.id == *id)
                    .unwrap(),
                outcome: Ok(outcome.clone()),
            })
            .collect();
        verdict::judge(&assessments, &calibration)
    }

    #[test]
    fn the_exact_test_decides_and_nothing_else_does() {
        let related = judged(&[(POWERED, finding(0.9, Some(-80.0), &[]))]);
        assert_eq!(related.lineage.conclusion, LineageConclusion::Related);
        assert_eq!(related.lineage.decided_by.as_deref(), Some(POWERED));
        assert_eq!(
            (related.lineage.log10_p, related.lineage.relation),
            (Some(-80.0), None)
        );
        assert!(related.lineage.because.contains("seed"));
        let described = judged(&[
            (
                POWERED,
                finding(0.01, Some(-1.0), &[("power_log10_p_noise_3", -500.0)]),
            ),
            ("weight.tensor_cosine", finding(0.999, None, &[])),
            ("weight.std_profile", finding(1.0, None, &[])),
            ("activation.linear_cka", finding(1.0, None, &[])),
            ("behaviour.exact_match", finding(1.0, None, &[])),
        ]);
        assert_eq!(
            described.lineage.conclusion,
            LineageConclusion::Undetermined
        );
        assert!(
            described.lineage.because.contains("are excluded"),
            "{}",
            described.lineage.because
        );
        assert_eq!(described.behaviour.conclusion, "not_distinguishable");
    }

    #[test]
    fn without_power_nothing_is_excluded() {
        let weak = finding(0.01, Some(-1.0), &[("power_log10_p_noise_3", -2.0)]);
        let because = judged(&[(POWERED, weak)]).lineage.because;
        assert!(because.contains("nothing is excluded"), "{because}");
        let none = judged(&[(POWERED, Outcome::NotApplicable("no units".to_owned()))]);
        assert!(none.lineage.because.contains("no units"));
    }

    #[test]
    fn identity_of_bits_names_the_relation() {
        let bits = |renamed: f64, unmatched: f64| {
            finding(
                1.0,
                None,
                &[
                    ("unmatched_reference", unmatched),
                    ("unmatched_suspect", unmatched),
                    ("renamed_tensors", renamed),
                ],
            )
        };
        let same = judged(&[(IDENTICAL, bits(0.0, 0.0))]).lineage;
        assert_eq!(same.relation.as_deref(), Some("identical"));
        assert!(same.laundering.is_empty() && same.log10_p.is_none());
        let renamed = judged(&[(IDENTICAL, bits(12.0, 0.0))]).lineage;
        assert_eq!(renamed.relation.as_deref(), Some("renamed"));
        assert_eq!(renamed.laundering, vec!["renamed"]);
        assert_eq!(
            judged(&[(IDENTICAL, bits(0.0, 1.0))]).lineage.relation,
            None
        );
        let little = judged(&[(IDENTICAL, finding(0.2, None, &[]))]).lineage;
        assert_eq!(little.conclusion, LineageConclusion::Undetermined);
    }

    #[test]
    fn a_panel_must_be_large_enough() {
        let answers = |models: f64| {
            finding(
                0.9,
                None,
                &[
                    ("panel_models", models),
                    ("panel_rank_p", 0.05),
                    ("panel_rank_p_low", 1.0),
                ],
            )
        };
        let id = "behaviour.exact_match";
        assert_eq!(
            judged(&[(id, answers(5.0))]).behaviour.conclusion,
            "not_distinguishable"
        );
        let large = judged(&[(id, answers(19.0))]);
        assert_eq!(large.behaviour.conclusion, "more_alike_than_panel");
        assert_eq!(large.lineage.conclusion, LineageConclusion::Undetermined);
        assert_eq!(judged(&[]).behaviour.conclusion, "not_measured");
    }

    #[test]
    fn plans_and_vocabularies_have_their_own_words() {
        let plan = |share: f64, details: &[(&'static str, f64)]| {
            judged(&[("config.diff", finding(share, None, details))])
                .architecture
                .conclusion
        };
        assert_eq!(
            plan(1.0, &[("plans_known", 1.0), ("same_family", 1.0)]),
            "same"
        );
        assert_eq!(plan(1.0, &[("plans_known", 1.0)]), "renamed");
        let renamed = [
            ("plans_known", 1.0),
            ("same_family", 1.0),
            ("roles_renamed", 2.0),
        ];
        assert_eq!(plan(1.0, &renamed), "renamed");
        assert_eq!(plan(0.3, &[("same_shapes", 1.0)]), "renamed");
        assert_eq!(plan(0.8, &[("plans_known", 1.0)]), "similar");
        assert_eq!(plan(0.3, &[("plans_known", 1.0)]), "different");
        let words = |jaccard: f64, details: &[(&'static str, f64)]| {
            judged(&[("tokenizer.overlap", finding(jaccard, None, details))])
                .tokenizer
                .conclusion
        };
        assert_eq!(words(1.0, &[("equal", 1.0)]), "same");
        assert_eq!(words(0.9, &[("smaller_kept", 1.0)]), "extended");
        assert_eq!(words(0.4, &[("smaller_kept", 0.1)]), "overlapping");
        assert_eq!(words(0.01, &[]), "different");
        assert_eq!(judged(&[]).tokenizer.conclusion, "undetermined");
    }
}
