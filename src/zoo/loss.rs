//! Cross-entropy in one pass, with its gradient.

use std::sync::Mutex;

use candle_core::CpuStorage;
use candle_core::CustomOp1;
use candle_core::Layout;
use candle_core::Result;
use candle_core::Shape;
use candle_core::Tensor;
use rayon::prelude::*;

/// A token to predict, and how much it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    /// Which.
    pub(super) token: u32,
    /// Relative weight in the mean.
    pub(super) weight: f32,
}

/// Weighted mean of the cross-entropies in nats of `logits` `[n, vocab_size]` (f32, CPU) for
/// `targets` (`n` of them).
///
/// candle-nn's own goes through six tensors as large as the logits; with a vocabulary of thousands
/// that is most of a small model's training step.
///
/// # Errors
/// When the shapes disagree or a target is outside the vocabulary.
pub(super) fn cross_entropy(logits: &Tensor, targets: Vec<Target>) -> Result<Tensor> {
    let (n, vocab_size) = logits.dims2()?;
    if targets.len() != n {
        candle_core::bail!("{} targets for {n} rows of logits", targets.len());
    }
    if let Some(outside) = targets
        .iter()
        .find(|target| target.token as usize >= vocab_size)
    {
        candle_core::bail!(
            "target {} is outside the vocabulary of {vocab_size}",
            outside.token
        );
    }
    logits.contiguous()?.apply_op1(CrossEntropy {
        targets,
        gradient: Mutex::new(Vec::new()),
    })
}

/// Mean cross-entropy in nats of `logits` `[n, vocab_size]` for the distributions of `theirs`, logits of
/// the same shape without a gradient.
///
/// # Errors
/// When the shapes disagree.
pub(super) fn soft_cross_entropy(logits: &Tensor, theirs: &Tensor) -> Result<Tensor> {
    let rows = logits.dim(0)? as f64;
    let wanted = candle_nn::ops::softmax_last_dim(&theirs.detach())?;
    let found = candle_nn::ops::log_softmax(logits, candle_core::D::Minus1)?;
    (wanted * found)?.sum_all()? * (-1.0 / rows)
}

struct CrossEntropy {
    targets: Vec<Target>,
    /// Left by the forward pass for the backward pass.
    gradient: Mutex<Vec<f32>>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("cross-entropy needs contiguous logits");
        };
        let logits = &storage.as_slice::<f32>()?[start..end];
        let width = logits.len() / self.targets.len();
        let total: f64 = self.targets.iter().map(|t| f64::from(t.weight)).sum();
        let mut gradient = vec![0f32; logits.len()];
        let losses: Vec<f64> = gradient
            .par_chunks_mut(width)
            .zip(logits.par_chunks(width))
            .zip(self.targets.par_iter())
            .map(|((gradient, logits), target)| {
                let share = f64::from(target.weight) / total;
                share * row(logits, target.token as usize, share, gradient)
            })
            .collect();
        let mean: f64 = losses.iter().sum();
        if let Ok(mut kept) = self.gradient.lock() {
            *kept = gradient;
        }
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad_res: &Tensor) -> Result<Option<Tensor>> {
        let gradient = match self.gradient.lock() {
            Ok(mut kept) => std::mem::take(&mut *kept),
            Err(_) => candle_core::bail!("the forward pass of cross-entropy failed"),
        };
        let gradient = Tensor::from_vec(gradient, arg.shape(), arg.device())?;
        let factor = grad_res.to_scalar::<f32>()?;
        if factor == 1.0 {
            return Ok(Some(gradient));
        }
        Ok(Some((gradient * f64::from(factor))?))
    }
}

/// One row: its loss, and `share * (softmax - one hot)` into `gradient`.
fn row(logits: &[f32], target: usize, share: f64, gradient: &mut [f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (odds, &logit) in gradient.iter_mut().zip(logits) {
        *odds = (logit - largest).exp();
    }
    let total: f64 = gradient.iter().map(|&odds| f64::from(odds)).sum();
    let scale = (share / total) as f32;
    for odds in gradient.iter_mut() {
        *odds *= scale;
    }
    gradient[target] -= share as f32;
    total.ln() - f64::from(logits[target] - largest)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::Tensor;
    use candle_core::Var;

    use super::Target;
    use super::cross_entropy;
    use super::soft_cross_entropy;

    fn all_alike(tokens: &[u32]) -> Vec<Target> {
        tokens
            .iter()
            .map(|&token| Target { token, weight: 0.5 })
            .collect()
    }

    #[test]
    fn agrees_with_candle_nn_in_value_and_gradient() {
        let values: Vec<f32> = (0..40)
            .map(|i| ((i * 37 % 17) as f32 - 8.0) / 2.0)
            .collect();
        let targets = vec![3u32, 0, 9, 9];
        let gradient = |ours: bool| {
            let logits = Var::from_vec(values.clone(), (4, 10), &Device::Cpu).expect("var");
            let loss = if ours {
                cross_entropy(&logits, all_alike(&targets))
            } else {
                let targets = Tensor::new(targets.clone(), &Device::Cpu).expect("targets");
                candle_nn::loss::cross_entropy(&logits, &targets)
            };
            let loss = (loss.expect("loss") * 2.0).expect("scaled");
            let gradients = loss.backward().expect("gradients");
            let gradient = gradients.get(&logits).expect("of the logits");
            (
                loss.to_scalar::<f32>().expect("scalar"),
                gradient
                    .flatten_all()
                    .expect("flat")
                    .to_vec1::<f32>()
                    .expect("f32"),
            )
        };
        let (ours, our_gradient) = gradient(true);
        let (theirs, their_gradient) = gradient(false);
        assert!((ours - theirs).abs() < 1e-5, "{ours} {theirs}");
        for (a, b) in our_gradient.iter().zip(&their_gradient) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn soft_targets_have_the_gradient_of_two_softmaxes() {
        let rows = [[0.5f32, -1.0, 2.0], [1.5, 0.0, 0.25]];
        let theirs = [[1.0f32, 1.0, 0.0], [-2.0, 0.5, 3.0]];
        let softmax = |row: &[f32; 3]| {
            let total: f32 = row.iter().map(|x| x.exp()).sum();
            row.map(|x| x.exp() / total)
        };
        let logits = Var::new(&rows, &Device::Cpu).expect("var");
        let wanted = Tensor::new(&theirs, &Device::Cpu).expect("tensor");
        let loss = soft_cross_entropy(&logits, &wanted).expect("loss");
        let gradients = loss.backward().expect("gradients");
        let gradient = gradients.get(&logits).expect("of the logits");
        let gradient = gradient.to_vec2::<f32>().expect("matrix");
        let mut expected = 0.0;
        for row in 0..2 {
            let (q, p) = (softmax(&rows[row]), softmax(&theirs[row]));
            for k in 0..3 {
                expected -= p[k] * q[k].ln() / 2.0;
                assert!((gradient[row][k] - (q[k] - p[k]) / 2.0).abs() < 1e-6);
            }
        }
        let loss = loss.to_scalar::<f32>().expect("scalar");
        assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
    }

    #[test]
    fn what_weighs_nothing_changes_nothing() {
        let logits = |values: Vec<f32>| Var::from_vec(values, (2, 3), &Device::Cpu).expect("var");
        let loss = |values: Vec<f32>| {
            let logits = logits(values);
            let targets = vec![
                Target {
                    token: 1,
                    weight: 1.0,
                },
                Target {
                    token: 2,
                    weight: 0.0,
                },
            ];
            let loss = cross_entropy(&logits, targets).expect("loss");
            let gradients = loss.backward().expect("gradients");
            let gradient = gradients.get(&logits).expect("of the logits");
            let gradient = gradient.flatten_all().and_then(|g| g.to_vec1::<f32>());
            (
                loss.to_scalar::<f32>().expect("scalar"),
                gradient.expect("f32"),
            )
        };
        let (one, gradient) = loss(vec![0.3, 1.0, -2.0, 5.0, 5.0, 5.0]);
        let (other, _) = loss(vec![0.3, 1.0, -2.0, 9.0, -9.0, 0.0]);
        assert_eq!(one, other);
        assert_eq!(gradient[3..], [0.0; 3]);
    }

    #[test]
    fn a_target_outside_the_vocabulary_is_refused() {
        let logits = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu).expect("zeros");
        assert!(cross_entropy(&logits, all_alike(&[0, 4])).is_err());
        assert!(cross_entropy(&logits, all_alike(&[0])).is_err());
    }
}
