//! Spread, skewness and kurtosis of the attention matrices over layers (TensorLock).

use std::collections::BTreeMap;

use super::frame::{self, Once, Score};
use super::shapes;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Subject, Table};
use crate::model::{Part, Role};
use crate::stat::moments::Shape;
use crate::stat::{correlation, curve};

/// See [`CARD`].
pub(super) struct MomentProfile;

static CARD: Card = Card {
    id: "weight.moment_profile",
    version: 1,
    family: "published.profile",
    title: "per-layer spread, skewness and kurtosis of Q, K, V and O (TensorLock), Spearman's correlation",
    measures: "For each of the attention matrices Q, K, V and O the standard deviation, the skewness and the excess kurtosis \
               of its numbers, layer by layer; Spearman's correlation of the two models' curves, the shorter \
               interpolated to the longer; the mean over matrices and moments. A curve that does not vary counts 0.",
    null: "None published: an edge is drawn from 0.6 on, chosen on the models tested.",
    fooled_by: "Depth trends common to all models; inserted layers; a free rescaling of V and O per layer.",
    cost: "One pass over the attention matrices; 8 MiB per thread.",
    reference: "TensorLock (2026), clustering step and its code.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

const PARTS: [Part; 4] = [Part::Query, Part::Key, Part::Value, Part::Output];

/// Fewest layers on which a correlation over layers says anything.
const LEAST_LAYERS: usize = 3;

/// A moment by its name, for [`crate::evidence::Finding::details`] and the table.
type Moment = (&'static str, fn(&Shape) -> Option<f64>);

const MOMENTS: [Moment; 3] = [
    ("std", |shape| Some(shape.std())),
    ("skewness", Shape::skewness),
    ("kurtosis", Shape::excess_kurtosis),
];

impl Evidence for MomentProfile {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let once = Once::new();
        frame::assess(pair, "none published", |a: Subject<'_>, b: Subject<'_>| {
            let wanted = |role: &Role| PARTS.contains(&role.part) && !role.is_vector();
            let read = |model: &_| shapes::of(model, wanted);
            let (a, b) = (once.of(a.model, read)?, once.of(b.model, read)?);
            Ok(compare(&a, &b))
        })
    }
}

type Shapes = BTreeMap<Role, Shape>;

fn compare(a: &Shapes, b: &Shapes) -> Result<Score, String> {
    let mut cells: Vec<(Part, usize, f64)> = Vec::new();
    let mut depth = 0;
    for part in PARTS {
        let (ours, theirs) = (of_part(a, part), of_part(b, part));
        let steps = ours.len().max(theirs.len());
        if ours.len().min(theirs.len()) < LEAST_LAYERS {
            continue;
        }
        depth = depth.max(steps);
        for (moment, (_, of)) in MOMENTS.iter().enumerate() {
            let curve = |shapes: &[Shape]| -> Option<Vec<f64>> {
                let values: Option<Vec<f64>> = shapes.iter().map(of).collect();
                Some(curve::resample(&values?, steps))
            };
            let rho = curve(&ours).zip(curve(&theirs));
            let rho = rho.and_then(|(x, y)| correlation::spearman(&x, &y));
            cells.push((part, moment, rho.unwrap_or(0.0)));
        }
    }
    let values: Vec<f64> = cells.iter().map(|cell| cell.2).collect();
    let statistic = frame::mean(&values).ok_or_else(|| {
        format!(
            "no attention matrix is known by role in at least {LEAST_LAYERS} layers of both models"
        )
    })?;
    let of_moment = |moment: usize| {
        let of: Vec<f64> = cells
            .iter()
            .filter(|cell| cell.1 == moment)
            .map(|cell| cell.2)
            .collect();
        Some((MOMENTS[moment].0, frame::mean(&of)?))
    };
    Ok(Score {
        statistic,
        n: depth as u64,
        details: (0..MOMENTS.len()).filter_map(of_moment).collect(),
        explanation: format!(
            "Spread, skewness and kurtosis of the attention matrices correlate to {statistic:.3} over {depth} layers."
        ),
        caveats: vec![
            "depth trends are common to all models: a high value is no evidence of lineage"
                .to_owned(),
        ],
        table: Some(table(&cells)),
        ..Score::default()
    })
}

/// Layer by layer, in order.
fn of_part(shapes: &Shapes, part: Part) -> Vec<Shape> {
    let of = shapes
        .iter()
        .filter(|(role, _)| role.part == part && role.layer.is_some());
    of.map(|(_, shape)| *shape).collect()
}

fn table(cells: &[(Part, usize, f64)]) -> Table {
    let row = |(part, moment, rho): &(Part, usize, f64)| {
        vec![
            part.name().to_owned(),
            MOMENTS[*moment].0.to_owned(),
            format!("{rho:.4}"),
        ]
    };
    Table {
        columns: ["matrix", "moment", "Spearman's correlation"]
            .map(str::to_owned)
            .to_vec(),
        rows: cells.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::super::toys;
    use super::*;
    use crate::model::toy::{Dims, Toy};

    fn of(reference: &Toy, suspect: &Toy) -> f64 {
        finding(&MomentProfile, reference, suspect).statistic
    }

    #[test]
    fn kin_are_above_strangers() {
        let dims = Dims {
            layers: 10,
            ..Dims::default()
        };
        let toy = Toy::new(1, dims);
        let kin = of(&toy, &toy.noised(0.1, 2));
        let stranger = of(&toy, &Toy::new(2, dims));
        assert!(kin > 0.8 && stranger < 0.5, "{kin} {stranger}");
        assert!(
            of(&toy, &toys::residual_permuted(&toy, 4)) < 1.0,
            "signs turn the skewness"
        );
    }

    #[test]
    fn the_spread_equals_a_rank_correlation_by_hand() {
        let (a, b) = (Toy::new(1, Dims::default()), Toy::new(2, Dims::default()));
        let spreads = |toy: &Toy, part: Part| -> Vec<f64> {
            let of = |layer: usize| {
                let mut shape = Shape::default();
                shape.extend(&toy.tensors[&Role::layer(layer, part)].2);
                shape.std()
            };
            (0..4).map(of).collect()
        };
        let rho = |part| correlation::spearman(&spreads(&a, part), &spreads(&b, part)).unwrap();
        let expected = PARTS.map(rho).iter().sum::<f64>() / 4.0;
        assert!((finding(&MomentProfile, &a, &b).details["std"] - expected).abs() < 1e-12);
    }

    /// The literature's break: inserted or removed layers shift the curves.
    #[test]
    fn removed_layers_bring_kin_down() {
        let toy = Toy::new(
            1,
            Dims {
                layers: 12,
                ..Dims::default()
            },
        );
        let mut fewer = toy.clone();
        for _ in 0..5 {
            fewer = toys::without_layer(&fewer, 1);
        }
        assert!(of(&toy, &fewer) < 0.8);
        let short = Toy::new(
            1,
            Dims {
                layers: 2,
                ..Dims::default()
            },
        );
        assert!(reason(&MomentProfile, &short, &short).contains("at least 3"));
    }
}
