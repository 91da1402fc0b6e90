//! The part of TrOCR that sees: patches of the picture behind a class token (and DeiT's distillation token),
//! through the blocks of a ViT.

use candle_core::Device;
use candle_core::Tensor;
use candle_nn::Conv2d;
use candle_nn::Conv2dConfig;
use candle_nn::LayerNorm;
use candle_nn::Linear;
use candle_nn::Module;
use candle_transformers::models::vit;

use super::config::EncoderConfig;
use crate::model::reader::Error;
use crate::model::reader::stored::Stored;

/// Colours of a pixel.
const CHANNELS: usize = 3;

/// In memory.
#[derive(Debug)]
pub(super) struct Encoder {
    side: usize,
    /// `[1, 1 or 2, hidden_size]`.
    tokens: Tensor,
    patches: Conv2d,
    positions: Tensor,
    blocks: vit::Encoder,
    norm: LayerNorm,
}

impl Encoder {
    /// Reads `encoder.*`.
    ///
    /// # Errors
    /// Tensors that are missing or do not fit.
    pub fn load(config: &EncoderConfig, weights: Stored<'_>) -> Result<Self, Error> {
        let vb = weights.builder().pp("encoder");
        let embeddings = vb.pp("embeddings");
        let width = config.hidden_size;
        let mut tokens = vec![embeddings.get((1, 1, width), "cls_token")?];
        if config.distilled {
            tokens.push(embeddings.get((1, 1, width), "distillation_token")?);
        }
        let count = (config.image_size / config.patch_size).pow(2) + tokens.len();
        let stride = Conv2dConfig {
            stride: config.patch_size,
            ..Conv2dConfig::default()
        };
        let projection = embeddings.pp("patch_embeddings.projection");
        let patch = config.patch_size;
        Ok(Self {
            side: config.image_size,
            tokens: Tensor::cat(&tokens, 1)?,
            patches: candle_nn::conv2d(CHANNELS, width, patch, stride, projection)?,
            positions: embeddings.get((1, count, width), "position_embeddings")?,
            blocks: vit::Encoder::new(&blocks(config), vb.pp("encoder"))?,
            norm: candle_nn::layer_norm(width, config.layer_norm_eps, vb.pp("layernorm"))?,
        })
    }

    /// What it sees in a picture of `values` `[3, side, side]`: `[positions, hidden_size]`.
    ///
    /// # Errors
    /// From candle.
    pub fn forward(&self, values: Vec<f32>) -> Result<Tensor, Error> {
        let side = self.side;
        let picture = Tensor::from_vec(values, (1, CHANNELS, side, side), &Device::Cpu)?;
        let patches = self.patches.forward(&picture)?.flatten_from(2)?;
        let line = Tensor::cat(&[&self.tokens, &patches.transpose(1, 2)?], 1)?;
        let line = (line + &self.positions)?;
        let seen = self.norm.forward(&self.blocks.forward(&line)?)?;
        Ok(seen.squeeze(0)?)
    }
}

fn blocks(config: &EncoderConfig) -> vit::Config {
    vit::Config {
        hidden_size: config.hidden_size,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        intermediate_size: config.intermediate_size,
        hidden_act: config.hidden_act,
        layer_norm_eps: config.layer_norm_eps,
        image_size: config.image_size,
        patch_size: config.patch_size,
        num_channels: CHANNELS,
        qkv_bias: config.qkv_bias,
    }
}

/// What brings the encoder's width to the decoder's.
///
/// # Errors
/// Tensors that are missing or do not fit.
pub(super) fn projection(
    from: usize,
    to: usize,
    weights: Stored<'_>,
) -> candle_core::Result<Linear> {
    candle_nn::linear(from, to, weights.builder().pp("enc_to_dec_proj"))
}
