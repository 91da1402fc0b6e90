//! The part of PaddleOCR-VL that sees, and what brings it to the decoder.

use std::collections::HashMap;
use std::fmt;

use candle_core::DType;
use candle_core::Device;
use candle_core::Tensor;
use candle_nn::LayerNorm;
use candle_nn::Linear;
use candle_nn::Module;
use candle_nn::VarBuilder;
use candle_transformers::models::paddleocr_vl;
use candle_transformers::models::paddleocr_vl::PaddleOCRVLModel;

use super::config::VisionConfig;
use crate::model::reader::Error;
use crate::model::reader::stored::Stored;
use crate::model::reader::stored::stand_in;
use crate::model::vision::slices::Size;

/// What the reference has in code.
const EPS: f64 = 1e-5;

/// Rows of a table that candle asks for and never reads.
const PACKED: usize = 32_768;

/// Under which name candle gives out what the last block and its norm make.
const SEEN: &str = "post_layernorm_output";

/// In memory.
pub(super) struct Tower {
    /// All that candle's model asks for. One is built of them for each picture: it caches positions behind a
    /// cell, so that two threads cannot share it, and building one copies nothing.
    tensors: HashMap<String, Tensor>,
    config: paddleocr_vl::Config,
    merge: usize,
    pre_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
}

impl Tower {
    /// Reads `visual.*` and `mlp_AR.*`; `text` is the decoder's width.
    ///
    /// # Errors
    /// Tensors that are missing or do not fit.
    pub fn load(config: &VisionConfig, text: usize, weights: Stored<'_>) -> Result<Self, Error> {
        let width = config.hidden_size;
        let merge = config.spatial_merge_size;
        let mut tensors = HashMap::new();
        for prefix in [
            "visual.vision_model.embeddings.patch_embedding.",
            "visual.vision_model.embeddings.position_embedding.",
            "visual.vision_model.encoder.",
            "visual.vision_model.post_layernorm.",
            "mlp_AR.",
        ] {
            tensors.extend(weights.under(prefix)?);
        }
        let packed = "visual.vision_model.embeddings.packing_position_embedding.weight";
        tensors.insert(packed.to_owned(), stand_in(&[PACKED, width])?);
        // A language part without blocks: it is not run.
        tensors.insert(
            "model.embed_tokens.weight".to_owned(),
            stand_in(&[1, text])?,
        );
        tensors.insert("model.norm.weight".to_owned(), stand_in(&[text])?);
        let vb = weights.builder().pp("mlp_AR");
        let wide = width * merge * merge;
        let tower = Self {
            tensors,
            config: candle_config(config, text),
            merge,
            pre_norm: candle_nn::layer_norm(width, EPS, vb.pp("pre_norm"))?,
            inner: candle_nn::linear(wide, wide, vb.pp("linear_1"))?,
            outer: candle_nn::linear(wide, text, vb.pp("linear_2"))?,
        };
        tower.model()?;
        Ok(tower)
    }

    fn model(&self) -> candle_core::Result<PaddleOCRVLModel> {
        let vb = VarBuilder::from_tensors(self.tensors.clone(), DType::F32, &Device::Cpu);
        PaddleOCRVLModel::new(&self.config, vb)
    }

    /// What it sees in a picture of `values` `[3, height, width]`: `[patches, hidden_size]`, row by row of
    /// `(rows, columns)` patches.
    ///
    /// # Errors
    /// From candle.
    pub fn look(
        &self,
        values: Vec<f32>,
        size: Size,
        (rows, columns): (usize, usize),
    ) -> Result<Tensor, Error> {
        let picture = Tensor::from_vec(values, (1, 3, size.height, size.width), &Device::Cpu)?;
        let grid = Tensor::new(&[[1_u32, rows as u32, columns as u32]], &Device::Cpu)?;
        let (_, mut found) = self.model()?.encode_image_with_export(&picture, &grid)?;
        let seen = found.remove(SEEN);
        Ok(seen.ok_or_else(|| candle_core::Error::Msg(format!("no {SEEN}")))?)
    }

    /// What the decoder is given of it: `[parts, text]`, neighbouring patches as one.
    ///
    /// # Errors
    /// From candle.
    pub fn project(&self, seen: &Tensor, (rows, columns): (usize, usize)) -> Result<Tensor, Error> {
        let merge = self.merge;
        let normed = self.pre_norm.forward(seen)?;
        let width = normed.dim(1)?;
        let merged = normed
            .reshape((rows / merge, merge, columns / merge, merge * width))?
            .transpose(1, 2)?
            .reshape(((rows / merge) * (columns / merge), merge * merge * width))?;
        let inner = self.inner.forward(&merged)?.gelu_erf()?;
        Ok(self.outer.forward(&inner)?)
    }
}

impl fmt::Debug for Tower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tower")
            .field("config", &self.config)
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

fn candle_config(config: &VisionConfig, text: usize) -> paddleocr_vl::Config {
    paddleocr_vl::Config {
        vision_config: paddleocr_vl::VisionConfig {
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            num_channels: 3,
            image_size: config.image_size,
            patch_size: config.patch_size,
            hidden_act: config.hidden_act,
            layer_norm_eps: config.layer_norm_eps,
            attention_dropout: 0.0,
            spatial_merge_size: config.spatial_merge_size,
        },
        vocab_size: 1,
        hidden_size: text,
        num_hidden_layers: 0,
        max_position_embeddings: 1,
        tie_word_embeddings: true,
        ..paddleocr_vl::Config::default()
    }
}
