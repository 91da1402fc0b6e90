//! Several comparisons at once: how the first was looked into, and one table that leads to each report.

pub mod story;

use std::path::Path;

use askama::Template;
use serde::Serialize;

use crate::evidence::Table;
use crate::text::ModelText;
use crate::verdict::Findings;

use crate::report::data::Report;
use crate::report::error::Error;
use crate::report::finite;
use crate::report::html::answers::Answer;
use crate::report::html::names;
use crate::report::html::page::{Shell, sentence, shown};
use crate::report::json::pretty;
use crate::report::number::{self, PValue};
use crate::report::terminal::{self, LABELS, Labelled, Style};
use crate::report::words::{self, Marked};
use crate::report::write::{self, Paths};

/// Schema tag of the demo's `result.json`.
pub const DEMO_SCHEMA: &str = "kinprobe/demo/v1";

use story::Chapter;
use story::Story;

/// Characters of a prompt or an answer.
const PASSAGE: usize = 300;

/// Several comparisons.
#[derive(Debug, Clone)]
pub struct Demo {
    /// Program name and version.
    pub tool: String,
    /// The first pair's, told in order.
    pub story: Option<Story>,
    /// One row each, in the order shown.
    pub pairs: Vec<Pair>,
    /// Command that makes all of it again.
    pub reproduce: String,
}

/// One comparison and where its own report lies.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The comparison.
    pub report: Report,
    /// Folder of its `index.html` and `result.json`, relative to the demo's, with `/`.
    pub folder: String,
    /// What is known of the pair, in words (`fine-tuned from base-a`), where that is so.
    pub known: Option<String>,
}

/// The demo in at most [`super::LINES`] lines of at most [`super::COLUMNS`] columns.
pub fn terminal(demo: &Demo, paths: Option<&Paths>, style: Style) -> String {
    let mut lines = vec![
        style.bold(&terminal::one_line(
            &format!(
                "{}: {}",
                demo.tool,
                words::plural(demo.pairs.len(), "comparison", "comparisons")
            ),
            style,
        )),
        String::new(),
    ];
    if let Some(story) = &demo.story {
        let text = format!("{}. {}", story.title, story.conclusion);
        let told = [Labelled::new("looked into", &text, 4)];
        lines.extend(terminal::block(&told, LABELS, style));
        lines.push(String::new());
    }
    let mut tail = vec![String::new()];
    let silent = |pair: &Pair| {
        words::lineage_in_list(&pair.report.findings.lineage).word == words::NOT_RELATED
    };
    if demo.pairs.iter().any(silent) {
        let label = [Labelled::new(
            words::NOT_RELATED,
            words::NOT_RELATED_MEANS,
            3,
        )];
        tail.extend(terminal::block(&label, LABELS, style));
    }
    if let Some(pair) = demo.pairs.first() {
        let text = format!("each: {}", words::coverage(&pair.report));
        let label = [Labelled::new("coverage", &text, 2)];
        tail.extend(terminal::block(&label, LABELS, style));
    }
    tail.extend(terminal::files(paths, style));
    // The table's head, and the line that counts what did not fit.
    let room = terminal::LINES.saturating_sub(lines.len() + tail.len() + 2);
    let columns = [
        ("pair", 0),
        ("known to be", 20),
        ("lineage", 16),
        ("log10 p", 9),
    ];
    let rows = demo.pairs.iter().take(room).map(|pair| {
        let lineage = &pair.report.findings.lineage;
        let mark = words::lineage_in_list(lineage);
        vec![
            names(&pair.report).join(" vs "),
            pair.known
                .clone()
                .unwrap_or_else(|| "not stated".to_owned()),
            format!("{} {}", mark.symbol, mark.word),
            lineage
                .log10_p
                .map_or_else(|| "none".to_owned(), number::log10),
        ]
    });
    lines.extend(terminal::columns_table(
        &columns,
        3..4,
        rows.collect(),
        style,
    ));
    let left = demo.pairs.len().saturating_sub(room);
    if left > 0 {
        lines.push(style.dim(&format!("  … and {left} more in the report")));
    }
    lines.extend(tail);
    lines.join("\n") + "\n"
}

/// `result.json` of the demo.
///
/// # Errors
/// Only for data that JSON has no form for.
pub fn json(demo: &Demo) -> Result<String, Error> {
    let reports: Vec<Report> = demo
        .pairs
        .iter()
        .map(|pair| finite::finite(&pair.report))
        .collect();
    let pairs = demo
        .pairs
        .iter()
        .zip(&reports)
        .map(|(pair, report)| PairRow {
            models: report
                .models
                .iter()
                .map(|model| ModelRow {
                    label: &model.label,
                    source: &model.source,
                    digest: &model.digest,
                })
                .collect(),
            known: pair.known.as_deref(),
            findings: &report.findings,
            report: format!("{}/index.html", pair.folder),
            result: format!("{}/result.json", pair.folder),
        });
    pretty(&DemoRow {
        schema: DEMO_SCHEMA,
        tool: &demo.tool,
        story: demo.story.as_ref(),
        pairs: pairs.collect(),
        reproduce: &demo.reproduce,
    })
}

/// The demo's page, with a link to each report.
///
/// # Errors
/// Only if the page cannot be filled in.
pub fn html(demo: &Demo) -> Result<String, Error> {
    let page = DemoPage {
        shell: Shell::new("kinprobe demo", &demo.tool),
        story: demo.story.as_ref().map(|story| {
            let names = demo.pairs.first().map(|pair| names(&pair.report));
            StoryView::new(story, &names.unwrap_or_default())
        }),
        pairs: demo.pairs.iter().map(PairView::new).collect(),
        reproduce: ModelText::new(&*demo.reproduce).clipped(4000),
    };
    Ok(page.render()?)
}

/// Writes the demo's `index.html` and `result.json` into `dir`; the reports themselves are written
/// by [`super::write`].
///
/// # Errors
/// Names the file that could not be written; nothing half-written is left.
pub fn write(dir: &Path, demo: &Demo) -> Result<Paths, Error> {
    write::write_files(dir, &html(demo)?, &json(demo)?)
}

#[derive(Serialize)]
struct DemoRow<'a> {
    schema: &'static str,
    tool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    story: Option<&'a Story>,
    pairs: Vec<PairRow<'a>>,
    reproduce: &'a str,
}

#[derive(Serialize)]
struct PairRow<'a> {
    models: Vec<ModelRow<'a>>,
    known: Option<&'a str>,
    findings: &'a Findings,
    report: String,
    result: String,
}

#[derive(Serialize)]
struct ModelRow<'a> {
    label: &'a str,
    source: &'a str,
    digest: &'a str,
}

#[derive(Template)]
#[template(path = "demo.html", config = "src/report/templates/askama.toml")]
struct DemoPage {
    shell: Shell,
    story: Option<StoryView>,
    pairs: Vec<PairView>,
    reproduce: String,
}

struct StoryView {
    title: String,
    conclusion: String,
    steps: Vec<ChapterView>,
    examples: Vec<Answer>,
}

struct ChapterView {
    title: String,
    text: Vec<String>,
    table: Option<Table>,
    link: Option<(String, String)>,
}

impl StoryView {
    fn new(story: &Story, names: &[String; 2]) -> Self {
        let chapter = |step: &Chapter| ChapterView {
            title: shown(&step.title),
            text: step.text.iter().map(|text| sentence(text)).collect(),
            table: step.table.as_ref().map(safe),
            link: step
                .link
                .as_ref()
                .map(|(folder, words)| (link(folder), shown(words))),
        };
        let examples = story.examples.iter();
        Self {
            title: shown(&story.title),
            conclusion: sentence(&story.conclusion),
            steps: story.steps.iter().map(chapter).collect(),
            examples: examples
                .map(|row| Answer::new(row, names, PASSAGE))
                .collect(),
        }
    }
}

/// Every cell clipped, and control characters spelled out.
fn safe(table: &Table) -> Table {
    Table {
        columns: table.columns.iter().map(|cell| shown(cell)).collect(),
        rows: table
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| shown(cell)).collect())
            .collect(),
    }
}

struct PairView {
    names: [String; 2],
    known: String,
    mark: Marked,
    relation: Option<String>,
    p: Option<PValue>,
    log10_p: String,
    because: String,
    others: Vec<(&'static str, String)>,
    link: String,
}

impl PairView {
    fn new(pair: &Pair) -> Self {
        let report = finite::finite(&pair.report);
        let lineage = &report.findings.lineage;
        let others = words::other_findings(&report.findings);
        Self {
            names: names(&report),
            known: pair
                .known
                .as_deref()
                .map_or_else(|| "not stated".to_owned(), shown),
            mark: words::lineage_in_list(lineage),
            relation: words::relation(lineage).map(|text| shown(&text)),
            p: lineage.log10_p.map(number::p_value),
            log10_p: lineage
                .log10_p
                .map_or_else(|| "none".to_owned(), number::log10),
            because: sentence(&lineage.because),
            others: others
                .into_iter()
                .map(|(name, word, _)| (name, shown(&word)))
                .collect(),
            link: link(&pair.folder),
        }
    }
}

/// A relative link that can only lead to a file below the page.
fn link(folder: &str) -> String {
    let mut path = ".".to_owned();
    for part in folder
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
    {
        path.push('/');
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    path + "/index.html"
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn links_stay_below_the_page() {
        assert_eq!(link("base-a-vs-noised"), "./base-a-vs-noised/index.html");
        assert_eq!(link("javascript:x"), "./javascript%3Ax/index.html");
        assert_eq!(link("//host/../a b"), "./host/a%20b/index.html");
    }
}
