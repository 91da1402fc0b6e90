//! Index tests on activations: does unit `i` of one model behave like unit `i` of the other?
//!
//! Two models read the same `n` inputs. Had they been initialised independently, every order of one model's
//! units would be equally likely, given everything else, so that the units with which it meets the other
//! model's are a uniformly random permutation of them. Nothing is assumed of the activations: they may be
//! correlated, heavy-tailed, and alike from model to model, as long as no rule looks at the index.

use faer::Accum;
use faer::MatMut;
use faer::MatRef;
use faer::Par;
use faer::linalg::matmul::matmul;

use super::random;
use super::tails;

/// Activations of one model's units on `rows` inputs, every unit at mean 0 and length 1, then every input
/// without its mean over units: inner products of two such columns are correlations without what all units
/// of the two models have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Units {
    rows: usize,
    width: usize,
    /// Row-major `[rows, width]`.
    values: Vec<f32>,
}

/// How unit `i` of one model goes with unit `j` of the other: row-major `[units, units]`, doubly centred.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    units: usize,
    values: Vec<f32>,
}

/// The sum over units of how each goes with the unit of its own index, beside all orders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Above the mean over all orders.
    pub excess: f64,
    /// Variance over all orders: `sum of squares / (units - 1)` (Hoeffding, "A combinatorial central limit
    /// theorem", Annals of Mathematical Statistics 22, 1951).
    pub variance: f64,
}

/// The weakest bet of [`Table::ln_evidence`], as a multiple of 1 / (root mean square of the table), and how many
/// there are: each is twice as strong as the one before, 16 at the most.
const WEAKEST: f64 = 0.5;
const STRENGTHS: usize = 6;

impl Units {
    /// Of row-major `values`, `width` columns. Columns without spread count as nothing.
    ///
    /// `None` with fewer than three rows or two columns, and for values that are not finite or do not fill
    /// the shape.
    pub fn new(values: &[f32], width: usize) -> Option<Self> {
        if width < 2 || !values.len().is_multiple_of(width) || values.len() < 3 * width {
            return None;
        }
        let mut values = unit_columns(values, width)?;
        for row in values.chunks_mut(width) {
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
            row.iter_mut().for_each(|x| *x -= mean as f32);
        }
        Some(Self {
            rows: values.len() / width,
            width,
            values,
        })
    }

    /// Sum of squares: what [`Units::agreement`] exceeds the mean by if the other model is the same.
    pub fn square(&self) -> f64 {
        dot(&self.values, &self.values)
    }

    /// [`Agreement::excess`] alone; `None` unless both have the same inputs and as many units.
    pub fn excess(&self, other: &Self) -> Option<f64> {
        let same = self.rows == other.rows && self.width == other.width;
        same.then(|| dot(&self.values, &other.values))
    }

    /// Inner products of all pairs of units; `None` unless both have the same inputs and as many units.
    pub fn table(&self, other: &Self) -> Option<Table> {
        let same = self.rows == other.rows && self.width == other.width;
        same.then(|| Table {
            units: self.width,
            values: products(&self.values, self.width, &other.values, other.width),
        })
    }

    /// [`Table::agreement`] without the table: `rows^2 * width` steps, since the sum of squares of `A^T B` is the
    /// inner product of `A A^T` and `B B^T`.
    pub fn agreement(&self, other: &Self) -> Option<Agreement> {
        let excess = self.excess(other)?;
        let gram = |of: &Self| {
            let turned = transposed(&of.values, of.width);
            products(&turned, of.rows, &turned, of.rows)
        };
        Some(Agreement {
            excess,
            variance: dot(&gram(self), &gram(other)) / (self.width - 1) as f64,
        })
    }
}

impl Table {
    /// The sum with another table of the same units in the same order, such as the next layer's of one
    /// residual stream.
    pub fn add(&mut self, other: &Self) {
        for (sum, value) in self.values.iter_mut().zip(&other.values) {
            *sum += value;
        }
    }

    /// Units.
    pub fn units(&self) -> usize {
        self.units
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        f64::from(self.values[row * self.units + column])
    }

    /// The sum over units at their own index.
    pub fn agreement(&self) -> Agreement {
        Agreement {
            excess: (0..self.units).map(|i| self.at(i, i)).sum(),
            variance: dot(&self.values, &self.values) / (self.units - 1) as f64,
        }
    }

    /// Units whose best counterpart has their own index (input of
    /// [`super::index::fixed_points_ln_p`]).
    pub fn fixed_points(&self) -> u64 {
        let best = |row: &[f32]| (0..row.len()).max_by(|&i, &j| row[i].total_cmp(&row[j]));
        let rows = self.values.chunks(self.units).enumerate();
        rows.filter(|(i, row)| best(row) == Some(*i)).count() as u64
    }

    /// `ln` of an e-value against "every order of either model's units is equally likely, given the other
    /// model": its mean over all orders is 1, so that `1/e` bounds the p-value (Markov).
    ///
    /// Units of the first model are asked in turn which of the second model's units that are still free is
    /// theirs. The stake on unit `u` is `exp(s * table[i, u])` over the sum of the same over the free ones; what is
    /// paid is the stake on the right one times the number of free ones. Under a random order of the second
    /// model's units each payment has mean 1 whatever came before, and so has the product; asked the other way
    /// round it has mean 1 under a random order of the first model's. The mean over strengths `s` and both
    /// directions keeps that. Where own counterparts stand `z` standard deviations out in sum, the logarithm is
    /// near `z^2 / 2`, as a normal tail's would be, and at most `ln units!`.
    ///
    /// Reference: test martingales: Shafer, Shen, Vereshchagin, Vovk, "Test martingales, Bayes factors and
    /// p-values" (Statistical Science 26, 2011); Vovk and Wang, "E-values: calibration, combination and
    /// applications" (Annals of Statistics 49, 2021).
    pub fn ln_evidence(&self) -> f64 {
        let mean_square = dot(&self.values, &self.values) / (self.units * self.units) as f64;
        if mean_square <= 0.0 {
            return 0.0;
        }
        let turned = Self {
            units: self.units,
            values: transposed(&self.values, self.units),
        };
        let weakest = WEAKEST / mean_square.sqrt();
        let bets = [self.bets(weakest), turned.bets(weakest)];
        tails::log_sum_exp(bets.into_iter().flatten()) - (2.0 * STRENGTHS as f64).ln()
    }

    /// `ln` of the product of payments at each strength.
    fn bets(&self, weakest: f64) -> [f64; STRENGTHS] {
        let mut totals = [0.0; STRENGTHS];
        for i in 0..self.units {
            // Units before `i` have been found and are no longer free.
            let row = &self.values[i * self.units + i..(i + 1) * self.units];
            let most = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let mut stakes = [0.0; STRENGTHS];
            for &x in row {
                let mut stake = (weakest * (f64::from(x) - most)).exp();
                for sum in &mut stakes {
                    *sum += stake;
                    // Twice the strength.
                    stake *= stake;
                }
            }
            let mut own = weakest * (f64::from(row[0]) - most);
            for (total, stakes) in totals.iter_mut().zip(stakes) {
                *total += own - stakes.ln() + (row.len() as f64).ln();
                own *= 2.0;
            }
        }
        totals
    }
}

/// `ln` of a valid p-value of `tables`, whose units are ordered independently of one another: twice the smaller
/// (Bonferroni) of [`permutation_p`] and one over the product of the e-values.
pub fn ln_p(tables: &[Table], draws: usize, seed: u64) -> f64 {
    let evidence = ln_evidence(tables);
    // Below what so many orders can say none is drawn.
    let drawn = match evidence > (1.0 + draws as f64).ln() {
        true => f64::INFINITY,
        false => permutation_p(tables, draws, seed).ln(),
    };
    (drawn.min(-evidence) + std::f64::consts::LN_2).min(0.0)
}

/// What [`ln_p`] would give if the other model were the same: `tables` are those of one model with itself.
pub fn least_ln_p(tables: &[Table], draws: usize) -> f64 {
    let drawn = -(1.0 + draws as f64).ln();
    (drawn.min(-ln_evidence(tables)) + std::f64::consts::LN_2).min(0.0)
}

/// `ln` of the product of the e-values of `tables`, whose units are ordered independently of one another.
pub fn ln_evidence(tables: &[Table]) -> f64 {
    tables.iter().map(Table::ln_evidence).sum()
}

/// How much `tables` (whose units are ordered independently of one another) agree in sum beyond random
/// orders: `(1 + orders that agree as much) / (1 + draws)`.
pub fn permutation_p(tables: &[Table], draws: usize, seed: u64) -> f64 {
    let mut rng = random::stream(seed, "neuron index");
    let observed: f64 = tables.iter().map(|table| table.agreement().excess).sum();
    let mut as_much = 0;
    for _ in 0..draws {
        let sum: f64 = tables
            .iter()
            .map(|table| {
                let order = random::subset_in_any_order(&mut rng, table.units, table.units);
                let pairs = order.iter().enumerate();
                pairs.map(|(i, &j)| table.at(i, j)).sum::<f64>()
            })
            .sum();
        // Of equal sums rounding does not decide.
        as_much += usize::from(sum >= observed - 1e-9 * observed.abs());
    }
    (1.0 + as_much as f64) / (1.0 + draws as f64)
}

/// Columns of row-major `[rows, width]` at mean 0 and length 1; those without spread become 0. `None` for values that
/// are not finite.
pub fn unit_columns(values: &[f32], width: usize) -> Option<Vec<f32>> {
    if !values.iter().all(|x| x.is_finite()) {
        return None;
    }
    let rows = (values.len() / width) as f64;
    let mut mean = vec![0.0f64; width];
    for row in values.chunks(width) {
        let cells = mean.iter_mut().zip(row);
        cells.for_each(|(m, &x)| *m += f64::from(x) / rows);
    }
    let mut square = vec![0.0f64; width];
    for row in values.chunks(width) {
        for ((s, &x), m) in square.iter_mut().zip(row).zip(&mean) {
            *s += (f64::from(x) - m).powi(2);
        }
    }
    let scale = |(s, m): (&f64, &f64)| {
        // What is left of equal numbers is rounding.
        let dust = rows * (m * f64::from(f32::EPSILON)).powi(2);
        if *s <= dust { 0.0 } else { 1.0 / s.sqrt() }
    };
    let scales: Vec<f64> = square.iter().zip(&mean).map(scale).collect();
    let row = |row: &[f32]| -> Vec<f32> {
        let cells = row.iter().zip(&mean).zip(&scales);
        cells
            .map(|((&x, m), s)| ((f64::from(x) - m) * s) as f32)
            .collect()
    };
    Some(values.chunks(width).flat_map(row).collect())
}

/// `A^T B` of row-major `[rows, a]` and `[rows, b]`, row-major `[a, b]`.
pub fn products(left: &[f32], a: usize, right: &[f32], b: usize) -> Vec<f32> {
    let rows = left.len() / a.max(1);
    let left = MatRef::from_row_major_slice(left, rows, a);
    let right = MatRef::from_row_major_slice(right, rows, b);
    let mut product = vec![0.0; a * b];
    let into = MatMut::from_row_major_slice_mut(&mut product, a, b);
    matmul(into, Accum::Replace, left.transpose(), right, 1.0, Par::Seq);
    product
}

fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let rows = values.len() / width;
    let places = (0..width).flat_map(|column| (0..rows).map(move |row| row * width + column));
    places.map(|at| values[at]).collect()
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter()
        .zip(y)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

#[cfg(test)]
mod tests;
