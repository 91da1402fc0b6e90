//! Ordinary least squares from sums of products, for a handful of regressors.

use super::spectral;

/// Products with an eigenvalue below this share of the largest leave a direction that data cannot
/// settle: double precision has nothing left there.
const SINGULAR: f64 = 1e-11;

/// Sums of products over `n` rows of `k` regressors `x` and one response `y`.
#[derive(Debug, Clone, PartialEq)]
pub struct Products {
    /// Rows.
    pub n: f64,
    /// `sum x_i x_j`, row-major `[k, k]`.
    pub xx: Vec<f64>,
    /// `sum x_i y`.
    pub xy: Vec<f64>,
    /// `sum y y`.
    pub yy: f64,
}

/// `y = sum a_i x_i + residual`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The coefficients `a`.
    pub coefficients: Vec<f64>,
    /// Their standard errors, if residuals are independent and of one size.
    pub errors: Vec<f64>,
    /// Squared residuals, summed.
    pub residual: f64,
}

impl Products {
    /// Of no rows.
    pub fn new(regressors: usize) -> Self {
        Self {
            n: 0.0,
            xx: vec![0.0; regressors * regressors],
            xy: vec![0.0; regressors],
            yy: 0.0,
        }
    }

    /// Regressors.
    pub fn len(&self) -> usize {
        self.xy.len()
    }

    /// Whether there is no regressor.
    pub fn is_empty(&self) -> bool {
        self.xy.is_empty()
    }

    /// Adds a row.
    pub fn add(&mut self, x: &[f64], y: f64) {
        let k = self.len();
        self.n += 1.0;
        self.yy += y * y;
        for (i, one) in x.iter().enumerate().take(k) {
            self.xy[i] += one * y;
            for (j, other) in x.iter().enumerate().take(k) {
                self.xx[i * k + j] += one * other;
            }
        }
    }

    /// Adds the rows of `other`, which has the same regressors.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.yy += other.yy;
        let add = |to: &mut [f64], from: &[f64]| {
            for (sum, one) in to.iter_mut().zip(from) {
                *sum += one;
            }
        };
        add(&mut self.xx, &other.xx);
        add(&mut self.xy, &other.xy);
    }

    /// Of the regressors `chosen` alone.
    pub fn only(&self, chosen: &[usize]) -> Self {
        let k = self.len();
        let pairs = chosen
            .iter()
            .flat_map(|i| chosen.iter().map(move |j| (*i, *j)));
        Self {
            n: self.n,
            xx: pairs.map(|(i, j)| self.xx[i * k + j]).collect(),
            xy: chosen.iter().map(|i| self.xy[*i]).collect(),
            yy: self.yy,
        }
    }

    /// `sum (y - x_i)^2`.
    pub fn distance(&self, i: usize) -> f64 {
        let k = self.len();
        (self.yy - 2.0 * self.xy[i] + self.xx[i * k + i]).max(0.0)
    }

    /// The least-squares fit; `None` without rows to spare, with numbers that are not finite, or when
    /// regressors depend on each other, so that no answer is the only one.
    pub fn fit(&self) -> Option<Fit> {
        let k = self.len();
        if k == 0 || self.n <= k as f64 {
            return None;
        }
        // Regressors of very different size are brought to one, so that only dependence is singular.
        let size: Vec<f64> = (0..k).map(|i| self.xx[i * k + i].sqrt()).collect();
        if size.iter().any(|size| *size <= 0.0) {
            return None;
        }
        let pairs = (0..k).flat_map(|i| (0..k).map(move |j| (i, j)));
        let scaled: Vec<f64> = pairs
            .map(|(i, j)| self.xx[i * k + j] / (size[i] * size[j]))
            .collect();
        let (values, vectors) = spectral::symmetric(&scaled, k)?;
        if values.last().copied()? <= SINGULAR * values.first().copied()? {
            return None;
        }
        let inverse = |i: usize, j: usize| -> f64 {
            let terms = (0..k).map(|m| vectors[i * k + m] * vectors[j * k + m] / values[m]);
            terms.sum::<f64>() / (size[i] * size[j])
        };
        let coefficients: Vec<f64> = (0..k)
            .map(|i| (0..k).map(|j| inverse(i, j) * self.xy[j]).sum())
            .collect();
        let explained: f64 = coefficients
            .iter()
            .zip(&self.xy)
            .map(|(a, xy)| a * xy)
            .sum();
        let residual = (self.yy - explained).max(0.0);
        let variance = residual / (self.n - k as f64);
        let errors = (0..k).map(|i| (variance * inverse(i, i)).sqrt()).collect();
        Some(Fit {
            coefficients,
            errors,
            residual,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Products;
    use crate::stat::random::{normal, stream};

    #[test]
    fn a_small_case_by_hand() {
        // y = 2 x on (1,2), (2,4), (3,5): a = (2 + 8 + 15) / 14, residual 45 - 25^2 / 14.
        let mut products = Products::new(1);
        for (x, y) in [(1.0, 2.0), (2.0, 4.0), (3.0, 5.0)] {
            products.add(&[x], y);
        }
        let fit = products.fit().unwrap();
        let residual = 45.0 - 625.0 / 14.0;
        assert!((fit.coefficients[0] - 25.0 / 14.0).abs() < 1e-14);
        assert!((fit.residual - residual).abs() < 1e-12);
        assert!((fit.errors[0] - (residual / 2.0 / 14.0_f64).sqrt()).abs() < 1e-12);
        assert!((products.distance(0) - (1.0 + 4.0 + 4.0)).abs() < 1e-12);
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let mut held = 0;
        for seed in 0..400 {
            let mut rng = stream(seed, "least squares");
            let mut products = Products::new(3);
            for _ in 0..200 {
                let common = normal(&mut rng);
                let x = [common + normal(&mut rng), common + normal(&mut rng), common];
                let y = 0.6 * x[0] + 0.4 * x[1] + normal(&mut rng);
                products.add(&x, y);
            }
            let fit = products.fit().unwrap();
            held += i32::from((fit.coefficients[1] - 0.4).abs() <= 1.96 * fit.errors[1]);
        }
        // 0.95 of 400 is 380; four standard deviations are 17.
        assert!((363..=397).contains(&held), "{held}");
    }

    #[test]
    fn dependent_regressors_have_no_answer() {
        let mut products = Products::new(2);
        for i in 0..50 {
            let x = f64::from(i);
            products.add(&[x, 2.0 * x], x);
        }
        assert_eq!(products.fit(), None);
        assert!(products.only(&[0]).fit().is_some());
        assert_eq!(Products::new(0).fit(), None);
    }

    #[test]
    fn parts_add_up() {
        let mut rng = stream(1, "parts");
        let (mut whole, mut left, mut right) =
            (Products::new(2), Products::new(2), Products::new(2));
        for i in 0..40 {
            let (x, y) = ([normal(&mut rng), normal(&mut rng)], normal(&mut rng));
            whole.add(&x, y);
            if i % 3 == 0 { &mut left } else { &mut right }.add(&x, y);
        }
        left.merge(&right);
        for (a, b) in whole.xx.iter().zip(&left.xx) {
            assert!((a - b).abs() < 1e-9);
        }
        assert_eq!(whole.n, left.n);
    }
}
