//! Curves over layers.

/// `curve` at `n` equally spaced places of its own length, linear in between.
pub fn resample(curve: &[f64], n: usize) -> Vec<f64> {
    let Some(last) = curve.len().checked_sub(1) else {
        return Vec::new();
    };
    let at = |place: f64| {
        let low = (place.floor() as usize).min(last);
        let high = (low + 1).min(last);
        let part = place - low as f64;
        curve[low] * (1.0 - part) + curve[high] * part
    };
    match n {
        0 => Vec::new(),
        1 => vec![at(last as f64 / 2.0)],
        n => (0..n)
            .map(|i| at(last as f64 * i as f64 / (n - 1) as f64))
            .collect(),
    }
}

/// `curve` shifted and scaled to mean 0 and population standard deviation 1; all zero without spread.
pub fn standardise(curve: &[f64]) -> Vec<f64> {
    let n = curve.len() as f64;
    let mean = curve.iter().sum::<f64>() / n;
    let std = (curve.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    curve
        .iter()
        .map(|x| if std > 0.0 { (x - mean) / std } else { 0.0 })
        .collect()
}

/// Lowest and highest of several curves of one length, place by place.
pub fn band(curves: &[Vec<f64>]) -> Vec<(f64, f64)> {
    let places = curves.iter().map(Vec::len).min().unwrap_or(0);
    (0..places)
        .map(|i| {
            let here = curves.iter().map(|curve| curve[i]);
            (
                here.clone().fold(f64::INFINITY, f64::min),
                here.fold(f64::NEG_INFINITY, f64::max),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resampling_keeps_ends_and_lines() {
        assert_eq!(resample(&[0.0, 2.0, 4.0], 5), vec![0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(resample(&[5.0, 1.0, 7.0], 3), vec![5.0, 1.0, 7.0]);
        assert_eq!(resample(&[3.0], 4), vec![3.0; 4]);
        assert_eq!(resample(&[1.0, 3.0], 1), vec![2.0]);
        assert!(resample(&[], 4).is_empty() && resample(&[1.0], 0).is_empty());
    }

    #[test]
    fn standardised_curves_have_unit_spread() {
        let z = standardise(&[2.0, 4.0, 6.0]);
        assert!((z[2] - 1.5f64.sqrt()).abs() < 1e-12 && z[1].abs() < 1e-12);
        assert_eq!(standardise(&[3.0, 3.0]), vec![0.0, 0.0]);
    }

    #[test]
    fn bands_enclose() {
        let curves = [vec![1.0, 5.0], vec![2.0, 4.0], vec![0.0, 9.0]];
        assert_eq!(band(&curves), vec![(0.0, 2.0), (4.0, 9.0)]);
        assert!(band(&[]).is_empty());
    }
}
