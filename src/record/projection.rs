//! A whole law of the next token in a few numbers that keep its correlations.

use std::collections::BTreeMap;

use candle_core::DType;
use candle_core::Device;
use candle_core::Result;
use candle_core::Tensor;
use half::f16;
use sha2::Digest;
use sha2::Sha256;
use twox_hash::XxHash3_64;

/// Numbers that a law becomes.
pub const WIDTH: usize = 32;

/// Which signs are drawn; another number makes other projections, that cannot be compared with these.
const VERSION: u32 = 1;

/// Random signs, [`WIDTH`] for every token of a vocabulary.
///
/// Logarithms of probabilities, less their mean over the vocabulary, are summed with each row of signs.
/// Inner products of laws become inner products of these sums, up to a relative error of
/// `1 / sqrt(WIDTH)` a place, which falls with the number of places (Johnson and Lindenstrauss; with signs:
/// Achlioptas, Database-friendly random projections, 2003). The signs are a hash of the token's text, so
/// that models whose vocabularies hold the same texts can be compared whatever their ids are.
#[derive(Debug)]
pub(super) struct Projection {
    /// `[logits, WIDTH]`: signs less their mean over the vocabulary, zero where a logit has no token.
    signs: Tensor,
    vocabulary: String,
}

impl Projection {
    /// For logits of `width` tokens, of which `vocabulary` names some.
    pub fn new(vocabulary: &BTreeMap<String, u32>, width: usize, device: &Device) -> Result<Self> {
        let named = || vocabulary.iter().filter(|(_, id)| (**id as usize) < width);
        let mut signs = vec![0.0_f32; width * WIDTH];
        let mut hash = Sha256::new();
        for (text, id) in named() {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
            let bits = XxHash3_64::oneshot_with_seed(VERSION.into(), text.as_bytes());
            for (at, sign) in signs[*id as usize * WIDTH..][..WIDTH]
                .iter_mut()
                .enumerate()
            {
                *sign = if bits >> at & 1 == 1 { 1.0 } else { -1.0 };
            }
        }
        for at in 0..WIDTH {
            let ids: Vec<usize> = named().map(|(_, id)| *id as usize * WIDTH + at).collect();
            let mean = ids.iter().map(|id| signs[*id]).sum::<f32>() / ids.len().max(1) as f32;
            ids.into_iter().for_each(|id| signs[id] -= mean);
        }
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self {
            signs: Tensor::from_vec(signs, (width, WIDTH), device)?,
            vocabulary: format!("signs {VERSION}, {WIDTH} wide, over sha256:{hex}"),
        })
    }

    /// What these projections are over: those of two models can be compared where this is the same.
    pub fn vocabulary(&self) -> &str {
        &self.vocabulary
    }

    /// In memory.
    pub fn bytes(&self) -> u64 {
        4 * self.signs.elem_count() as u64
    }

    /// Of logits `[tokens, width]`, row by row; any constant added to a row changes nothing. Rounded to
    /// half precision, which is what a recording keeps.
    pub fn rows(&self, logits: &Tensor) -> Result<Vec<Vec<f32>>> {
        let rows = logits.to_dtype(DType::F32)?.matmul(&self.signs)?;
        let rounded = |value: f32| f16::from_f32(value).to_f32();
        let rows: Vec<Vec<f32>> = rows.to_vec2()?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_iter().map(rounded).collect())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::correlation::{cosine, pearson};
    use crate::stat::random::{normal, stream};

    const TOKENS: usize = 500;

    /// Tokens `t0`, `t1`, … under the ids `id(0)`, `id(1)`, …
    fn vocabulary(id: impl Fn(usize) -> usize) -> BTreeMap<String, u32> {
        (0..TOKENS)
            .map(|token| (format!("t{token}"), id(token) as u32))
            .collect()
    }

    fn project(vocabulary: &BTreeMap<String, u32>, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let width = rows[0].len();
        let device = Device::Cpu;
        let logits = Tensor::from_vec(rows.concat(), (rows.len(), width), &device).unwrap();
        let projection = Projection::new(vocabulary, width, &device).unwrap();
        projection.rows(&logits).unwrap()
    }

    /// Laws of two models that have `shared` of their variance in common.
    fn laws(shared: f64, places: usize) -> [Vec<Vec<f32>>; 2] {
        let mut rng = stream(1, "laws");
        let mut law = || -> Vec<f64> { (0..TOKENS).map(|_| normal(&mut rng)).collect() };
        let mut two = [Vec::new(), Vec::new()];
        for _ in 0..places {
            let common = law();
            for model in &mut two {
                let own = law();
                let mix = common.iter().zip(own);
                let mix = mix.map(|(c, o)| shared.sqrt() * c + (1.0 - shared).sqrt() * o);
                model.push(mix.map(|value| value as f32).collect());
            }
        }
        two
    }

    #[test]
    fn correlations_of_laws_are_kept() {
        let [a, b] = laws(0.4, 200);
        let [x, y] = [&a, &b].map(|rows| project(&vocabulary(|token| token), rows));
        let wide = |row: &[f32]| row.iter().copied().map(f64::from).collect::<Vec<f64>>();
        let mean = |of: &dyn Fn(usize) -> f64| (0..200).map(of).sum::<f64>() / 200.0;
        let truth = mean(&|at| pearson(&wide(&a[at]), &wide(&b[at])).unwrap());
        let kept = mean(&|at| cosine(&wide(&x[at]), &wide(&y[at])).unwrap());
        // 1 / sqrt(32 * 200) is 0.0125.
        assert!((truth - kept).abs() < 0.04, "{truth} {kept}");
    }

    #[test]
    fn ids_padding_and_constants_do_not_matter() {
        let [rows, _] = laws(0.0, 3);
        let plain = project(&vocabulary(|token| token), &rows);
        let turned: Vec<Vec<f32>> = rows
            .iter()
            .map(|row| {
                let reversed = row.iter().rev().map(|logit| logit + 5.0);
                reversed.chain([40.0, -3.0]).collect()
            })
            .collect();
        let other = project(&vocabulary(|token| TOKENS - 1 - token), &turned);
        for (a, b) in plain.concat().iter().zip(other.concat()) {
            assert!((a - b).abs() <= 0.02 + a.abs() / 256.0, "{a} {b}");
        }
        let device = Device::Cpu;
        let name = |vocabulary: &BTreeMap<String, u32>| {
            let projection = Projection::new(vocabulary, TOKENS, &device).unwrap();
            projection.vocabulary().to_owned()
        };
        let same = vocabulary(|token| TOKENS - 1 - token);
        assert_eq!(name(&vocabulary(|token| token)), name(&same));
        let mut fewer = same;
        fewer.remove("t7");
        assert_ne!(name(&vocabulary(|token| token)), name(&fewer));
    }
}
