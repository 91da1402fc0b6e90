//! Exact test on the order of residual coordinates.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

use super::nearest::nearest;
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::canonical::{Attention, unit_rows};
use crate::model::{Canonical, Model};
use crate::stat::index::{self, Group};
use crate::stat::{random, tails};

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
               nearest one is the one of their own index.",
    null: "The order of residual coordinates is arbitrary: given the yardstick, any order of the suspect's other \
           coordinates would be equally likely had the two models been initialised independently. F of m \
           coordinates out of n meet their own index with P(F >= k) <= C(m,k) (n-k)!/n!. Exact, without \
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

/// Products of a block, and their names.
const PRODUCTS: [&str; 3] = ["query-key", "value-output", "up-down"];

impl Evidence for ResidualIndex {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let count = match run(pair.reference.model, pair.suspect.model, pair.seed)? {
            Ok(count) => count,
            Err(reason) => return Ok(Outcome::NotApplicable(reason)),
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let count = run(a.model, b.model, pair.seed)?;
            Ok(count.ok().map(|count| count.share()))
        })?;
        Ok(Outcome::Measured(Box::new(count.finding(&controls))))
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

fn places(indices: &[usize]) -> Result<Tensor, Error> {
    let indices: Vec<u32> = indices.iter().map(|at| *at as u32).collect();
    Ok(Tensor::new(indices, &Device::Cpu)?)
}

/// Fixed points, in all and by product.
struct Count {
    group: Group,
    hits: u64,
    by_product: Vec<(&'static str, u64)>,
    layers: [usize; 2],
}

fn run(a: &Model, b: &Model, seed: u64) -> Result<Result<Count, String>, Error> {
    let (ours, theirs) = match (Canonical::of(a), Canonical::of(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(why), _) => return Ok(Err(format!("reference: {why}"))),
        (_, Err(why)) => return Ok(Err(format!("suspect: {why}"))),
    };
    let (width, other) = (ours.spec.hidden_size, theirs.spec.hidden_size);
    if width != other {
        return Ok(Err(format!(
            "residual streams of {width} and {other} coordinates: an index means the same only in equal ones"
        )));
    }
    let mut rng = random::stream(seed, CARD.id);
    let split = Split::new(width, &mut rng)?;
    if split.queries.is_empty() {
        return Ok(Err("a residual stream too narrow to be split".to_owned()));
    }
    let (x, y) = (Sums::of(&ours, &split)?, Sums::of(&theirs, &split)?);
    let columns = split.others.dim(0)?;
    let mut all: Option<Tensor> = None;
    let mut by_product = Vec::new();
    for (product, name) in PRODUCTS.into_iter().enumerate() {
        let Some(similar) = x.similarities(&y, product, &split)? else {
            continue;
        };
        by_product.push((name, hits(&similar, columns, &split, &mut rng)?));
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
    Ok(Ok(Count {
        group: Group {
            queries: split.queries.len() as u64,
            units: columns as u64,
        },
        hits: hits(&all, columns, &split, &mut rng)?,
        by_product,
        layers: [ours.spec.num_hidden_layers, theirs.spec.num_hidden_layers],
    }))
}

fn hits(
    similar: &Tensor,
    columns: usize,
    split: &Split,
    rng: &mut ChaCha8Rng,
) -> Result<u64, Error> {
    let values = similar.flatten_all()?.to_vec1::<f32>()?;
    let found = nearest(&values, columns, rng);
    let own = found.iter().zip(&split.queries);
    Ok(own.filter(|(top, own)| top.unit == **own).count() as u64)
}

/// Products summed over layers, each `[others, yardstick]`: what others receive from the yardstick, and
/// what it receives from them.
struct Sums {
    products: [Option<[Tensor; 2]>; 3],
}

impl Sums {
    fn of(model: &Canonical<'_>, split: &Split) -> Result<Self, Error> {
        let mut sums = Self {
            products: [None, None, None],
        };
        for layer in 0..model.spec.num_hidden_layers {
            if let Some(attention) = model.attention(layer)? {
                let (query_key, value_output) = heads_together(&attention, model)?;
                sums.add(0, &query_key.0.t()?.contiguous()?, &query_key.1, split)?;
                sums.add(1, &value_output.0, &value_output.1, split)?;
            }
            for expert in model.experts(layer) {
                if let Some(mlp) = model.mlp(layer, expert)? {
                    sums.add(2, &mlp.down, &mlp.up, split)?;
                }
            }
        }
        Ok(sums)
    }

    /// Adds `left * right`, `[width, n] * [n, width]`, at unit length.
    fn add(
        &mut self,
        product: usize,
        left: &Tensor,
        right: &Tensor,
        split: &Split,
    ) -> Result<(), Error> {
        let block = |rows: &Tensor, columns: &Tensor| -> candle_core::Result<Tensor> {
            let right = right.index_select(columns, 1)?.contiguous()?;
            let block = left.index_select(rows, 0)?.contiguous()?.matmul(&right)?;
            let length = block.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
            if length > 0.0 {
                block / f64::from(length)
            } else {
                Ok(block)
            }
        };
        let written = block(&split.others, &split.yardstick)?;
        let read = block(&split.yardstick, &split.others)?.t()?.contiguous()?;
        let sum = &mut self.products[product];
        *sum = Some(match sum.take() {
            Some([a, b]) => [(a + written)?, (b + read)?],
            None => [written, read],
        });
        Ok(())
    }

    /// `[queries, others]`: cosines of both directions added.
    fn similarities(
        &self,
        other: &Self,
        product: usize,
        split: &Split,
    ) -> Result<Option<Tensor>, Error> {
        let (Some(ours), Some(theirs)) = (&self.products[product], &other.products[product]) else {
            return Ok(None);
        };
        let queries = places(&split.queries)?;
        let cosines = |ours: &Tensor, theirs: &Tensor| -> candle_core::Result<Tensor> {
            let ours = unit_rows(&ours.index_select(&queries, 0)?)?;
            ours.matmul(&unit_rows(theirs)?.t()?)
        };
        Ok(Some(
            (cosines(&ours[0], &theirs[0])? + cosines(&ours[1], &theirs[1])?)?,
        ))
    }
}

/// `(query, key)` and `(output, value)` with the heads of a group added up, so that the products over
/// `num_key_value_heads * head_dim` are the sums over all heads.
fn heads_together(
    attention: &Attention,
    model: &Canonical<'_>,
) -> candle_core::Result<((Tensor, Tensor), (Tensor, Tensor))> {
    let spec = model.spec;
    let (groups, head, width) = (spec.num_key_value_heads, spec.head_dim, spec.hidden_size);
    let per = spec.num_attention_heads / groups.max(1);
    let query = attention.query.reshape((groups, per, head, width))?;
    let output = attention.output.reshape((width, groups, per, head))?;
    Ok((
        (
            query.sum(1)?.reshape((groups * head, width))?,
            attention.key.clone(),
        ),
        (
            output.sum(2)?.reshape((width, groups * head))?,
            attention.value.clone(),
        ),
    ))
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
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, pair};
    use crate::model::toy::{Dims, Toy};

    fn measured(reference: &Toy, suspect: &Toy) -> Finding {
        let (a, b) = (Open::new(reference), Open::new(suspect));
        match ResidualIndex.assess(&pair(&a, &b)).unwrap() {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    fn wide() -> Dims {
        Dims {
            width: 64,
            ..Dims::default()
        }
    }

    #[test]
    fn kin_with_permuted_units_keep_their_coordinates() {
        let parent = Toy::new(1, wide());
        let finding = measured(&parent, &parent.permuted(3).noised(0.5, 8));
        assert!(finding.statistic > 0.9, "{}", finding.statistic);
        assert!(finding.log10_p.unwrap() < -25.0);
    }

    #[test]
    fn independent_pairs_are_never_called_too_often() {
        let dims = Dims {
            layers: 1,
            width: 16,
            units: 8,
            vocab: 4,
        };
        let trials = 1000;
        let ps: Vec<f64> = (0..trials)
            .map(|seed| {
                let (a, _one) = Toy::new(2 * seed, dims).open();
                let (b, _two) = Toy::new(2 * seed + 1, dims).open();
                let count = run(&a, &b, seed).unwrap().unwrap();
                index::fixed_points_ln_p(count.hits, &[count.group]).exp()
            })
            .collect();
        for alpha in [0.1, 0.01] {
            let hits = ps.iter().filter(|p| **p <= alpha).count() as f64;
            let mean = alpha * trials as f64;
            assert!(hits <= mean + 4.0 * mean.sqrt(), "{hits} at {alpha}");
        }
    }

    #[test]
    fn other_widths_are_left_alone() {
        let (a, b) = (Toy::new(1, wide()), Toy::new(1, Dims::default()));
        let (a, b) = (Open::new(&a), Open::new(&b));
        let outcome = ResidualIndex.assess(&pair(&a, &b)).unwrap();
        assert!(matches!(outcome, Outcome::NotApplicable(reason) if reason.contains("64 and 16")));
    }
}
