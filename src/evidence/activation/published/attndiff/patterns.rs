//! Attention patterns of pairs of prompts, and what an edit makes of them.

use crate::evidence::activation::layered::row_of;
use crate::model::Site;
use crate::record::Activations;
use crate::record::SiteActivations;
use crate::stat::spectral;

/// Singular values of a head.
const VALUES: usize = 8;

/// Patterns of one model.
pub(super) struct Patterns<'a> {
    /// In layer order.
    layers: Vec<&'a SiteActivations>,
    /// Rows and columns of one head.
    side: usize,
}

impl<'a> Patterns<'a> {
    pub fn of(of: &'a Activations) -> Result<Self, String> {
        let layers = of.stack(Site::Pattern).into_iter().map(|(_, site)| site);
        let layers: Vec<&SiteActivations> = layers.collect();
        let fits = |side: usize| {
            let square = side.checked_mul(side).filter(|square| *square > 0)?;
            let whole = |site: &&SiteActivations| site.width.is_multiple_of(square);
            layers.iter().all(whole).then_some(side)
        };
        match of.tokens.and_then(fits) {
            Some(side) if !layers.is_empty() => Ok(Self { layers, side }),
            _ => Err(format!(
                "{} was not recorded of whole prompts: `kinprobe run datasets/minimal-pairs/minimal-pairs.yaml --tap \
                 'blocks.*.attn.hook_pattern' --pool whole` does",
                Site::Pattern(0)
            )),
        }
    }

    /// `[heads, side, side]` by layer.
    pub fn heads(&self) -> Vec<usize> {
        let square = self.side * self.side;
        self.layers.iter().map(|site| site.width / square).collect()
    }

    /// Of the prompt of a row: rows of its patterns that are not all zero.
    pub fn tokens(&self, row: usize) -> usize {
        let heads = self.layers.first().and_then(|site| row_of(site, row));
        let is_zero = |query: usize| {
            let mut heads = heads.unwrap_or_default().chunks(self.side * self.side);
            heads.all(|head| {
                let keys = &head[query * self.side..(query + 1) * self.side];
                keys.iter().all(|weight| *weight == 0.0)
            })
        };
        (0..self.side).filter(|query| !is_zero(*query)).count()
    }

    /// Of every head of every layer, one after the other, what the edit changed, `[tokens, tokens]`.
    pub fn differences(
        &self,
        [original, edited]: [usize; 2],
        tokens: usize,
    ) -> impl Iterator<Item = Vec<f64>> {
        let (side, square) = (self.side, self.side * self.side);
        let rows = move |site: &'a SiteActivations| {
            let both = row_of(site, original).zip(row_of(site, edited));
            let (x, y) = both.unwrap_or_default();
            x.chunks(square).zip(y.chunks(square))
        };
        let heads = self.layers.iter().copied().flat_map(rows);
        heads.map(move |(x, y)| difference(x, y, side, tokens))
    }
}

/// The first `tokens` rows and columns of `x - y`, both `[side, side]`.
fn difference(x: &[f32], y: &[f32], side: usize, tokens: usize) -> Vec<f64> {
    let rows = x.chunks(side).zip(y.chunks(side)).take(tokens);
    rows.flat_map(|(x, y)| {
        let keys = x.iter().zip(y).take(tokens);
        keys.map(|(x, y)| f64::from(*x) - f64::from(*y))
    })
    .collect()
}

/// What one edit makes of one model's patterns.
pub(super) struct Change {
    /// `[layers, heads, VALUES]`, descending in each head.
    pub spectra: Vec<f32>,
    /// `[layers, heads]`.
    pub norms: Vec<f32>,
    /// By layer.
    heads: Vec<usize>,
}

impl Change {
    pub fn of(patterns: &Patterns<'_>, rows: [usize; 2], tokens: usize) -> Option<Self> {
        let (mut spectra, mut norms) = (Vec::new(), Vec::new());
        for head in patterns.differences(rows, tokens) {
            let mut values = spectral::singular_values(&head, tokens, tokens)?;
            values.resize(VALUES, 0.0);
            spectra.extend(values.into_iter().map(|value| value as f32));
            norms.push(head.iter().map(|x| x * x).sum::<f64>().sqrt() as f32);
        }
        Some(Self {
            spectra,
            norms,
            heads: patterns.heads(),
        })
    }

    /// `[layers, VALUES]`.
    pub fn mean_over_heads(&self) -> Vec<f32> {
        let mut means = Vec::with_capacity(self.heads.len() * VALUES);
        let mut rest = &self.spectra[..];
        for heads in &self.heads {
            let (layer, after) = rest.split_at(heads * VALUES);
            rest = after;
            let mean = |at: usize| {
                let values = layer.iter().skip(at).step_by(VALUES);
                values.map(|value| f64::from(*value)).sum::<f64>() / (*heads).max(1) as f64
            };
            means.extend((0..VALUES).map(|at| mean(at) as f32));
        }
        means
    }
}
