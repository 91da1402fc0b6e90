//! The sentences of a report: what each conclusion says, and what it leaves open.
//!
//! One home for every phrase, so that the terminal and the page cannot disagree. The words support a
//! proposition or cannot tell; they never speak of intent, licences or guilt.

use crate::evidence::Known;
use crate::text::ModelText;
use crate::verdict::{Findings, Lineage, LineageConclusion};

use super::data::{EvidenceRow, Report};
use super::number;

/// A word with the symbol that stands beside it, so that no meaning hangs on colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marked {
    /// `●`, `◐`, `○` or `–`.
    pub symbol: &'static str,
    /// The word.
    pub word: &'static str,
}

/// Shown for a pair on which an exact test applied and stayed silent.
pub(super) const NOT_RELATED: &str = "not related";

/// What [`NOT_RELATED`] means, for the foot of a list.
pub(super) const NOT_RELATED_MEANS: &str = "by any test that applies; the finding is `undetermined`, \
    because these tests do not exclude every relation";

/// The lineage finding in a list of pairs, where there is no room for its reasons: a pair on which an
/// exact test applied and stayed silent is told from one that no test could read.
pub(super) fn lineage_in_list(lineage: &Lineage) -> Marked {
    match (lineage.conclusion, lineage.log10_p) {
        (LineageConclusion::Undetermined, Some(_)) => Marked {
            symbol: "◐",
            word: NOT_RELATED,
        },
        (conclusion, _) => self::lineage(conclusion),
    }
}

/// The lineage finding.
pub(super) fn lineage(conclusion: LineageConclusion) -> Marked {
    let (symbol, word) = match conclusion {
        LineageConclusion::Related => ("●", "related"),
        LineageConclusion::Independent => ("○", "independent"),
        LineageConclusion::Undetermined => ("◐", "undetermined"),
    };
    Marked { symbol, word }
}

/// What one row of evidence supports.
pub(super) fn supports(row: &EvidenceRow) -> Marked {
    let (symbol, word) = match row.supports {
        "related" => ("●", "related"),
        "independent" => ("○", "independent"),
        "neither" => ("◐", "neither"),
        _ => ("–", "descriptive"),
    };
    Marked { symbol, word }
}

/// The lineage finding as a sentence.
pub(super) fn lineage_sentence(conclusion: LineageConclusion) -> &'static str {
    match conclusion {
        LineageConclusion::Related => {
            "The observations support that the two models share weights or initialisation."
        }
        LineageConclusion::Independent => {
            "The observations support that the two models were trained independently."
        }
        LineageConclusion::Undetermined => {
            "The observations cannot tell whether the two models share weights or initialisation."
        }
    }
}

/// The relation, as words that follow "consistent with".
pub(super) fn relation(lineage: &Lineage) -> Option<String> {
    let words = |name: &str| {
        let known = match name {
            "identical" => "identical weights",
            "renamed" => "renamed tensors",
            "noised" => "added noise",
            "quantised" => "quantisation",
            "fine_tuned" => "fine-tuning",
            "continued" => "continued training",
            "pruned" => "pruning",
            "depth_changed" => "a change of depth",
            "width_changed" => "a change of width",
            "moe_upcycled" => "upcycling to a mixture of experts",
            "merged" => "merging",
            "tokenizer_swapped" => "a change of tokenizer",
            "equivalent" => "a rewriting that keeps the function",
            "embedding_shared" => "embeddings of one origin and other blocks",
            other => return other.replace('_', " "),
        };
        known.to_owned()
    };
    lineage.relation.as_deref().map(words)
}

/// The direction, as words.
pub(super) fn direction(lineage: &Lineage) -> &'static str {
    match lineage.direction {
        "reference_to_suspect" => "from the reference to the suspect",
        "suspect_to_reference" => "from the suspect to the reference",
        _ => "cannot tell which came first",
    }
}

/// The other three findings: heading, conclusion in words, reason.
pub(super) fn other_findings(findings: &Findings) -> [(&'static str, String, &str); 3] {
    let words = |conclusion: &str| conclusion.replace('_', " ");
    let behaviour = match findings.behaviour.conclusion {
        "more_alike_than_panel" => "more alike than the panel".to_owned(),
        "not_distinguishable" => "not distinguishable from the panel".to_owned(),
        "less_alike" => "less alike than the panel".to_owned(),
        other => words(other),
    };
    [
        (
            "Architecture",
            words(findings.architecture.conclusion),
            &findings.architecture.because,
        ),
        (
            "Tokenizer",
            words(findings.tokenizer.conclusion),
            &findings.tokenizer.because,
        ),
        ("Behaviour", behaviour, &findings.behaviour.because),
    ]
}

/// Words for a likelihood ratio, in either direction.
///
/// Association of Forensic Science Providers, "Standards for the formulation of evaluative forensic
/// science expert opinion", Science & Justice 49 (2009): bands at 10, 100, 1,000, 10,000, 1,000,000.
pub(super) fn likelihood_ratio(log10_lr: f64) -> String {
    let strength = match log10_lr.abs() {
        x if x < 1.0 => "weak",
        x if x < 2.0 => "moderate",
        x if x < 3.0 => "moderately strong",
        x if x < 4.0 => "strong",
        x if x <= 6.0 => "very strong",
        _ => "extremely strong",
    };
    let side = if log10_lr < 0.0 {
        "independent training"
    } else {
        "shared weights or initialisation"
    };
    format!("{strength} support for {side}")
}

/// What the lineage conclusion leaves open, most important first.
pub(super) fn not_excluded(findings: &Findings) -> Vec<&'static str> {
    let lineage = &findings.lineage;
    match lineage.conclusion {
        LineageConclusion::Related => {
            let mut open = vec![
                "A common ancestor that is not part of this comparison: both models may come from a third one.",
            ];
            if lineage.direction != "reference_to_suspect"
                && lineage.direction != "suspect_to_reference"
            {
                open.push("Either direction: related does not say which model came first.");
            }
            // Equal weights cannot come from an equal start alone.
            if !matches!(lineage.relation.as_deref(), Some("identical" | "renamed")) {
                open.push(
                    "The same initial weights (same code and seed) with nothing else in common since.",
                );
            }
            open.push("Permission: nothing here speaks about licences, agreements or intent.");
            open
        }
        LineageConclusion::Independent => vec![
            "Distillation or training on the other model's outputs, which leave no shared weights.",
            "A relation weaker than the weakest one that this comparison would have detected.",
            "Shared training data, code or design.",
        ],
        LineageConclusion::Undetermined => vec![
            match lineage.log10_p {
                Some(_) => {
                    "Shared weights behind permuted hidden units, moved layers or a rotated residual stream."
                }
                None => "Shared weights: no exact test could read this pair.",
            },
            "Independent training: nothing measured here speaks against it either.",
            "Distillation, shared training data, shared design.",
        ],
    }
}

/// What would change the lineage conclusion.
pub(super) fn would_change(report: &Report) -> Vec<String> {
    let mut list = Vec::new();
    match report.findings.lineage.conclusion {
        LineageConclusion::Related => {
            list.push(
                "A documented common starting point (checkpoint or seed) would make the relation indirect.".to_owned(),
            );
            list.push(
                "An independent pair that reaches the same statistic would weaken the deciding method."
                    .to_owned(),
            );
        }
        LineageConclusion::Independent => {
            list.push(
                "A match found by a method that did not apply or was not run here.".to_owned(),
            );
        }
        LineageConclusion::Undetermined => {
            list.push("A calibrated population for the descriptive methods below.".to_owned());
            list.push("An exact test that applies to this pair.".to_owned());
        }
    }
    let absent = report.evidence.iter().filter(|row| !measured(row)).count();
    if absent > 0 {
        list.push(format!(
            "{} that gave no number here (each is listed with its reason).",
            plural(absent, "method", "methods")
        ));
    }
    list
}

/// An explanation that needs no shared weights, and what this report knows about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alternative {
    /// Its name.
    pub name: &'static str,
    /// How it could produce such observations.
    pub how: &'static str,
    /// What was looked at here.
    pub here: String,
}

/// The explanations that every reader should weigh.
pub(super) fn alternatives(findings: &Findings) -> Vec<Alternative> {
    let words = |conclusion: &str| conclusion.replace('_', " ");
    vec![
        Alternative {
            name: "Shared training data",
            how: "Public corpora and benchmarks give unrelated models the same answers and many of the same errors.",
            here: "Not checked. Answers and errors never decide lineage here.".to_owned(),
        },
        Alternative {
            name: "Shared architecture",
            how: "A published design gives equal shapes, equal config fields and similar per-layer profiles.",
            here: format!(
                "Architecture: {}. The same design is not evidence of lineage; profiles stand beside independent models.",
                words(findings.architecture.conclusion)
            ),
        },
        Alternative {
            name: "Shared tokenizer",
            how: "Reusing a public tokenizer gives equal vocabularies and similar tokenisation of every prompt.",
            here: format!(
                "Tokenizer: {}. The same tokenizer is not evidence of lineage.",
                words(findings.tokenizer.conclusion)
            ),
        },
        Alternative {
            name: "Same initial seed",
            how: "Two runs of the same code from the same seed start from equal weights and keep traces of them.",
            here: "Not excluded by any test on weights: it counts as shared initialisation."
                .to_owned(),
        },
        Alternative {
            name: "Distillation",
            how: "Training on another model's outputs transfers answers, errors and style, but no weights.",
            here: format!(
                "Behaviour: {}. Likeness of answers alone cannot tell distillation from shared weights.",
                words(findings.behaviour.conclusion)
            ),
        },
    ]
}

/// Terms that every report uses.
pub(super) const TERMS: &[(&str, &str)] = &[
    (
        "lineage",
        "Shared weights or shared initialisation. Decided by weight and activation evidence only.",
    ),
    (
        "reference, suspect",
        "The two models in the order they were given. The words carry no accusation.",
    ),
    (
        "null",
        "What the statistic would look like without a relation: a stated population of independent models, or an exact test's own distribution.",
    ),
    (
        "null band",
        "Lowest and highest value of the independent models at each relative depth. A curve inside it looks like any other model of its kind.",
    ),
    (
        "log10 p",
        "Base-10 logarithm of the probability, under the stated null, of a value at least as extreme. It is not the probability that the models are unrelated.",
    ),
    (
        "log10 LR",
        "Base-10 logarithm of the likelihood ratio: how many times more probable the observations are under shared lineage than under independent training. Given only where a calibration table for that method exists.",
    ),
    (
        "controls",
        "The same statistic on pairs whose relation is known: independent (different pre-training runs) and derived (one made from the other).",
    ),
    (
        "descriptive",
        "A number shown for the reader that does not enter the conclusion.",
    ),
    (
        "relative depth",
        "Layer i of L at (i - 1) / (L - 1), so that models with different numbers of layers can be laid over each other.",
    ),
    (
        "coverage",
        "What was planned and what was read. Missing parts are named, never counted as zero.",
    ),
];

/// Whether a row has a number.
pub(super) fn measured(row: &EvidenceRow) -> bool {
    row.status == "measured" && row.statistic.is_some()
}

/// Why a row has none.
pub(super) fn reason(row: &EvidenceRow) -> &str {
    row.reason.as_deref().unwrap_or("no reason was recorded")
}

/// The controls of one kind, in words: how many, from where to where.
pub(super) fn controls(row: &EvidenceRow, known: Known) -> String {
    let mut values: Vec<f64> = row
        .controls
        .iter()
        .filter(|control| control.relation == known)
        .map(|control| control.statistic)
        .collect();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => "none".to_owned(),
        [one] => format!("{} (1 pair)", number::statistic(*one)),
        [first, .., last] => format!(
            "{} to {} ({} pairs)",
            number::statistic(*first),
            number::statistic(*last),
            values.len()
        ),
    }
}

/// `1 method`, `3 methods`.
pub(super) fn plural(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Depth, bytes and suites in one line.
pub(super) fn coverage(report: &Report) -> String {
    let coverage = &report.coverage;
    let measured = report.evidence.iter().filter(|row| measured(row)).count();
    let mut line = format!(
        "depth {}; {} of weights read; {measured} of {}",
        coverage.depth,
        number::bytes(coverage.weight_bytes),
        plural(
            report.evidence.len(),
            "method gave a number",
            "methods gave a number"
        ),
    );
    for model in &coverage.sampled {
        line.push_str(&format!(
            "; {}: sampled, {} of {} tensors and {} of {} read, {}",
            ModelText::new(model.label.as_str()).clipped(60),
            model.tensors,
            model.of_tensors,
            number::bytes(model.bytes),
            number::bytes(model.of_bytes),
            model.digests,
        ));
    }
    if coverage.suites.is_empty() {
        line.push_str("; no probe suite run");
    } else {
        let planned: usize = coverage.suites.iter().map(|suite| suite.planned).sum();
        let answered: usize = coverage.suites.iter().map(|suite| suite.answered).sum();
        line.push_str(&format!(
            "; {answered} of {planned} items of {} answered by both",
            plural(coverage.suites.len(), "suite", "suites")
        ));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::likelihood_ratio;

    #[test]
    fn the_verbal_scale_has_two_sides() {
        assert_eq!(
            likelihood_ratio(2.5),
            "moderately strong support for shared weights or initialisation"
        );
        assert_eq!(
            likelihood_ratio(-0.4),
            "weak support for independent training"
        );
        assert!(likelihood_ratio(7.0).starts_with("extremely strong"));
    }
}
