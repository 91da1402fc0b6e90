//! TrOCR: a ViT or DeiT encoder, and a decoder that looks at what it saw (Li et al. 2021, arXiv:2109.10282).
//!
//! The encoder's blocks are candle-transformers'. The decoder is here: candle-transformers 0.11.1 leaves out
//! the biases of its attention and feed-forward layers and the norm behind the embeddings, which every
//! published checkpoint has.

mod config;
mod decoder;
mod encoder;

use candle_core::Tensor;

use self::config::DecoderConfig;
use self::config::EncoderConfig;
use self::decoder::Decoder;
use self::decoder::State;
use self::encoder::Encoder;
use super::Configs;
use super::Error;
use super::Family;
use super::Plan;
use super::Reader;
use super::Reading;
use super::processor::Processor;
use super::stored::Stored;
use crate::model::tokenizer::Tokenizer;
use crate::model::vision::Image;
use crate::model::vision::resize::Filter;
use crate::model::vision::slices::Size;

pub(super) static TROCR: Family = Family {
    id: "trocr",
    model_type: "vision-encoder-decoder",
    prompting: "no prompt is taken",
    caveat: "it reads one line of text in a picture and takes no prompt: it answers every question about a picture with what it reads there",
    plan,
};

fn plan(configs: &Configs) -> Result<Box<dyn Plan>, Error> {
    let encoder = EncoderConfig::new(&configs.model)?;
    let decoder = DecoderConfig::new(&configs.model, encoder.hidden_size)?;
    config::check_size(&configs.processor, encoder.image_size)?;
    Ok(Box::new(Trocr {
        processor: Processor::new(&configs.processor, Filter::Bilinear)?,
        encoder,
        decoder,
    }))
}

/// How one is run.
#[derive(Debug)]
struct Trocr {
    processor: Processor,
    encoder: EncoderConfig,
    decoder: DecoderConfig,
}

impl Plan for Trocr {
    fn preparation(&self) -> String {
        let side = self.encoder.image_size;
        format!("{side} x {side}, {}", self.processor)
    }

    fn load(&self, weights: Stored<'_>) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(Loaded {
            processor: self.processor.clone(),
            side: self.encoder.image_size,
            encoder: Encoder::load(&self.encoder, weights)?,
            decoder: Decoder::load(&self.decoder, weights)?,
            start: self.decoder.start,
            eos: self.decoder.eos.clone(),
        }))
    }
}

/// One in memory.
#[derive(Debug)]
struct Loaded {
    processor: Processor,
    side: usize,
    encoder: Encoder,
    decoder: Decoder,
    start: u32,
    eos: Vec<u32>,
}

impl Reader for Loaded {
    fn eos(&self) -> &[u32] {
        &self.eos
    }

    fn show<'r>(
        &'r self,
        _: &Tokenizer,
        image: &Image,
        _: &str,
    ) -> Result<Box<dyn Reading + 'r>, Error> {
        let (width, height) = (self.side, self.side);
        let values = self.processor.values(image, Size { width, height });
        let seen = self.encoder.forward(values)?;
        Ok(Box::new(Line {
            state: self.decoder.look(&seen)?,
            decoder: &self.decoder,
            start: self.start,
            seen,
        }))
    }
}

/// The line that is being read.
struct Line<'r> {
    decoder: &'r Decoder,
    state: State,
    start: u32,
    seen: Tensor,
}

impl Reading for Line<'_> {
    fn prompt_tokens(&self) -> usize {
        1
    }

    fn next(&mut self, token: Option<u32>) -> Result<Option<Vec<f32>>, Error> {
        let token = token.unwrap_or(self.start);
        Ok(self.decoder.step(token, &mut self.state)?)
    }

    fn seen(&self) -> &Tensor {
        &self.seen
    }
}
