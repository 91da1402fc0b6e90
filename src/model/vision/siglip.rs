//! The vision tower: SigLIP (Zhai et al., 2023) as MiniCPM-V has it, for images of any number of patches.
//!
//! Patches are projected, given the learned position of their place ([`Positions`]) and passed through
//! blocks of attention and MLP, each with a layer norm before it, without a mask: one slice is run at a
//! time. A last layer norm closes the tower, whether or not its last block was left out.

use candle_core::{D, Module, Tensor};
use candle_nn::Linear;

use super::Error;
use super::named::{Named, attention};
use super::positions::cells;
use crate::model::Mode;
use crate::model::layers::{NormLayer, see};
use crate::model::site::{Site, Tap};

/// What stands before the number of a block.
pub(super) const BLOCKS: &str = "vpm.encoder.layers.";

/// Colours of a pixel.
const CHANNELS: usize = 3;

/// Dimensions of a tower, in the words of `vision_config`.
#[derive(Debug, Clone, PartialEq)]
pub struct TowerSpec {
    /// Width of the stream.
    pub hidden_size: usize,
    /// Hidden units of an MLP.
    pub intermediate_size: usize,
    /// Blocks that are run: one fewer than stored where the last is dropped.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Positions along a side of the square that was learned: `image_size / patch_size`.
    pub side: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Of all norms.
    pub layer_norm_eps: f64,
    /// How patches are placed.
    pub positions: Positions,
}

impl TowerSpec {
    /// Every tensor by the family's name, with its shape.
    pub(super) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, inner, patch) = (self.hidden_size, self.intermediate_size, self.patch_size);
        let embeddings = "vpm.embeddings";
        let mut tensors = vec![(
            format!("{embeddings}.position_embedding.weight"),
            vec![self.side * self.side, hidden],
        )];
        let mut put = |stem: &str, weight: Vec<usize>| {
            let bias = vec![weight[0]];
            tensors.push((format!("{stem}.weight"), weight));
            tensors.push((format!("{stem}.bias"), bias));
        };
        let kernel = vec![hidden, CHANNELS, patch, patch];
        put(&format!("{embeddings}.patch_embedding"), kernel);
        put("vpm.post_layernorm", vec![hidden]);
        for layer in 0..self.num_hidden_layers {
            for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                let name = format!("{BLOCKS}{layer}.self_attn.{part}");
                put(&name, vec![hidden, hidden]);
            }
            for (part, shape) in [
                ("layer_norm1", vec![hidden]),
                ("layer_norm2", vec![hidden]),
                ("mlp.fc1", vec![inner, hidden]),
                ("mlp.fc2", vec![hidden, inner]),
            ] {
                put(&format!("{BLOCKS}{layer}.{part}"), shape);
            }
        }
        tensors
    }
}

/// What patches are laid out as when they are given positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// Rows and columns of the slice (version 2.6).
    Grid,
    /// One line of all patches, row behind row: the published code of version 2.5 hands them to the tower
    /// without saying how many a row has.
    Line {
        /// Whether a slice with fewer patches than the largest of its image is filled up with grey ones,
        /// which are attended to: that code masks none of them (`batch_vision_input`).
        filled: bool,
    },
}

/// The patches of one slice, or of several that are cut alike.
#[derive(Debug, Clone)]
pub struct Patches {
    /// `[rows * columns, 3 * patch_size * patch_size]`, of several slices with their number before: red,
    /// then green, then blue, each row by row, from -1 to 1.
    pub values: Tensor,
    /// Patches one below the other.
    pub rows: usize,
    /// Patches side by side.
    pub columns: usize,
}

/// A vision tower in memory, in f32.
#[derive(Debug)]
pub struct Tower {
    spec: TowerSpec,
    patch_embedding: Linear,
    /// `[side * side, hidden_size]`.
    position_embedding: Tensor,
    blocks: Vec<Block>,
    post_layernorm: NormLayer,
}

impl Tower {
    /// Takes the tensors under `vpm.`.
    pub(super) fn load(source: Named<'_>, spec: TowerSpec) -> Result<Self, Error> {
        let (hidden, patch) = (spec.hidden_size, spec.patch_size);
        let inward = CHANNELS * patch * patch;
        let name = "vpm.embeddings.patch_embedding";
        let kernel = [hidden, CHANNELS, patch, patch];
        // A convolution whose steps are as long as its kernel sees each patch on its own.
        let kernel = source.take(&format!("{name}.weight"), &kernel)?;
        let bias = source.take(&format!("{name}.bias"), &[hidden])?;
        let blocks = 0..spec.num_hidden_layers;
        let positions = [spec.side * spec.side, hidden];
        Ok(Self {
            patch_embedding: Linear::new(kernel.reshape((hidden, inward))?, Some(bias)),
            position_embedding: source
                .take("vpm.embeddings.position_embedding.weight", &positions)?,
            blocks: blocks
                .map(|block| Block::load(source, &spec, block))
                .collect::<Result<_, _>>()?,
            post_layernorm: source.norm("vpm.post_layernorm", hidden, spec.layer_norm_eps)?,
            spec,
        })
    }

    /// What configures it.
    pub fn spec(&self) -> &TowerSpec {
        &self.spec
    }

    /// Features `[patches, hidden_size]` of one slice, `[slices, patches, hidden_size]` of several; `most` is
    /// the number of patches of the largest slice of its image.
    ///
    /// The tap sees [`Site::ResidPre`] and [`Site::ResidPost`] of each block,
    /// `[slices, patches, hidden_size]`, and [`Site::MlpPre`], `[slices, patches, intermediate_size]`.
    ///
    /// # Errors
    /// Whatever candle and the tap report.
    pub fn forward(
        &self,
        patches: &Patches,
        most: usize,
        tap: &mut dyn Tap,
    ) -> candle_core::Result<Tensor> {
        let own = patches.rows * patches.columns;
        let (values, places) = self.placed(patches, own.max(most))?;
        let mut x = self.patch_embedding.forward(&values)?;
        x = x.broadcast_add(&self.position_embedding.index_select(&places, 0)?)?;
        let mut show = |site: Site, x: &Tensor| match x.rank() {
            2 => see(tap, site, &x.unsqueeze(0)?),
            _ => see(tap, site, x),
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            show(Site::ResidPre(layer), &x)?;
            x = block.forward(&x, &mut |units| show(Site::MlpPre(layer), units))?;
            show(Site::ResidPost(layer), &x)?;
        }
        self.post_layernorm
            .forward(&x.narrow(D::Minus2, 0, own)?.contiguous()?)
    }

    /// The patches, filled up where the layout asks for it, and the position of each.
    fn placed(&self, patches: &Patches, most: usize) -> candle_core::Result<(Tensor, Tensor)> {
        let own = patches.rows * patches.columns;
        let side = self.spec.side;
        let values = patches.values.clone();
        let (values, places) = match self.spec.positions {
            Positions::Grid => {
                let (rows, columns) = (cells(patches.rows, side), cells(patches.columns, side));
                let place = |row: usize| columns.iter().map(move |column| row * side + column);
                (values, rows.into_iter().flat_map(place).collect())
            }
            Positions::Line { filled } if filled && most > own => {
                let mut shape = values.dims().to_vec();
                shape[values.rank() - 2] = most - own;
                let grey = Tensor::zeros(shape, values.dtype(), values.device())?;
                (Tensor::cat(&[values, grey], D::Minus2)?, cells(most, side))
            }
            Positions::Line { .. } => (values, cells(own, side)),
        };
        let places: Vec<u32> = places.into_iter().map(|place| place as u32).collect();
        let places = Tensor::new(places, values.device())?;
        Ok((values, places))
    }
}

/// Attention and MLP, each behind a norm.
#[derive(Debug)]
struct Block {
    layer_norm1: NormLayer,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    layer_norm2: NormLayer,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
    mode: Mode,
}

impl Block {
    fn load(source: Named<'_>, spec: &TowerSpec, layer: usize) -> Result<Self, Error> {
        let (hidden, inner) = (spec.hidden_size, spec.intermediate_size);
        let name = |part: &str| format!("{BLOCKS}{layer}.{part}");
        let square = |part| source.linear(&name(part), (hidden, hidden));
        let norm = |part| source.norm(&name(part), hidden, spec.layer_norm_eps);
        Ok(Self {
            layer_norm1: norm("layer_norm1")?,
            query: square("self_attn.q_proj")?,
            key: square("self_attn.k_proj")?,
            value: square("self_attn.v_proj")?,
            output: square("self_attn.out_proj")?,
            layer_norm2: norm("layer_norm2")?,
            fc1: source.linear(&name("mlp.fc1"), (inner, hidden))?,
            fc2: source.linear(&name("mlp.fc2"), (hidden, inner))?,
            heads: spec.num_attention_heads,
            mode: source.mode,
        })
    }

    /// `[…, patches, hidden_size]` to the same; `show` is given the MLP's hidden units before the activation
    /// function.
    fn forward(
        &self,
        x: &Tensor,
        show: &mut dyn FnMut(&Tensor) -> candle_core::Result<()>,
    ) -> candle_core::Result<Tensor> {
        let normed = self.layer_norm1.forward(x)?;
        let query = self.query.forward(&normed)?;
        let key = self.key.forward(&normed)?;
        let value = self.value.forward(&normed)?;
        let read = attention([&query, &key, &value], self.heads, self.mode)?;
        let x = (x + self.output.forward(&read)?)?;
        let normed = self.layer_norm2.forward(&x)?;
        // `gelu_pytorch_tanh`.
        let units = self.fc1.forward(&normed)?;
        show(&units)?;
        x + self.fc2.forward(&units.gelu()?)?
    }
}
