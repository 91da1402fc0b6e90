//! Whether two models agree more than models of a panel do with each other, from correlations alone.

use super::additive;
use super::tails::student_ln_tail;

/// A pair beside a panel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beside {
    /// Correlation that strangers would have who agree with the panel as much as these two.
    pub expected: f64,
    /// Correlation that both may have from something that they share and the panel lacks.
    pub allowed: f64,
    /// Student's t of what is beyond both, on Fisher's scale.
    pub t: f64,
    /// Its degrees of freedom.
    pub degrees: f64,
    /// Members of the panel that agree with one of the two at least as much as the other does: the larger
    /// of both numbers.
    pub nearer: usize,
    /// `ln p`.
    pub ln_p: f64,
    /// Members of the panel that the pair was held against.
    pub members: usize,
}

/// Models a panel must have: the additive table needs as many rows, less the two of the pair.
pub const FEWEST: usize = additive::FEWEST - 1;

/// Most members of a panel that a pair is held against: those that agree with the first of the pair most.
///
/// A panel of several kinds of models is not one table: two of one kind agree by more than both bring. What
/// is near the first is of its kind as far as there are such. Choosing by its own row raises what is
/// expected of it, and knows nothing of the second.
pub const NEAREST: usize = 7;

/// Nearest to 1 that a correlation is taken to be: a copy's is 1 itself, where Fisher's scale ends.
const NEAR_ONE: f64 = 1.0 - 1e-9;

/// The models 0 and 1 beside the [`NEAREST`] of the others, from the correlations `[models, models]` of what each says, row
/// by row; `None` for a panel smaller than [`FEWEST`], one whose members do not agree at all, or numbers
/// that are not finite.
///
/// Two strangers' correlation, on Fisher's scale (artanh), is taken to be what either brings plus noise:
/// some models agree with all others more than some. The other pairs settle both, and
/// [`additive::excess`] gives the rest in units of the noise.
///
/// A panel of models that learnt one text says nothing of two that learnt another one on top. Such
/// a model agrees with the panel less than its members do. Let its correlation with them be the share `k`
/// of theirs: at most `1 - k^2` of its variance is of things that the panel lacks, and what two models
/// have from one common such thing correlates at most at `sqrt((1 - k_0^2) (1 - k_1^2))` (Cauchy and
/// Schwarz). That much is taken off before anything is tested; it is nothing where one of the two agrees
/// with the panel as its members do.
///
/// Bringing more or less is all that the table knows of models. Two that fit it badly, one in its whole
/// row, can stand out together while either is nearer to others. Where `nearer` of a panel of `n` are, the
/// p-value is at least that of the rank, `(nearer + 1) / (n + 1)`.
pub fn beside(correlations: &[f64], models: usize) -> Option<Beside> {
    if models < FEWEST + 2 || correlations.len() != models * models {
        return None;
    }
    let chosen = nearest(correlations, models)?;
    let near: Vec<f64> = chosen
        .iter()
        .flat_map(|i| chosen.iter().map(move |j| correlations[i * models + j]))
        .collect();
    let (correlations, models) = (near.as_slice(), chosen.len());
    let table = Table {
        correlations,
        models,
    };
    let allowed = table.allowed()?;
    let mut z: Vec<f64> = correlations.iter().map(|r| fisher(*r)).collect();
    (z[1], z[models]) = (
        fisher(table.at(0, 1) - allowed),
        fisher(table.at(0, 1) - allowed),
    );
    let found = additive::excess(&z, models, (0, 1))?;
    let nearer = table.nearer(0).max(table.nearer(1));
    let rank = match nearer {
        0 => f64::NEG_INFINITY,
        some => ((some + 1) as f64 / (models - 1) as f64).ln(),
    };
    Some(Beside {
        expected: found.expected.tanh(),
        allowed,
        t: found.t,
        degrees: found.degrees,
        nearer,
        ln_p: student_ln_tail(found.t, found.degrees).max(rank),
        members: models - 2,
    })
}

/// The pair, and those of the rest that agree with the first of it most, in their order; `None` for numbers
/// that are not finite.
fn nearest(correlations: &[f64], models: usize) -> Option<Vec<usize>> {
    if correlations.iter().any(|r| !r.is_finite()) {
        return None;
    }
    let mut others: Vec<usize> = (2..models).collect();
    others.sort_by(|a, b| correlations[*b].total_cmp(&correlations[*a]));
    others.truncate(NEAREST);
    others.sort_unstable();
    Some([0, 1].into_iter().chain(others).collect())
}

/// Correlations of a pair, models 0 and 1, and a panel, the rest.
struct Table<'a> {
    correlations: &'a [f64],
    models: usize,
}

impl Table<'_> {
    fn at(&self, i: usize, j: usize) -> f64 {
        self.correlations[i * self.models + j]
    }

    /// What both of the pair may have in common that the panel lacks; `None` where its members do not agree.
    fn allowed(&self) -> Option<f64> {
        let panel = 2..self.models;
        let pairs = panel
            .clone()
            .flat_map(|i| (i + 1..self.models).map(move |j| (i, j)));
        let within = mean(pairs.map(|(i, j)| self.at(i, j)));
        if within.is_nan() || within <= 0.0 {
            return None;
        }
        let beyond = |one: usize| {
            let share = mean(panel.clone().map(|other| self.at(one, other))) / within;
            1.0 - share.clamp(0.0, 1.0).powi(2)
        };
        Some((beyond(0) * beyond(1)).sqrt())
    }

    /// Members of the panel that agree with `one` of the pair at least as much as the other does.
    fn nearer(&self, one: usize) -> usize {
        let pair = self.at(0, 1);
        (2..self.models)
            .filter(|other| self.at(one, *other) >= pair)
            .count()
    }
}

fn fisher(r: f64) -> f64 {
    r.clamp(-NEAR_ONE, NEAR_ONE).atanh()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    sum / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::correlation::cosine;
    use crate::stat::random::{normal, stream};
    use crate::stat::uniform;

    const LENGTH: usize = 4000;

    fn noise(seed: u64, name: &str) -> Vec<f64> {
        let mut rng = stream(seed, name);
        (0..LENGTH).map(|_| normal(&mut rng)).collect()
    }

    /// What a model says: of the text that all learnt, of a text that some learnt later, and its own.
    fn model(seed: u64, all: f64, later: f64, own: f64) -> Vec<f64> {
        // Models differ in how much they learnt of what all did.
        let learnt = all + 0.05 * normal(&mut stream(seed, "how much"));
        let parts = [noise(0, "all"), noise(0, "later"), noise(seed, "own")];
        (0..LENGTH)
            .map(|at| learnt * parts[0][at] + later * parts[1][at] + own * parts[2][at])
            .collect()
    }

    /// A child of `parent` that learnt the later text.
    fn child(parent: &[f64], seed: u64) -> Vec<f64> {
        let (later, own) = (noise(0, "later"), noise(seed, "child"));
        (0..LENGTH)
            .map(|at| 0.7 * parent[at] + 0.6 * later[at] + 0.4 * own[at])
            .collect()
    }

    fn of(pair: [Vec<f64>; 2], panel: u64) -> Beside {
        let others = (100..100 + panel).map(|seed| model(seed, 0.7, 0.0, 0.7));
        let said: Vec<Vec<f64>> = pair.into_iter().chain(others).collect();
        let n = said.len();
        let cell = |at: usize| cosine(&said[at / n], &said[at % n]).unwrap();
        beside(&(0..n * n).map(cell).collect::<Vec<f64>>(), n).unwrap()
    }

    #[test]
    fn kin_are_beyond_the_panel_and_strangers_are_not() {
        let parent = model(1, 0.7, 0.0, 0.7);
        let kin = of([parent.clone(), child(&parent, 2)], 8);
        assert!(kin.ln_p < 1e-6_f64.ln() && kin.allowed < 0.2, "{kin:?}");
        let strangers = of([parent.clone(), model(3, 0.7, 0.0, 0.7)], 8);
        assert!(strangers.ln_p > 0.01_f64.ln(), "{strangers:?}");
        let stranger_of_later_text = of([parent, model(4, 0.5, 0.6, 0.6)], 8);
        assert!(
            stranger_of_later_text.ln_p > 0.01_f64.ln(),
            "{stranger_of_later_text:?}"
        );
    }

    /// A panel of two kinds: the pair is held against its own.
    #[test]
    fn the_nearest_of_a_panel_are_the_panel() {
        let kind = |seed: u64, kind: &str| -> Vec<f64> {
            let (all, of_kind, own) = (noise(0, "all"), noise(1, kind), noise(seed, "own"));
            (0..LENGTH)
                .map(|at| 0.6 * all[at] + 0.4 * of_kind[at] + 0.6 * own[at])
                .collect()
        };
        let parent = kind(1, "one");
        let panel = (0..7).map(|seed| kind(10 + seed, "one"));
        let others = (0..9).map(|seed| kind(30 + seed, "other"));
        let said: Vec<Vec<f64>> = [parent.clone(), child(&parent, 2)]
            .into_iter()
            .chain(others)
            .chain(panel)
            .collect();
        let n = said.len();
        let cell = |at: usize| cosine(&said[at / n], &said[at % n]).unwrap();
        let all: Vec<f64> = (0..n * n).map(cell).collect();
        assert_eq!(
            nearest(&all, n).unwrap(),
            [0, 1, 11, 12, 13, 14, 15, 16, 17]
        );
        let found = beside(&all, n).unwrap();
        assert!(
            found.members == NEAREST && found.ln_p < 1e-6_f64.ln(),
            "{found:?}"
        );
    }

    /// Two strangers that both learnt a text that the panel did not: alike, and not called.
    #[test]
    fn a_text_that_the_panel_lacks_is_allowed_for() {
        let later = |seed: u64| model(seed, 0.5, 0.6, 0.6);
        let found = of([later(1), later(2)], 8);
        assert!(
            found.allowed > 0.3 && found.ln_p > 0.1_f64.ln(),
            "{found:?}"
        );
    }

    /// A model that agrees with nobody much and one that was half trained: the table makes them kin, their
    /// rows do not.
    #[test]
    fn who_is_nearer_to_others_is_not_called() {
        let n = 9;
        let mut table = vec![0.0; n * n];
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            table[i * n + j] = match (i.min(j), i.max(j)) {
                (i, j) if i == j => 1.0,
                (0, 1) => 0.488,
                (0, _) => 0.38,
                (i, j) => 0.46 + 0.02 * ((i * j) as f64).sin(),
            };
        }
        (table[n + 5], table[5 * n + 1]) = (0.53, 0.53);
        let found = beside(&table, n).unwrap();
        assert!(found.t > 4.0 && found.nearer == 1, "{found:?}");
        assert!(
            (found.ln_p - (2.0_f64 / 8.0).ln()).abs() < 1e-12,
            "{found:?}"
        );
    }

    #[test]
    fn strangers_reach_a_level_no_more_often_than_it_says() {
        let p: Vec<f64> = (0..300)
            .map(|seed| {
                let mut rng = stream(seed, "panel null");
                let n = 8;
                let table: Vec<f64> = (0..n * n).map(|_| 0.5 + 0.03 * normal(&mut rng)).collect();
                let cell = |at: usize| match (at / n, at % n) {
                    (i, j) if i == j => 1.0,
                    (i, j) => table[i.min(j) * n + i.max(j)],
                };
                let table: Vec<f64> = (0..n * n).map(cell).collect();
                beside(&table, n).unwrap().ln_p.exp()
            })
            .collect();
        assert!(uniform::too_small(&p).1 > 0.01);
    }

    #[test]
    fn panels_that_say_nothing_are_refused() {
        let table = |r: f64, n: usize| -> Vec<f64> {
            let cell = |at: usize| if at / n == at % n { 1.0 } else { r };
            (0..n * n).map(cell).collect()
        };
        assert_eq!(beside(&table(0.5, 5), 5), None);
        assert_eq!(beside(&table(-0.1, 8), 8), None);
        assert_eq!(beside(&table(f64::NAN, 8), 8), None);
    }
}
