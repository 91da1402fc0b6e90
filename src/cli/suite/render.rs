//! `kinprobe suite render`: suites that are functions of a seed.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use crate::cli::Global;
use crate::cli::exit;
use crate::probe;
use crate::probe::render::KINDS;
use crate::probe::render::Kind;
use crate::probe::render::MAX_ITEMS;
use crate::probe::render::SHIPPED_SEED;
use crate::report;
use crate::text::ModelText;

/// Flags of `suite render`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to make: agent-actions
    kind: String,
    /// Seed of every choice; the shipped suite's unless named
    #[arg(long, default_value_t = SHIPPED_SEED)]
    seed: u64,
    /// Items; as many as the shipped suite has unless named
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_ITEMS as i64))]
    items: Option<u32>,
    /// Folder for the suite file and its dataset
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

/// Renders, writes, and reads back what was written.
///
/// # Errors
/// A kind that does not exist, or files that cannot be written.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let Some(kind) = Kind::find(&args.kind) else {
        let known: Vec<String> = KINDS
            .iter()
            .map(|kind| format!("{} ({})", kind.id, kind.about))
            .collect();
        return Err(exit::usage(format!(
            "no suite of kind `{}` can be rendered: there is {}",
            ModelText::new(args.kind.as_str()).clipped(40),
            known.join(", ")
        )));
    };
    let items = args.items.map_or(kind.items, |items| items as usize);
    let rendered = kind.render(args.seed, items);
    let names = [
        format!("{}.jsonl", rendered.id),
        format!("{}.yaml", rendered.id),
    ];
    report::write_named(
        &args.out,
        &[
            (&names[0], &rendered.dataset),
            (&names[1], &rendered.manifest),
        ],
    )?;
    let file = args.out.join(&names[1]);
    let suite = probe::load(&file)?;
    if global.json {
        return global.json_result(&json!({
            "schema": "kinprobe/suite-rendered/v1",
            "kind": kind.id,
            "suite": suite.id,
            "seed": args.seed,
            "items": suite.items.len(),
            "sha256": suite.sha256,
            "dataset_sha256": rendered.sha256,
            "file": file.display().to_string(),
        }));
    }
    global.result(&format!(
        "{} v{}: {} items, seed {}\nsha256 {}\n{}\n",
        suite.id,
        suite.version,
        suite.items.len(),
        args.seed,
        suite.sha256,
        ModelText::new(file.display().to_string()),
    ))
}
