//! The written result, run beside the original.

use std::path::Path;

use candle_core::Device;
use candle_core::Tensor;

use crate::model;
use crate::model::Decoder;
use crate::model::Mode;
use crate::model::Model;
use crate::model::TensorStore;
use crate::model::Weights;
use crate::source;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::source::OpenOptions;

use super::Error;
use super::draft::Draft;

/// Relative distance of logits below which two models are the same function: a hundred times the
/// rounding of single precision over some thirty blocks, a hundredth of what 8-bit rounding does.
pub const TOLERANCE: f64 = 1e-4;

/// Logits on random tokens.
pub(super) struct Logits(model::Logits);

impl Logits {
    /// Of a draft, every weight made anew.
    pub(super) fn of_draft(draft: &Draft<'_>, seed: u64) -> Result<Self, Error> {
        let mut get = |role: &_| {
            let weight = draft.weight(role).map_err(candle_core::Error::wrap)?;
            let shape = weight.shape.as_slice();
            Ok(Some(Tensor::from_vec(weight.values, shape, &Device::Cpu)?))
        };
        let decoder = Decoder::from_tensors(&draft.spec, Mode::Inference, &mut get)?;
        Self::of(&decoder, seed)
    }

    /// Of the files that `draft` was written to: opened as any model is, or through the map of names
    /// where no family reads them.
    pub(super) fn of_files(draft: &Draft<'_>, folder: &Path, seed: u64) -> Result<Self, Error> {
        let reference = ModelRef {
            label: None,
            locator: Locator::Local(folder.to_path_buf()),
        };
        let artefacts = source::open(&reference, &OpenOptions::default())?;
        if draft.is_foreign() {
            let store = TensorStore::open(&artefacts)?;
            let (weights, _) = Weights::new(store, &draft.names()?);
            return Self::of(&Decoder::load(&weights, &draft.spec, &Device::Cpu)?, seed);
        }
        let model = Model::open(artefacts, "the result")?;
        let spec = model.spec.as_ref().map_err(|reason| Error::Unfit {
            model: "the result".to_owned(),
            reason: reason.clone(),
        })?;
        Self::of(&Decoder::load(&model.weights, spec, &Device::Cpu)?, seed)
    }

    fn of(decoder: &Decoder, seed: u64) -> Result<Self, Error> {
        let tokens = decoder.spec().vocab_size;
        Ok(Self(model::Logits::on_random_tokens(
            decoder, tokens, seed,
        )?))
    }

    /// `|self - other| / |self|`, Euclidean.
    pub(super) fn distance(&self, other: &Self) -> f64 {
        self.0.distance(&other.0)
    }
}
