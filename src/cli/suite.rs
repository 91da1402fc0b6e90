//! `kinprobe suite`: list, show, check and make probe suites.

mod render;

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::cli::Global;
use crate::cli::exit;
use crate::probe;
use crate::probe::Item;
use crate::probe::Readout;
use crate::probe::Score;
use crate::probe::Suite;
use crate::source;
use crate::text::ModelText;

/// Flags of `suite`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// The shipped suites
    Ls,
    /// One suite, and its prompts as a model gets them
    Show {
        /// Id, or path of a suite's YAML file
        suite: String,
        /// Prompts to print
        #[arg(long, value_name = "N", default_value_t = 3, conflicts_with = "all")]
        items: usize,
        /// Print all prompts
        #[arg(long)]
        all: bool,
    },
    /// Check suites and their datasets; says what is wrong and where
    Validate {
        /// Suite files [default: all shipped]
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Make a suite of invented items that nobody has read before
    Render(render::Args),
}

/// Runs the verb.
///
/// # Errors
/// A suite that does not load, or that is not valid.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    match &args.verb {
        Verb::Ls => ls(global),
        Verb::Show { suite, items, all } => {
            let most = if *all { usize::MAX } else { *items };
            show(global, suite, most)
        }
        Verb::Validate { files } => validate(global, files),
        Verb::Render(args) => render::run(args, global),
    }
}

/// One suite in a listing.
#[derive(Debug, Serialize)]
struct Row {
    suite: String,
    version: u32,
    items: usize,
    readout: String,
    score: String,
    license: String,
    sha256: String,
    description: String,
}

impl Row {
    fn of(suite: &Suite) -> Self {
        Self {
            suite: suite.id.clone(),
            version: suite.version,
            items: suite.items.len(),
            readout: readout(&suite.readout),
            score: score(&suite.score),
            license: ModelText::new(suite.license.as_str()).to_string(),
            sha256: suite.sha256.clone(),
            description: ModelText::new(suite.description.as_str()).to_string(),
        }
    }
}

fn ls(global: &Global) -> Result<()> {
    let root = source::data_root(global.data.as_deref())?;
    let rows: Vec<Row> = probe::shipped(&root)?.iter().map(Row::of).collect();
    if rows.is_empty() {
        return Err(exit::coded(
            exit::NOTHING_TO_DO,
            format!("{} holds no suite", root.join("probes").display()),
        ));
    }
    if global.json {
        return global.json_result(&json!({ "schema": "kinprobe/suites/v1", "suites": rows }));
    }
    let mut text = String::new();
    for row in &rows {
        let _ = writeln!(
            text,
            "{:<16}v{}  {:>4} items  {}; {}",
            row.suite, row.version, row.items, row.readout, row.score
        );
        let _ = writeln!(text, "    {}", row.description);
    }
    global.result(&text)
}

fn show(global: &Global, name: &str, most: usize) -> Result<()> {
    let root = source::data_root(global.data.as_deref())?;
    let suite = probe::select(&root, &[name.to_owned()])?.remove(0);
    let row = Row::of(&suite);
    let items = suite.items.iter().take(most);
    if global.json {
        let items: Vec<_> = items.map(item_json).collect();
        return global.json_result(
            &json!({ "schema": "kinprobe/suite-items/v1", "suite": row, "items": items }),
        );
    }
    let mut text = format!(
        "{} v{}: {}\n{} items, {}; {}; {}\nsha256 {}\n",
        row.suite,
        row.version,
        row.description,
        row.items,
        row.readout,
        row.score,
        row.license,
        row.sha256
    );
    for item in items {
        text.push_str(&item_text(item));
    }
    if most < suite.items.len() {
        let _ = writeln!(text, "\n… {} more (--all)", suite.items.len() - most);
    }
    global.result(&text)
}

fn item_json(item: &Item) -> serde_json::Value {
    json!({
        "id": item.id,
        "prompt": item.prompt,
        "targets": item.targets,
        "tags": item.tags,
        "group": item.group,
        "picture": item.picture.as_ref().map(|picture| {
            let (width, height) = picture.sides();
            json!({ "width": width, "height": height, "sha256": picture.sha256 })
        }),
    })
}

/// An item with its line breaks kept and all else that steers a terminal escaped.
fn item_text(item: &Item) -> String {
    let tags: Vec<String> = item
        .tags
        .iter()
        .map(|tag| ModelText::new(tag.as_str()).to_string())
        .collect();
    let mut text = format!("\n{} [{}]\n", item.id, tags.join(", "));
    for line in item.prompt.lines() {
        let _ = writeln!(text, "  | {}", ModelText::new(line));
    }
    if let Some(picture) = &item.picture {
        let (width, height) = picture.sides();
        let _ = writeln!(text, "  (a picture of {width} x {height} pixels)");
    }
    let targets: Vec<String> = item
        .targets
        .iter()
        .map(|target| format!("`{}`", ModelText::new(target.as_str())))
        .collect();
    match targets.is_empty() {
        true => text.push_str("  (no target)\n"),
        false => {
            let _ = writeln!(text, "  = {}", targets.join(" or "));
        }
    }
    text
}

/// What became of one file.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    valid: bool,
    items: Option<usize>,
    error: Option<String>,
}

fn validate(global: &Global, files: &[PathBuf]) -> Result<()> {
    let files = match files {
        [] => probe::files(&source::data_root(global.data.as_deref())?)?,
        given => given.to_vec(),
    };
    if files.is_empty() {
        return Err(exit::coded(
            exit::NOTHING_TO_DO,
            "there is no suite to check",
        ));
    }
    let checked: Vec<Checked> = files
        .iter()
        .map(|file| {
            let loaded = probe::load(file);
            Checked {
                file: file.display().to_string(),
                valid: loaded.is_ok(),
                items: loaded.as_ref().ok().map(|suite| suite.items.len()),
                error: loaded.err().map(|error| error.to_string()),
            }
        })
        .collect();
    if global.json {
        global.json_result(&json!({ "schema": "kinprobe/suite-check/v1", "suites": checked }))?;
    } else {
        let mut text = String::new();
        for row in &checked {
            let line = match (&row.error, row.items) {
                (Some(error), _) => format!("wrong  {error}"),
                (None, items) => format!("ok     {} ({} items)", row.file, items.unwrap_or(0)),
            };
            let _ = writeln!(text, "{}", ModelText::new(line));
        }
        global.result(&text)?;
    }
    match checked.iter().filter(|row| !row.valid).count() {
        0 => Ok(()),
        wrong => Err(exit::usage(format!(
            "{wrong} of {} suites are not valid",
            checked.len()
        ))),
    }
}

fn readout(readout: &Readout) -> String {
    match readout {
        Readout::NextToken => "next token".to_owned(),
        Readout::Generate { max_tokens, .. } => format!("greedy, at most {max_tokens} tokens"),
    }
}

fn score(score: &Score) -> String {
    match score {
        Score::Exact => "exact match".to_owned(),
        Score::Prefix => "prefix of the continuation".to_owned(),
        Score::Fields(fields) => format!("fields {}", fields.join(", ")),
    }
}
