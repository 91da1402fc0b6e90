//! `kinprobe suite render`: suites that are functions of a seed, and suites of one's own pictures.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use serde_json::json;

use crate::cli::Global;
use crate::cli::exit;
use crate::probe;
use crate::probe::render::KINDS;
use crate::probe::render::Kind;
use crate::probe::render::MAX_ITEMS;
use crate::probe::render::Rendered;
use crate::probe::render::SHIPPED_SEED;
use crate::probe::render::folder;
use crate::probe::render::script;
use crate::probe::render::script::Font;
use crate::probe::render::script::Labels;
use crate::probe::render::script::Signs;
use crate::probe::render::script::Source;
use crate::report;
use crate::text::ModelText;

/// Flags of `suite render`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to make: agent-actions, script (signs of an invented script, or of a font), pictures (one's own)
    kind: String,
    /// Seed of every choice; the shipped suite's unless named
    #[arg(long, default_value_t = SHIPPED_SEED)]
    seed: u64,
    /// Items; as many as the shipped suite has unless named
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_ITEMS as i64))]
    items: Option<u32>,
    /// script: seed of the writings alone: the same signs by other hands
    #[arg(long, value_name = "SEED")]
    writings: Option<u64>,
    /// script: a font file whose signs are shown in place of invented ones
    #[arg(long, value_name = "FILE", requires = "signs")]
    font: Option<PathBuf>,
    /// script: which signs of the font: tangut, nushu, cuneiform, khitan, hieroglyphs, anatolian, or 17000-187F7
    #[arg(long, value_name = "SIGNS", value_parser = Signs::parse, requires = "font")]
    signs: Option<Signs>,
    /// script: what is asked: true (the character, of a font), association (which character in use it
    /// resembles), invented (a word that the seed gave it)
    #[arg(long, value_parser = labels)]
    labels: Option<Labels>,
    /// pictures: folder of PNG and JPEG files
    #[arg(long, value_name = "DIR", requires = "names")]
    images: Option<PathBuf>,
    /// pictures: CSV of what they show (file,label and, for several pictures of one thing, group)
    #[arg(long, value_name = "FILE", requires = "images")]
    names: Option<PathBuf>,
    /// pictures: what is asked of each
    #[arg(long, value_name = "TEXT", default_value = folder::PROMPT)]
    prompt: String,
    /// pictures: id of the suite
    #[arg(long, value_name = "ID", default_value = "pictures")]
    id: String,
    /// Folder for the suite file and its dataset
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

fn labels(text: &str) -> Result<Labels, String> {
    let mut all = Labels::ALL.iter();
    let found = all.find(|(_, name)| *name == text);
    found.map(|(labels, _)| *labels).ok_or_else(|| {
        let names = Labels::ALL.map(|(_, name)| name).join(", ");
        format!("labels are one of {names}")
    })
}

/// Renders, writes, and reads back what was written.
///
/// # Errors
/// A kind that does not exist, fonts and pictures that cannot be used, or files that cannot be written.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    match args.kind.as_str() {
        "script" => signs(args, global),
        "pictures" => pictures(args, global),
        other => {
            let kind = Kind::find(other).ok_or_else(|| unknown(other))?;
            let items = args.items.map_or(kind.items, |items| items as usize);
            written(args, global, &kind.render(args.seed, items), "")
        }
    }
}

fn unknown(kind: &str) -> anyhow::Error {
    let mut known: Vec<String> = KINDS
        .iter()
        .map(|kind| format!("{} ({})", kind.id, kind.about))
        .collect();
    known.push("script (pictures of signs of an invented script or a font)".to_owned());
    known.push("pictures (one's own, with labels)".to_owned());
    exit::usage(format!(
        "no suite of kind `{}` can be rendered: there is {}",
        ModelText::new(kind).clipped(40),
        known.join(", ")
    ))
}

fn signs(args: &Args, global: &Global) -> Result<()> {
    let font = args.font.as_deref().map(Font::read).transpose()?;
    let (source, usual) = match (&font, args.signs) {
        (Some(font), Some(signs)) => (Source::Font(font, signs), Labels::True),
        _ => (Source::Invented, Labels::Invented),
    };
    let labels = args.labels.unwrap_or(usual);
    if labels == Labels::True && font.is_none() {
        return Err(exit::usage(
            "an invented script has no true characters: ask for --labels invented or association, or name a --font",
        ));
    }
    let made = script::render(&script::Wish {
        seed: args.seed,
        writings: args.writings,
        items: args.items.map_or(script::ITEMS, |items| items as usize),
        labels,
        source,
    })?;
    let about = format!(
        "{} signs, up to {} writings of each; {} left out that look like one of them\n",
        made.signs,
        script::WRITINGS,
        made.alike
    );
    written(args, global, &made.rendered, &about)
}

fn pictures(args: &Args, global: &Global) -> Result<()> {
    let (Some(images), Some(names)) = (&args.images, &args.names) else {
        return Err(exit::usage(
            "a suite of pictures needs --images DIR and --names FILE",
        ));
    };
    let gathered = folder::gather(&folder::Wish {
        id: &args.id,
        pictures: images,
        labels: names,
        prompt: &args.prompt,
    })?;
    let beside = args.out.join(&args.id);
    fs::create_dir_all(&beside).with_context(|| beside.display().to_string())?;
    for (name, from) in &gathered.files {
        copy(from, &beside.join(name))?;
    }
    written(args, global, &gathered.rendered, "")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if fs::canonicalize(from).ok() == fs::canonicalize(to).ok() {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}

fn written(args: &Args, global: &Global, rendered: &Rendered, about: &str) -> Result<()> {
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
            "kind": args.kind,
            "suite": suite.id,
            "seed": args.seed,
            "items": suite.items.len(),
            "sha256": suite.sha256,
            "dataset_sha256": rendered.sha256,
            "file": file.display().to_string(),
        }));
    }
    global.result(&format!(
        "{} v{}: {} items, seed {}\n{about}sha256 {}\n{}\n",
        suite.id,
        suite.version,
        suite.items.len(),
        args.seed,
        suite.sha256,
        ModelText::new(file.display().to_string()),
    ))
}
