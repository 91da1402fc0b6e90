//! Principal angles between the spaces of logits.

use candle_core::{DType, Tensor};

use super::tokens;
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject};
use crate::model::{Canonical, Model};
use crate::stat::spectral;

/// See [`CARD`].
pub(super) struct HeadAngles;

static CARD: Card = Card {
    id: "weight.head_angles",
    version: 1,
    family: "weight.vocabulary",
    title: "principal angles between the column spaces of the output heads",
    measures: "All logits that a model can give over the tokens both vocabularies share lie in the column space of its \
               output head (gain of the last norm folded in, centred over tokens). The statistic is the mean squared \
               cosine of the principal angles between the two spaces, scaled so that 0 is chance and 1 is one space \
               inside the other.",
    null: "Random spaces of d1 and d2 dimensions among n tokens give the larger d / n, which is subtracted; independent \
           models share directions that the language itself has, so that the null is the same number for pairs of \
           independent runs.",
    fooled_by: "A head that was taken over alone, or one public embedding table in both. A new vocabulary hides kin. Nothing \
                that is done to the residual stream changes it, invertible maps included.",
    cost: "One pass over both heads; a singular value decomposition of at most 8192 x width.",
    reference: "The space of logits: Carlini et al., Stealing Part of a Production Language Model (ICML 2024); Finlayson et \
                al., Logits of API-Protected LLMs Leak Proprietary Information (2024). Principal angles: Björck and \
                Golub (1973).",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[
        "permute-units",
        "permute-heads",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "scale-residual",
        "shift-head",
    ],
};

/// Shared tokens at most.
const TOKENS: usize = 8192;

/// Directions shorter than this share of the longest are rounding.
const ROUNDING: f64 = 1e-6;

impl Evidence for HeadAngles {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let found = match angles(pair.reference.model, pair.suspect.model, pair.seed)? {
            Ok(found) => found,
            Err(reason) => return Ok(Outcome::NotApplicable(reason)),
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let found = angles(a.model, b.model, pair.seed)?;
            Ok(found.ok().map(|found| found.statistic()))
        })?;
        Ok(Outcome::Measured(Box::new(found.finding(&controls))))
    }
}

struct Angles {
    /// Mean squared cosine over the smaller space.
    mean_square: f64,
    /// What random spaces give.
    chance: f64,
    tokens: usize,
    ranks: [usize; 2],
}

fn angles(a: &Model, b: &Model, seed: u64) -> Result<Result<Angles, String>, Error> {
    let (ours, theirs) = match (Canonical::of(a), Canonical::of(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(why), _) => return Ok(Err(format!("reference: {why}"))),
        (_, Err(why)) => return Ok(Err(format!("suspect: {why}"))),
    };
    let shared = match tokens::shared(a, b, TOKENS, seed) {
        Ok(shared) => shared,
        Err(reason) => return Ok(Err(reason)),
    };
    let widest = ours.spec.hidden_size.max(theirs.spec.hidden_size);
    if shared.ours.len() < 2 * widest {
        return Ok(Err(format!(
            "{} shared tokens are too few for heads of {widest} dimensions: any two would look alike",
            shared.ours.len()
        )));
    }
    let (Some(x), Some(y)) = (ours.head(&shared.ours)?, theirs.head(&shared.theirs)?) else {
        return Ok(Err("no output head is known by role".to_owned()));
    };
    let (Some((x, rank)), Some((y, other))) = (basis(&x)?, basis(&y)?) else {
        return Ok(Err("a head holds numbers that are not finite".to_owned()));
    };
    let smaller = rank.min(other);
    if smaller == 0 {
        return Ok(Err("a head is constant".to_owned()));
    }
    let cosines = x.t()?.contiguous()?.matmul(&y)?;
    let sum = cosines.sqr()?.sum_all()?.to_scalar::<f64>()?;
    Ok(Ok(Angles {
        mean_square: sum / smaller as f64,
        // Centring takes one dimension from the tokens.
        chance: rank.max(other) as f64 / (shared.ours.len() - 1) as f64,
        tokens: shared.ours.len(),
        ranks: [rank, other],
    }))
}

/// An orthonormal basis of the columns, and how many there are.
fn basis(head: &Tensor) -> Result<Option<(Tensor, usize)>, Error> {
    let (rows, columns) = head.dims2()?;
    let values = head.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let Some((basis, rank)) = spectral::basis(&values, rows, columns, ROUNDING) else {
        return Ok(None);
    };
    Ok(Some((
        Tensor::from_vec(basis, (rows, rank), head.device())?,
        rank,
    )))
}

impl Angles {
    fn statistic(&self) -> f64 {
        ((self.mean_square - self.chance) / (1.0 - self.chance).max(f64::MIN_POSITIVE)).min(1.0)
    }

    fn finding(&self, controls: &Controls) -> Finding {
        let statistic = self.statistic();
        let mut details = controls.details(statistic);
        details.extend([
            ("mean_squared_cosine", self.mean_square),
            ("chance", self.chance),
        ]);
        Finding {
            statistic,
            n: self.tokens as u64,
            null: controls.words(statistic),
            log10_p: None,
            interval: None,
            details,
            explanation: format!(
                "The spaces of logits over {} shared tokens, of {} and {} dimensions, have a mean squared cosine of \
                 {:.3}, where random ones have {:.3}.",
                self.tokens, self.ranks[0], self.ranks[1], self.mean_square, self.chance
            ),
            caveats: vec![
                "a head or embedding that both took from a third model looks like kinship here"
                    .to_owned(),
            ],
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, pair};
    use crate::model::toy::{Dims, Toy};

    fn measured(reference: &Toy, suspect: &Toy) -> Outcome {
        let (a, b) = (Open::new(reference), Open::new(suspect));
        HeadAngles.assess(&pair(&a, &b)).unwrap()
    }

    fn dims() -> Dims {
        Dims {
            vocab: 400,
            ..Dims::default()
        }
    }

    /// Random heads of 16 dimensions among 400 tokens: chance is what the formula says.
    #[test]
    fn strangers_are_at_chance_and_kin_are_not() {
        let mut sum = 0.0;
        for seed in 0..20 {
            let outcome = measured(&Toy::new(2 * seed, dims()), &Toy::new(2 * seed + 1, dims()));
            let Outcome::Measured(finding) = outcome else {
                panic!("not applicable")
            };
            sum += finding.statistic / 20.0;
        }
        assert!(sum.abs() < 0.005, "{sum}");
        let parent = Toy::new(1, dims());
        let Outcome::Measured(kin) = measured(&parent, &parent.noised(0.5, 3)) else {
            panic!("not applicable")
        };
        assert!(kin.statistic > 0.6, "{}", kin.statistic);
    }

    #[test]
    fn too_few_tokens_are_said() {
        let toy = Toy::new(
            1,
            Dims {
                vocab: 20,
                ..dims()
            },
        );
        assert!(
            matches!(measured(&toy, &toy), Outcome::NotApplicable(reason) if reason.contains("too few"))
        );
    }
}
