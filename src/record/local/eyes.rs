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
use crate::model::vision::Seen;
use crate::model::vision::Vision;
use crate::probe::Picture;
use crate::record::Failure;

/// A model's vision part, where it has one.
#[derive(Debug)]
pub(super) struct Eyes(Result<Vision, vision::Error>);

impl Eyes {
    /// Reads it. A part that is there and cannot be run leaves a model that reads text; what is wrong is
    /// said when it is shown a picture.
    pub fn open(model: &Model, device: &Device) -> Self {
        Self(Vision::open(model, device))
    }

    /// Whether it has one.
    pub fn see(&self) -> bool {
        !matches!(self.0, Err(vision::Error::Blind(_)))
    }
}

impl<'m> LocalRunner<'m> {
    /// The picture and, on the next line, the prompt, through the model.
    pub(super) fn shown(
        &self,
        prompt: &str,
        picture: &Picture,
    ) -> Result<Continuation<'_, 'm>, Failure> {
        let vision = self
            .eyes
            .0
            .as_ref()
            .map_err(|reason| Failure::Run(Error::NotRunnable(reason.to_string())))?;
        let item = |reason: String| Failure::Item(reason);
        if prompt.contains(IMAGE_MARK) {
            return Err(item(format!(
                "the prompt holds `{IMAGE_MARK}`, which stands for the picture"
            )));
        }
        let rgb = picture.rgb().map_err(item)?;
        let [width, height] = [rgb.width, rgb.height].map(|side| u32::try_from(side).unwrap_or(0));
        let image =
            Image::new(width, height, rgb.pixels).map_err(|error| item(error.to_string()))?;
        let prompt = format!("{IMAGE_MARK}\n{prompt}");
        let shown = |error: vision::Error| item(error.to_string());
        let prompt = vision
            .prompt(self.tokenizer, &image, &prompt)
            .map_err(shown)?;
        // Before the tower runs, which is what takes time.
        self.fits(prompt.tokens.len())?;
        let embeddings = vision.embed(&image).map_err(shown)?;
        let seen = Seen { prompt, embeddings };
        let mut cache = KvCache::default();
        let logits = seen
            .next_logits(&self.decoder, &mut cache, &mut ())
            .map_err(Error::from)?;
        self.continuation(seen.prompt.tokens, cache, first_row(&logits)?)
    }
}
