//! What two models say to the same random tokens.

use candle_core::{D, Device, Tensor};

use super::decoder::{Decoder, Error};
use crate::stat::random;

/// Random texts and their tokens.
const TEXTS: usize = 2;
const LONGEST: usize = 24;

/// Logits on random tokens, `[positions, vocab_size]`; of an encoder its last states,
/// `[positions, hidden_size]`.
#[derive(Debug, Clone)]
pub struct Logits {
    values: Vec<f32>,
    width: usize,
}

impl Logits {
    /// Runs `decoder` on texts of ids below `vocabulary` that `seed` draws.
    ///
    /// # Errors
    /// What the forward pass reports.
    pub fn on_random_tokens(
        decoder: &Decoder,
        vocabulary: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        let spec = decoder.spec();
        let length = LONGEST.min(spec.max_position_embeddings);
        let mut rng = random::stream(seed, "tokens to compare logits on");
        let tokens: Vec<u32> = (0..TEXTS * length)
            .map(|_| random::below(&mut rng, vocabulary) as u32)
            .collect();
        let tokens = Tensor::from_vec(tokens, (TEXTS, length), &Device::Cpu)?;
        let logits = decoder.forward(&tokens, None, &mut ())?;
        Ok(Self {
            width: logits.dim(D::Minus1)?,
            values: logits.flatten_all()?.to_vec1()?,
        })
    }

    /// `|self - other| / |self|`, Euclidean, each position centred.
    pub fn distance(&self, other: &Self) -> f64 {
        let mut difference = 0.0;
        let mut size = 0.0;
        for (ours, theirs) in self.positions(other) {
            let mean =
                |row: &[f32]| row.iter().map(|x| f64::from(*x)).sum::<f64>() / row.len() as f64;
            let (our_mean, their_mean) = (mean(ours), mean(theirs));
            for (a, b) in ours.iter().zip(theirs) {
                let (a, b) = (f64::from(*a) - our_mean, f64::from(*b) - their_mean);
                difference += (a - b).powi(2);
                size += a.powi(2);
            }
        }
        (difference / size).sqrt()
    }

    /// Largest difference of two logits over the largest size of one of these.
    pub fn largest_difference(&self, other: &Self) -> f64 {
        let mut difference = 0.0_f64;
        let mut size = 0.0_f64;
        for (ours, theirs) in self.positions(other) {
            for (a, b) in ours.iter().zip(theirs) {
                let (a, b) = (f64::from(*a), f64::from(*b));
                // `max` would pass over a number that is none.
                if !(a - b).abs().is_finite() {
                    return f64::INFINITY;
                }
                difference = difference.max((a - b).abs());
                size = size.max(a.abs());
            }
        }
        if difference > 0.0 {
            difference / size
        } else {
            0.0
        }
    }

    /// Share of positions at which both have their largest logit at the same token.
    pub fn agreement(&self, other: &Self) -> f64 {
        let (mut alike, mut all) = (0_u32, 0_u32);
        for (ours, theirs) in self.positions(other) {
            alike += u32::from(first(ours) == first(theirs));
            all += 1;
        }
        f64::from(alike) / f64::from(all.max(1))
    }

    /// Rows of both, as far as both vocabularies go.
    fn positions<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        let width = self.width.min(other.width);
        let rows = self.values.chunks_exact(self.width.max(1));
        let others = other.values.chunks_exact(other.width.max(1));
        rows.zip(others)
            .map(move |(ours, theirs)| (&ours[..width], &theirs[..width]))
    }
}

/// Place of the largest.
fn first(row: &[f32]) -> Option<usize> {
    let largest = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    largest.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::Logits;

    fn logits(values: &[f32], width: usize) -> Logits {
        Logits {
            values: values.to_vec(),
            width,
        }
    }

    #[test]
    fn differences_are_relative_and_a_shift_of_a_position_is_none_where_it_is_centred() {
        let a = logits(&[1.0, 3.0, -4.0, 0.0], 2);
        let b = logits(&[2.0, 4.0, -4.0, 0.0], 2);
        assert!(a.distance(&b) < 1e-12);
        assert!((a.largest_difference(&b) - 0.25).abs() < 1e-12);
        assert_eq!(a.agreement(&b), 1.0);
        assert_eq!(a.largest_difference(&a), 0.0);
    }

    #[test]
    fn other_vocabularies_are_compared_as_far_as_both_go() {
        let a = logits(&[1.0, 3.0, -4.0, 0.0], 2);
        let longer = logits(&[1.0, 3.0, 9.0, -4.0, -5.0, 9.0], 3);
        assert!((a.largest_difference(&longer) - 1.25).abs() < 1e-12);
        assert_eq!(a.agreement(&longer), 0.5);
        let broken = logits(&[f32::NAN, 3.0, -4.0, 0.0], 2);
        assert!(a.largest_difference(&broken).is_infinite());
    }
}
