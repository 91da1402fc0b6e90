//! What a model that reads pictures is shown.

use candle_core::Device;

use super::Continuation;
use super::Error;
use super::LocalRunner;
use super::first_row;
use crate::model::KvCache;
use crate::model::Model;
use crate::model::vision;
use crate::model::vision::IMAGE_MARK;
use crate::model::vision::Image;
use crate::model::vision::Prompt;
use crate::model::vision::Seen;
use crate::model::vision::Vision;
use crate::model::vision::VisionSpec;
use crate::probe::Picture;
use crate::probe::Readout;
use crate::record::Answer;
use crate::record::Failure;

/// A model's vision part, where it has one: in memory, or in its files until pictures are shown.
#[derive(Debug)]
pub(super) enum Eyes<'m> {
    /// A part that is there and cannot be run leaves a model that reads text; what is wrong is said when it
    /// is shown a picture.
    Open(Box<Result<Vision, vision::Error>>),
    Shut(&'m Model, Result<VisionSpec, vision::Error>),
}

/// A prompt with its picture, before the tower has seen that.
pub(super) struct Shown {
    pub prompt: Prompt,
    image: Image,
}

impl<'m> Eyes<'m> {
    /// Reads it.
    pub fn open(model: &Model, device: &Device) -> Self {
        Self::Open(Box::new(Vision::open(model, device)))
    }

    /// Leaves it in its files.
    pub fn shut(model: &'m Model) -> Self {
        Self::Shut(model, VisionSpec::of(model))
    }

    /// Whether it has one.
    pub fn see(&self) -> bool {
        let error = match self {
            Self::Open(vision) => (**vision).as_ref().err(),
            Self::Shut(_, spec) => spec.as_ref().err(),
        };
        !matches!(error, Some(vision::Error::Blind(_)))
    }

    /// Tokens that a picture of so many pixels becomes, where that can be said.
    pub fn tokens(&self, (width, height): (u32, u32)) -> Option<usize> {
        let spec = match self {
            Self::Open(vision) => (**vision).as_ref().ok()?.spec(),
            Self::Shut(_, spec) => spec.as_ref().ok()?,
        };
        let plan = spec.slicing.plan(width, height).ok()?;
        Some(plan.sizes().count() * (spec.resampler.query_num + 2))
    }

    /// Has `f` look with it, in memory.
    pub fn with<T>(
        &self,
        device: &Device,
        f: impl FnOnce(&Vision) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let read;
        let vision: &Result<Vision, vision::Error> = match self {
            Self::Open(vision) => vision,
            Self::Shut(model, _) => {
                read = Vision::open(model, device);
                &read
            }
        };
        let not_run = |reason: &vision::Error| Error::NotRunnable(reason.to_string());
        f(vision.as_ref().map_err(not_run)?)
    }
}

impl LocalRunner<'_> {
    /// The picture and, on the next line, the prompt, through the model.
    pub(super) fn shown(
        &self,
        prompt: &str,
        picture: &Picture,
        readout: &Readout,
    ) -> Result<Answer, Failure> {
        let seen = self.eyes.with(&self.device, |vision| {
            let shown = self.with_picture(vision, prompt, picture)?;
            seen(vision, shown)
        })?;
        let mut cache = KvCache::default();
        let logits = seen
            .next_logits(&self.decoder, &mut cache, &mut ())
            .map_err(Error::from)?;
        let after = (cache, first_row(&logits)?);
        Continuation::new(self, seen.prompt.tokens, after, readout)?.finished(self)
    }

    /// The picture and, on the next line, the prompt, as tokens that the model takes.
    pub(super) fn with_picture(
        &self,
        vision: &Vision,
        prompt: &str,
        picture: &Picture,
    ) -> Result<Shown, Failure> {
        if prompt.contains(IMAGE_MARK) {
            return Err(Failure::Item(format!(
                "the prompt holds `{IMAGE_MARK}`, which stands for the picture"
            )));
        }
        let rgb = picture.rgb().map_err(Failure::Item)?;
        let [width, height] = [rgb.width, rgb.height].map(|side| u32::try_from(side).unwrap_or(0));
        let image = Image::new(width, height, rgb.pixels).map_err(|error| item(&error))?;
        let prompt = format!("{IMAGE_MARK}\n{prompt}");
        let prompt = vision
            .prompt(self.tokenizer, &image, &prompt)
            .map_err(|error| item(&error))?;
        // Before the tower runs, which is what takes time.
        self.fits(prompt.tokens.len())?;
        Ok(Shown { prompt, image })
    }
}

/// What the tower makes of it.
pub(super) fn seen(vision: &Vision, shown: Shown) -> Result<Seen, Failure> {
    Ok(Seen {
        embeddings: vision.embed(&shown.image).map_err(|error| item(&error))?,
        prompt: shown.prompt,
    })
}

fn item(error: &vision::Error) -> Failure {
    Failure::Item(error.to_string())
}
