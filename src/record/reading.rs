//! A model that reads pictures with parts of its own as a [`Runner`].

use super::Error;
use super::numbers::candidates;
use super::numbers::decided;
use super::numbers::stopped;
use super::runner::Answer;
use super::runner::Failure;
use super::runner::Runner;
use crate::model::Model;
use crate::model::Tokenizer;
use crate::model::reader;
use crate::model::reader::Reader;
use crate::model::reader::Reading;
use crate::model::vision::Image;
use crate::probe::Picture;
use crate::probe::Readout;

/// Such a model in memory, shown one picture at a time, f32 on the CPU.
#[derive(Debug)]
pub struct ReadingRunner<'m> {
    identity: String,
    preparation: String,
    reader: Box<dyn Reader>,
    tokenizer: &'m Tokenizer,
}

impl<'m> ReadingRunner<'m> {
    /// Reads a model's weights into memory.
    ///
    /// # Errors
    /// [`Error::NotRunnable`] for a model of no such family, a config that cannot be honoured, tensors that do
    /// not fit it, no usable tokenizer.
    pub fn load(model: &'m Model) -> Result<Self, Error> {
        let not_runnable = |reason: &String| Error::NotRunnable(reason.clone());
        let blueprint = match &model.reader {
            Some(blueprint) => blueprint.as_ref().map_err(not_runnable)?,
            None => {
                return Err(Error::NotRunnable(
                    "the model has no parts of its own that read pictures".to_owned(),
                ));
            }
        };
        let tokenizer = model.tokenizer.as_ref().map_err(not_runnable)?;
        let reader = blueprint.load(model.weights.store()).map_err(not_loaded)?;
        Ok(Self {
            identity: model.identity(),
            preparation: blueprint.preparation(),
            reader,
            tokenizer,
        })
    }

    fn shown(&self, prompt: &str, picture: &Picture) -> Result<Box<dyn Reading + '_>, Failure> {
        let rgb = picture.rgb().map_err(Failure::Item)?;
        let [width, height] = [rgb.width, rgb.height].map(|side| u32::try_from(side).unwrap_or(0));
        let image = Image::new(width, height, rgb.pixels);
        let image = image.map_err(|error| Failure::Item(error.to_string()))?;
        self.reader
            .show(self.tokenizer, &image, prompt)
            .map_err(failure)
    }

    /// Up to `max_tokens` tokens, or to the first stop string after any text.
    fn written(
        &self,
        mut reading: Box<dyn Reading + '_>,
        max_tokens: usize,
        stop: &[String],
    ) -> Result<Answer, Failure> {
        let mut answer = Answer {
            prompt_tokens: Some(reading.prompt_tokens()),
            text: String::new(),
            tokens: Vec::new(),
            top: Vec::new(),
            margins: Vec::new(),
            inside: None,
            places: Vec::new(),
        };
        while let Some(logits) = reading
            .next(answer.tokens.last().copied())
            .map_err(failure)?
        {
            if logits.iter().any(|logit| !logit.is_finite()) {
                return Err(Failure::Item("the logits are not finite".to_owned()));
            }
            if answer.top.is_empty() {
                answer.top = candidates(self.tokenizer, &logits);
            }
            let decided = decided(&logits, |token| self.ends(token));
            let Some((best, margin)) = decided.filter(|_| max_tokens > 0) else {
                break;
            };
            answer.margins.extend(margin);
            if self.ends(best) {
                break;
            }
            answer.tokens.push(best);
            answer.text = self.text(&answer.tokens)?;
            if let Some(end) = stopped(&answer.text, stop) {
                answer.text.truncate(end);
                break;
            }
            if answer.tokens.len() == max_tokens {
                break;
            }
        }
        Ok(answer)
    }

    fn ends(&self, token: u32) -> bool {
        self.tokenizer.eos().contains(&token) || self.reader.eos().contains(&token)
    }

    fn text(&self, tokens: &[u32]) -> Result<String, Failure> {
        self.tokenizer
            .decode(tokens)
            .map_err(|error| Failure::Item(error.to_string()))
    }
}

impl Runner for ReadingRunner<'_> {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn engine(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!("kinprobe {version}, f32, cpu; {}", self.preparation)
    }

    fn token_text(&self, token: u32) -> Option<String> {
        self.tokenizer.token_text(token)
    }

    fn sees(&self) -> bool {
        true
    }

    fn reads_text(&self) -> bool {
        false
    }

    fn answer(&self, _: &str, _: &Readout) -> Result<Answer, Failure> {
        Err(Failure::Item(
            "the model reads pictures alone: name a suite of pictures (`kinprobe suite ls`)"
                .to_owned(),
        ))
    }

    fn look(&self, prompt: &str, picture: &Picture, readout: &Readout) -> Result<Answer, Failure> {
        match readout {
            Readout::Generate { max_tokens, stop } => {
                let reading = self.shown(prompt, picture)?;
                self.written(reading, *max_tokens, stop)
            }
            Readout::NextToken => Err(Failure::Item(
                "pictures are answered in words: the readout must be `generate`".to_owned(),
            )),
        }
    }
}

/// Tensors that do not fit leave a model that can still be compared.
fn not_loaded(error: reader::Error) -> Error {
    match error.is_of_the_model() {
        true => Error::NotRunnable(error.to_string()),
        false => Error::Reader(error),
    }
}

fn failure(error: reader::Error) -> Failure {
    match error.is_of_the_item() {
        true => Failure::Item(error.to_string()),
        false => Failure::Run(Error::Reader(error)),
    }
}
