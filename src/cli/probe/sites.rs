//! Which sites are looked at, and what is said of each.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::DType;
use candle_core::IndexOp;
use candle_core::Tensor;
use serde::Serialize;

use crate::cli::exit;
use crate::model::Site;
use crate::model::Tap;
use crate::stat::massive::Peaks;

/// Dimensions of each block whose largest numbers are kept.
const LARGEST: usize = 3;

/// All sites that a pattern matches; a pattern that matches none is an error.
pub fn select(patterns: &[String], layers: usize) -> Result<Vec<Site>> {
    let mut chosen = Vec::new();
    for pattern in patterns {
        let found = Site::matching(pattern, layers);
        if found.is_empty() {
            return Err(exit::usage(format!(
                "no site matches `{pattern}` in a model of {layers} layers: try 'blocks.*.hook_resid_post' \
                 (kinprobe probe --help lists the sites)"
            )));
        }
        chosen.extend(found);
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// Keeps what it is asked for.
#[derive(Default)]
pub(super) struct Keep {
    /// Whole, without the axis of the batch.
    pub sites: Vec<Site>,
    /// The residual stream before the first block and behind every block, at this position.
    pub row: Option<usize>,
    /// The largest numbers behind every block.
    pub peaks: bool,
    pub seen: BTreeMap<Site, Tensor>,
    pub rows: Vec<Tensor>,
    pub largest: Vec<Option<Peaks>>,
}

impl Tap for Keep {
    fn wants(&self, site: Site) -> bool {
        let of_row = self.row.is_some() && is_stream(site);
        let of_peaks = self.peaks && matches!(site, Site::ResidPost(_));
        of_row || of_peaks || self.sites.binary_search(&site).is_ok()
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        if let (Some(at), true) = (self.row, is_stream(site)) {
            self.rows.push(value.i((0, at))?);
        }
        // The batch is always one prompt: drop that axis, as `logits` does.
        let value = value.squeeze(0)?;
        if self.peaks && matches!(site, Site::ResidPost(_)) {
            let width = value.dim(1)?;
            let values: Vec<f32> = value.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            self.largest.push(Peaks::of(&values, width, LARGEST));
        }
        if self.sites.binary_search(&site).is_ok() {
            let value = value.to_dtype(DType::F32)?.contiguous()?;
            self.seen.insert(site, value);
        }
        Ok(())
    }
}

/// The stream before the first block, and behind each.
fn is_stream(site: Site) -> bool {
    matches!(site, Site::ResidPre(0) | Site::ResidPost(_))
}

/// What is said of the numbers at one place.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub site: String,
    pub shape: Vec<usize>,
    /// Square root of the sum of all squares.
    pub norm: f64,
    /// Mean over positions of the norm of what is at one; of patterns and scores, over their rows.
    pub mean_row_norm: f64,
    /// The number of largest magnitude.
    pub largest: Option<Largest>,
    /// Share that is not finite; masked scores are no part of it.
    pub non_finite: f64,
}

/// A number, and where it is.
#[derive(Debug, Serialize)]
pub(super) struct Largest {
    pub value: f32,
    /// Along every axis of the shape.
    pub index: Vec<usize>,
    /// Of the token that it belongs to; of patterns and scores, that of the query.
    pub position: usize,
    /// Along the other axes: the dimension, or head and dimension.
    pub dimension: Vec<usize>,
}

impl Summary {
    /// Of `value`, whose first axis is the position, or of patterns and scores the second.
    pub fn of(name: String, value: &Tensor) -> Result<Self> {
        let shape = value.dims().to_vec();
        let pairs = name.ends_with("hook_pattern") || name.ends_with("hook_attn_scores");
        let masked = name.ends_with("hook_attn_scores");
        let values: Vec<f32> = value.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let rows = match pairs {
            true => shape.iter().rev().skip(1).product::<usize>(),
            false => shape.first().copied().unwrap_or(1),
        };
        let width = values.len() / rows.max(1);
        let square = |values: &[f32]| -> f64 {
            let finite = values.iter().filter(|x| x.is_finite());
            finite.map(|x| f64::from(*x).powi(2)).sum()
        };
        let norms = values
            .chunks_exact(width.max(1))
            .map(|row| square(row).sqrt());
        let finite = |x: f32| x.is_finite() || (masked && x == f32::NEG_INFINITY);
        let odd = values.iter().filter(|x| !finite(**x)).count();
        Ok(Self {
            norm: square(&values).sqrt(),
            mean_row_norm: norms.sum::<f64>() / rows.max(1) as f64,
            largest: largest(&values, &shape, usize::from(pairs)),
            non_finite: odd as f64 / values.len().max(1) as f64,
            site: name,
            shape,
        })
    }
}

fn largest(values: &[f32], shape: &[usize], position: usize) -> Option<Largest> {
    let known = values.iter().enumerate().filter(|(_, x)| x.is_finite());
    // Of equals the first.
    let (mut at, value) = known.reduce(|a, b| if b.1.abs() > a.1.abs() { b } else { a })?;
    let mut index = vec![0; shape.len()];
    for (axis, size) in shape.iter().enumerate().rev() {
        index[axis] = at % size;
        at /= size;
    }
    let others = index
        .iter()
        .enumerate()
        .filter(|(axis, _)| *axis != position);
    Some(Largest {
        value: *value,
        position: index.get(position).copied().unwrap_or(0),
        dimension: others.map(|(_, at)| *at).collect(),
        index,
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::Tensor;

    use super::Summary;

    #[test]
    fn a_summary_says_where_the_largest_is_and_what_is_not_finite() {
        let inf = f32::NEG_INFINITY;
        let values = [3.0, 4.0, 0.0, 0.0, -6.0, 8.0, f32::NAN, 0.0];
        let keys = Tensor::new(&values, &Device::Cpu).unwrap();
        let keys = keys.reshape((2, 2, 2)).unwrap();
        let of = Summary::of("blocks.0.attn.hook_k".to_owned(), &keys).unwrap();
        let largest = of.largest.unwrap();
        assert_eq!((largest.value, largest.position), (8.0, 1));
        assert_eq!(
            (largest.index, largest.dimension),
            (vec![1, 0, 1], vec![0, 1])
        );
        assert!((of.mean_row_norm - 7.5).abs() < 1e-9 && (of.norm - 125_f64.sqrt()).abs() < 1e-9);
        assert!((of.non_finite - 0.125).abs() < 1e-9);

        let scores = [1.0, inf, -5.0, 2.0, 3.0, inf, 0.0, 4.0];
        let scores = Tensor::new(&scores, &Device::Cpu).unwrap();
        let scores = scores.reshape((2, 2, 2)).unwrap();
        let of = Summary::of("blocks.0.attn.hook_attn_scores".to_owned(), &scores).unwrap();
        let largest = of.largest.unwrap();
        assert_eq!((largest.value, largest.position), (-5.0, 1), "of the query");
        assert_eq!(largest.dimension, [0, 0], "head and key");
        assert_eq!(of.non_finite, 0.0, "a mask is no accident");
    }
}
