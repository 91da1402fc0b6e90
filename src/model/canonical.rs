//! The weights with everything taken out that can be changed for free.
//!
//! A model computes the same after many rewritings of its weights. What a statistic reads should not
//! depend on them: gains of norms are folded into the matrices behind (and, where a norm stands behind
//! attention or MLP, into the matrix before), the mean that a layer norm subtracts is taken out of
//! whatever writes to or reads from the residual stream, an output head is centred over the vocabulary,
//! which the softmax does not see. Heads, groups and experts are addressed one by one.
//!
//! Where norms act on the residual stream itself, behind each sum, nothing is folded: their gain scales
//! what every later block reads and what is carried on, not one matrix. What writes to the stream is
//! still centred, because the next norm subtracts the mean.

use candle_core::{D, Device, Tensor};

use super::spec::{Norm, NormPlace};
use super::{DecoderSpec, Expert, Model, Param, Part, Role, Weights};

/// Numbers decoded at a time when single rows are picked.
const BLOCK_ELEMENTS: usize = 1 << 22;

/// A matrix that could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor could not be read or decoded.
    #[error(transparent)]
    Tensors(#[from] super::tensors::Error),
    /// A product or a shape failed.
    #[error("a matrix product failed: {0}")]
    Product(#[from] candle_core::Error),
}

/// A model's matrices in canonical form, decoded on demand; f32 on the CPU.
#[derive(Debug, Clone, Copy)]
pub struct Canonical<'a> {
    weights: &'a Weights,
    /// Dimensions.
    pub spec: &'a DecoderSpec,
}

/// The four matrices of one attention block.
#[derive(Debug, Clone)]
pub struct Attention {
    /// `[num_attention_heads * head_dim, hidden_size]`.
    pub query: Tensor,
    /// `[num_key_value_heads * head_dim, hidden_size]`.
    pub key: Tensor,
    /// `[num_key_value_heads * head_dim, hidden_size]`.
    pub value: Tensor,
    /// `[hidden_size, num_attention_heads * head_dim]`.
    pub output: Tensor,
}

/// The matrices of one MLP or one expert: unit `i` is row `i` of gate and up, column `i` of down.
#[derive(Debug, Clone)]
pub struct Mlp {
    /// `[units, hidden_size]`; absent where the MLP is not gated.
    pub gate: Option<Tensor>,
    /// `[units, hidden_size]`.
    pub up: Tensor,
    /// `[hidden_size, units]`.
    pub down: Tensor,
}

impl<'a> Canonical<'a> {
    /// The canonical view of `model`.
    ///
    /// # Errors
    /// In words, when the architecture is not known or the tensors are not known by role.
    pub fn of(model: &'a Model) -> Result<Self, String> {
        let spec = model.plan.as_ref().map_err(Clone::clone)?;
        if model.weights.roles().next().is_none() {
            return Err("its tensors are not known by role".to_owned());
        }
        Ok(Self {
            weights: &model.weights,
            spec,
        })
    }

    /// Attention of block `layer`; `None` when one of its matrices is missing.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn attention(&self, layer: usize) -> Result<Option<Attention>, Error> {
        let part = |part| self.matrix(&Role::layer(layer, part));
        let (query, key) = (part(Part::Query)?, part(Part::Key)?);
        let (value, output) = (part(Part::Value)?, part(Part::Output)?);
        let (Some(query), Some(key), Some(value), Some(output)) = (query, key, value, output)
        else {
            return Ok(None);
        };
        Ok(Some(Attention {
            query,
            key,
            value,
            output,
        }))
    }

    /// The MLPs of block `layer`: one, or one per expert (the shared one last).
    pub fn experts(&self, layer: usize) -> Vec<Option<Expert>> {
        let ups = self.weights.roles().filter(|role| {
            role.part == Part::Up && role.param == Param::Weight && role.layer == Some(layer as u32)
        });
        ups.map(|role| role.expert).collect()
    }

    /// One MLP of block `layer`; `None` when a matrix is missing.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn mlp(&self, layer: usize, expert: Option<Expert>) -> Result<Option<Mlp>, Error> {
        let role = |part| Role {
            expert,
            ..Role::layer(layer, part)
        };
        let (up, down) = (
            self.matrix(&role(Part::Up))?,
            self.matrix(&role(Part::Down))?,
        );
        let gate = self.matrix(&role(Part::Gate))?;
        Ok(match (up, down) {
            (Some(up), Some(down)) => Some(Mlp { gate, up, down }),
            _ => None,
        })
    }

    /// A matrix of a block as `(out, in)`, canonical on its residual side; `None` when it is not there.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn matrix(&self, role: &Role) -> Result<Option<Tensor>, Error> {
        let Some(shape) = self.weights.shape(role) else {
            return Ok(None);
        };
        let values = Tensor::from_vec(self.weights.all(role)?, shape, &Device::Cpu);
        Ok(Some(self.fold(role, values?)?))
    }

    /// Share of the norms before attention and MLP whose gain is one number throughout, as folding it into
    /// the matrices behind leaves it.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn constant_gains(&self) -> Result<f64, Error> {
        let (mut constant, mut all) = (0.0, 0.0);
        for role in self.weights.roles() {
            if role.param == Param::Weight
                && matches!(role.part, Part::AttentionNorm | Part::MlpNorm)
            {
                let gain = self.weights.all(role)?;
                all += 1.0;
                constant += f64::from(u8::from(gain.windows(2).all(|pair| pair[0] == pair[1])));
            }
        }
        Ok(constant / f64::max(all, 1.0))
    }

    /// Rows of the embedding by token, `[ids, hidden_size]`.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn embedding(&self, ids: &[u32]) -> Result<Option<Tensor>, Error> {
        let role = Role::model(Part::Embed);
        let Some(rows) = self.picked(&role, ids)? else {
            return Ok(None);
        };
        Ok(Some(self.fold(&role, rows)?))
    }

    /// Rows of the output head by token, `[ids, hidden_size]`, centred over `ids`: what is equal in
    /// all of them shifts all logits alike.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn head(&self, ids: &[u32]) -> Result<Option<Tensor>, Error> {
        if !self.spec.kind.has_head() {
            return Ok(None);
        }
        let own = Role::model(Part::Unembed);
        let stored = if self.weights.has(&own) {
            own
        } else {
            Role::model(Part::Embed)
        };
        let Some(rows) = self.picked(&stored, ids)? else {
            return Ok(None);
        };
        let rows = self.fold(&own, rows)?;
        Ok(Some(rows.broadcast_sub(&rows.mean_keepdim(0)?)?))
    }

    /// Stored rows `ids` of `role`, `[ids, hidden_size]`; `None` when the role or a row is not there.
    fn picked(&self, role: &Role, ids: &[u32]) -> Result<Option<Tensor>, Error> {
        let Some((rows, width)) = self.weights.shape(role) else {
            return Ok(None);
        };
        let mut order: Vec<(usize, usize)> = Vec::with_capacity(ids.len());
        for (place, id) in ids.iter().enumerate() {
            if *id as usize >= rows {
                return Ok(None);
            }
            order.push((*id as usize, place));
        }
        order.sort_unstable();
        let mut picked = vec![0.0f32; ids.len() * width];
        let mut next = 0;
        for block in self.weights.chunks(role, BLOCK_ELEMENTS) {
            let (range, values) = block?;
            while let Some((id, place)) = order.get(next).filter(|(id, _)| range.contains(id)) {
                let from = (id - range.start) * width;
                picked[place * width..(place + 1) * width]
                    .copy_from_slice(&values[from..from + width]);
                next += 1;
            }
        }
        Ok(Some(Tensor::from_vec(
            picked,
            (ids.len(), width),
            &Device::Cpu,
        )?))
    }

    /// Takes norms out of a matrix.
    fn fold(&self, role: &Role, matrix: Tensor) -> Result<Tensor, Error> {
        if role.param == Param::Bias {
            return Ok(matrix);
        }
        match role.part {
            Part::Output | Part::Down => {
                let matrix = match self.gain_behind(role)? {
                    Some(gain) => matrix.broadcast_mul(&gain.unsqueeze(1)?)?,
                    None => matrix,
                };
                self.centred(matrix, 0)
            }
            Part::Embed => self.centred(matrix, 1),
            _ => {
                let matrix = match self.gain_before(role)? {
                    Some(gain) => matrix.broadcast_mul(&gain.unsqueeze(0)?)?,
                    None => return Ok(matrix),
                };
                self.centred(matrix, 1)
            }
        }
    }

    /// Without what a layer norm subtracts; as it is under root-mean-square norms.
    fn centred(&self, matrix: Tensor, residual: usize) -> Result<Tensor, Error> {
        Ok(match self.spec.norm {
            Norm::Rms => matrix,
            Norm::Layer => matrix.broadcast_sub(&matrix.mean_keepdim(residual)?)?,
        })
    }

    /// The gain of the norm that a matrix reads through, as wide as the matrix (`[hidden_size]` but for
    /// the upper halves of latent attention); `None` where there is none.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn gain_before(&self, role: &Role) -> Result<Option<Tensor>, Error> {
        let hidden = self.spec.hidden_size;
        let latent = self.spec.latent;
        let (norm, width) = match role.part {
            Part::Query | Part::Key | Part::Value => (Part::AttentionNorm, hidden),
            Part::QueryDown | Part::KvDown | Part::KeyRotary => (Part::AttentionNorm, hidden),
            Part::QueryUp => {
                let rank = latent.and_then(|latent| latent.q_lora_rank);
                (Part::QueryDownNorm, rank.unwrap_or_default())
            }
            Part::KeyUp | Part::ValueUp => {
                let rank = latent.map(|latent| latent.kv_lora_rank);
                (Part::KvDownNorm, rank.unwrap_or_default())
            }
            Part::Gate | Part::Up | Part::Router | Part::SharedExpertGate => {
                (Part::MlpNorm, hidden)
            }
            Part::Unembed => return self.gain(&Role::model(Part::FinalNorm), hidden),
            _ => return Ok(None),
        };
        match role.layer {
            Some(layer) => self.gain(&Role::layer(layer as usize, norm), width),
            None => Ok(None),
        }
    }

    /// The gain of the norm that a matrix writes through, `[hidden_size]`; `None` where there is none.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn gain_behind(&self, role: &Role) -> Result<Option<Tensor>, Error> {
        if self.spec.norm_place == NormPlace::Stream {
            return Ok(None);
        }
        let norm = match role.part {
            Part::Output => Part::PostAttentionNorm,
            _ => Part::PostMlpNorm,
        };
        match role.layer {
            Some(layer) => self.gain(&Role::layer(layer as usize, norm), self.spec.hidden_size),
            None => Ok(None),
        }
    }

    fn gain(&self, role: &Role, width: usize) -> Result<Option<Tensor>, Error> {
        match self.weights.shape(role) {
            Some((n, 1)) if n == width => Ok(Some(Tensor::from_vec(
                self.weights.all(role)?,
                n,
                &Device::Cpu,
            )?)),
            _ => Ok(None),
        }
    }
}

/// Every row at unit length; a row without one becomes zero.
///
/// # Errors
/// Of the tensor library.
pub fn unit_rows(matrix: &Tensor) -> candle_core::Result<Tensor> {
    let length = matrix.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    let some = length.gt(0f64)?.to_dtype(matrix.dtype())?;
    let safe = (&length + (1.0 - &some)?)?;
    matrix.broadcast_div(&safe)?.broadcast_mul(&some)
}
