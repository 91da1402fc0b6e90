//! How weights move: AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) on a schedule.

use candle_core::Tensor;
use candle_core::Var;
use candle_core::backprop::GradStore;
use candle_nn::AdamW;
use candle_nn::Optimizer;
use candle_nn::ParamsAdamW;

use super::error::Error;
use super::recipe::Course;

/// Gradients longer than this (Euclidean norm over all weights) are shortened to it.
const LONGEST_GRADIENT: f64 = 1.0;

/// AdamW with the course's schedule: decay on matrices, none on gains.
pub(super) struct Optimiser<'a> {
    course: &'a Course,
    vars: Vec<Var>,
    matrices: AdamW,
    vectors: AdamW,
}

impl<'a> Optimiser<'a> {
    pub(super) fn new(vars: Vec<Var>, course: &'a Course) -> Result<Self, Error> {
        let (matrices, vectors): (Vec<Var>, Vec<Var>) =
            vars.iter().cloned().partition(|var| var.rank() >= 2);
        let params = |weight_decay| ParamsAdamW {
            lr: 0.0,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay,
        };
        Ok(Self {
            course,
            vars,
            matrices: AdamW::new(matrices, params(course.weight_decay))?,
            vectors: AdamW::new(vectors, params(0.0))?,
        })
    }

    /// Moves the variables against the gradients of `loss`.
    pub(super) fn step(&mut self, loss: &Tensor, step: usize) -> Result<(), Error> {
        let mut gradients = loss.backward()?;
        shorten(&mut gradients, &self.vars)?;
        let rate = learning_rate(self.course, step);
        for group in [&mut self.matrices, &mut self.vectors] {
            group.set_learning_rate(rate);
            group.step(&gradients)?;
        }
        Ok(())
    }
}

fn shorten(gradients: &mut GradStore, vars: &[Var]) -> Result<(), Error> {
    let mut square = 0.0;
    for var in vars {
        if let Some(gradient) = gradients.get(var) {
            square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let length = square.sqrt();
    if length <= LONGEST_GRADIENT {
        return Ok(());
    }
    for var in vars {
        if let Some(gradient) = gradients.remove(var) {
            gradients.insert(var, (gradient * (LONGEST_GRADIENT / length))?);
        }
    }
    Ok(())
}

/// Linear rise, then half a cosine down to the final share.
fn learning_rate(course: &Course, step: usize) -> f64 {
    let highest = course.learning_rate;
    if step < course.warmup {
        return highest * (step + 1) as f64 / course.warmup as f64;
    }
    let done = (step - course.warmup) as f64 / (course.steps - course.warmup).max(1) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
    highest * (course.final_share + (1.0 - course.final_share) * cosine)
}

#[cfg(test)]
mod tests {
    use super::super::train::tests::course;
    use super::learning_rate;

    #[test]
    fn the_learning_rate_rises_then_falls_to_its_final_share() {
        let course = course(100);
        let rate = |step| learning_rate(&course, step);
        assert!((rate(0) - 1e-3).abs() < 1e-12);
        assert!((rate(4) - 5e-3).abs() < 1e-12);
        assert!((5..99).all(|step| rate(step + 1) < rate(step)));
        assert!((5e-4..5.2e-4).contains(&rate(99)), "{}", rate(99));
    }
}
