//! How one pair was looked into: what was asked, what came of it, what that supports.

use serde::Serialize;

use crate::evidence::Table;
use crate::evidence::overlap::Overlap;
use crate::evidence::overlap::PairRow;
use crate::report::data::AnswerRow;
use crate::report::data::EvidenceRow;
use crate::report::data::Report;
use crate::report::number;
use crate::report::words;

/// Examples that are shown.
const EXAMPLES: usize = 24;

/// A story.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// What it is about.
    pub title: String,
    /// What may be said in the end.
    pub conclusion: String,
    /// In order.
    pub steps: Vec<Chapter>,
    /// Pictures with both answers.
    #[serde(skip)]
    pub examples: Vec<AnswerRow>,
}

/// One step of a story.
#[derive(Debug, Clone, Serialize)]
pub struct Chapter {
    /// What was asked.
    pub title: String,
    /// What was found, a paragraph each.
    pub text: Vec<String>,
    /// The numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// Where more of it is: a folder beside the page, and what it is in words.
    #[serde(skip)]
    pub link: Option<(String, String)>,
}

/// What a story is told of.
pub struct Facts<'a> {
    /// The pair's own report, and its folder.
    pub report: &'a Report,
    /// Relative to the page.
    pub folder: &'a str,
    /// Answers to pictures, of the pair first.
    pub overlap: &'a Overlap,
    /// How the suspect's names were undone, a paragraph each.
    pub names: Vec<String>,
    /// Changes of names that several tensors share, in words.
    pub renames: Vec<String>,
    /// The reference with more and more noise.
    pub ladder: Option<Ladder>,
}

/// The reference with noise of several sizes, asked the same pictures.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// How many pictures.
    pub pictures: usize,
    /// From little noise to much.
    pub rungs: Vec<Rung>,
    /// The suspect on the same pictures: its noise is the one that was found.
    pub suspect: Rung,
}

/// One size of noise.
#[derive(Debug, Clone, Copy)]
pub struct Rung {
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// Share of pictures with the reference's own answer.
    pub same: f64,
    /// Share of right answers.
    pub right: f64,
}

/// Tells it.
pub fn tell(facts: &Facts<'_>) -> Story {
    let report = facts.report;
    let [reference, suspect] = [0, 1].map(|at| {
        let model = report.models.get(at);
        model.map_or_else(String::new, |model| model.label.clone())
    });
    let steps = vec![
        names(facts),
        runs(report, &suspect),
        evidence(
            "Is what is left one noise?",
            report,
            &["weight.difference", "weight.restored_difference"],
        ),
        evidence(
            "Tokenizer and configuration",
            report,
            &["tokenizer.overlap", "config.diff"],
        ),
        weights(report),
        answers(facts, [&reference, &suspect]),
        not_evidence(facts),
        panel(facts),
        schema(report),
        ladder(facts),
    ];
    Story {
        title: format!("{suspect} beside {reference}"),
        conclusion: conclusion(report),
        steps: steps.into_iter().flatten().collect(),
        examples: examples(report),
    }
}

fn conclusion(report: &Report) -> String {
    let lineage = &report.findings.lineage;
    let mark = words::lineage_in_list(lineage);
    let relation = words::relation(lineage);
    let relation = relation.map_or_else(String::new, |text| format!(", consistent with {text}"));
    let others = words::other_findings(&report.findings);
    let others = others.map(|(name, word, _)| format!("{} {word}", name.to_lowercase()));
    format!("Lineage: {}{relation}; {}.", mark.word, others.join("; "))
}

fn names(facts: &Facts<'_>) -> Option<Chapter> {
    (!facts.names.is_empty()).then(|| Chapter {
        title: "Other names for the same parts?".to_owned(),
        text: facts.names.clone(),
        table: (!facts.renames.is_empty()).then(|| Table {
            columns: vec!["in the suspect, for the reference's".to_owned()],
            rows: facts
                .renames
                .iter()
                .map(|rule| vec![rule.clone()])
                .collect(),
        }),
        link: None,
    })
}

fn runs(report: &Report, suspect: &str) -> Option<Chapter> {
    let suites = &report.coverage.suites;
    let answered: usize = suites.iter().map(|suite| suite.answered).sum();
    let planned: usize = suites.iter().map(|suite| suite.planned).sum();
    let text = format!(
        "Read so, {suspect} runs in the architecture of the reference: {answered} of {planned} prompts were answered by \
         both without an error."
    );
    (planned > 0).then(|| Chapter {
        title: "Does it run under those names?".to_owned(),
        text: vec![text],
        table: None,
        link: None,
    })
}

/// What methods said, those that measured anything.
fn evidence(title: &str, report: &Report, ids: &[&str]) -> Option<Chapter> {
    let rows = ids.iter().filter_map(|id| row(report, id));
    let text: Vec<String> = rows.map(|row| row.explanation.clone()).collect();
    (!text.is_empty()).then(|| Chapter {
        title: title.to_owned(),
        text,
        table: None,
        link: None,
    })
}

fn row<'a>(report: &'a Report, id: &str) -> Option<&'a EvidenceRow> {
    let mut rows = report.evidence.iter();
    rows.find(|row| row.id == id && words::measured(row))
}

/// The tests that decide lineage.
fn weights(report: &Report) -> Option<Chapter> {
    let rows = report.evidence.iter().filter(|row| {
        row.id.starts_with("weight.") && words::measured(row) && row.log10_p.is_some()
    });
    let rows = rows.map(|row| {
        vec![
            row.title.clone(),
            row.log10_p.map(number::log10).unwrap_or_default(),
            words::supports(row).word.to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    (!rows.is_empty()).then(|| Chapter {
        title: "Are the weights of one origin?".to_owned(),
        text: vec![report.findings.lineage.because.clone()],
        table: Some(Table {
            columns: ["exact test", "log10 p", "supports"]
                .map(str::to_owned)
                .into(),
            rows,
        }),
        link: None,
    })
}

/// Who answers as whom, over all pictures.
fn answers(facts: &Facts<'_>, [reference, suspect]: [&str; 2]) -> Option<Chapter> {
    let overlap = facts.overlap;
    let pair = overlap.pairs.first()?;
    let counts = &pair.counts;
    let matrix = overlap
        .matrices
        .iter()
        .find(|matrix| matrix.id == "exact_match")?;
    let columns = ["".to_owned(), "right".to_owned()].into_iter();
    let columns = columns.chain(overlap.runs.iter().map(|run| run.label.clone()));
    let rows = overlap
        .runs
        .iter()
        .zip(&matrix.values)
        .map(|(run, values)| {
            let right = run.accuracy.value().map(|share| percent(share.value));
            let cells = values
                .iter()
                .map(|value| value.map_or_else(String::new, percent));
            let head = [run.label.clone(), right.unwrap_or_default()].into_iter();
            head.chain(cells).collect()
        });
    Some(Chapter {
        title: "Do they answer alike where nobody else can read?".to_owned(),
        text: vec![
            pictures(pair, reference, suspect),
            format!(
                "Share of pictures with the same answer, for every two models. {} is wrong on {}, {} on {}, both on {}; \
                 of these they say the same on {}.",
                reference,
                counts.first_wrong,
                suspect,
                counts.second_wrong,
                counts.both_wrong,
                counts.both_wrong_alike
            ),
        ],
        table: Some(Table {
            columns: columns.collect(),
            rows: rows.collect(),
        }),
        link: Some((
            format!("{}/signs", facts.folder),
            "Every measure, every pair, every picture".to_owned(),
        )),
    })
}

fn pictures(pair: &PairRow, reference: &str, suspect: &str) -> String {
    let same = pair.exact_match.value();
    let same = same.map_or_else(|| "unknown".to_owned(), |share| percent(share.value));
    let wrong = pair.same_wrong.value();
    let wrong = wrong.map_or_else(|| "unknown".to_owned(), |share| percent(share.value));
    format!(
        "{} pictures of signs were shown to all models. {reference} and {suspect} answer {same} of them alike, and {wrong} \
         of those that both get wrong.",
        pair.counts.items
    )
}

/// The famous p-value, and why it says nothing.
fn not_evidence(facts: &Facts<'_>) -> Option<Chapter> {
    let overlap = facts.overlap;
    let naive = overlap.not_evidence.pairs.first()?;
    let number = naive.error_overlap.value()?;
    let mut text = vec![format!(
        "Errors that fell independently on pictures would overlap so far with log10 p {} (z {:.1}). This number is not \
             evidence. {}",
        number::log10(number.log10_p),
        number.z,
        overlap.not_evidence.why
    )];
    if let Some(below) = overlap.not_evidence.panel_pairs_below_1e_6.value() {
        text.push(format!(
            "Here, {} of {} pairs of the panel, all of them models that were trained separately, fall below one in a million by it.",
            below.by_error_overlap, below.pairs
        ));
    }
    Some(Chapter {
        title: "What is not evidence".to_owned(),
        text,
        table: None,
        link: None,
    })
}

/// What counts: how alike beside models that know the same.
fn panel(facts: &Facts<'_>) -> Option<Chapter> {
    let panel = facts.overlap.panel.value()?;
    let pair = panel.pairs.first()?;
    let rows = pair.indices.iter().filter_map(|index| {
        let result = index.result.value()?;
        let p = result.log10_p_calibrated.unwrap_or(result.log10_p);
        Some(vec![
            index.index.to_owned(),
            result.observed.to_string(),
            result
                .expected
                .map(|mean| format!("{mean:.1}"))
                .unwrap_or_default(),
            number::log10(p),
        ])
    });
    let shared = row(facts.report, "behaviour.shared_answers");
    let mut text = vec![format!(
        "Each answer is held against what {} other models say to the same picture: an answer that all give counts for \
         nothing, one that nobody else gives for much. What the panel's own pairs show is taken off.",
        panel.members.len()
    )];
    text.extend(shared.map(|row| row.explanation.clone()));
    text.push(format!(
        "{} would repeat {} of its answers from {} (95 % interval {} to {}).",
        pair.second,
        percent(pair.copied_fraction.value),
        pair.first,
        percent(pair.copied_fraction.low),
        percent(pair.copied_fraction.high)
    ));
    Some(Chapter {
        title: "What is evidence".to_owned(),
        text,
        table: Some(Table {
            columns: ["index", "equal answers", "expected", "log10 p"]
                .map(str::to_owned)
                .into(),
            rows: rows.collect(),
        }),
        link: None,
    })
}

/// Actions by a schema that the prompts do not give.
fn schema(report: &Report) -> Option<Chapter> {
    evidence(
        "Actions on pages and with tools",
        report,
        &["behaviour.field_overlap"],
    )
}

fn ladder(facts: &Facts<'_>) -> Option<Chapter> {
    let ladder = facts.ladder.as_ref()?;
    let line = |name: &str, rung: &Rung| {
        vec![
            name.to_owned(),
            format!("{:.5}", rung.sigma),
            percent(rung.same),
            percent(rung.right),
        ]
    };
    let mut rows: Vec<Vec<String>> = ladder
        .rungs
        .iter()
        .map(|rung| line("reference and noise", rung))
        .collect();
    let place = ladder
        .rungs
        .partition_point(|rung| rung.sigma <= ladder.suspect.sigma);
    rows.insert(place, line("suspect, as measured", &ladder.suspect));
    Some(Chapter {
        title: "What noise of that size does".to_owned(),
        text: vec![format!(
            "The reference was given noise of one size in every weight and asked {} of the pictures again. The suspect stands \
             at the size that was found in its weights.",
            ladder.pictures
        )],
        table: Some(Table {
            columns: [
                "model",
                "size of the noise",
                "answers as the reference does",
                "right",
            ]
            .map(str::to_owned)
            .into(),
            rows,
        }),
        link: None,
    })
}

/// Pictures, errors in common first.
fn examples(report: &Report) -> Vec<AnswerRow> {
    let shown = report.answers.iter().filter(|row| row.picture.is_some());
    let wrong = |row: &&AnswerRow| {
        row.reference_correct == Some(false) && row.suspect_correct == Some(false) && row.alike
    };
    let (mut together, others): (Vec<_>, Vec<_>) = shown.partition(wrong);
    together.truncate(EXAMPLES * 2 / 3);
    let left = EXAMPLES - together.len();
    together
        .into_iter()
        .chain(others.into_iter().take(left))
        .cloned()
        .collect()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
