//! PaddleOCR-VL: a tower that takes pictures in their own proportions, and ERNIE's decoder with positions in
//! three dimensions (Cui et al. 2025, arXiv:2510.14528).
//!
//! The tower is candle-transformers'. What follows is here: the projector of candle-transformers 0.11.1
//! approximates its activation by a hyperbolic tangent where the reference has the error function, and its
//! model gives out nothing between tower and logits.

mod config;
mod sizes;
mod text;
mod tower;

use candle_core::Tensor;

use self::config::TextConfig;
use self::config::VisionConfig;
use self::sizes::Sizes;
use self::text::Position;
use self::text::Text;
use self::tower::Tower;
use super::Configs;
use super::Error;
use super::Family;
use super::Plan;
use super::Reader;
use super::Reading;
use super::processor::Processor;
use super::stored::Stored;
use super::words::token;
use crate::model::config::RawConfig;
use crate::model::tokenizer::Tokenizer;
use crate::model::vision::Image;
use crate::model::vision::resize::Filter;

pub(super) static PADDLEOCR_VL: Family = Family {
    id: "paddleocr-vl",
    model_type: "paddleocr_vl",
    prompting: "prompts in the model's chat template",
    caveat: "it is asked about pictures alone, each in the frame of its own chat template (`User: … Assistant: `)",
    plan,
};

/// What stands for the picture in a prompt; it is repeated for each of its parts.
const PLACEHOLDER: &str = "<|IMAGE_PLACEHOLDER|>";

fn plan(configs: &Configs) -> Result<Box<dyn Plan>, Error> {
    let whole = &configs.model;
    let vision = VisionConfig::new(whole)?;
    // As `transformers` 5 writes it; published configs have these words beside `vision_config`.
    let text = whole.nested("text_config");
    let text = TextConfig::new(text.as_ref().unwrap_or(whole), whole)?;
    Ok(Box::new(PaddleOcrVl {
        processor: Processor::new(&configs.processor, Filter::Bicubic)?,
        sizes: Sizes::new(&configs.processor, &vision)?,
        marks: Marks::new(whole, text.vocab_size)?,
        vision,
        text,
    }))
}

/// How one is run.
#[derive(Debug)]
struct PaddleOcrVl {
    processor: Processor,
    sizes: Sizes,
    marks: Marks,
    vision: VisionConfig,
    text: TextConfig,
}

/// Tokens with a meaning.
#[derive(Debug, Clone)]
struct Marks {
    image: u32,
    eos: Vec<u32>,
}

impl Marks {
    fn new(config: &RawConfig, vocab_size: usize) -> Result<Self, Error> {
        let text = config.nested("text_config");
        let configs: Vec<&RawConfig> = text.iter().chain([config]).collect();
        let image = token(&[config], "image_token_id")?.unwrap_or(100_295);
        match (image as usize) < vocab_size {
            true => Ok(Self {
                image,
                eos: token(&configs, "eos_token_id")?.into_iter().collect(),
            }),
            false => Err(super::words::nonsense(format!(
                "`image_token_id` {image} of {vocab_size} tokens"
            ))),
        }
    }
}

impl Plan for PaddleOcrVl {
    fn preparation(&self) -> String {
        format!("{}, {}", self.sizes, self.processor)
    }

    fn load(&self, weights: Stored<'_>) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(Loaded {
            processor: self.processor.clone(),
            sizes: self.sizes,
            marks: self.marks.clone(),
            tower: Tower::load(&self.vision, self.text.hidden_size, weights)?,
            text: Text::load(&self.text, weights)?,
        }))
    }
}

/// One in memory.
#[derive(Debug)]
struct Loaded {
    processor: Processor,
    sizes: Sizes,
    marks: Marks,
    tower: Tower,
    text: Text,
}

impl Loaded {
    /// The prompt in its frame, with `parts` placeholders.
    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str, parts: usize) -> Result<Vec<u32>, Error> {
        let framed = format!(
            "<|begin_of_sentence|>User: <|IMAGE_START|>{PLACEHOLDER}<|IMAGE_END|>{prompt}\nAssistant: "
        );
        let tokens = tokenizer.encode_as_written(&framed)?;
        let image = self.marks.image;
        let found = tokens.iter().filter(|token| **token == image).count();
        if found != 1 {
            return Err(Error::Refused(format!(
                "the prompt has {found} tokens `{PLACEHOLDER}` (id {image}), which stands for the picture, and not 1: leave it out of the prompt, or take the tokenizer of this model"
            )));
        }
        let length = tokens.len() - 1 + parts;
        let limit = self.text.config().max_position_embeddings;
        if length > limit {
            return Err(Error::Refused(format!(
                "the prompt has {length} tokens, {parts} of them the picture's; the model takes {limit}"
            )));
        }
        let times = |token: u32| if token == image { parts } else { 1 };
        let expanded = tokens
            .into_iter()
            .flat_map(|token| std::iter::repeat_n(token, times(token)));
        Ok(expanded.collect())
    }
}

impl Reader for Loaded {
    fn eos(&self) -> &[u32] {
        &self.marks.eos
    }

    fn show<'r>(
        &'r self,
        tokenizer: &Tokenizer,
        image: &Image,
        prompt: &str,
    ) -> Result<Box<dyn Reading + 'r>, Error> {
        let size = self.sizes.of(image.size())?;
        let grid = self.sizes.grid(size);
        let merged = self.sizes.merged(grid);
        let tokens = self.prompt(tokenizer, prompt, merged.0 * merged.1)?;
        let values = self.processor.values(image, size);
        let seen = self.tower.look(values, size, grid)?;
        let parts = self.tower.project(&seen, grid)?;
        let positions = positions(&tokens, self.marks.image, merged);
        Ok(Box::new(Page {
            next: positions.last().map_or(0, |position| position.0[0] + 1),
            prompt: Some((tokens, positions, parts)),
            read: 0,
            cache: self.text.cache(),
            text: &self.text,
            image: self.marks.image,
            seen,
        }))
    }
}

/// Positions of a prompt: those of text go on, those of the picture are rows and columns of `(rows, columns)`
/// from where it stands, and what follows begins behind the longer of both.
fn positions(tokens: &[u32], image: u32, (rows, columns): (usize, usize)) -> Vec<Position> {
    let mut at = 0;
    let mut part = 0;
    let mut found = Vec::with_capacity(tokens.len());
    for token in tokens {
        if *token == image {
            found.push(Position([at, at + part / columns, at + part % columns]));
            part += 1;
            if part == rows * columns {
                at += rows.max(columns);
            }
        } else {
            found.push(Position([at; 3]));
            at += 1;
        }
    }
    found
}

/// The page that is being read.
struct Page<'r> {
    text: &'r Text,
    image: u32,
    /// Tokens, positions, and what takes the place of the picture's; until they are read.
    prompt: Option<(Vec<u32>, Vec<Position>, Tensor)>,
    /// Tokens of the prompt.
    read: usize,
    /// Position of the next token.
    next: usize,
    cache: text::Cache,
    seen: Tensor,
}

impl Reading for Page<'_> {
    fn prompt_tokens(&self) -> usize {
        match &self.prompt {
            Some((tokens, ..)) => tokens.len(),
            None => self.read,
        }
    }

    fn next(&mut self, token: Option<u32>) -> Result<Option<Vec<f32>>, Error> {
        if let Some((tokens, positions, parts)) = self.prompt.take() {
            self.read = tokens.len();
            let embedded = self.text.embed(&tokens, self.image, &parts)?;
            let logits = self.text.step(&embedded, &positions, &mut self.cache)?;
            return Ok(Some(logits));
        }
        let Some(token) = token else {
            return Ok(None);
        };
        if self.next >= self.text.config().max_position_embeddings {
            return Ok(None);
        }
        let embedded = self.text.row(token)?;
        let position = [Position([self.next; 3])];
        self.next += 1;
        let logits = self.text.step(&embedded, &position, &mut self.cache)?;
        Ok(Some(logits))
    }

    fn seen(&self) -> &Tensor {
        &self.seen
    }
}
