//! `kinprobe lint`: whether baselines and suites are whole, without a model.

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::baseline;
use crate::cli::Global;
use crate::cli::exit;
use crate::probe;
use crate::text::ModelText;

/// Flags of `lint`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Baselines (.json) and suites (.yaml, .yml)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What became of one file.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    whole: bool,
    items: Option<usize>,
    error: Option<String>,
}

/// Reads them all; one line on stderr for each that is not whole.
///
/// # Errors
/// When any of them is not.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let rows: Vec<Row> = args.files.iter().map(|file| row(file)).collect();
    let mut broken: Vec<&str> = rows.iter().filter_map(|row| row.error.as_deref()).collect();
    if global.json {
        global.json_result(&json!({ "schema": "kinprobe/lint/v1", "files": rows }))?;
    } else if broken.is_empty() {
        let files = rows.len();
        let are = if files == 1 { "file is" } else { "files are" };
        global.result(&format!("{files} {are} whole"))?;
    }
    // The last becomes the program's own error line.
    let Some(last) = broken.pop() else {
        return Ok(());
    };
    for line in broken {
        writeln!(std::io::stderr(), "error: {}", ModelText::new(line))?;
    }
    Err(exit::coded(exit::INTEGRITY, last))
}

fn row(file: &Path) -> Row {
    let items = items(file);
    Row {
        file: file.display().to_string(),
        whole: items.is_ok(),
        items: items.as_ref().ok().copied(),
        error: items.err(),
    }
}

/// How many items a file holds.
fn items(file: &Path) -> Result<usize, String> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => baseline::read(file)
            .map(|baseline| baseline.items.len())
            .map_err(|error| error.to_string()),
        Some("yaml" | "yml") => probe::load(file)
            .map(|suite| suite.items.len())
            .map_err(|error| error.to_string()),
        _ => Err(format!(
            "{}: neither a baseline (.json) nor a suite (.yaml); leave it out",
            file.display()
        )),
    }
}
