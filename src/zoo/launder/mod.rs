//! Transformed copies of any model: launderings that keep its function and changes that do not.
//!
//! Weights are made when they are asked for: each [`Step`] wraps the source of the [`Draft`] before
//! it, and writing walks over the stored tensors one by one. A laundering is one file here with its
//! line in [`LAUNDERINGS`].
//!
//! What keeps the function is checked twice: a step refuses a model for which its mathematics does
//! not hold, before anything is written; and the written result is run beside the original.

mod depth;
mod draft;
mod error;
mod experts;
mod fold;
mod heads;
mod low_rank;
mod matrix;
mod merge;
mod noise;
mod place;
mod prune;
mod query_key;
mod rename;
mod residual;
mod round;
mod shift_head;
mod square;
mod step;
mod storage;
mod units;
mod value_output;
mod verify;
mod vocabulary;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

pub use depth::blocks_after;
pub use draft::Draft;
pub use draft::Source;
pub use error::Error;
pub use step::Kind;
pub use step::Laundering;
pub use step::Step;
pub use step::Strength;
pub use verify::TOLERANCE;

use crate::model::Model;
use crate::model::store::NumberFormat;
use crate::model::store::Partial;
use verify::Logits;

/// Every laundering: first those that keep the function, then those that do not.
pub static LAUNDERINGS: &[&Laundering] = &[
    &rename::RENAME,
    &units::PERMUTE_UNITS,
    &heads::PERMUTE_HEADS,
    &experts::PERMUTE_EXPERTS,
    &residual::PERMUTE_RESIDUAL,
    &fold::FOLD_GAINS,
    &residual::ROTATE_RESIDUAL,
    &residual::SCALE_RESIDUAL,
    &units::RESCALE_UP_DOWN,
    &value_output::RESCALE_VALUE_OUTPUT,
    &query_key::ROTATE_QUERY_KEY,
    &shift_head::SHIFT_HEAD,
    &storage::RESHARD,
    &storage::DTYPE,
    &noise::NOISE,
    &low_rank::LOW_RANK,
    &round::ROUND,
    &prune::PRUNE,
    &units::PRUNE_UNITS,
    &depth::DROP_LAYERS,
    &depth::DUPLICATE_LAYERS,
    &merge::LINEAR,
    &merge::SLERP,
    &merge::TIES,
    &merge::DARE,
];

/// What a chain of launderings needs besides the model.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Of everything random.
    pub seed: u64,
    /// The model that a merge mixes in.
    pub other: Option<&'a Model>,
    /// The model that both sides of a merge come from.
    pub base: Option<&'a Model>,
    /// Whether to run the result beside the original.
    pub verify: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            seed: 0,
            other: None,
            base: None,
            verify: true,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `kinprobe/launder/v1`.
    pub schema: &'static str,
    /// Digest of the original's files.
    pub of: String,
    /// Launderings in order, each with its strength.
    pub steps: Vec<String>,
    /// Of everything random.
    pub seed: u64,
    /// Whether every step keeps the function.
    pub exact: bool,
    /// Number format of the result.
    pub stored: &'static str,
    /// Weights of the result.
    pub parameters: u64,
    /// Relative distance of the result's logits from the original's on random tokens, each position
    /// centred; absent when it was not measured.
    pub distance: Option<f64>,
    /// The same from the model as it was after the last step that does not keep the function, where
    /// there is one and steps that do follow it.
    pub distance_of_exact_steps: Option<f64>,
    /// What was done that the steps do not say.
    pub notes: Vec<String>,
    /// Tensor name of each role, where the names are not those of a family that is read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}

/// Writes `model`, changed by `steps` in order, as a folder: `config.json`, the tokenizer if it has
/// one, safetensors, and `launder.json` with what was done. The folder appears when all is written
/// and verified.
///
/// Memory: some tensors while writing; with [`Options::verify`] one model in f32 at a time.
///
/// # Errors
/// [`Error::Refused`] before anything is written, for a model that a step cannot be done to;
/// [`Error::Distance`] when steps that keep the function did not; what reading and writing report.
pub fn launder(
    model: &Model,
    steps: &[Step],
    options: &Options<'_>,
    out: &Path,
) -> Result<Report, Error> {
    if out.exists() {
        let path = out.to_path_buf();
        return Err(Error::Exists { path });
    }
    let original = Draft::of(model)?;
    let mut draft = original.clone();
    // The model as it was when its function was last changed on purpose.
    let mut kept = original.clone();
    for (place, step) in steps.iter().enumerate() {
        step.apply(&mut draft, place, options)?;
        if !step.exact() {
            kept = draft.clone();
        }
    }
    let mut report = report(model, steps, options, &draft)?;
    let partial = Partial::new(out)?;
    draft.write(partial.path())?;
    if options.verify {
        verify(&original, &kept, &draft, partial.path(), steps, &mut report)?;
    }
    let record = partial.path().join("launder.json");
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    std::fs::write(&record, text + "\n").map_err(super::Error::io(&record))?;
    partial.keep(out)?;
    Ok(report)
}

/// Measures what the result's logits have become, and judges those steps that promise to keep them.
fn verify(
    original: &Draft<'_>,
    kept: &Draft<'_>,
    draft: &Draft<'_>,
    folder: &Path,
    steps: &[Step],
    report: &mut Report,
) -> Result<(), Error> {
    let seed = report.seed;
    let result = Logits::of_files(draft, folder, seed)?;
    let distance = Logits::of_draft(original, seed)?.distance(&result);
    report.distance = Some(distance);
    let judged = match steps.iter().rposition(|step| !step.exact()) {
        None => distance,
        // The format is that of the files, whatever the step's place: its rounding is no mistake.
        Some(_) if draft.format.is_some_and(|f| f != NumberFormat::F32) => return Ok(()),
        Some(last) if last + 1 == steps.len() => return Ok(()),
        Some(_) => {
            let distance = Logits::of_draft(kept, seed)?.distance(&result);
            report.distance_of_exact_steps = Some(distance);
            distance
        }
    };
    if judged > TOLERANCE || judged.is_nan() {
        return Err(Error::Distance {
            distance: judged,
            tolerance: TOLERANCE,
        });
    }
    Ok(())
}

fn report(
    model: &Model,
    steps: &[Step],
    options: &Options<'_>,
    draft: &Draft<'_>,
) -> Result<Report, Error> {
    let mut names = BTreeMap::new();
    if draft.is_foreign() {
        for (role, binding) in draft.names()? {
            names.insert(role.to_string(), binding.tensor);
        }
    }
    Ok(Report {
        schema: "kinprobe/launder/v1",
        of: model.digest(),
        steps: steps.iter().map(Step::to_string).collect(),
        seed: options.seed,
        exact: steps.iter().all(Step::exact),
        stored: draft.number_format().torch_name(),
        parameters: draft.parameters(),
        distance: None,
        distance_of_exact_steps: None,
        notes: draft.notes.clone(),
        names,
    })
}

#[cfg(test)]
mod tests;
