//! `kinprobe zoo launder`: a transformed copy of any model.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use comfy_table::ContentArrangement;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use crate::cli::Global;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::report;
use crate::source;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::text::ModelText;
use crate::zoo::launder;
use crate::zoo::launder::Error;
use crate::zoo::launder::Kind;
use crate::zoo::launder::LAUNDERINGS;
use crate::zoo::launder::Laundering;
use crate::zoo::launder::Options;
use crate::zoo::launder::Report;
use crate::zoo::launder::Step;
use crate::zoo::launder::Strength;

/// Flags of `zoo launder`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model to copy
    #[arg(required_unless_present = "list")]
    model: Option<ModelRef>,
    /// What to do to it, in this order: NAME or NAME=STRENGTH, separated by commas
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "T",
        required_unless_present = "list"
    )]
    with: Vec<Step>,
    /// Of everything random
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for the result, which must not be there yet
    #[arg(
        short,
        long = "out",
        value_name = "DIR",
        required_unless_present = "list"
    )]
    out: Option<PathBuf>,
    /// The model that a merge mixes in
    #[arg(long, value_name = "MODEL")]
    other: Option<ModelRef>,
    /// The model that both sides of a TIES or DARE merge come from
    #[arg(long, value_name = "MODEL")]
    base: Option<ModelRef>,
    /// Do not run the result beside the original
    #[arg(long)]
    no_verify: bool,
    /// List what can be done
    #[arg(long)]
    list: bool,
}

/// Writes the copy and says how far its logits moved.
///
/// # Errors
/// A model that cannot be opened or to which a step cannot be done; a result that broke a promise.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let (Some(model), Some(out), false) = (&args.model, &args.out, args.list) else {
        return list(global);
    };
    let model = open(model, "model", global)?;
    let other = args
        .other
        .as_ref()
        .map(|other| open(other, "other", global));
    let other = other.transpose()?;
    let base = args.base.as_ref().map(|base| open(base, "base", global));
    let base = base.transpose()?;
    for (flag, given, wanted) in [
        ("--other", &other, args.with.iter().any(Step::needs_other)),
        ("--base", &base, args.with.iter().any(Step::needs_base)),
    ] {
        if given.is_some() && !wanted {
            return Err(exit::usage(format!("{flag}: no step of --with uses it")));
        }
    }
    let options = Options {
        seed: args.seed,
        other: other.as_ref(),
        base: base.as_ref(),
        verify: !args.no_verify,
    };
    let report = launder::launder(&model, &args.with, &options, out).map_err(coded)?;
    if global.json {
        return global.json_result(&report);
    }
    global.result(&text(&report, out))
}

fn open(reference: &ModelRef, label: &str, global: &Global) -> Result<Model> {
    let mut options = OpenOptions::from_env();
    options.offline |= global.offline;
    options.data_root = source::data_root(global.data.as_deref()).ok();
    options.progress = Some(Bars::shared(global));
    let artefacts = source::open(reference, &options)?;
    Ok(Model::open(
        artefacts,
        reference.label.as_deref().unwrap_or(label),
    )?)
}

fn coded(error: Error) -> anyhow::Error {
    match error {
        Error::Distance { .. } => exit::coded(exit::INTEGRITY, error),
        Error::Unknown { .. }
        | Error::Strength { .. }
        | Error::Refused { .. }
        | Error::Exists { .. } => exit::usage(error),
        other => other.into(),
    }
}

fn text(report: &Report, out: &std::path::Path) -> String {
    let mut text = format!(
        "{}: {}\n",
        ModelText::new(out.display().to_string()),
        report.steps.join(", ")
    );
    let _ = writeln!(
        text,
        "{} weights stored as {}, seed {}",
        report.parameters, report.stored, report.seed
    );
    for note in &report.notes {
        let _ = writeln!(text, "{note}");
    }
    if !report.names.is_empty() {
        text.push_str("the names are those of no family that is read: launder.json has the map\n");
    }
    text.push_str(&verdict(report));
    text
}

fn verdict(report: &Report) -> String {
    let Some(distance) = report.distance else {
        return "not verified\n".to_owned();
    };
    let what = format!("logits at a relative distance of {distance:.1e}");
    let most = launder::TOLERANCE;
    if report.exact {
        return format!("function kept: {what} (up to {most:.0e} is rounding)\n");
    }
    match report.distance_of_exact_steps {
        None => format!("function not kept: {what}\n"),
        Some(exact) => format!(
            "function not kept: {what}; the steps after that kept what was left ({exact:.1e}, up to \
             {most:.0e} is rounding)\n"
        ),
    }
}

fn list(global: &Global) -> Result<()> {
    if global.json {
        let all: Vec<_> = LAUNDERINGS.iter().map(|one| as_json(one)).collect();
        return global.json_result(&all);
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(report::COLUMNS as u16)
        .set_header(["name", "function", "does"]);
    for one in LAUNDERINGS {
        let does = match one.strength {
            Strength::None => one.does.to_owned(),
            _ => format!("{}; ={}", one.does, strength(one)),
        };
        table.add_row([one.name, kind(one), &does]);
    }
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    global.result(&text)
}

fn as_json(one: &Laundering) -> serde_json::Value {
    json!({
        "name": one.name, "function": kind(one), "does": one.does, "strength": strength(one),
    })
}

fn kind(one: &Laundering) -> &'static str {
    match one.kind {
        Kind::Exact => "kept",
        Kind::Lossy => "not kept",
        Kind::ByFormat => "by format",
    }
}

fn strength(one: &Laundering) -> String {
    match one.strength {
        Strength::None => String::new(),
        Strength::Number {
            meaning, default, ..
        } => match default {
            Some(default) => format!("{meaning} [default {default}]"),
            None => format!("{meaning} [must be given]"),
        },
        Strength::Word { meaning, words } => {
            format!("{meaning}: {} [default: the first]", words.join(", "))
        }
    }
}
