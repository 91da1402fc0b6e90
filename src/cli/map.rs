//! `kinprobe map`: which tensor of a renamed model is which of another.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use comfy_table::ContentArrangement;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::model::mapping;
use crate::model::mapping::Clarity;
use crate::model::mapping::How;
use crate::model::mapping::Mapping;
use crate::model::mapping::Pairing;
use crate::model::mapping::Support;
use crate::model::mapping::WriteError;
use crate::model::mapping::Written;
use crate::report;
use crate::source;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::text::ModelText;

/// Most characters of a name in the table.
const NAME: usize = 60;

/// Flags of `map`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model whose tensors are looked up
    suspect: ModelRef,
    /// The model whose roles are known
    #[arg(long, value_name = "REF")]
    onto: ModelRef,
    /// Write the suspect's numbers with REF's tensor names, layout and config, and run both
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Of the random tokens that both are run on
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// The mapping as one document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    suspect: Side<'a>,
    reference: Side<'a>,
    pairs: Vec<Row<'a>>,
    /// Tensors with no counterpart.
    only_suspect: &'a [String],
    only_reference: &'a [String],
    rules: &'a [String],
    by_name: usize,
    by_rule: usize,
    by_content: usize,
    clarity: Clarity,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<&'a Written>,
}

#[derive(Debug, Serialize)]
struct Side<'a> {
    source: &'a str,
    digest: String,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    tensor: &'a str,
    reference: &'a str,
    roles: Vec<String>,
    transposed: bool,
    how: How,
    #[serde(flatten)]
    support: Support,
}

/// Opens both, maps, writes if asked to, prints.
///
/// # Errors
/// Models that cannot be opened; a reference without roles; with `--write`, a suspect that is not whole.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(out) = args.write.as_ref().filter(|out| out.exists()) {
        let path = out.clone();
        return Err(exit::usage(WriteError::Exists { path }));
    }
    let suspect = open(&args.suspect, "suspect", global)?;
    let reference = open(&args.onto, "reference", global)?;
    if reference.weights.roles().next().is_none() {
        let reason = reference.spec.as_ref().err().map_or("", String::as_str);
        let line = format!(
            "{}: its own roles are not known ({reason}); name a reference of a known architecture",
            reference.label
        );
        return Err(exit::coded(exit::MODEL, line));
    }
    let mapping = mapping::map(&suspect.weights, &reference.weights)?;
    if mapping.pairs.is_empty() {
        let line = format!(
            "{}: no tensor of it has the name or the shape of one of the reference's; name another reference",
            suspect.label
        );
        return Err(exit::coded(exit::MODEL, line));
    }
    let written = match &args.write {
        None => None,
        Some(out) => {
            Some(mapping::write(&suspect, &reference, &mapping, out, args.seed).map_err(coded)?)
        }
    };
    let document = Document::new([&suspect, &reference], &mapping, written.as_ref());
    if global.json {
        return global.json_result(&document);
    }
    global.result(&document.text(args.write.as_ref()))
}

fn open(reference: &ModelRef, label: &str, global: &Global) -> Result<Model> {
    let mut options = OpenOptions::from_env();
    options.offline |= global.offline;
    options.data_root = source::data_root(global.data.as_deref()).ok();
    options.progress = Some(Bars::shared(global));
    let artefacts = source::open(reference, &options)?;
    let label = reference.label.as_deref().unwrap_or(label);
    Ok(Model::open(artefacts, label)?)
}

fn coded(error: WriteError) -> anyhow::Error {
    match error {
        WriteError::Exists { .. } => exit::usage(error),
        other => exit::coded(exit::MODEL, other),
    }
}

impl<'a> Document<'a> {
    fn new(
        [suspect, reference]: [&'a Model; 2],
        mapping: &'a Mapping,
        written: Option<&'a Written>,
    ) -> Self {
        let side = |model: &'a Model| Side {
            source: &model.artefacts.reference,
            digest: model.digest(),
        };
        Self {
            schema: "kinprobe/map/v1",
            suspect: side(suspect),
            reference: side(reference),
            pairs: mapping.pairs.iter().map(Row::new).collect(),
            only_suspect: &mapping.only_suspect,
            only_reference: &mapping.only_reference,
            rules: &mapping.rules,
            by_name: mapping.by(How::Name),
            by_rule: mapping.by(How::Rule),
            by_content: mapping.by(How::Content),
            clarity: mapping.clarity(),
            summary: mapping.summary(),
            written,
        }
    }

    fn text(&self, out: Option<&PathBuf>) -> String {
        let mut text = self.table();
        for rule in self.rules {
            let _ = writeln!(text, "rule: {}", ModelText::new(rule).clipped(120));
        }
        for (side, names) in [
            ("suspect", self.only_suspect),
            ("reference", self.only_reference),
        ] {
            for name in names {
                let _ = writeln!(
                    text,
                    "only in the {side}: {}",
                    ModelText::new(name).clipped(NAME)
                );
            }
        }
        let _ = writeln!(text, "tensors assigned: {}", self.summary);
        if let (Some(written), Some(out)) = (self.written, out) {
            let place = ModelText::new(out.display().to_string());
            let _ = writeln!(
                text,
                "{place}: written as {}, {} weights stored as {}",
                written.architecture, written.parameters, written.stored
            );
            for note in &written.notes {
                let _ = writeln!(text, "{note}");
            }
            let _ = writeln!(
                text,
                "run beside the reference on random tokens: largest difference of logits {:.1e} of the \
                 largest logit, same first choice at {:.1} % of positions",
                written.logit_distance,
                100.0 * written.top1_agreement
            );
        }
        text
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_width(report::COLUMNS as u16)
            .set_header(["suspect", "reference", "role", "how", "distance", "margin"]);
        let number =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
        for row in &self.pairs {
            let role = match row.roles.as_slice() {
                [only] => only.clone(),
                [first, rest @ ..] => format!("{first} and {} more", rest.len()),
                [] => String::new(),
            };
            let how = match (row.how, row.transposed) {
                (How::Name, false) => "name",
                (How::Name, true) => "name, transposed",
                (How::Rule, false) => "rule",
                (How::Rule, true) => "rule, transposed",
                (How::Content, false) => "content",
                (How::Content, true) => "content, transposed",
            };
            table.add_row([
                ModelText::new(row.tensor).clipped(NAME),
                ModelText::new(row.reference).clipped(NAME),
                role,
                how.to_owned(),
                number(row.support.distance),
                number(row.support.margin),
            ]);
        }
        let mut text = String::new();
        for line in table.lines() {
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

impl<'a> Row<'a> {
    fn new(pair: &'a Pairing) -> Self {
        Self {
            tensor: &pair.tensor,
            reference: &pair.reference,
            roles: pair.roles.keys().map(ToString::to_string).collect(),
            transposed: pair.transposed,
            how: pair.how,
            support: pair.support,
        }
    }
}
