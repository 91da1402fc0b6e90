//! A small mark of every block.

use super::DIRECTIONS;
use super::Layer;
use super::make::to_digits;
use crate::model::Site;
use crate::record::Activations;
use crate::stat::random::normal;
use crate::stat::random::stream;

/// Makes the directions the same everywhere; another number makes other marks.
const SEED: u64 = 1;

/// Per block the mean norm of the residual stream after it, and where its mean vector points.
///
/// Directions are standard normal over the square root of the width, so that the squares of a vector's
/// projections have the mean of its own squares.
pub(super) fn layers(activations: &Activations) -> Vec<Layer> {
    let blocks = activations.stack(Site::ResidPost).into_iter();
    let marks = blocks.filter(|(_, site)| site.width > 0 && site.values.len() >= site.width);
    marks
        .map(|(block, site)| {
            let rows = site.values.chunks_exact(site.width);
            let count = rows.len() as f64;
            let norm = |row: &[f32]| {
                row.iter()
                    .map(|x| f64::from(*x).powi(2))
                    .sum::<f64>()
                    .sqrt()
            };
            let norms: f64 = rows.clone().map(norm).sum();
            let mut mean = vec![0.0; site.width];
            for row in rows {
                for (sum, value) in mean.iter_mut().zip(row) {
                    *sum += f64::from(*value) / count;
                }
            }
            Layer {
                block,
                mean: projections(&mean),
                norm: to_digits(norms / count, 5),
            }
        })
        .collect()
}

fn projections(mean: &[f64]) -> Vec<f64> {
    let mut rng = stream(SEED, "baseline directions");
    let scale = (mean.len() as f64).sqrt();
    let one = |_| mean.iter().map(|x| x * normal(&mut rng) / scale).sum();
    let sums: Vec<f64> = (0..DIRECTIONS).map(one).collect();
    sums.into_iter().map(|sum| to_digits(sum, 5)).collect()
}

/// The block that moved most, and by which share of its norm: the larger of the change of norm and the change
/// of the mean's projections.
pub(super) fn most_moved(before: &[Layer], now: &[Layer]) -> Option<(usize, f64)> {
    let pairs = before.iter().zip(now);
    let moved = pairs.filter(|(a, b)| a.block == b.block && a.norm > 0.0);
    let moved = moved.map(|(a, b)| {
        let differences = a.mean.iter().zip(&b.mean).map(|(x, y)| (x - y).powi(2));
        let mean = (differences.sum::<f64>() / a.mean.len().max(1) as f64).sqrt();
        let width = (a.norm - b.norm).abs();
        (a.block, width.max(mean) / a.norm)
    });
    moved.max_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SiteActivations;

    fn activations(values: &[f32]) -> Activations {
        Activations {
            suite: "s".to_owned(),
            items: vec!["a".to_owned(), "b".to_owned()],
            offsets: Vec::new(),
            tokens: None,
            key_value_heads: None,
            sites: vec![SiteActivations {
                site: Site::ResidPost(3),
                width: 2,
                values: values.to_vec(),
            }],
        }
    }

    #[test]
    fn a_block_is_its_mean_norm_and_where_its_mean_points() {
        let before = layers(&activations(&[3.0, 4.0, 0.0, 1.0]));
        assert_eq!((before[0].block, before[0].norm), (3, 3.0));
        // Linear in the mean: twice the activations, twice the projections.
        let double = layers(&activations(&[6.0, 8.0, 0.0, 2.0]));
        for (one, two) in before[0].mean.iter().zip(&double[0].mean) {
            assert!((two - 2.0 * one).abs() < 3e-5);
        }
        assert_eq!(most_moved(&before, &before), Some((3, 0.0)));
        let (block, share) = most_moved(&before, &double).unwrap();
        assert!(block == 3 && share >= 1.0);
    }
}
