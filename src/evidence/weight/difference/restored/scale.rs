//! Sizes that a rewriting may have given to hidden units and to the whole residual stream.

use candle_core::{Device, Tensor};

use super::units::Beside;
use crate::evidence::Error;
use crate::model::{Canonical, Part, Role};

/// Takes out of the reference what every unit's up row may give its down row, and a scale of the whole
/// residual stream, by which every down row grows. The latter is returned.
///
/// Each is taken out only where it explains more than as many numbers drawn at random would: by the
/// Bayesian information criterion (Schwarz, "Estimating the dimension of a model", 1978). An error of the fit
/// would otherwise stand in every row of the difference, and hide of how few directions it consists.
pub(super) fn rescale(pairs: &mut [Beside]) -> Result<f64, Error> {
    let at = |part| pairs.iter().position(|one| one.role.part == part);
    let (Some(up), Some(down)) = (at(Part::Up), at(Part::Down)) else {
        return Ok(1.0);
    };
    let (ups, downs) = (slopes(&pairs[up])?, slopes(&pairs[down])?);
    let price = ((pairs[up].x.elem_count() + pairs[down].x.elem_count()) as f64).ln();
    let whole = whole(&ups, &downs, price);
    // Units that are not gated cannot exchange any.
    let exchanged = match at(Part::Gate) {
        Some(_) => exchanged(&ups, &downs, whole, price),
        None => vec![1.0; ups.len()],
    };
    let n = exchanged.len();
    let column = |values: Vec<f32>| Tensor::from_vec(values, (n, 1), &Device::Cpu);
    let forth = exchanged.iter().map(|scale| *scale as f32).collect();
    let back = exchanged.iter().map(|scale| (whole / scale) as f32);
    pairs[up].x = pairs[up].x.broadcast_mul(&column(forth)?)?;
    pairs[down].x = pairs[down].x.broadcast_mul(&column(back.collect())?)?;
    Ok(whole)
}

/// By how much more a layer writes to its residual stream: as its down rows say, or the gain of a norm behind
/// them, which takes their own size out.
pub(super) fn written(
    [(reference, counterpart), (suspect, layer)]: [(&Canonical<'_>, usize); 2],
    by_rows: f64,
) -> Result<f64, Error> {
    let size = |model: &Canonical<'_>, layer| -> Result<Option<f64>, Error> {
        let gain = model.gain_behind(&Role::layer(layer, Part::Down))?;
        let mean = gain.map(|gain| gain.sqr()?.mean_all()?.to_scalar::<f32>());
        Ok(mean.transpose()?.map(|square| f64::from(square).sqrt()))
    };
    Ok(
        match (size(reference, counterpart)?, size(suspect, layer)?) {
            (Some(ours), Some(theirs)) if ours > 0.0 && theirs > 0.0 => theirs / ours,
            _ => by_rows,
        },
    )
}

/// By how much one row is longer than another, as a logarithm, and the variance of that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slope {
    pub log: f64,
    pub variance: f64,
}

fn slopes(Beside { x, y, .. }: &Beside) -> Result<Vec<Slope>, Error> {
    let (x, y) = (x.to_vec2::<f32>()?, y.to_vec2::<f32>()?);
    Ok(x.iter().zip(&y).map(|(x, y)| slope(x, y)).collect())
}

/// Least absolute deviations: what was set to zero in less than half of a row leaves it where it is. Of a
/// normal error its variance is pi / 2 times that of least squares.
pub(super) fn slope(x: &[f32], y: &[f32]) -> Slope {
    let mut ratios: Vec<(f64, f64)> = x
        .iter()
        .zip(y)
        .filter(|(x, _)| **x != 0.0)
        .map(|(x, y)| (f64::from(*y) / f64::from(*x), f64::from(x.abs())))
        .collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = ratios.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut passed = 0.0;
    let middle = ratios.iter().find(|(_, weight)| {
        passed += weight;
        passed >= half
    });
    let Some(slope) = middle.map(|(ratio, _)| *ratio).filter(|at| at.is_normal()) else {
        return Slope {
            log: 0.0,
            variance: f64::INFINITY,
        };
    };
    let numbers = || x.iter().zip(y).map(|(x, y)| (f64::from(*x), f64::from(*y)));
    let left: f64 = numbers().map(|(x, y)| (y - slope * x).powi(2)).sum();
    let square: f64 = numbers().map(|(x, _)| x * x).sum();
    let variance = std::f64::consts::FRAC_PI_2 * left / x.len() as f64 / square;
    Slope {
        log: slope.abs().ln(),
        variance: variance / (slope * slope),
    }
}

/// By how much more the suspect writes to its residual stream: the median over units, 1 where it explains
/// less than its `price`.
fn whole(ups: &[Slope], downs: &[Slope], price: f64) -> f64 {
    let through = ups.iter().zip(downs);
    let (mut logs, mut variances): (Vec<f64>, Vec<f64>) = through
        .map(|(up, down)| (up.log + down.log, up.variance + down.variance))
        .unzip();
    logs.sort_by(f64::total_cmp);
    variances.sort_by(f64::total_cmp);
    let middle = |sorted: &[f64]| sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let (log, variance) = (middle(&logs), middle(&variances));
    let of_median = std::f64::consts::FRAC_PI_2 * variance / logs.len().max(1) as f64;
    if gain(log, of_median) > price {
        log.exp()
    } else {
        1.0
    }
}

/// What each unit's up row gained that its down row lost; 1 throughout where they explain less than their
/// price.
fn exchanged(ups: &[Slope], downs: &[Slope], whole: f64, price: f64) -> Vec<f64> {
    let both: Vec<Slope> = ups
        .iter()
        .zip(downs)
        .map(|(up, down)| Slope {
            log: (up.log + whole.ln() - down.log) / 2.0,
            variance: (up.variance + down.variance) / 4.0,
        })
        .collect();
    if explain(&both, price) {
        both.iter().map(|one| one.log.exp()).collect()
    } else {
        vec![1.0; both.len()]
    }
}

/// Whether numbers explain more than they cost at `price` each.
pub(super) fn explain(numbers: &[Slope], price: f64) -> bool {
    let gains = numbers.iter().map(|one| gain(one.log, one.variance));
    gains.sum::<f64>() > price * numbers.len() as f64
}

/// Twice what the logarithm of the likelihood gains.
fn gain(log: f64, variance: f64) -> f64 {
    if log == 0.0 {
        0.0
    } else {
        log * log / variance
    }
}
