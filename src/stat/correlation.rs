//! Correlations.

/// Pearson's correlation; `None` for unequal or fewer than two values, or without spread.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let n = x.len() as f64;
    let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (a - mx, b - my);
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    // Deviations that are rounding dust of the values themselves are no spread.
    let dust = |m: f64| n * (m * f64::EPSILON).powi(2) * 16.0;
    if xx <= dust(mx) || yy <= dust(my) {
        return None;
    }
    let r = xy / (xx.sqrt() * yy.sqrt());
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Spearman's rank correlation, ties at their mean rank; `None` as for [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&ranks(x), &ranks(y))
}

/// Ranks from 1; equal values share their mean rank.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let first = tied.first().map_or(0, |&i| {
            order.partition_point(|&other| values[other].total_cmp(&values[i]).is_lt())
        });
        for &i in tied {
            ranks[i] = first as f64 + (tied.len() as f64 + 1.0) / 2.0;
        }
    }
    ranks
}

/// Cosine of the angle between two vectors; `None` when one has no length.
pub fn cosine(x: &[f64], y: &[f64]) -> Option<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| p * q).sum::<f64>();
    let lengths = dot(x, x).sqrt() * dot(y, y).sqrt();
    (lengths > 0.0 && lengths.is_finite()).then(|| dot(x, y) / lengths)
}

/// Distance correlation of paired numbers, in `[0, 1]`; `None` for unequal or fewer than two values,
/// or without spread.
///
/// The biased estimate (V-statistic), as published: few independent pairs give it far above 0.
///
/// Reference: Szekely, Rizzo, Bakirov, "Measuring and testing dependence by correlation of distances"
/// (Annals of Statistics 35, 2007).
pub fn distance_correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let (a, b) = (centred_distances(x), centred_distances(y));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| p * q).sum::<f64>();
    let lengths = (dot(&a, &a) * dot(&b, &b)).sqrt();
    (lengths > 0.0 && lengths.is_finite()).then(|| (dot(&a, &b).max(0.0) / lengths).sqrt().min(1.0))
}

/// Distances of all pairs, rows and columns centred.
fn centred_distances(x: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let row = |a: &f64| x.iter().map(|b| (a - b).abs()).sum::<f64>() / n;
    let means: Vec<f64> = x.iter().map(row).collect();
    let all = means.iter().sum::<f64>() / n;
    let pairs = x.iter().zip(&means);
    pairs
        .flat_map(|(a, mean)| {
            x.iter()
                .zip(&means)
                .map(move |(b, other)| (a - b).abs() - mean - other + all)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pearson_of_known_values() {
        // Anscombe's first set: r = 0.81642.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [
            8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68,
        ];
        let r = pearson(&x, &y).unwrap();
        assert!((r - 0.816_420_516).abs() < 1e-8, "{r}");
        assert_eq!(pearson(&x, &[3.0; 11]), None);
        assert_eq!(pearson(&[0.1; 11], &y), None);
        assert_eq!(pearson(&x, &y[1..]), None);
    }

    #[test]
    fn spearman_shares_ranks_among_ties() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), vec![3.5, 1.0, 3.5, 2.0]);
        assert_eq!(ranks(&[0.0, -0.0]), vec![1.5, 1.5]);
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 10.0, 100.0, 1000.0]).unwrap();
        assert!((rho - 1.0).abs() < 1e-12);
    }

    #[test]
    fn cosine_of_known_values() {
        let cos = cosine(&[1.0, 0.0], &[1.0, 1.0]).unwrap();
        assert!((cos - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), None);
    }

    #[test]
    fn distance_correlation_of_known_values() {
        // Two pairs have one distance each: whatever it is, 1.
        assert_eq!(distance_correlation(&[0.0, 3.0], &[5.0, 1.0]), Some(1.0));
        let line = [1.0, 2.0, 4.0, 8.0];
        let other: Vec<f64> = line.iter().map(|x| 7.0 - 3.0 * x).collect();
        assert!((distance_correlation(&line, &other).unwrap() - 1.0).abs() < 1e-12);
        // (0, 1, 2) against (0, 1, 0), by hand: the squared covariance is 8/81, the squared variances are
        // 40/81 and 16/81.
        let by_hand = (8.0 / (40.0f64 * 16.0).sqrt()).sqrt();
        let found = distance_correlation(&[0.0, 1.0, 2.0], &[0.0, 1.0, 0.0]).unwrap();
        assert!((found - by_hand).abs() < 1e-12, "{found} {by_hand}");
        assert_eq!(distance_correlation(&[1.0, 1.0], &[0.0, 1.0]), None);
    }
}
