//! The `config.json` of a PaddleOCR-VL, as published (flat) and as `transformers` 5 writes it.

use candle_nn::Activation;

use crate::model::ConfigError;
use crate::model::config::RawConfig;
use crate::model::reader::Error;
use crate::model::reader::words::MAX_LAYERS;
use crate::model::reader::words::MAX_WIDTH;
use crate::model::reader::words::activation;
use crate::model::reader::words::nonsense;
use crate::model::spec;

/// Patches of a side beyond which a config is not believed.
const MAX_SIDE: usize = 4096;

/// The part that sees.
#[derive(Debug, Clone)]
pub(super) struct VisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub image_size: usize,
    pub patch_size: usize,
    pub spatial_merge_size: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
}

/// The part that writes.
#[derive(Debug, Clone)]
pub(super) struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub hidden_act: Activation,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    /// Pairs of a head that turn with time, row and column.
    pub mrope_section: [usize; 3],
    pub use_bias: bool,
    pub tie_word_embeddings: bool,
}

impl VisionConfig {
    /// Reads `vision_config` of a `config.json`.
    ///
    /// # Errors
    /// Sizes that make no sense; another rotation than the one that is run.
    pub fn new(config: &RawConfig) -> Result<Self, Error> {
        let config = config
            .nested("vision_config")
            .ok_or(ConfigError::Missing("vision_config"))?;
        if config
            .optional_size("num_channels")?
            .is_some_and(|found| found != 3)
        {
            return Err(Error::Unsupported("`num_channels` is not 3".to_owned()));
        }
        if let Some(rope) = config.nested("rope_parameters") {
            let theta = rope.optional_number("rope_theta")?;
            if theta.is_some_and(|theta| theta != 10_000.0) {
                return Err(Error::Unsupported(
                    "`rope_theta` of the tower is not 10000".to_owned(),
                ));
            }
        }
        let vision = Self {
            hidden_size: config.size("hidden_size")?,
            intermediate_size: config.size("intermediate_size")?,
            num_hidden_layers: config.size("num_hidden_layers")?,
            num_attention_heads: config.size("num_attention_heads")?,
            image_size: config.size("image_size")?,
            patch_size: config.size("patch_size")?,
            spatial_merge_size: config.optional_size("spatial_merge_size")?.unwrap_or(2),
            hidden_act: activation(&config, "hidden_act", spec::Activation::GeluTanh)?,
            layer_norm_eps: config.optional_number("layer_norm_eps")?.unwrap_or(1e-6),
        };
        let Self {
            hidden_size: width,
            num_attention_heads: heads,
            num_hidden_layers: layers,
            image_size: image,
            patch_size: patch,
            spatial_merge_size: merge,
            ..
        } = vision;
        // A head is turned by rows in one half and by columns in the other, in pairs.
        let sensible = width.is_multiple_of(heads)
            && (width / heads).is_multiple_of(4)
            && width.max(vision.intermediate_size) <= MAX_WIDTH
            && layers <= MAX_LAYERS
            && patch <= 1024
            && (patch..=patch * MAX_SIDE).contains(&image)
            && merge <= 16
            && vision.layer_norm_eps >= 0.0;
        match sensible {
            true => Ok(vision),
            false => Err(nonsense(format!(
                "a tower of {layers} blocks of width {width} with {heads} heads, for pictures of {image} in patches of {patch}, {merge} x {merge} of which are one"
            ))),
        }
    }
}

impl TextConfig {
    /// Reads the language part; `whole` is the `config.json` itself.
    ///
    /// # Errors
    /// Sizes that make no sense; another rotation than the one that is run.
    pub fn new(config: &RawConfig, whole: &RawConfig) -> Result<Self, Error> {
        let heads = config.size("num_attention_heads")?;
        let hidden_size = config.size("hidden_size")?;
        let head_dim = config
            .optional_size("head_dim")?
            .unwrap_or(hidden_size / heads);
        // Where it says so in either place, the head is that of the embedding.
        let tied = |config: &RawConfig, default| config.flag("tie_word_embeddings", default);
        let text = Self {
            vocab_size: config.size("vocab_size")?,
            hidden_size,
            intermediate_size: config.size("intermediate_size")?,
            num_hidden_layers: config.size("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: config
                .optional_size("num_key_value_heads")?
                .unwrap_or(heads),
            head_dim,
            hidden_act: activation(config, "hidden_act", spec::Activation::Silu)?,
            max_position_embeddings: config
                .optional_size("max_position_embeddings")?
                .unwrap_or(131_072),
            rms_norm_eps: config.optional_number("rms_norm_eps")?.unwrap_or(1e-5),
            rope_theta: rope(config, "rope_theta")?.unwrap_or(500_000.0),
            mrope_section: sections(config)?,
            use_bias: config.flag("use_bias", false)?,
            tie_word_embeddings: tied(whole, true)? || tied(config, false)?,
        };
        text.check()
    }

    fn check(self) -> Result<Self, Error> {
        let Self {
            hidden_size: width,
            num_attention_heads: heads,
            num_key_value_heads: shared,
            num_hidden_layers: layers,
            head_dim: head,
            mrope_section: sections,
            ..
        } = self;
        let turned = sections
            .iter()
            .try_fold(0_usize, |sum, one| sum.checked_add(*one));
        let sensible = heads.is_multiple_of(shared)
            && head.is_multiple_of(2)
            && turned == Some(head / 2)
            && width.max(self.intermediate_size).max(self.vocab_size) <= 8 * MAX_WIDTH
            && heads.max(head) <= 1 << 16
            && layers <= MAX_LAYERS
            && self.rope_theta > 0.0
            && self.rms_norm_eps >= 0.0;
        match sensible {
            true => Ok(self),
            false => Err(nonsense(format!(
                "a decoder of {layers} blocks of width {width} with {heads} heads of {head} over {shared}, of whose pairs {sections:?} turn"
            ))),
        }
    }
}

/// A number of the rotation, wherever it stands.
fn rope(config: &RawConfig, key: &str) -> Result<Option<f64>, Error> {
    for nested in ["rope_parameters", "rope_scaling"] {
        if let Some(rope) = config.nested(nested) {
            let kind = rope.get("rope_type").or_else(|| rope.get("type"));
            let kind = kind.and_then(|kind| kind.as_str()).unwrap_or("default");
            if !["default", "mrope"].contains(&kind) {
                return Err(Error::Unsupported(
                    "`rope_type` is not `default`".to_owned(),
                ));
            }
            if let Some(found) = rope.optional_number(key)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(config.optional_number(key)?)
}

fn sections(config: &RawConfig) -> Result<[usize; 3], Error> {
    let found = ["rope_parameters", "rope_scaling"]
        .into_iter()
        .filter_map(|nested| config.nested(nested))
        .find(|rope| rope.get("mrope_section").is_some());
    let Some(rope) = found else {
        return Ok([16, 24, 24]);
    };
    let sections = rope.indices("mrope_section")?;
    sections
        .try_into()
        .map_err(|_| Error::Unsupported("`mrope_section` is not three numbers".to_owned()))
}
