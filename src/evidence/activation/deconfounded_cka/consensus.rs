//! What independent models agree on, of models at hand and of shipped Gram matrices.

use std::collections::BTreeSet;
use std::fmt;

use super::super::blocks::Map;
use super::super::blocks::Stream;
use super::super::blocks::View;
use super::super::linear_cka::Shuffled;
use super::super::linear_cka::grams;
use crate::evidence::control::Named;
use crate::evidence::control::Sides;
use crate::record::Activations;
use crate::record::grams::ReferenceGrams;
use crate::stat::cka::CentredGram;

/// Fewest models that make a consensus.
pub(super) const LEAST: usize = 3;

/// What the CKA of a model with itself can lack of 1 where one of its Gram matrices was kept in F16 and its weights
/// in another number type.
const ROUNDING: f64 = 1e-4;

/// Places of the two models.
pub(super) const REFERENCE: usize = 0;
pub(super) const SUSPECT: usize = 1;

/// One model by its place.
#[derive(Clone, Copy)]
pub(super) struct One<'a> {
    pub at: usize,
    label: &'a str,
    shape: Option<(usize, usize)>,
}

impl Named for One<'_> {
    fn label(&self) -> &str {
        self.label
    }

    fn shape(&self) -> Option<(usize, usize)> {
        self.shape
    }
}

/// Who is in the consensus.
pub(super) struct Pool {
    at_hand: usize,
    /// Labels.
    pub shipped: Vec<String>,
}

impl Pool {
    /// How many.
    pub fn models(&self) -> usize {
        self.at_hand + self.shipped.len()
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = self.models();
        write!(f, "{models} independent models")?;
        match self.shipped.len() {
            0 => Ok(()),
            shipped => write!(
                f,
                " ({} at hand, {shipped} as shipped Gram matrices)",
                self.at_hand
            ),
        }
    }
}

/// Gram matrices of all models, on the prompts of the pair.
pub(super) struct Consensus<'a> {
    known: Vec<Known<'a>>,
    /// Places of the independent ones, those at hand first.
    independent: Vec<usize>,
    derived: Option<(usize, usize)>,
    items: usize,
}

struct Known<'a> {
    label: String,
    shape: Option<(usize, usize)>,
    /// `None` of one that is shipped.
    of: Option<&'a Activations>,
    blocks: Vec<Option<CentredGram>>,
}

/// What is left of two models.
pub(super) struct Left {
    pub items: usize,
    a: Vec<Option<CentredGram>>,
    b: Vec<Option<CentredGram>>,
    pub map: Map,
}

impl<'a> Consensus<'a> {
    /// Models that did not read all prompts of the pair are left out, and shipped ones of a run of which a model is
    /// at hand, however its file is called.
    pub fn new<T: Named>(
        sides: &Sides<'a, T>,
        of: &dyn Fn(T) -> Option<&'a Activations>,
        [reference, suspect]: [&Stream<'a>; 2],
        references: &[ReferenceGrams],
    ) -> Self {
        let both = [(sides.reference, reference), (sides.suspect, suspect)];
        let mut known: Vec<Known<'a>> = both.map(|(one, stream)| Known::of(one, stream)).into();
        let mut add = |one: T| {
            let stream = reference.beside(of(one)?)?;
            known.push(Known::of(one, &stream));
            Some(known.len() - 1)
        };
        let mut independent: Vec<usize> = sides
            .population
            .iter()
            .copied()
            .filter_map(&mut add)
            .collect();
        let derived = sides
            .derived
            .and_then(|(parent, child)| Some((add(parent)?, add(child)?)));
        let alike = |at: &&usize| {
            let shape = known[**at].shape;
            shape.is_some() && shape == known[REFERENCE].shape
        };
        if independent.iter().filter(alike).count() <= LEAST && reference.one_row_each {
            let items = reference.read();
            let read = references.iter();
            let read = read.filter_map(|one| Some((one, one.on(&items)?)));
            let read: Vec<(&ReferenceGrams, Grams)> = read.collect();
            let at_hand: BTreeSet<&str> = read
                .iter()
                .filter(|(_, blocks)| known.iter().any(|one| one.is(blocks)))
                .map(|(one, _)| one.run.as_str())
                .collect();
            for (shipped, blocks) in read {
                if at_hand.contains(shipped.run.as_str()) {
                    continue;
                }
                independent.push(known.len());
                known.push(Known {
                    label: shipped.label.clone(),
                    shape: Some(shipped.shape),
                    of: None,
                    blocks,
                });
            }
        }
        Self {
            known,
            independent,
            derived,
            items: reference.items(),
        }
    }

    /// Who is in it.
    pub fn pool(&self) -> Pool {
        let shipped = self.independent.iter().map(|at| &self.known[*at]);
        let shipped: Vec<String> = shipped
            .filter(|one| one.of.is_none())
            .map(|one| one.label.clone())
            .collect();
        Pool {
            at_hand: self.independent.len() - shipped.len(),
            shipped,
        }
    }

    /// All of them as what controls are taken of.
    pub fn sides(&self) -> SidesOf<'_> {
        let one = |at: usize| One {
            at,
            label: &self.known[at].label,
            shape: self.known[at].shape,
        };
        SidesOf {
            reference: one(REFERENCE),
            suspect: one(SUSPECT),
            population: self.independent.iter().map(|at| one(*at)).collect(),
            derived: self.derived.map(|(a, b)| (one(a), one(b))),
        }
    }

    /// Where a model stands.
    pub fn place(&self, of: &Activations) -> Option<usize> {
        let is = |one: &Known<'_>| one.of.is_some_and(|known| std::ptr::eq(known, of));
        self.known.iter().position(is)
    }

    /// Of the pair, without anything taken off.
    pub fn raw(&self) -> Option<f64> {
        let [a, b] = [REFERENCE, SUSPECT].map(|at| &self.known[at].blocks[..]);
        Map::mean_of(a, b, CentredGram::cka)
    }

    /// `None` with too few independent models besides the two.
    pub fn measure(&self, a: usize, b: usize) -> Option<Left> {
        let others = self.independent.iter().filter(|at| **at != a && **at != b);
        let others: Vec<&[Option<CentredGram>]> =
            others.map(|at| &self.known[*at].blocks[..]).collect();
        if others.len() < LEAST {
            return None;
        }
        let (x, y) = (&self.known[a], &self.known[b]);
        let left = |one: &Known<'_>| without(&one.blocks, &others);
        let (a, b) = self.paired((x, left(x)), (y, left(y)));
        Some(Left {
            items: self.items,
            map: Map::of(&a, &b, CentredGram::cka),
            a,
            b,
        })
    }

    /// Of a shipped model a few blocks are kept. Where the blocks of the pair are paired one to one, it is held
    /// against the other's at their relative depth, not against those most like them.
    fn paired(&self, (x, a): Sided<'_, 'a>, (y, b): Sided<'_, 'a>) -> (Grams, Grams) {
        let depths = [REFERENCE, SUSPECT].map(|at| self.known[at].blocks.len());
        let shipped = x.of.is_none() || y.of.is_none();
        if !shipped || depths[0] != depths[1] {
            return (a, b);
        }
        let least = a.len().min(b.len());
        (thinned(a, least), thinned(b, least))
    }
}

type Grams = Vec<Option<CentredGram>>;
type Sided<'k, 'a> = (&'k Known<'a>, Grams);

impl<'a> Known<'a> {
    fn of<T: Named>(one: T, stream: &Stream<'a>) -> Self {
        Self {
            label: one.label().to_owned(),
            shape: one.shape(),
            of: Some(stream.of),
            blocks: grams(stream, View::AsRecorded),
        }
    }

    /// Whether `shipped` are blocks of this very model, out of whatever file it was read.
    fn is(&self, shipped: &[Option<CentredGram>]) -> bool {
        let same = |one: &CentredGram| {
            let mut here = self.blocks.iter().flatten();
            here.any(|gram| gram.cka(one).is_some_and(|cka| cka > 1.0 - ROUNDING))
        };
        shipped.iter().any(Option::is_some) && shipped.iter().flatten().all(same)
    }
}

/// [`Sides`] that own their population.
pub(super) struct SidesOf<'k> {
    reference: One<'k>,
    suspect: One<'k>,
    population: Vec<One<'k>>,
    derived: Option<(One<'k>, One<'k>)>,
}

impl<'k> SidesOf<'k> {
    /// Borrowed.
    pub fn borrowed(&self) -> Sides<'_, One<'k>> {
        Sides {
            reference: self.reference,
            suspect: self.suspect,
            population: &self.population,
            derived: self.derived,
        }
    }
}

/// Each block without the consensus of `others` at its relative depth; `None` where nothing is left.
fn without(blocks: &[Option<CentredGram>], others: &[&[Option<CentredGram>]]) -> Grams {
    let one = |(at, gram): (usize, &Option<CentredGram>)| {
        let there = others.iter();
        let there =
            there.filter_map(|other| other.get(nearest(at, blocks.len(), other.len()))?.as_ref());
        gram.as_ref()?.without(&CentredGram::consensus(there)?)
    };
    blocks.iter().enumerate().map(one).collect()
}

/// Of `there` blocks the one at the relative depth of block `at` of `here`.
fn nearest(at: usize, here: usize, there: usize) -> usize {
    match (here, there) {
        (_, 0) => 0,
        // The only block is also the last.
        (0 | 1, there) => there - 1,
        (here, there) => (2 * at * (there - 1) + (here - 1)) / (2 * (here - 1)),
    }
}

/// `count` of some blocks, at equal steps.
fn thinned(blocks: Grams, count: usize) -> Grams {
    let from = blocks.len();
    if from == count {
        return blocks;
    }
    let one = |at| blocks.get(nearest(at, count, from)).cloned().flatten();
    (0..count).map(one).collect()
}

impl Left {
    /// See [`Shuffled`].
    pub fn shuffled(&self, seed: u64) -> Option<Shuffled> {
        Shuffled::new(&self.a, &self.b, &self.map, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn depths_are_matched_by_relative_place() {
        let places =
            |here, there| -> Vec<usize> { (0..here).map(|at| nearest(at, here, there)).collect() };
        assert_eq!(places(3, 3), [0, 1, 2]);
        assert_eq!(places(3, 5), [0, 2, 4]);
        assert_eq!(places(5, 3), [0, 1, 1, 2, 2]);
        assert_eq!(places(1, 4), [3]);
        assert_eq!(places(2, 1), [0, 0]);
    }
}
