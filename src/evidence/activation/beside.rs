//! The same picture of models whose relation is known, to be looked at beside it.

use crate::evidence::ControlMap;
use crate::evidence::Figure;
use crate::evidence::Known;
use crate::evidence::control::Named;
use crate::evidence::control::Sides;
use crate::record::Activations;
use crate::stat::curve;

/// Two models whose relation is known.
pub(super) struct Example<'a> {
    pair: String,
    relation: Known,
    a: &'a Activations,
    b: &'a Activations,
}

/// The derived pair, and every independent model against the reference; `of` tells what was read inside.
pub(super) fn examples<'a, T: Named>(
    sides: &Sides<'_, T>,
    of: impl Fn(T) -> Option<&'a Activations>,
) -> Vec<Example<'a>> {
    let independent = sides.population.iter();
    let independent = independent.map(|one| (sides.reference, *one, Known::Independent));
    let derived = sides.derived.map(|(a, b)| (a, b, Known::Derived));
    derived
        .into_iter()
        .chain(independent)
        .filter_map(|(a, b, relation)| {
            Some(Example {
                pair: format!("{} vs {}", a.label(), b.label()),
                relation,
                a: of(a)?,
                b: of(b)?,
            })
        })
        .collect()
}

/// Puts the first derived and the first independent pair that `picture` draws beside the first heatmap of
/// `figures`.
pub(super) fn draw(
    figures: &mut [Figure],
    examples: &[Example<'_>],
    picture: impl Fn(&Activations, &Activations) -> Option<Figure>,
) {
    let heatmap = figures.iter_mut().find_map(|figure| match figure {
        Figure::Heatmap { controls, .. } => Some(controls),
        _ => None,
    });
    let Some(controls) = heatmap else {
        return;
    };
    for relation in [Known::Derived, Known::Independent] {
        let of_kind = examples.iter().filter(|one| one.relation == relation);
        controls.extend(of_kind.filter_map(|one| drawn(one, &picture)).take(1));
    }
}

/// Puts the band of what `curve` draws of the independent models around the first curves of `figures`.
pub(super) fn band(
    figures: &mut [Figure],
    examples: &[Example<'_>],
    curve: impl Fn(&Activations) -> Option<Vec<f64>>,
) {
    let curves = figures.iter_mut().find_map(|figure| match figure {
        Figure::Curves {
            reference,
            suspect,
            band,
            band_models,
            ..
        } => Some((reference.len().max(suspect.len()), band, band_models)),
        _ => None,
    });
    let Some((steps, band, band_models)) = curves else {
        return;
    };
    let independent = examples
        .iter()
        .filter(|one| one.relation == Known::Independent);
    let others: Vec<Vec<f64>> = independent
        .filter_map(|one| Some(curve::resample(&curve(one.b)?, steps)))
        .collect();
    *band = curve::band(&others);
    *band_models = others.len();
}

fn drawn(
    example: &Example<'_>,
    picture: impl Fn(&Activations, &Activations) -> Option<Figure>,
) -> Option<ControlMap> {
    let Figure::Heatmap {
        rows,
        columns,
        values,
        path,
        ..
    } = picture(example.a, example.b)?
    else {
        return None;
    };
    Some(ControlMap {
        pair: example.pair.clone(),
        relation: example.relation,
        rows,
        columns,
        values,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::super::blocks::toy::activations;
    use super::super::blocks::toy::open;
    use super::super::linear_cka::LinearCka;
    use super::*;
    use crate::evidence::Evidence;
    use crate::evidence::Outcome;
    use crate::evidence::Pair;
    use crate::evidence::toy::pair;

    #[test]
    fn a_derived_and_an_independent_pair_stand_beside_the_picture() {
        let model = |seed, own, noise| open(seed, activations(3, 12, own, noise));
        let (a, b) = (model(1, 1, 0.0), model(2, 2, 0.0));
        let (c, d, child) = (model(3, 3, 0.0), model(4, 4, 0.0), model(5, 4, 0.1));
        let population = [c.subject(), d.subject()];
        let with = Pair {
            population: &population,
            derived: Some((d.subject(), child.subject())),
            ..pair(&a, &b)
        };
        let Outcome::Measured(finding) = LinearCka.assess(&with).unwrap() else {
            panic!()
        };
        let [Figure::Heatmap { controls, path, .. }] = &finding.figures[..] else {
            panic!()
        };
        assert_eq!(path, &[(0, 0), (1, 1), (2, 2)]);
        let [derived, independent] = &controls[..] else {
            panic!()
        };
        assert_eq!(
            (derived.relation, independent.relation),
            (Known::Derived, Known::Independent)
        );
        assert_eq!(independent.pair, "toy-1 vs toy-3");
        // The diagonal is what the strip shows of the same pairs.
        for control in [derived, independent] {
            let known = finding.controls.iter().find(|one| one.pair == control.pair);
            let diagonal: f64 = [0, 4, 8].iter().map(|at| control.values[*at]).sum::<f64>() / 3.0;
            assert!((diagonal - known.unwrap().statistic.max(0.0)).abs() < 0.1);
        }
        assert!(derived.values[0] > 0.9 && independent.values[0] < 0.3);
    }
}
