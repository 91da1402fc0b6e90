//! Lineage: related when an exact test, bit-identity or the ratios of independent families decide,
//! otherwise independent or undetermined, with what is excluded and what is not.

use super::judge::Look;
use super::population::SHARED_INITIALISATION;
use super::ratio::{self, Combined};
use super::{Calibration, Lineage, LineageConclusion, laundering, power, relation};
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
    let scores = ratio::combined(look.evidence, calibration);
    let by_scores = scores
        .as_ref()
        .filter(|scores| scores.log10_lr >= calibration.population.decides_at_log10_lr);
    if decided.is_none() && !shared && by_scores.is_none() {
        return not_related(look, exact.as_ref(), scores.as_ref(), calibration);
    }
    let renamed = renamed(look);
    let start = shared_start(look, calibration).filter(|_| !shared);
    let by_bits = bits.and_then(|bits| by_bits(bits, renamed));
    let by_numbers =
        relation::relation(look, calibration).filter(|_| start.is_none() && by_bits.is_none());
    let relation = match &start {
        Some(_) => Some(SHARED_INITIALISATION),
        None => by_bits.or(by_numbers.as_ref().and_then(|relation| relation.name)),
    };
    let laundered = laundering::laundering(look, calibration);
    let laundering = renamed.then_some("renamed").into_iter().chain(laundered);
    let decided_by = match (decided, shared, by_scores) {
        (Some(exact), ..) => exact.assessment.card.id,
        (None, true, _) => IDENTICAL,
        (None, false, scores) => scores.map_or(IDENTICAL, |scores| &scores.methods),
    };
    let mut because = because(decided, bits.filter(|_| shared), by_scores);
    because.extend(start);
    because.extend(scores.as_ref().and_then(against));
    let direction = by_numbers
        .as_ref()
        .map_or("unknown", |relation| relation.direction);
    because.extend(by_numbers.map(|relation| relation.because));
    Lineage {
        conclusion: LineageConclusion::Related,
        relation: relation.map(str::to_owned),
        direction,
        laundering: laundering.map(str::to_owned).collect(),
        log10_lr: scores.as_ref().map(|scores| scores.log10_lr),
        log10_p: decided.map(|exact| exact.log10_p),
        decided_by: Some(decided_by.to_owned()),
        because: because.join(" "),
    }
}

/// Why the pair is taken to share its random start and no training, if it is.
fn shared_start(look: &Look<'_>, calibration: &Calibration) -> Option<String> {
    let as_stored = calibration.shared_start_where.iter();
    let decides = |id: &String| {
        let test = calibration.exact.get(id)?;
        let p = look.finding(id)?.log10_p?;
        (p <= test.decides_at_log10_p).then_some(())
    };
    as_stored.filter_map(decides).next()?;
    let id = calibration.shared_start.as_str();
    let (card, finding) = look.measured(id)?;
    let table = calibration
        .populations
        .iter()
        .find(|table| table.method == card.id && table.version == card.version)?;
    let below = power::start_below(table, calibration)?;
    (finding.statistic < below).then(|| {
        format!(
            "{} ({:.3}, below {below:.3}): consistent with one random start and separate training, \
             not with one model made from the other.",
            finding.explanation.trim_end_matches('.'),
            finding.statistic,
        )
    })
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

/// `identical` and `renamed` are facts about bits.
fn by_bits(bits: &Finding, renamed: bool) -> Option<&'static str> {
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

fn because(
    decided: Option<&Exact<'_>>,
    bits: Option<&Finding>,
    scores: Option<&Combined>,
) -> Vec<String> {
    match (decided, bits, scores) {
        (_, Some(bits), _) => vec![bits.explanation.clone()],
        (Some(exact), None, _) => vec![
            first_sentence(&exact.finding.explanation).to_owned(),
            "Two models started from one random seed would look alike here.".to_owned(),
        ],
        (None, None, Some(scores)) => vec![format!(
            "{}: such scores are 10^{:.1} times as frequent among known kin as among independent runs.",
            scores.methods, scores.log10_lr
        )],
        (None, None, None) => Vec::new(),
    }
}

/// That scores of blocks speak against what an exact test found, if they do.
fn against(scores: &Combined) -> Option<String> {
    (scores.log10_lr < 0.0).then(|| {
        format!(
            "What blocks have in common ({}) is 10^{:.1} times as frequent among known kin as among independent runs: \
             it is not in the blocks that these two agree.",
            scores.methods, scores.log10_lr
        )
    })
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}

/// Independent only where a silent exact test would have found every relation the tables know; else
/// undetermined.
fn not_related(
    look: &Look<'_>,
    exact: Option<&Exact<'_>>,
    scores: Option<&Combined>,
    calibration: &Calibration,
) -> Lineage {
    let blind = power::blind_spot(look.evidence, calibration);
    let silent = exact.is_some() && scores.is_none_or(|scores| scores.log10_lr <= 0.0);
    let conclusion = match (silent, &blind) {
        (true, None) => LineageConclusion::Independent,
        _ => LineageConclusion::Undetermined,
    };
    let because = match exact {
        Some(exact) => {
            let test = format!(
                "Not related by any test that applies ({}: log10 p = {:.1}).",
                exact.assessment.card.id, exact.log10_p
            );
            match conclusion {
                LineageConclusion::Independent => {
                    format!("{test} These tests find every relation that the tables know.")
                }
                _ => {
                    let missed = blind
                        .filter(|_| !calibration.everything.tables.is_empty())
                        .map(|words| format!(" By the tables, {words}."));
                    let missed = missed.unwrap_or_default();
                    format!("{test} {}{missed}", excluded(look, calibration))
                }
            }
        }
        None => format!(
            "No exact test applies: {}.",
            look.why_not(POWERED).trim_end_matches('.')
        ),
    };
    Lineage {
        conclusion,
        relation: None,
        direction: "unknown",
        laundering: Vec::new(),
        log10_lr: scores.map(|scores| scores.log10_lr),
        // A silent exact test is a result too; `decided_by` says that it did not decide.
        log10_p: exact.map(|exact| exact.log10_p),
        decided_by: None,
        because,
    }
}

/// What a silent exact test excludes, by what it does on a simulated child, and what it does not.
fn excluded(look: &Look<'_>, calibration: &Calibration) -> String {
    let open = match look.finding("weight.unit_agreement") {
        Some(_) => {
            "Kin in which every order was destroyed are looked for by scores, which did not decide."
        }
        None => "Kin in which every order was destroyed are not excluded.",
    };
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
        LineageConclusion::Related
            if lineage.relation.as_deref() == Some(SHARED_INITIALISATION) => {}
        LineageConclusion::Related => lines.push(
            "two models trained apart from one random seed and shape would also be called related".to_owned(),
        ),
        LineageConclusion::Independent => lines.push(
            "not excluded: relations that no model of the zoo stands in, and distillation, which shares no weights"
                .to_owned(),
        ),
        LineageConclusion::Undetermined => lines.push(
            "not excluded: relations that the tests which apply here would not have found, and distillation, which \
             shares no weights"
                .to_owned(),
        ),
    }
    lines
}

#[cfg(test)]
mod tests;
