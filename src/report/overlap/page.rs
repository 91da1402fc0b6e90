//! The overlap as one self-contained page.

use askama::Template;

use super::Document;
use super::MISSING;
use super::conclusion;
use super::decimals;
use super::panel;
use super::percent;
use super::reason;
use super::significant;
use super::terminal::naive_words;
use super::terminal::suite_name;
use super::upset::Picture;
use crate::evidence::overlap::AnswerRow;
use crate::evidence::overlap::ItemRow;
use crate::evidence::overlap::Matrix;
use crate::evidence::overlap::Overlap;
use crate::evidence::overlap::PairRow;
use crate::evidence::overlap::RunRow;
use crate::report::error::Error;
use crate::report::html::PAGE_BYTES;
use crate::report::html::page::Shell;
use crate::report::html::page::passage;
use crate::report::html::page::sentence;
use crate::report::html::page::shown;
use crate::report::number;
use crate::text::ModelText;

/// How much goes into the page.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Rows and columns of a matrix.
    side: usize,
    pairs: usize,
    /// Pairs beside the panel, and items that carry the evidence of each.
    panel: usize,
    carriers: usize,
    items: usize,
    /// Characters of a prompt or an answer.
    passage: usize,
    rows: usize,
}

/// From generous to spare; the first that fits [`PAGE_BYTES`] is taken.
const LIMITS: [Limits; 3] = [
    Limits {
        side: 64,
        pairs: 500,
        panel: 60,
        carriers: 20,
        items: 200,
        passage: 400,
        rows: 200,
    },
    Limits {
        side: 40,
        pairs: 200,
        panel: 20,
        carriers: 10,
        items: 60,
        passage: 300,
        rows: 60,
    },
    Limits {
        side: 20,
        pairs: 60,
        panel: 8,
        carriers: 5,
        items: 15,
        passage: 120,
        rows: 20,
    },
];

/// Items that are shown without being asked for.
const OPEN: usize = 12;

/// The page.
pub(super) fn html(document: &Document<'_>) -> Result<String, Error> {
    let mut html = String::new();
    for limits in LIMITS {
        html = Page::new(document, limits).render()?;
        if html.len() <= PAGE_BYTES {
            break;
        }
    }
    Ok(html)
}

#[derive(Template)]
#[template(path = "overlap.html", config = "src/report/templates/askama.toml")]
struct Page {
    shell: Shell,
    title: String,
    headline: &'static str,
    because: &'static str,
    runs: Vec<[String; 9]>,
    habits: Vec<[String; 7]>,
    maps: Vec<Map>,
    picture: Option<Picture>,
    no_picture: String,
    panel: Option<panel::Section>,
    no_panel: String,
    pairs: Vec<Vec<String>>,
    pairs_left: usize,
    items_line: String,
    items: Vec<Item>,
    rest: Vec<Item>,
    why_not: &'static str,
    below: String,
    naive: Vec<[String; 4]>,
    suites: Vec<[String; 5]>,
    suites_left: usize,
    notes: Vec<String>,
    reproduce: String,
}

struct Map {
    title: &'static str,
    explanation: &'static str,
    note: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Shade>)>,
}

struct Shade {
    class: String,
    text: String,
}

struct Item {
    name: String,
    kind: String,
    prompt: Option<String>,
    target: Option<String>,
    answers: Vec<Answer>,
}

struct Answer {
    symbol: &'static str,
    mark: &'static str,
    /// Text, and the models that wrote so.
    spellings: Vec<(String, String)>,
}

impl Page {
    fn new(document: &Document<'_>, limits: Limits) -> Self {
        let overlap = document.overlap;
        let names: Vec<String> = overlap
            .runs
            .iter()
            .map(|run| ModelText::new(run.label.as_str()).clipped(60))
            .collect();
        let item = |row: &ItemRow| Item::new(row, &names, limits.passage);
        let mut items: Vec<Item> = overlap
            .items
            .listed
            .iter()
            .take(limits.items)
            .map(item)
            .collect();
        let items_line = items_line(overlap, items.len());
        let rest = items.split_off(items.len().min(OPEN));
        Self {
            shell: Shell::new("Answers side by side", &document.tool),
            title: format!(
                "{} models, {} items",
                overlap.runs.len(),
                number::count(overlap.items.total)
            ),
            headline: match overlap.panel.value() {
                Some(_) => "Held against a panel",
                None => "Descriptive only",
            },
            because: conclusion(overlap).1,
            panel: overlap
                .panel
                .value()
                .map(|panel| panel::Section::new(panel, limits.panel, limits.carriers)),
            no_panel: reason(&overlap.panel).unwrap_or_default().to_owned(),
            runs: overlap.runs.iter().take(limits.rows).map(run).collect(),
            habits: overlap
                .runs
                .iter()
                .take(limits.rows)
                .filter_map(habits)
                .collect(),
            maps: overlap
                .matrices
                .iter()
                .map(|matrix| Map::new(matrix, &names, limits.side))
                .collect(),
            picture: overlap
                .upset
                .value()
                .map(|upset| Picture::new(upset, &names)),
            no_picture: reason(&overlap.upset).unwrap_or_default().to_owned(),
            pairs: overlap.pairs.iter().take(limits.pairs).map(pair).collect(),
            pairs_left: overlap.pairs.len().saturating_sub(limits.pairs),
            items_line,
            items,
            rest,
            why_not: overlap.not_evidence.why,
            below: below(overlap),
            naive: overlap
                .not_evidence
                .pairs
                .iter()
                .take(limits.pairs)
                .map(naive)
                .collect(),
            suites: overlap.suites.iter().take(limits.rows).map(suite).collect(),
            suites_left: overlap.suites.len().saturating_sub(limits.rows),
            notes: overlap
                .notes
                .iter()
                .take(limits.rows)
                .map(|note| sentence(note))
                .collect(),
            reproduce: ModelText::new(&*document.reproduce).clipped(4000),
        }
    }
}

impl Map {
    fn new(matrix: &Matrix, names: &[String], side: usize) -> Self {
        let shade = |value: &Option<f64>| match value {
            // The scale is fixed from 0 to 1, in ten steps.
            Some(x) => Shade {
                class: format!("h{:.0}", (x.clamp(0.0, 1.0) * 10.0).floor()),
                text: format!("{x:.2}"),
            },
            None => Shade {
                class: "absent".to_owned(),
                text: "–".to_owned(),
            },
        };
        let rows = matrix.values.iter().zip(names).take(side);
        let mut note = String::new();
        if let Some(reason) = &matrix.diagonal {
            note = format!("Diagonal missing where there is no number: {reason}. ");
        }
        if names.len() > side {
            note.push_str(&format!(
                "The first {side} of {} models; all are in result.json.",
                names.len()
            ));
        }
        Self {
            title: matrix.title,
            explanation: matrix.explanation,
            note: sentence(&note),
            columns: names.iter().take(side).cloned().collect(),
            rows: rows
                .map(|(row, name)| (name.clone(), row.iter().take(side).map(shade).collect()))
                .collect(),
        }
    }
}

impl Item {
    fn new(row: &ItemRow, names: &[String], limit: usize) -> Self {
        let suite = if row.suite.is_empty() {
            String::new()
        } else {
            format!("{}: ", shown(&row.suite))
        };
        Self {
            name: format!("{suite}{}", shown(&row.item)),
            kind: format!(
                "{} of {} wrong, {} alike",
                row.wrong, row.judged, row.sharing
            ),
            prompt: row.prompt.as_ref().map(|text| passage(text, limit)),
            target: row.target.as_ref().map(|text| passage(text, limit)),
            answers: row
                .answers
                .iter()
                .map(|answer| self::answer(answer, names, limit))
                .collect(),
        }
    }
}

fn answer(answer: &AnswerRow, names: &[String], limit: usize) -> Answer {
    let (symbol, mark) = match answer.right {
        Some(true) => ("✓", "right"),
        Some(false) => ("✗", "wrong"),
        None => ("–", "not scored"),
    };
    let spelling = |(text, runs): &(String, Vec<usize>)| {
        let who: Vec<&str> = runs.iter().map(|&run| names[run].as_str()).collect();
        (passage(text, limit), who.join(", "))
    };
    Answer {
        symbol,
        mark,
        spellings: answer.spellings.iter().map(spelling).collect(),
    }
}

fn items_line(overlap: &Overlap, on_page: usize) -> String {
    let items = &overlap.items;
    let mut line = format!(
        "On {} of {} items two or more models gave the same wrong answer. First come those whose shared answer few models \
         gave: a slip that many make tells least.",
        number::count(items.with_shared_wrong),
        number::count(items.total)
    );
    let left = items.with_shared_wrong - on_page as u64;
    if left > 0 {
        line.push_str(&format!(
            " {on_page} of them are on this page, {} in result.json; every item with every answer is in items.csv.",
            items.listed.len()
        ));
    }
    line
}

fn run(run: &RunRow) -> [String; 9] {
    let itself = match run.self_agreement.value() {
        Some(itself) => percent(&itself.exact_match),
        None => MISSING.to_owned(),
    };
    [
        shown(&run.label),
        run.role.to_owned(),
        number::count(run.answered),
        number::count(run.failed),
        number::count(run.right),
        decimals(&run.accuracy),
        itself,
        run.text_errors.value().map_or_else(
            || MISSING.to_owned(),
            |errors| {
                format!(
                    "{:.3} / {:.3}",
                    errors.character_error_rate, errors.word_error_rate
                )
            },
        ),
        shown(&run.source),
    ]
}

/// Where a model does not know; `None` where it always does.
fn habits(run: &RunRow) -> Option<[String; 7]> {
    let habits = run.habits.value()?;
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let scripts = habits.scripts.iter();
    let scripts: Vec<String> = scripts
        .map(|(script, share)| format!("{script} {}", percent(*share)))
        .collect();
    let others = habits.share_of_others;
    Some([
        shown(&run.label),
        number::count(habits.answers),
        ModelText::new(habits.favourite.trim()).clipped(40),
        percent(habits.share),
        others.map_or_else(|| MISSING.to_owned(), percent),
        percent(habits.silent),
        scripts.join(", "),
    ])
}

fn pair(pair: &PairRow) -> Vec<String> {
    let counts = &pair.counts;
    vec![
        format!("{} and {}", shown(&pair.first), shown(&pair.second)),
        number::count(counts.items),
        format!("{} / {}", counts.first_wrong, counts.second_wrong),
        counts.both_wrong.to_string(),
        format!("{} of {}", counts.both_wrong_alike, counts.both_wrong_known),
        percent(&pair.same_wrong),
        percent(&pair.exact_match),
        decimals(&pair.error_consistency),
        pair.largest_error_consistency
            .map_or_else(|| MISSING.to_owned(), |most| format!("{most:.3}")),
        significant(&pair.odds_ratio),
        decimals(&pair.copy_probability),
        decimals(&pair.capa),
        decimals(&pair.capa_probabilistic),
        percent(&pair.shared_slips),
        pair.deviation_from_consensus.value().map_or_else(
            || MISSING.to_owned(),
            |deviation| {
                format!(
                    "{} / {}, {} alike",
                    deviation.first, deviation.second, deviation.both_alike
                )
            },
        ),
        pair.accuracy_difference.value().map_or_else(
            || MISSING.to_owned(),
            |difference| {
                format!(
                    "{:+.3} ({})",
                    difference.value,
                    number::log10(difference.log10_p)
                )
            },
        ),
    ]
}

fn below(overlap: &Overlap) -> String {
    let naive = &overlap.not_evidence;
    let all = below_words("this report", &naive.pairs_below_1e_6);
    match naive.panel_pairs_below_1e_6.value() {
        Some(panel) => format!("{all} {}", below_words("the panel alone", panel)),
        None => all,
    }
}

fn below_words(of: &str, below: &crate::evidence::overlap::Below) -> String {
    format!(
        "Of the pairs of {of}, {} of {} have p < 1e-6 against independent errors, and {} of {} against evenly spread \
         wrong answers.",
        below.by_error_overlap, below.pairs, below.by_same_wrong, below.same_wrong_pairs
    )
}

fn naive(row: &crate::evidence::overlap::NaiveRow) -> [String; 4] {
    [
        shown(&row.first),
        shown(&row.second),
        sentence(&naive_words(&row.error_overlap)),
        sentence(&naive_words(&row.same_wrong)),
    ]
}

fn suite(row: &crate::evidence::overlap::SuiteRow) -> [String; 5] {
    [
        suite_name(&row.suite),
        row.version
            .as_deref()
            .map_or_else(|| "not stated".to_owned(), shown),
        number::count(row.items),
        number::count(row.shared),
        row.vacuous.as_deref().map_or_else(
            || "no".to_owned(),
            |reason| format!("vacuous: {}", sentence(reason)),
        ),
    ]
}
