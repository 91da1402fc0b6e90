//! Exact test on the order of residual coordinates.

mod order;
mod sums;

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

use super::exact;
use super::nearest::nearest;
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::{Canonical, Model};
use crate::stat::index::{self, Group};
use crate::stat::law::Law;
use crate::stat::{random, tails};
use order::Order;
use sums::{PRODUCTS, Sums};

/// See [`CARD`].
pub(super) struct ResidualIndex;

static CARD: Card = Card {
    id: "weight.residual_index",
    version: 1,
    family: "weight.residual",
    title: "fixed points of the nearest-coordinate map of the residual stream",
    measures: "What a block reads from residual coordinate j and writes to coordinate i through its query-key, its \
               value-output and its up-down products (gains folded in, summed over heads, experts and layers) does \
               not depend on the order of hidden units, heads, experts or on any change of basis inside a head. Half \
               of the coordinates, drawn at random, serve as yardstick; of the others, each one's products with the \
               yardstick are held against those of the suspect's. The statistic is the share of coordinates whose \
               nearest one is the one of their own index. Between streams of unequal widths the coordinates of the \
               narrower one are held against those of the wider by the embeddings of shared tokens (columns, \
               centred), and the statistic is the share that comes out in increasing order.",
    null: "The order of residual coordinates is arbitrary: given the yardstick, any order of the suspect's other \
           coordinates would be equally likely had the two models been initialised independently. F of m \
           coordinates out of n meet their own index with P(F >= k) <= C(m,k) (n-k)!/n!; between unequal widths \
           P(LIS >= k) <= C(m,k)/k! for the longest increasing subsequence. Exact, without \
           simulation or population, whatever data both were trained on.",
    fooled_by: "Two honest models started from the same random seed and shapes look related. Permuting or rotating the \
                residual stream hides kin (power, not validity). Coordinates that the code itself tells apart (an \
                offset in some, sinusoidal positions) break the exchangeability.",
    cost: "One pass over the attention and MLP matrices of both models; 3 x 2 x 512 x width x units multiplications \
           per layer; one layer in memory.",
    reference: "Ours. The symmetry is the one of Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for Language Models \
                (ICML 2025), appendix on output-preserving transformations.",
    needs: Needs::Weights,
    symmetric: false,
    survives: &[
        "permute-units",
        "permute-heads",
        "fold-gains",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "scale-residual",
        "shift-head",
    ],
};

/// Coordinates of the yardstick, and looked up, at most. More sharpen nothing.
const MOST: usize = 512;

impl Evidence for ResidualIndex {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn reads_samples(&self) -> bool {
        true
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let read = match compare(pair.reference.model, pair.suspect.model, pair.seed)? {
            Ok(read) => read,
            Err(reason) => return Ok(Outcome::NotApplicable(reason)),
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let read = compare(a.model, b.model, pair.seed)?;
            Ok(read.ok().map(|read| read.share()))
        })?;
        Ok(Outcome::Measured(Box::new(read.finding(&controls))))
    }
}

/// What two residual streams allow.
enum Read {
    /// Equal widths: coordinates at their own index.
    Index(Count),
    /// Unequal ones: coordinates in increasing order.
    Order(Order),
}

fn compare(a: &Model, b: &Model, seed: u64) -> Result<Result<Read, String>, Error> {
    let (ours, theirs) = match (Canonical::of(a), Canonical::of(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(why), _) => return Ok(Err(format!("reference: {why}"))),
        (_, Err(why)) => return Ok(Err(format!("suspect: {why}"))),
    };
    Ok(if ours.spec.hidden_size == theirs.spec.hidden_size {
        run(&ours, &theirs, seed)?.map(Read::Index)
    } else {
        Order::of([a, b], [&ours, &theirs], seed)?.map(Read::Order)
    })
}

impl Read {
    fn share(&self) -> f64 {
        match self {
            Self::Index(count) => count.share(),
            Self::Order(order) => order.share(),
        }
    }

    fn finding(&self, controls: &Controls) -> Finding {
        match self {
            Self::Index(count) => count.finding(controls),
            Self::Order(order) => order.finding(controls),
        }
    }
}

/// Which coordinates serve as what.
struct Split {
    yardstick: Tensor,
    others: Tensor,
    /// Places among the others that are looked up.
    queries: Vec<usize>,
}

impl Split {
    fn new(width: usize, rng: &mut ChaCha8Rng) -> Result<Self, Error> {
        let yardstick = random::subset(rng, width, (width / 2).min(MOST));
        let mut taken = vec![false; width];
        yardstick.iter().for_each(|at| taken[*at] = true);
        let others: Vec<usize> = (0..width).filter(|at| !taken[*at]).collect();
        Ok(Self {
            queries: random::subset(rng, others.len(), MOST.min(others.len())),
            yardstick: places(&yardstick)?,
            others: places(&others)?,
        })
    }
}

impl Split {
    /// Coordinates whose nearest one is their own.
    fn hits(&self, images: &[usize]) -> u64 {
        let own = images.iter().zip(&self.queries);
        own.filter(|(image, own)| image == own).count() as u64
    }
}

fn places(indices: &[usize]) -> Result<Tensor, Error> {
    let indices: Vec<u32> = indices.iter().map(|at| *at as u32).collect();
    Ok(Tensor::new(indices, &Device::Cpu)?)
}

/// Fixed points, in all and by product.
struct Count {
    group: Group,
    hits: u64,
    /// Of the hits under a random order, given which coordinates share a nearest one.
    law: Law,
    by_product: Vec<(&'static str, u64)>,
    layers: [usize; 2],
}

fn run(
    ours: &Canonical<'_>,
    theirs: &Canonical<'_>,
    seed: u64,
) -> Result<Result<Count, String>, Error> {
    let width = ours.spec.hidden_size;
    let mut rng = random::stream(seed, CARD.id);
    let split = Split::new(width, &mut rng)?;
    if split.queries.is_empty() {
        return Ok(Err("a residual stream too narrow to be split".to_owned()));
    }
    let (x, y) = (Sums::of(ours, &split)?, Sums::of(theirs, &split)?);
    let columns = split.others.dim(0)?;
    let mut all: Option<Tensor> = None;
    let mut by_product = Vec::new();
    for (product, name) in PRODUCTS.into_iter().enumerate() {
        let Some(similar) = x.similarities(&y, product, &split)? else {
            continue;
        };
        let found = images(&similar, columns, &mut rng)?;
        by_product.push((name, split.hits(&found)));
        all = Some(match all {
            Some(sum) => (sum + similar)?,
            None => similar,
        });
    }
    let Some(all) = all else {
        return Ok(Err(
            "no product of matrices is complete in both models".to_owned()
        ));
    };
    let found = images(&all, columns, &mut rng)?;
    Ok(Ok(Count {
        group: Group {
            queries: split.queries.len() as u64,
            units: columns as u64,
        },
        hits: split.hits(&found),
        law: Law::meetings(&found, columns as u64),
        by_product,
        layers: [ours.spec.num_hidden_layers, theirs.spec.num_hidden_layers],
    }))
}

/// The nearest coordinate of each one looked up.
fn images(similar: &Tensor, columns: usize, rng: &mut ChaCha8Rng) -> Result<Vec<usize>, Error> {
    let values = similar.flatten_all()?.to_vec1::<f32>()?;
    let found = nearest(&values, columns, rng);
    Ok(found.into_iter().map(|top| top.unit).collect())
}

impl Count {
    fn share(&self) -> f64 {
        self.hits as f64 / self.group.queries.max(1) as f64
    }

    fn finding(&self, controls: &Controls) -> Finding {
        let groups = [self.group];
        let expected = index::expected_hits(&groups);
        let Group { queries, units } = self.group;
        let mut details = controls.details(self.share());
        details.insert("fixed_points", self.hits as f64);
        details.insert("expected_fixed_points", expected);
        details.extend(exact::details(std::slice::from_ref(&self.law), self.hits));
        let mut caveats = vec![
            "two models initialised from the same random seed and shapes also keep the order: the test cannot \
             tell a shared start from shared weights"
                .to_owned(),
            "a permutation or rotation of the residual stream leaves a model's function as it is and hides it from \
             this test"
                .to_owned(),
        ];
        if self.layers[0] != self.layers[1] {
            caveats.push(format!(
                "{} and {} layers: products are summed over layers, which need not correspond",
                self.layers[0], self.layers[1]
            ));
        }
        Finding {
            statistic: self.share(),
            n: queries,
            null: format!(
                "exact: under independent initialisation {expected:.1} of {queries} coordinates meet their own \
                 index on average; beside it, {}",
                controls.words(self.share())
            ),
            log10_p: Some(tails::log10(index::fixed_points_ln_p(self.hits, &groups))),
            interval: None,
            details,
            explanation: format!(
                "{} of {queries} coordinates of the residual stream have their nearest counterpart among {units} at \
                 their own index, where {expected:.1} would by chance.",
                self.hits
            ),
            caveats,
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: Some(Table {
                columns: ["product", "own index", "looked up"]
                    .map(str::to_owned)
                    .to_vec(),
                rows: self
                    .by_product
                    .iter()
                    .map(|(name, hits)| {
                        vec![(*name).to_owned(), hits.to_string(), queries.to_string()]
                    })
                    .collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
