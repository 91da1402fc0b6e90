//! Which way the kurtosis of matrices points (MoTHer).

use std::collections::BTreeMap;

use super::frame::{self, Once, Score};
use super::shapes;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Subject};
use crate::model::{Model, Role};

/// See [`CARD`].
pub(super) struct KurtosisDirection;

static CARD: Card = Card {
    id: "weight.kurtosis_direction",
    version: 1,
    family: "published.direction",
    title: "direction by the kurtosis of matrices (MoTHer): share of matrices that point one way",
    measures: "For every matrix with the same role and shape whether its excess kurtosis is higher in the suspect, lower, or \
               the same. The statistic is the share of the most common of the three: 1 for a model against itself, \
               where all are the same.",
    null: "None: it orders two models that are kin and does not tell whether they are. Between strangers one of two ways \
           always has at least half of the matrices.",
    fooled_by: "Weight decay, pruning and quantisation change the kurtosis by themselves; strangers trained in different ways \
                point one way as clearly as parent and child.",
    cost: "One pass over all matrices of both models; 8 MiB per thread.",
    reference: "Horwitz et al.: On the Origin of Llamas, Model Tree Heritage Recovery (MoTHer, ICLR 2025): of parent and child the \
                child has the higher kurtosis while training goes on to grow outliers.",
    needs: Needs::Weights,
    // Exchanging the models turns what it says about direction.
    symmetric: false,
    survives: &[],
};

impl Evidence for KurtosisDirection {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let once = Once::new();
        frame::assess(pair, "none", |a: Subject<'_>, b: Subject<'_>| {
            let (a, b) = (once.of(a.model, kurtoses)?, once.of(b.model, kurtoses)?);
            Ok(compare(&a, &b))
        })
    }
}

/// Shape and excess kurtosis of every matrix whose numbers vary.
type Kurtoses = BTreeMap<Role, ((usize, usize), f64)>;

fn kurtoses(model: &Model) -> Result<Kurtoses, Error> {
    let shapes = shapes::of(model, |role| !role.is_vector())?;
    let of = |(role, shape): (Role, crate::stat::moments::Shape)| {
        Some((
            role,
            (model.weights.shape(&role)?, shape.excess_kurtosis()?),
        ))
    };
    Ok(shapes.into_iter().filter_map(of).collect())
}

fn compare(a: &Kurtoses, b: &Kurtoses) -> Result<Score, String> {
    let shared = a.iter().filter_map(|(role, (shape, ours))| {
        let (other, theirs) = b.get(role)?;
        (shape == other).then_some((*ours, *theirs))
    });
    let pairs: Vec<(f64, f64)> = shared.collect();
    let count = |wanted: fn(f64, f64) -> bool| {
        pairs
            .iter()
            .filter(|(ours, theirs)| wanted(*ours, *theirs))
            .count()
    };
    let higher = count(|ours, theirs| theirs > ours);
    let lower = count(|ours, theirs| theirs < ours);
    let same = pairs.len() - higher - lower;
    let most = higher.max(lower).max(same);
    if pairs.is_empty() {
        return Err("no matrix that varies has the same role and shape in both models".to_owned());
    }
    let n = pairs.len() as f64;
    let rise = pairs
        .iter()
        .map(|(ours, theirs)| theirs - ours)
        .sum::<f64>()
        / n;
    let points = if most == same || higher == lower {
        "which points no way"
    } else if most == higher {
        "consistent with the suspect made from the reference, if they are kin"
    } else {
        "consistent with the reference made from the suspect, if they are kin"
    };
    Ok(Score {
        statistic: most as f64 / n,
        n: pairs.len() as u64,
        details: [
            ("higher_in_suspect", higher as f64 / n),
            ("lower_in_suspect", lower as f64 / n),
            ("mean_rise", rise),
        ]
        .into(),
        explanation: format!(
            "The excess kurtosis is higher in the suspect for {higher} of {} matrices, lower for {lower}: {points}.",
            pairs.len()
        ),
        caveats: vec!["it orders kin and is no evidence of kinship".to_owned()],
        ..Score::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::*;
    use crate::model::toy::{Dims, Toy};

    /// A child with a few large numbers in every matrix.
    fn with_outliers(toy: &Toy) -> Toy {
        let mut child = toy.clone();
        for (role, (_, _, values)) in &mut child.tensors {
            if !role.is_vector() {
                values
                    .iter_mut()
                    .step_by(97)
                    .for_each(|value| *value *= 5.0);
            }
        }
        child
    }

    #[test]
    fn outliers_point_from_parent_to_child() {
        let toy = Toy::new(1, Dims::default());
        let child = with_outliers(&toy);
        let forth = finding(&KurtosisDirection, &toy, &child);
        assert!(forth.statistic > 0.9 && forth.details["higher_in_suspect"] > 0.9);
        assert!(
            forth
                .explanation
                .contains("suspect made from the reference")
        );
        let back = finding(&KurtosisDirection, &child, &toy);
        assert_eq!(
            back.details["lower_in_suspect"],
            forth.details["higher_in_suspect"]
        );
        assert!(back.explanation.contains("reference made from the suspect"));
    }

    #[test]
    fn strangers_point_both_ways_and_a_model_none() {
        let toy = Toy::new(1, Dims::default());
        let stranger = finding(&KurtosisDirection, &toy, &Toy::new(2, Dims::default()));
        assert!(stranger.statistic < 0.9, "{}", stranger.statistic);
        assert!(
            finding(&KurtosisDirection, &toy, &toy)
                .explanation
                .contains("no way")
        );
        let other = Toy::new(
            3,
            Dims {
                width: 24,
                units: 40,
                vocab: 30,
                ..Dims::default()
            },
        );
        assert!(reason(&KurtosisDirection, &toy, &other).contains("role and shape"));
    }
}
