//! What norms' gains, which a rewriting multiplies into weights, have to do with a difference.

use candle_core::Tensor;

use super::scale::{explain, slope};
use super::units::Beside;
use crate::evidence::Error;

/// Gives the reference the gains that the suspect's units read through, where those explain more than as
/// many numbers drawn at random would; both as coordinates of the reference's stream.
///
/// A change of gains is a vector's. Multiplied in it would stand in every row of the difference.
pub(super) fn regain(pairs: &mut [Beside], rotation: &Tensor) -> Result<(), Error> {
    let reads = |pair: &&mut Beside| pair.gain.is_some();
    let side = |of: &dyn Fn(&Beside) -> Tensor, pairs: &[Beside]| -> Result<Option<_>, Error> {
        let rows: Vec<Tensor> = pairs.iter().filter(|p| p.gain.is_some()).map(of).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let rows = Tensor::cat(&rows, 0)?.matmul(&rotation.t()?)?;
        Ok(Some(rows.t()?.to_vec2::<f32>()?))
    };
    if rotation.dim(0)? != rotation.dim(1)? {
        return Ok(());
    }
    let both = (
        side(&|pair| pair.x.clone(), pairs)?,
        side(&|pair| pair.y.clone(), pairs)?,
    );
    let (Some(x), Some(y)) = both else {
        return Ok(());
    };
    let slopes: Vec<_> = x.iter().zip(&y).map(|(x, y)| slope(x, y)).collect();
    let numbers = x.iter().map(Vec::len).sum::<usize>();
    if !explain(&slopes, (numbers as f64).ln()) {
        return Ok(());
    }
    let gains: Vec<f32> = slopes.iter().map(|one| one.log.exp() as f32).collect();
    let gains = Tensor::new(gains, rotation.device())?;
    for pair in pairs.iter_mut().filter(reads) {
        let there = pair.x.matmul(&rotation.t()?)?;
        pair.x = there.broadcast_mul(&gains)?.matmul(rotation)?;
    }
    Ok(())
}

/// Mean square of the gain, by which the squared size of a difference has grown since it was made, from
/// its `energy` by coordinate of the reference's stream; 1 where it rather was made afterwards.
///
/// The variance of a difference is the same in all coordinates when it was made in the numbers at hand, and
/// follows the squared gain when that came later. Both laws have one free number: the likelier one is taken.
pub(super) fn growth(gain: &[f32], energy: &[f64]) -> f64 {
    let kept = || {
        let pairs = gain.iter().zip(energy);
        pairs
            .map(|(gain, energy)| (f64::from(*gain).powi(2), *energy))
            .filter(|(square, energy)| *square > 0.0 && energy.is_finite())
    };
    let n = kept().count().max(1) as f64;
    let before = kept().map(|(square, energy)| energy / square).sum::<f64>() / n;
    let after = kept().map(|(_, energy)| energy).sum::<f64>() / n;
    let logs = kept().map(|(square, _)| square.ln()).sum::<f64>() / n;
    // Of a normal law each coordinate adds ln(variance) + energy / variance, and the latter has mean 1.
    if before.ln() + logs < after.ln() {
        kept().map(|(square, _)| square).sum::<f64>() / n
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random;

    #[test]
    fn the_order_of_noise_and_gain_is_seen() {
        let mut rng = random::stream(3, "gains test");
        let gain: Vec<f32> = (0..64)
            .map(|_| (0.3 * random::normal(&mut rng)).exp() as f32)
            .collect();
        let mut energy = |of: &dyn Fn(f64) -> f64| -> Vec<f64> {
            let one = |gain: &f32| {
                let draws = (0..128).map(|_| random::normal(&mut rng).powi(2));
                of(f64::from(*gain)) * draws.sum::<f64>()
            };
            gain.iter().map(one).collect()
        };
        let (before, after) = (energy(&|gain| gain * gain), energy(&|_| 1.0));
        let mean = gain.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / 64.0;
        assert!((growth(&gain, &before) - mean).abs() < 1e-12);
        assert_eq!(growth(&gain, &after), 1.0);
        assert_eq!(growth(&[], &[]), 1.0);
    }
}
