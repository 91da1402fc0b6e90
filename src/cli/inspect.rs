//! `kinprobe inspect`: static facts of one model.

mod copies;

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::assemble;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::source;
use crate::source::Artefact;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::text::ModelText;
use crate::verdict::Calibration;
use copies::Copies;

/// Flags of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model
    model: ModelRef,
    /// Also hold the model's layers and experts against one another: copies are left by depth scaling and
    /// by upcycling (reads the MLPs)
    #[arg(long)]
    copies: bool,
    /// Of the hidden units that are looked up
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Static facts.
#[derive(Debug, Serialize)]
struct Facts {
    schema: &'static str,
    source: String,
    revision: Option<String>,
    digest: String,
    architecture: String,
    parameters: u64,
    files: Vec<Artefact>,
    config: serde_json::Map<String, serde_json::Value>,
    /// Why the forward pass cannot be run, if it cannot.
    not_runnable: Option<String>,
    tokenizer: TokenizerFacts,
    /// Role -> stored tensor.
    roles: BTreeMap<String, String>,
    /// Stored tensors that no role claims.
    unassigned: Vec<String>,
    /// Storage type -> tensors.
    dtypes: BTreeMap<String, usize>,
    caveats: Vec<String>,
    /// With `--copies` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    copies: Option<Copies>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum TokenizerFacts {
    Present {
        kind: String,
        vocabulary: usize,
        merges: usize,
        added: usize,
    },
    Missing {
        reason: String,
    },
}

/// Opens the model, says what it is.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let mut options = OpenOptions::from_env();
    options.offline |= global.offline;
    options.data_root = source::data_root(global.data.as_deref()).ok();
    options.progress = Some(Bars::shared(global));
    let artefacts = source::open(&args.model, &options)?;
    let model = Model::open(artefacts, args.model.label.as_deref().unwrap_or("model"))?;
    let mut facts = facts(&model);
    if args.copies {
        let data = source::data_root(global.data.as_deref())?;
        facts.copies = Some(Copies::of(&model, &Calibration::load(&data)?, args.seed)?);
    }
    if global.json {
        return global.json_result(&facts);
    }
    global.result(&facts.text())
}

fn facts(model: &Model) -> Facts {
    let store = model.weights.store();
    let mut roles = BTreeMap::new();
    let mut unassigned: Vec<String> = store.names().map(str::to_owned).collect();
    for role in model.weights.roles() {
        if let Some(binding) = model.weights.binding(role) {
            roles.insert(role.to_string(), binding.tensor.clone());
            unassigned.retain(|name| *name != binding.tensor);
        }
    }
    let mut dtypes = BTreeMap::new();
    for info in store.iter().map(|(_, info)| info) {
        *dtypes.entry(info.dtype.name.to_owned()).or_default() += 1;
    }
    Facts {
        schema: "kinprobe/inspect/v1",
        source: model.artefacts.reference.clone(),
        revision: model.artefacts.revision.clone(),
        digest: model.digest(),
        architecture: assemble::architecture(model),
        parameters: model.parameters,
        files: model.artefacts.files().cloned().collect(),
        config: model.config.clone(),
        not_runnable: model.not_runnable(),
        tokenizer: match &model.tokenizer {
            Ok(tokenizer) => TokenizerFacts::Present {
                kind: tokenizer.kind().to_owned(),
                vocabulary: tokenizer.vocab().len(),
                merges: tokenizer.merges().len(),
                added: tokenizer.added().len(),
            },
            Err(reason) => TokenizerFacts::Missing {
                reason: reason.clone(),
            },
        },
        roles,
        unassigned,
        dtypes,
        caveats: model.caveats.clone(),
        copies: None,
    }
}

impl Facts {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<14} {}", ModelText::new(value).clipped(200));
        };
        row("source", self.source.clone());
        if let Some(revision) = &self.revision {
            row("revision", revision.clone());
        }
        row("digest", self.digest.clone());
        row("architecture", self.architecture.clone());
        row(
            "parameters",
            format!("{:.3} M", self.parameters as f64 / 1e6),
        );
        let dtypes: Vec<String> = self
            .dtypes
            .iter()
            .map(|(name, n)| format!("{n} x {name}"))
            .collect();
        row("tensors", dtypes.join(", "));
        row(
            "roles",
            format!(
                "{} bound, {} tensors unassigned",
                self.roles.len(),
                self.unassigned.len()
            ),
        );
        row(
            "tokenizer",
            match &self.tokenizer {
                TokenizerFacts::Present {
                    kind,
                    vocabulary,
                    merges,
                    added,
                } => {
                    format!("{kind}, {vocabulary} entries, {merges} merges, {added} added tokens")
                }
                TokenizerFacts::Missing { reason } => reason.clone(),
            },
        );
        row(
            "runs",
            self.not_runnable
                .clone()
                .map_or("yes".to_owned(), |reason| format!("no: {reason}")),
        );
        for file in &self.files {
            row(
                "file",
                format!("{} {} bytes sha256:{}", file.name, file.size, file.sha256),
            );
        }
        for caveat in &self.caveats {
            row("caveat", caveat.clone());
        }
        for name in self.unassigned.iter().take(10) {
            row("unassigned", name.clone());
        }
        for line in self.copies.iter().flat_map(Copies::lines) {
            row("copies", line);
        }
        text
    }
}
