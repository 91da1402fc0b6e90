//! Whether two models share their random start only, or what was learnt after it.

use super::tensor_cosine::{self, Kind};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject};
use crate::model::Weights;

/// See [`CARD`].
pub(super) struct SharedStart;

static CARD: Card = Card {
    id: "weight.shared_start",
    version: 1,
    family: "weight.start",
    title: "agreement of what starts constant, as a share of the agreement of what starts random",
    measures: "Matrices start random, gains of norms start at one constant in every model: what two models' gains \
               share was learnt, what their matrices share may come from the start. With g Pearson's correlation of \
               gains with the same role and m the cosine of matrices with the same role (means over tensors weighted \
               by size), the statistic is g / max(|g|, |m|).",
    null: "None: it says what kind of kinship there is, not whether. Near 1 for models made from one another, where \
           both agree; far lower after one random start and separate training; anything between -1 and 1 for \
           independent models, where neither agrees and the quotient is noise.",
    fooled_by: "Gains folded away or replaced, gains with noise on them, training so long that the start is forgotten, \
                a start that is not constant.",
    cost: "As weight.tensor_cosine.",
    reference: "Ours. Two models trained apart from one start: Zhu et al., Independence Tests for Language Models (ICML 2025), \
                name the case.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

impl Evidence for SharedStart {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (a, b) = (&pair.reference.model.weights, &pair.suspect.model.weights);
        let found = match agreement(a, b)? {
            Ok(found) => found,
            Err(reason) => return Ok(Outcome::NotApplicable(reason)),
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let found = agreement(&a.model.weights, &b.model.weights)?;
            Ok(found.ok().map(|found| found.learnt()))
        })?;
        Ok(Outcome::Measured(Box::new(finding(&found, &controls))))
    }
}

/// How far two models agree, by what kind of start.
struct Agreement {
    gains: f64,
    matrices: f64,
    tensors: usize,
}

impl Agreement {
    fn learnt(&self) -> f64 {
        let larger = self.gains.abs().max(self.matrices.abs());
        if larger > 0.0 {
            self.gains / larger
        } else {
            0.0
        }
    }
}

fn agreement(a: &Weights, b: &Weights) -> Result<Result<Agreement, String>, Error> {
    let tensors = tensor_cosine::compare(a, b)?;
    let of = |kind| tensor_cosine::weighted(&tensors, kind);
    Ok(match (of(Kind::Gain), of(Kind::Matrix)) {
        (Some(gains), Some(matrices)) => Ok(Agreement {
            gains,
            matrices,
            tensors: tensors.len(),
        }),
        (None, Some(_)) => Err(
            "no gain of a norm that varies has the same role and shape in both models".to_owned(),
        ),
        (_, None) => Err(tensor_cosine::why_not(a, b)),
    })
}

fn finding(agreement: &Agreement, controls: &Controls) -> Finding {
    let statistic = agreement.learnt();
    let mut details = controls.details(statistic);
    details.insert("gains", agreement.gains);
    details.insert("matrices", agreement.matrices);
    Finding {
        statistic,
        n: agreement.tensors as u64,
        null: format!("none; {}", controls.words(statistic)),
        log10_p: None,
        interval: None,
        details,
        explanation: format!(
            "Gains of norms, which start constant, agree to {:.3}; matrices, which start random, to {:.3}.",
            agreement.gains, agreement.matrices
        ),
        caveats: vec![
            "it tells kinds of kinship apart and is no evidence of kinship".to_owned(),
            "noise on the gains and folding them away look like a separate training of them"
                .to_owned(),
        ],
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, pair};
    use crate::model::toy::{Dims, Toy};

    fn outcome(reference: &Toy, suspect: &Toy) -> Outcome {
        let (a, b) = (Open::new(reference), Open::new(suspect));
        SharedStart.assess(&pair(&a, &b)).unwrap()
    }

    fn statistic(reference: &Toy, suspect: &Toy) -> f64 {
        match outcome(reference, suspect) {
            Outcome::Measured(finding) => finding.statistic,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    /// A toy whose matrices moved from their start and whose gains were learnt anew.
    fn trained_apart(start: &Toy, seed: u64) -> Toy {
        let mut child = start.noised(0.8, seed);
        let learnt = Toy::new(1000 + seed, Dims::default());
        for (role, tensor) in &mut child.tensors {
            if role.part.is_norm() {
                *tensor = learnt.tensors[role].clone();
            }
        }
        child
    }

    #[test]
    fn one_start_and_two_trainings_differ_from_descent() {
        let start = Toy::new(1, Dims::default());
        let (one, other) = (trained_apart(&start, 2), trained_apart(&start, 3));
        let apart = statistic(&one, &other);
        let kin = statistic(&one, &one.noised(0.3, 4));
        let noisy = statistic(&one, &one.noised(1.0, 4));
        assert!(apart < 0.4, "{apart}");
        assert!(kin > 0.8 && noisy > 0.5, "{kin} {noisy}");
    }

    #[test]
    fn folded_gains_say_nothing() {
        let toy = Toy::new(1, Dims::default());
        let mut folded = toy.clone();
        for (role, (_, _, values)) in &mut folded.tensors {
            if role.part.is_norm() {
                values.fill(1.0);
            }
        }
        let Outcome::NotApplicable(reason) = outcome(&toy, &folded) else {
            panic!("a number from constant gains")
        };
        assert!(reason.contains("gain"), "{reason}");
    }
}
