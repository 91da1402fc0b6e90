//! Which pairs have nothing in common.

use super::Work;
use crate::bench::error::Error;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::verdict::population::INDEPENDENT;
use crate::zoo::list;
use crate::zoo::pairs::Kinship;
use crate::zoo::random::{self, Construction};

/// Where the two models of a pair come from.
pub(super) enum Place {
    /// Drawn anew, each under a seed of its own.
    Random {
        constructions: Box<[Construction; 2]>,
        seeds: [u64; 2],
    },
    /// Trained members of the zoo.
    Trained([ModelRef; 2]),
}

impl Place {
    pub fn is_trained(&self) -> bool {
        matches!(self, Self::Trained(_))
    }
}

/// `pairs` of one construction each, as many of two, and the bases of the zoo against each other.
pub(super) fn places(work: &Work) -> Result<Vec<Place>, Error> {
    let constructions = random::constructions(&work.zoo)?;
    let count = constructions.len();
    let mixed: Vec<[usize; 2]> = (0..count)
        .flat_map(|a| (0..count).filter(move |b| *b != a).map(move |b| [a, b]))
        .collect();
    let mut places = Vec::new();
    for at in 0..2 * work.pairs {
        let kinds = match (at % 2, mixed.as_slice()) {
            (1, [_, ..]) => mixed[at / 2 % mixed.len()],
            _ => [at / 2 % count; 2],
        };
        let first = work.seed.wrapping_add(2 * at as u64);
        places.push(Place::Random {
            constructions: Box::new(kinds.map(|kind| constructions[kind].clone())),
            seeds: [first, first.wrapping_add(1)],
        });
    }
    places.extend(trained(work)?);
    Ok(places)
}

/// Bases that are independent of each other, each against each: of a run only one, of two runs with one
/// random start only the first.
fn trained(work: &Work) -> Result<Vec<Place>, Error> {
    let listed = list::members(&work.zoo)?;
    let kinship = Kinship::of(&listed);
    let mut bases: Vec<&str> = Vec::new();
    for member in listed.iter().filter(|member| member.parent.is_none()) {
        let stranger = |base: &&str| kinship.pair(base, &member.name).relation == INDEPENDENT;
        if bases.iter().all(stranger) {
            bases.push(&member.name);
        }
    }
    let place = |name: &str| ModelRef {
        // Not its path: what is drawn for a pair must not depend on where the zoo lies.
        label: Some(name.to_owned()),
        locator: Locator::Local(work.zoo.join(name)),
    };
    let mut places = Vec::new();
    for (at, one) in bases.iter().enumerate() {
        for other in &bases[at + 1..] {
            places.push(Place::Trained([place(one), place(other)]));
        }
    }
    Ok(places)
}
