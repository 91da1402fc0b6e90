//! What is read inside a model while it is asked, and how rows of two models meet.

use std::collections::HashMap;

use candle_core::DType;
use candle_core::IndexOp;
use candle_core::Tensor;

use super::Activations;
use super::SiteActivations;
use super::lens;
use crate::model::DecoderSpec;
use crate::model::Site;
use crate::model::Tap;

/// Numbers of hidden units kept of one prompt, and of keys and values: 1 MiB each, which all blocks of a model
/// of a billion weights fit into. Of larger ones those of evenly spaced blocks are kept.
const UNITS: usize = 1 << 18;

/// Rows of two models that are held against each other.
pub const MOST_ROWS: usize = 1024;

/// The sites that are read at the last token of a prompt, with their widths, in the order of a forward pass:
/// keys and values, the hidden units of MLPs and of all experts before they are multiplied, and the residual
/// stream after every block; behind them what the logit lens says there.
pub(super) fn sites(spec: &DecoderSpec) -> Vec<(Site, usize)> {
    let all: Vec<usize> = (0..spec.layers.len()).collect();
    let units = |layer: &usize| -> Vec<(Site, usize)> { units(spec, *layer) };
    let largest = all
        .iter()
        .map(|at| units(at).iter().map(|(_, width)| width).sum());
    let kept = spaced(&all, UNITS / largest.max().unwrap_or(0).max(1usize));
    let heads = key_value_heads(spec);
    let (keys, values) = (heads * spec.head_dim, heads * spec.value_head_dim());
    let cached = spaced(&all, UNITS / (keys + values).max(1));
    let mut sites = Vec::new();
    for layer in &all {
        if cached.contains(layer) {
            sites.push((Site::Key(*layer), keys));
            sites.push((Site::Value(*layer), values));
        }
        if kept.contains(layer) {
            sites.extend(units(layer));
        }
        sites.push((Site::ResidPost(*layer), spec.hidden_size));
    }
    sites.extend(all.iter().map(|layer| (Site::Lens(*layer), lens::WIDTH)));
    sites
}

/// Heads that keys and values consist of.
pub(in crate::record) fn key_value_heads(spec: &DecoderSpec) -> usize {
    match &spec.latent {
        Some(_) => spec.num_attention_heads,
        None => spec.num_key_value_heads,
    }
}

/// Both views of a block's hidden units; of a mixture the router's logits before them.
fn units(spec: &DecoderSpec, layer: usize) -> Vec<(Site, usize)> {
    let sparse = spec.layers[layer].sparse;
    let Some(moe) = spec.moe.as_ref().filter(|_| sparse) else {
        let mut sites = vec![(Site::MlpPre(layer), spec.intermediate_size)];
        if spec.gated_mlp {
            sites.push((Site::MlpPreLinear(layer), spec.intermediate_size));
        }
        return sites;
    };
    let width = moe.num_experts * moe.moe_intermediate_size;
    let mut sites = vec![
        (Site::RouterLogits(layer), moe.num_experts),
        (Site::ExpertsPre(layer), width),
        (Site::ExpertsPreLinear(layer), width),
    ];
    if let Some(width) = moe.shared_expert_intermediate_size {
        sites.push((Site::SharedExpertPre(layer), width));
        sites.push((Site::SharedExpertPreLinear(layer), width));
    }
    sites
}

/// At most `most` of `layers`, at equal steps, the first and the last among them.
pub(super) fn spaced(layers: &[usize], most: usize) -> Vec<usize> {
    match (layers.len(), most) {
        (count, most) if count <= most => layers.to_vec(),
        (_, 0) => Vec::new(),
        (count, 1) => vec![layers[count / 2]],
        (count, most) => (0..most)
            .map(|step| layers[step * (count - 1) / (most - 1)])
            .collect(),
    }
}

/// Keeps what is at `sites` at the last position, one after the other.
#[derive(Debug)]
pub(super) struct LastRow<'s> {
    sites: &'s [(Site, usize)],
    pub values: Vec<f32>,
}

impl<'s> LastRow<'s> {
    /// Has seen nothing yet.
    pub fn new(sites: &'s [(Site, usize)]) -> Self {
        Self {
            sites,
            values: Vec::new(),
        }
    }
}

impl Tap for LastRow<'_> {
    fn wants(&self, site: Site) -> bool {
        self.sites.iter().any(|(wanted, _)| *wanted == site)
    }

    fn only_last(&self) -> bool {
        true
    }

    fn visit(&mut self, _: Site, value: &Tensor) -> candle_core::Result<()> {
        let last = value.dim(1)? - 1;
        let row = value.i((0, last))?.flatten_all()?.to_dtype(DType::F32)?;
        self.values.extend(row.to_vec1::<f32>()?);
        Ok(())
    }
}

impl Activations {
    /// One kind of site with its layer, in layer order: `stack(Site::ResidPost)`.
    pub fn stack(&self, kind: fn(usize) -> Site) -> Vec<(usize, &SiteActivations)> {
        let known = self.sites.iter().filter_map(|one| {
            let layer = one.site.layer()?;
            (kind(layer) == one.site).then_some((layer, one))
        });
        let mut known: Vec<_> = known.collect();
        known.sort_by_key(|(layer, _)| *layer);
        known
    }

    /// Row numbers, in both, of the items that both have, in the order of the first; where all places were
    /// kept, of the places at which a token ends in both. Of more than [`MOST_ROWS`] an even selection:
    /// places of one prompt say little new, and methods take the square of rows in time and memory.
    pub fn shared_rows(&self, other: &Self) -> Vec<(usize, usize)> {
        let keys = |of: &Self| -> Vec<(String, Option<u32>)> {
            let items = of.items.iter().cloned().enumerate();
            items
                .map(|(row, item)| (item, of.offsets.get(row).copied()))
                .collect()
        };
        let theirs: HashMap<_, usize> = keys(other)
            .into_iter()
            .enumerate()
            .map(|(row, key)| (key, row))
            .collect();
        let ours = keys(self).into_iter().enumerate();
        let shared: Vec<(usize, usize)> = ours
            .filter_map(|(row, key)| Some((row, *theirs.get(&key)?)))
            .collect();
        let most = shared.len().min(MOST_ROWS);
        (0..most)
            .map(|at| shared[at * shared.len() / most])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_many_blocks_are_spread_over_all() {
        let all: Vec<usize> = (0..10).collect();
        assert_eq!(spaced(&all, 20), all);
        assert_eq!(spaced(&all, 4), [0, 3, 6, 9]);
        assert_eq!(spaced(&all, 1), [5]);
        assert!(spaced(&all, 0).is_empty());
    }

    fn activations(items: &[&str], offsets: &[u32]) -> Activations {
        let site = |site| SiteActivations {
            site,
            width: 1,
            values: vec![0.0; items.len()],
        };
        Activations {
            suite: "s".to_owned(),
            items: items.iter().map(|item| (*item).to_owned()).collect(),
            offsets: offsets.to_vec(),
            tokens: None,
            key_value_heads: None,
            sites: vec![
                site(Site::ResidPost(1)),
                site(Site::MlpPre(0)),
                site(Site::ResidPost(0)),
            ],
        }
    }

    #[test]
    fn rows_meet_by_item_and_where_a_token_ends_in_both() {
        let (a, b) = (activations(&["x", "y"], &[]), activations(&["y", "z"], &[]));
        assert_eq!(a.shared_rows(&b), [(1, 0)]);
        let a = activations(&["x", "x", "y"], &[2, 5, 2]);
        let b = activations(&["x", "x", "y"], &[3, 5, 2]);
        assert_eq!(a.shared_rows(&b), [(1, 1), (2, 2)]);
    }

    #[test]
    fn a_stack_is_of_one_kind_and_in_order() {
        let all = activations(&["x"], &[]);
        let layers: Vec<usize> = all.stack(Site::ResidPost).iter().map(|one| one.0).collect();
        assert_eq!(layers, [0, 1]);
        assert_eq!(all.stack(Site::MlpPreLinear).len(), 0);
    }
}
