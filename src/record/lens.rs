//! What the logit lens says at the last token of a prompt, behind every block.

use candle_core::DType;
use candle_core::Device;
use candle_core::Tensor;

use crate::model::Site;
use crate::model::lens::Reading;

/// Numbers of one block: the natural logarithm of the probability that the lens gives to the token which the
/// model itself holds most probable in the end, and the Kullback-Leibler divergence from its last distribution,
/// in nats.
pub(super) const WIDTH: usize = 2;

/// Where the residual stream behind every block lies in what is kept of a prompt.
#[derive(Debug)]
pub(super) struct Lens {
    places: Vec<usize>,
    hidden_size: usize,
}

impl Lens {
    /// For what is kept at `sites`; `None` unless the lens is among them.
    pub fn new(sites: &[(Site, usize)]) -> Option<Self> {
        let mut at = 0;
        let (mut places, mut hidden_size, mut wanted) = (Vec::new(), 0, false);
        for (site, width) in sites {
            match site {
                Site::ResidPost(_) => {
                    places.push(at);
                    hidden_size = *width;
                }
                Site::Lens(_) => wanted = true,
                _ => {}
            }
            at += width;
        }
        wanted.then_some(Self {
            places,
            hidden_size,
        })
    }

    /// The residual stream behind every block as the head reads it, `[1, blocks, hidden_size]`, out of what was
    /// kept of a prompt.
    pub fn rows(&self, values: &[f32], device: &Device) -> candle_core::Result<Tensor> {
        let mut rows = Vec::with_capacity(self.places.len() * self.hidden_size);
        for &at in &self.places {
            rows.extend_from_slice(values.get(at..at + self.hidden_size).unwrap_or_default());
        }
        Tensor::from_vec(rows, (1, self.places.len(), self.hidden_size), device)
    }
}

/// [`WIDTH`] numbers for every block, one after the other, of the logits `[1, blocks, vocab_size]` that the head
/// gave.
pub(super) fn numbers(logits: &Tensor) -> candle_core::Result<Vec<f32>> {
    let rows: Vec<Vec<f32>> = logits.squeeze(0)?.to_dtype(DType::F32)?.to_vec2()?;
    let readings: Vec<Reading> = rows.iter().map(|row| Reading::of(row)).collect();
    let Some(last) = readings.last() else {
        return Ok(Vec::new());
    };
    let answer = last.top(1).first().map_or(0, |(token, _)| *token as usize);
    let block = |reading: &Reading| {
        let own = reading.logprobs.get(answer).copied().unwrap_or(f64::NAN);
        [own as f32, reading.divergence_from(last) as f32]
    };
    Ok(readings.iter().flat_map(block).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_residual_stream() {
        let sites = [
            (Site::MlpPre(0), 3),
            (Site::ResidPost(0), 2),
            (Site::ResidPost(1), 2),
            (Site::Lens(0), WIDTH),
            (Site::Lens(1), WIDTH),
        ];
        let lens = Lens::new(&sites).unwrap();
        let rows = lens
            .rows(&[9.0, 9.0, 9.0, 1.0, 2.0, 3.0, 4.0], &Device::Cpu)
            .unwrap();
        assert_eq!(rows.dims(), [1, 2, 2]);
        let rows: Vec<f32> = rows.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(rows, [1.0, 2.0, 3.0, 4.0]);
        assert!(Lens::new(&sites[..3]).is_none());
    }

    /// The last block's own answer is its most probable token, from which it does not diverge.
    #[test]
    fn numbers_are_of_the_answer_in_the_end() {
        let logits = Tensor::new(&[[[0.0f32, 0.0, 0.0], [0.0, 1.0, 0.0]]], &Device::Cpu).unwrap();
        let found = numbers(&logits).unwrap();
        let e = std::f32::consts::E;
        assert!((found[0] - (1.0f32 / 3.0).ln()).abs() < 1e-6);
        assert!((found[2] - (e / (e + 2.0)).ln()).abs() < 1e-6);
        let by_hand = [1.0, e, 1.0].map(|x| x / (e + 2.0));
        let by_hand: f32 = by_hand.iter().map(|p| p * (p * 3.0).ln()).sum();
        assert!((found[1] - by_hand).abs() < 1e-6 && found[3] == 0.0);
    }
}
