//! The `config.json` of a `VisionEncoderDecoderModel` whose parts are those of TrOCR.

use candle_nn::Activation;

use crate::model::ConfigError;
use crate::model::config::RawConfig;
use crate::model::reader::Error;
use crate::model::reader::words::MAX_LAYERS;
use crate::model::reader::words::MAX_WIDTH;
use crate::model::reader::words::activation;
use crate::model::reader::words::nonsense;
use crate::model::reader::words::token;
use crate::model::spec::Activation::Gelu;
use crate::text::ModelText;

/// Pixels of a side beyond which a config is not believed.
const MAX_SIDE: usize = 2048;

/// The part that sees.
#[derive(Debug, Clone)]
pub(super) struct EncoderConfig {
    /// Whether a distillation token stands behind the class token, as DeiT has it.
    pub distilled: bool,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
    pub image_size: usize,
    pub patch_size: usize,
    pub qkv_bias: bool,
}

/// The part that writes.
#[derive(Debug, Clone)]
pub(super) struct DecoderConfig {
    pub vocab_size: usize,
    pub d_model: usize,
    pub decoder_layers: usize,
    pub decoder_attention_heads: usize,
    pub decoder_ffn_dim: usize,
    pub activation_function: Activation,
    pub max_position_embeddings: usize,
    pub use_learned_position_embeddings: bool,
    pub layernorm_embedding: bool,
    pub scale_embedding: bool,
    pub tie_word_embeddings: bool,
    /// Width of what it looks at.
    pub seen: usize,
    /// Width of the encoder, where that is brought to another before it is looked at.
    pub projected_from: Option<usize>,
    pub pad: u32,
    pub start: u32,
    pub eos: Vec<u32>,
}

impl EncoderConfig {
    /// Reads `encoder` of a `config.json`.
    ///
    /// # Errors
    /// Another kind of encoder; sizes that make no sense.
    pub fn new(config: &RawConfig) -> Result<Self, Error> {
        let config = nested(config, "encoder", &["vit", "deit"])?;
        for (key, only) in [("num_channels", 3)] {
            if config
                .optional_size(key)?
                .is_some_and(|found| found != only)
            {
                return Err(Error::Unsupported(format!("`encoder.{key}` is not {only}")));
            }
        }
        let encoder = Self {
            distilled: config.model_type() == "deit",
            hidden_size: config.size("hidden_size")?,
            num_hidden_layers: config.size("num_hidden_layers")?,
            num_attention_heads: config.size("num_attention_heads")?,
            intermediate_size: config.size("intermediate_size")?,
            hidden_act: activation(&config, "hidden_act", Gelu)?,
            layer_norm_eps: config.optional_number("layer_norm_eps")?.unwrap_or(1e-12),
            image_size: config.size("image_size")?,
            patch_size: config.size("patch_size")?,
            qkv_bias: config.flag("qkv_bias", true)?,
        };
        let Self {
            hidden_size: width,
            num_attention_heads: heads,
            num_hidden_layers: layers,
            image_size: image,
            patch_size: patch,
            ..
        } = encoder;
        let sensible = width.is_multiple_of(heads)
            && width.max(encoder.intermediate_size) <= MAX_WIDTH
            && layers <= MAX_LAYERS
            && image <= MAX_SIDE
            && image.is_multiple_of(patch)
            && encoder.layer_norm_eps >= 0.0;
        match sensible {
            true => Ok(encoder),
            false => Err(nonsense(format!(
                "an encoder of {layers} blocks of width {width} with {heads} heads, for pictures of {image} in patches of {patch}"
            ))),
        }
    }
}

impl DecoderConfig {
    /// Reads `decoder` of a `config.json` whose encoder has width `encoder`.
    ///
    /// # Errors
    /// Another kind of decoder; sizes that make no sense.
    pub fn new(whole: &RawConfig, encoder: usize) -> Result<Self, Error> {
        let config = nested(whole, "decoder", &["trocr"])?;
        let d_model = config.size("d_model")?;
        let crossed = config.optional_size("cross_attention_hidden_size")?;
        // The rule of `VisionEncoderDecoderModel`.
        let projected = crossed.is_none() && encoder != d_model;
        let decoder = Self {
            vocab_size: config.size("vocab_size")?,
            d_model,
            decoder_layers: config.size("decoder_layers")?,
            decoder_attention_heads: config.size("decoder_attention_heads")?,
            decoder_ffn_dim: config.size("decoder_ffn_dim")?,
            activation_function: activation(&config, "activation_function", Gelu)?,
            max_position_embeddings: config
                .optional_size("max_position_embeddings")?
                .unwrap_or(512),
            use_learned_position_embeddings: config
                .flag("use_learned_position_embeddings", true)?,
            layernorm_embedding: config.flag("layernorm_embedding", true)?,
            scale_embedding: config.flag("scale_embedding", false)?,
            tie_word_embeddings: config.flag("tie_word_embeddings", true)?,
            seen: crossed.unwrap_or(d_model),
            projected_from: projected.then_some(encoder),
            pad: token(&[&config], "pad_token_id")?.unwrap_or(1),
            start: token(&[whole, &config], "decoder_start_token_id")?.unwrap_or(2),
            eos: token(&[whole, &config], "eos_token_id")?
                .into_iter()
                .collect(),
        };
        decoder.check(encoder)?;
        Ok(decoder)
    }

    fn check(&self, encoder: usize) -> Result<(), Error> {
        let Self {
            d_model: width,
            decoder_attention_heads: heads,
            decoder_layers: layers,
            ..
        } = *self;
        // Sinusoidal positions are pairs of sines and cosines, and a fraction of their number less one.
        let sensible = width.is_multiple_of(heads)
            && width.is_multiple_of(2)
            && (4..=MAX_WIDTH).contains(&width)
            && self.decoder_ffn_dim <= MAX_WIDTH
            && layers <= MAX_LAYERS
            && self.max_position_embeddings <= MAX_WIDTH
            && (self.start as usize) < self.vocab_size;
        if !sensible {
            return Err(nonsense(format!(
                "a decoder of {layers} blocks of width {width} with {heads} heads, which begins with token {} of {}",
                self.start, self.vocab_size
            )));
        }
        match self.projected_from.is_none() && self.seen != encoder {
            true => Err(nonsense(format!(
                "a decoder that looks at width {}, with an encoder of width {encoder}",
                self.seen
            ))),
            false => Ok(()),
        }
    }
}

/// Checks that pictures are resized to squares of `side`.
pub(super) fn check_size(processor: &RawConfig, side: usize) -> Result<(), Error> {
    let (width, height) = match processor.nested("size") {
        Some(size) => (size.size("width")?, size.size("height")?),
        // As it was written before `transformers` 4.26.
        None => {
            let side = processor.size("size")?;
            (side, side)
        }
    };
    match (width, height) == (side, side) {
        true => Ok(()),
        false => Err(nonsense(format!(
            "preprocessor_config.json makes pictures {width} x {height}, and the encoder takes {side} x {side}"
        ))),
    }
}

fn nested(config: &RawConfig, key: &'static str, kinds: &[&str]) -> Result<RawConfig, Error> {
    let config = config.nested(key).ok_or(ConfigError::Missing(key))?;
    match kinds.contains(&config.model_type()) {
        true => Ok(config),
        false => Err(Error::Unsupported(format!(
            "`{key}.model_type` is `{}`, not {}",
            ModelText::new(config.model_type()).clipped(60),
            kinds.join(" or ")
        ))),
    }
}
