//! Test on relations: do units `i` and `j` of one model go together as units `i` and `j` of the other do?
//!
//! Relations are taken within each model, so that the two models need not have read the same inputs. Had they
//! been initialised independently, every order of one model's units would be equally likely, given everything
//! else. Whatever relations are, heavy-tailed, alike from model to model, of a few large directions: nothing is
//! assumed of them but that no rule looks at the index.

use super::neuron_index::products;
use super::neuron_index::unit_columns;
use super::tails;

/// How every two units of one model go together: correlations over inputs, brought to mean 0 and mean square 1
/// over all pairs of different units.
#[derive(Debug, Clone, PartialEq)]
pub struct Relations {
    units: usize,
    /// Row-major `[units, units]`, symmetric, 0 on the diagonal.
    values: Vec<f32>,
}

/// Bets are the likelier the more relations to units that were found before agree; the strongest counts a product
/// of two standardised relations with this weight, each further one with half of it. A weight `w` suits normal
/// relations with a correlation near `w` between models, smaller ones relations of which few are independent.
const STRONGEST: f64 = 0.25;
const STRENGTHS: usize = 8;

impl Relations {
    /// Of row-major `values`, `width` columns, one for each unit. Units without spread go with none.
    ///
    /// `None` with fewer than three rows or units, for values that are not finite or do not fill the shape, and
    /// where all pairs go together equally.
    pub fn new(values: &[f32], width: usize) -> Option<Self> {
        if width < 3 || !values.len().is_multiple_of(width) || values.len() < 3 * width {
            return None;
        }
        let columns = unit_columns(values, width)?;
        let mut values = products(&columns, width, &columns, width);
        let pairs = (width * (width - 1)) as f64;
        let sum = off_diagonal(&values, width).map(f64::from).sum::<f64>();
        let mean = sum / pairs;
        let squares = off_diagonal(&values, width).map(|x| (f64::from(x) - mean).powi(2));
        let spread = (squares.sum::<f64>() / pairs).sqrt();
        // What is left of equal numbers is rounding.
        if spread <= f64::from(f32::EPSILON) {
            return None;
        }
        for (at, value) in values.iter_mut().enumerate() {
            let own = at / width == at % width;
            *value = if own {
                0.0
            } else {
                ((f64::from(*value) - mean) / spread) as f32
            };
        }
        Some(Self {
            units: width,
            values,
        })
    }

    /// Units.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The correlation of all relations with those of another model of as many units, each at its own index (the
    /// statistic of Mantel, "The detection of disease clustering", Cancer Research 27, 1967); 0 between models of
    /// different numbers of units.
    pub fn correlation(&self, other: &Self) -> f64 {
        if self.units != other.units {
            return 0.0;
        }
        let both = self.values.iter().zip(&other.values);
        let sum: f64 = both.map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
        // Of one model with itself f32 leaves it a little off.
        (sum / (self.units * (self.units - 1)) as f64).clamp(-1.0, 1.0)
    }

    /// With its units in `parts` equal parts, and those in another order: part `order[i]` comes `i`-th. `None` unless
    /// there are such parts.
    pub fn in_order(&self, order: &[usize]) -> Option<Self> {
        let parts = order.len();
        if parts == 0 || !self.units.is_multiple_of(parts) || order.iter().any(|at| *at >= parts) {
            return None;
        }
        let size = self.units / parts;
        let units: Vec<usize> = order
            .iter()
            .flat_map(|at| at * size..(at + 1) * size)
            .collect();
        let all = &units;
        let row = |&unit: &usize| all.iter().map(move |other| unit * self.units + other);
        Some(Self {
            units: self.units,
            values: units
                .iter()
                .flat_map(row)
                .map(|at| self.values[at])
                .collect(),
        })
    }

    /// Of unit `unit` to the units before `end`.
    fn before(&self, unit: usize, end: usize) -> &[f32] {
        &self.values[unit * self.units..unit * self.units + end]
    }
}

fn off_diagonal(values: &[f32], width: usize) -> impl Iterator<Item = f32> {
    let cells = values.iter().enumerate();
    cells
        .filter(move |(at, _)| at / width != at % width)
        .map(|(_, &value)| value)
}

/// `ln` of an e-value against "every order of either model's units is equally likely, given the other model": its
/// mean over all orders is 1, so that `1/e` bounds the p-value (Markov).
///
/// `views` are relations of the same units of both models, in one order. Units of the first model are asked in
/// turn which of the second model's units that are still free is theirs, and then told. The stake on a free unit
/// grows with how much its relations to the units that were told before agree with those of the unit that is
/// asked for; what is paid is the stake on the right one over the mean stake on the free ones. Under a random
/// order each payment has mean 1 whatever came before, and so has the product, that of both models in
/// either part, and the mean over strengths.
///
/// Where units stand in `parts` equal parts, such as heads, the order within each is what is bet on: only units of
/// the same part are free. `None` where views differ in their numbers of units, or have no such parts.
///
/// Test martingales: Shafer, Shen, Vereshchagin, Vovk, "Test martingales, Bayes factors and p-values"
/// (Statistical Science 26, 2011).
pub fn ln_evidence(views: &[(Relations, Relations)], parts: usize) -> Option<f64> {
    let units = views.first()?.0.units;
    let same = |(x, y): &(Relations, Relations)| x.units == units && y.units == units;
    if parts == 0 || !units.is_multiple_of(parts) || !views.iter().all(same) {
        return None;
    }
    let part = units / parts;
    let asked: Vec<_> = views.iter().map(|(x, y)| (x, y)).collect();
    let turned: Vec<_> = views.iter().map(|(x, y)| (y, x)).collect();
    let bets = [bets(&asked, units, part), bets(&turned, units, part)];
    Some(tails::log_sum_exp(bets.into_iter().flatten()) - (2.0 * STRENGTHS as f64).ln())
}

/// `ln` of the product of payments at each strength, for parts of `part` units.
fn bets(views: &[(&Relations, &Relations)], units: usize, part: usize) -> [f64; STRENGTHS] {
    let weakest = STRONGEST / f64::from(1u32 << (STRENGTHS - 1));
    let mut totals = [0.0; STRENGTHS];
    let mut scores = vec![0.0f64; units];
    for told in 1..units {
        // Units before `told` have been found and are no longer free; the first of the others is the right one.
        let free = &mut scores[told..(told / part + 1) * part];
        free.fill(0.0);
        for (asked, other) in views {
            let relations = asked.before(told, told);
            for (score, unit) in free.iter_mut().zip(told..) {
                *score += f64::from(dot(relations, other.before(unit, told)));
            }
        }
        let most = free.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut stakes = [0.0; STRENGTHS];
        for score in free.iter() {
            let mut stake = (weakest * (score - most)).exp();
            for sum in &mut stakes {
                *sum += stake;
                // Twice the strength.
                stake *= stake;
            }
        }
        let mut own = weakest * (free[0] - most);
        for (total, stakes) in totals.iter_mut().zip(stakes) {
            *total += own - stakes.ln() + (free.len() as f64).ln();
            own *= 2.0;
        }
    }
    totals
}

/// In eight partial sums, which vector instructions can keep.
fn dot(x: &[f32], y: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (left, right) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f32 = left
        .remainder()
        .iter()
        .zip(right.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in left.zip(right) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests;
