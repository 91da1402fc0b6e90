//! The attention matrices of a block as the published products take them: as stored, heads that share
//! keys and values added up.

use candle_core::Tensor;

use super::frame;
use crate::evidence::Error;
use crate::model::{Model, Part, Role};

/// The four matrices of one block, `w = num_key_value_heads * head_dim` wide on the side of the heads.
///
/// `query^T key` is the sum over heads of `W_Q^T W_K`, with the keys of a group repeated for each of
/// its heads; `output value` likewise. Norm gains are not folded in.
pub(super) struct Attention {
    /// `[w, hidden_size]`, the heads of a group added up.
    pub query: Tensor,
    /// `[w, hidden_size]`.
    pub key: Tensor,
    /// `[w, hidden_size]`.
    pub value: Tensor,
    /// `[hidden_size, w]`, the heads of a group added up.
    pub output: Tensor,
}

impl Attention {
    /// Attention of block `layer`, or in words why there is none.
    pub fn of(model: &Model, layer: usize) -> Result<Result<Self, String>, Error> {
        let part = |part| frame::matrix(&model.weights, &Role::layer(layer, part));
        let (query, key) = (part(Part::Query)?, part(Part::Key)?);
        let (value, output) = (part(Part::Value)?, part(Part::Output)?);
        let (Some(query), Some(key), Some(value), Some(output)) = (query, key, value, output)
        else {
            return Ok(Err(format!(
                "Q, K, V and O of layer {layer} are not all known by role"
            )));
        };
        let (heads, width) = query.dims2()?;
        let shared = key.dim(0)?;
        let fits = value.dims() == key.dims()
            && key.dim(1)? == width
            && output.dims() == [width, heads]
            && shared > 0
            && heads.is_multiple_of(shared);
        if !fits {
            return Ok(Err(format!(
                "Q, K, V and O of layer {layer} do not fit together"
            )));
        }
        let group = heads / shared;
        let (query, output) = if group == 1 {
            (query, output)
        } else {
            let Some(groups) = key_value_heads(model, shared) else {
                return Ok(Err("heads that share keys, of unknown number".to_owned()));
            };
            let head = shared / groups;
            let query = query.reshape((groups, group, head, width))?.sum(1)?;
            let output = output.reshape((width, groups, group, head))?.sum(2)?;
            (
                query.reshape((shared, width))?,
                output.reshape((width, shared))?,
            )
        };
        Ok(Ok(Self {
            query,
            key,
            value,
            output,
        }))
    }
}

/// Groups of heads that share keys, if they fit `shared` rows.
fn key_value_heads(model: &Model, shared: usize) -> Option<usize> {
    let groups = model.plan.as_ref().ok()?.num_key_value_heads;
    (groups > 0 && shared.is_multiple_of(groups)).then_some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::toy::{Dims, Toy};
    use crate::stat::random;

    /// Keys and values of one head repeated for two: the product is that of the repeated matrices.
    #[test]
    fn shared_heads_add_up_to_the_repeated_product() {
        let dims = Dims {
            layers: 1,
            ..Dims::default()
        };
        let mut toy = Toy::new(1, dims);
        let (shared, d) = (8, dims.width);
        for part in [Part::Key, Part::Value] {
            let (_, columns, values) = toy.tensors[&Role::layer(0, part)].clone();
            let kept = values[..shared * columns].to_vec();
            toy.tensors
                .insert(Role::layer(0, part), (shared, columns, kept));
        }
        let (mut model, _folder) = toy.open();
        model.plan.as_mut().unwrap().num_key_value_heads = 1;
        let found = Attention::of(&model, 0).unwrap().unwrap();
        let raw = |part| {
            frame::matrix(&model.weights, &Role::layer(0, part))
                .unwrap()
                .unwrap()
        };
        let repeated = |part| Tensor::cat(&[raw(part), raw(part)], 0).unwrap();
        let expected = [
            raw(Part::Query)
                .t()
                .unwrap()
                .matmul(&repeated(Part::Key))
                .unwrap(),
            raw(Part::Output).matmul(&repeated(Part::Value)).unwrap(),
        ];
        let ours = [
            found.query.t().unwrap().matmul(&found.key).unwrap(),
            found.output.matmul(&found.value).unwrap(),
        ];
        for (ours, expected) in ours.iter().zip(&expected) {
            assert_eq!(ours.dims(), [d, d]);
            let gap = (ours - expected).unwrap().abs().unwrap().max_all().unwrap();
            assert!(gap.to_scalar::<f32>().unwrap() < 1e-6);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let mut toy = Toy::new(
            1,
            Dims {
                layers: 1,
                ..Dims::default()
            },
        );
        let mut rng = random::stream(1, "attention");
        let odd: Vec<f32> = (0..5 * 16)
            .map(|_| random::normal(&mut rng) as f32)
            .collect();
        toy.tensors.insert(Role::layer(0, Part::Key), (5, 16, odd));
        let (model, _folder) = toy.open();
        let why = Attention::of(&model, 0).unwrap().err().unwrap();
        assert!(why.contains("do not fit"), "{why}");
        assert!(Attention::of(&model, 7).unwrap().is_err());
    }
}
