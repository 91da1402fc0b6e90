//! More alike than other derivatives of the base that the suspect is said to come from?

use super::calibration::{Calibration, Tested};
use super::count::{Count, Tail};
use super::law::{PairLaw, PanelLaw};
use super::rank::rank_ln_p;
use crate::stat::tails::student_ln_tail;

/// What the p-values are the probability of.
pub const NULL: &str = "as many of the first model's wrong answers given by the suspect if it is one more derivative \
                        of the base like those given: what the base itself shares with the first model, all of \
                        them share";

/// A suspect among derivatives of the base that it claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The suspect's repeats of the first model's wrong answers beside the law of the derivatives; what
    /// they show beyond that law, taken off in the calibrated tail, is how alike the first model and the
    /// base are.
    pub suspect: Tested,
    /// `z` of the suspect; `None` where the count cannot vary.
    pub z: Option<f64>,
    /// Derivatives and their `z`, each against the law of the others.
    pub derivatives: Vec<(usize, f64)>,
    /// `ln` of the rank p-value among the derivatives: exact if the suspect is like them, never below
    /// `1 / (1 + derivatives)`.
    pub rank_ln_p: f64,
    /// `ln` of Student's tail of the suspect's `z` beside the sample of theirs, as one more of a normal
    /// population of which they are a sample; `None` for fewer than two derivatives.
    pub student_ln_p: Option<f64>,
}

/// Holds `suspect` against `law`, whose members are other derivatives of the claimed base, in how often it
/// repeats the wrong answers of `first`.
///
/// A new observation `z` beside `n` others of mean `m` and standard deviation `s` has
/// `(z - m) / (s sqrt(1 + 1/n))` distributed as Student's with `n - 1` degrees of freedom (Crawford and
/// Howell, The Clinical Neuropsychologist 12, 1998).
pub fn claim(law: &PanelLaw<'_>, first: usize, suspect: usize) -> Claim {
    let others = law.members().iter().copied();
    let others = others.filter(|member| *member != first && *member != suspect);
    let derivatives: Vec<(usize, f64)> = others
        .filter_map(|member| {
            let (count, observed) = repeats(&law.pair(first, member));
            Some((member, count.z(observed as f64)?))
        })
        .collect();
    let theirs: Vec<f64> = derivatives.iter().map(|(_, z)| *z).collect();
    let calibration = Calibration::of(theirs.iter().copied());
    let (count, observed) = repeats(&law.pair(first, suspect));
    let tested = Tested::new(&count, observed, calibration.as_ref());
    let student = tested.z.zip(calibration).map(|(z, sample)| {
        let n = sample.pairs as f64;
        student_ln_tail(
            (z - sample.mean) / (sample.sd * (1.0 + 1.0 / n).sqrt()),
            n - 1.0,
        )
    });
    Claim {
        suspect: tested,
        z: tested.z,
        rank_ln_p: tested.z.map_or(0.0, |z| rank_ln_p(z, &theirs)),
        derivatives,
        student_ln_p: student.filter(|ln_p| !ln_p.is_nan()),
    }
}

/// Of the first model's wrong answers, those that the second gives too.
fn repeats(pair: &PairLaw) -> (Count, usize) {
    let wrong = || pair.items.iter().filter(|item| !item.first_right);
    (
        Count::of_trials(wrong().map(|item| item.repeats)),
        wrong().filter(|item| item.alike).count(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::copying::tests::SMALL;
    use crate::stat::copying::world::{World, copy};
    use crate::stat::random::stream;

    /// Derivatives keep most of their base's answers. The first model comes from the same base: that is
    /// no evidence against one more derivative, but answers taken from the first model are.
    #[test]
    fn what_the_base_gives_is_no_evidence() {
        let (mut low, mut seen) = (0, 0);
        for seed in 0..30 {
            let mut rng = stream(seed, "claim");
            let items = World {
                items: 500,
                ..SMALL
            }
            .items(&mut rng);
            let base = items.model(&mut rng);
            let mut derivative = || copy(&base, &items.model(&mut rng), 0.6, &mut rng);
            let mut models: Vec<Vec<u32>> = (0..10).map(|_| derivative()).collect();
            models.push(copy(&models[8], &models[9], 0.3, &mut rng));
            let answers = items.answered(models);
            let law = PanelLaw::fit(&answers, &[0, 1, 2, 3, 4, 5, 6, 7]);
            let honest = claim(&law, 8, 9);
            let copied = claim(&law, 8, 10);
            assert_eq!(honest.derivatives.len(), 8);
            low += usize::from(honest.suspect.calibrated_ln_p.unwrap() < 0.01f64.ln());
            low += usize::from(honest.student_ln_p.unwrap() < 0.01f64.ln());
            seen += usize::from(copied.suspect.calibrated_ln_p.unwrap() < 0.001f64.ln());
            assert!(copied.rank_ln_p >= (1.0f64 / 9.0).ln() - 1e-12);
        }
        assert!(low <= 3 && seen >= 24, "{low} {seen}");
    }

    #[test]
    fn one_derivative_is_no_sample() {
        let answers = SMALL.draw(4, 9, "one derivative");
        let law = PanelLaw::fit(&answers, &[0]);
        let found = claim(&law, 2, 3);
        assert_eq!(
            (found.student_ln_p, found.suspect.calibrated_ln_p),
            (None, None)
        );
        assert_eq!(found.derivatives.len(), 1);
    }
}
