//! What the values of each key-value head span over the prompts, whatever basis the head keeps them in.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::inside::comparable;
use super::inside::why_missing;
use super::layered;
use super::rows;
use crate::evidence::Card;
use crate::evidence::Error;
use crate::evidence::Evidence;
use crate::evidence::Finding;
use crate::evidence::Needs;
use crate::evidence::Outcome;
use crate::evidence::Pair;
use crate::evidence::Subject;
use crate::evidence::Table;
use crate::evidence::control::Controls;
use crate::model::Site;
use crate::record::SiteActivations;
use crate::stat::assignment;
use crate::stat::span::Span;

/// See [`CARD`].
pub(super) struct ValueSpaces;

static CARD: Card = Card {
    id: "activation.value_spaces",
    version: 1,
    family: "activation.similarity",
    title: "overlap of the spaces that the values of key-value heads span over prompts",
    measures: "Both models read the same prompts. The values that a key-value head adds to its cache at the last token, \
               centred, span a space over the prompts that no change of basis within the head alters. Of every head of one \
               model with every head of the other, block by block: the trace of the product of the two projectors (the sum \
               of squared canonical correlations), less the mean of random spaces of these dimensions, over the most it can \
               be. Heads are paired one to one so that the sum is highest; the statistic is the mean over pairs and over \
               blocks at equal relative depth.",
    null: "The same number for independent models that read the same prompts; the pairing raises theirs as well. Permuting \
           prompts is no null for lineage.",
    fooled_by: "Two able models of the same data see the same things in the prompts. Noise counts as much in a direction in \
                which values hardly vary as in one in which they do, so that further training lowers it. Prompts that are \
                hardly more than a head has dimensions leave nothing to tell: it needs twice as many.",
    cost: "blocks x (width of the cache)^2 x prompts multiplications.",
    reference: "Made for this program; the trace: R^2 of CCA as in Kornblith et al. (ICML 2019), which is the same under \
                any invertible map; the correction: as that of adjusted R^2.",
    needs: Needs::Activations,
    symmetric: true,
    survives: &[
        "permute-units",
        "permute-heads",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "scale-residual",
        "shift-head",
    ],
};

impl Evidence for ValueSpaces {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        if pair.reference.activations.is_none() || pair.suspect.activations.is_none() {
            return Ok(Outcome::NotApplicable(why_missing(pair)));
        }
        let measured = match blocks(pair.reference, pair.suspect) {
            Ok(measured) => measured,
            Err(reason) => return Ok(Outcome::NotApplicable(reason)),
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(blocks(a, b).ok().map(|blocks| mean(&blocks)))
        })?;
        Ok(Outcome::Measured(Box::new(finding(&measured, &controls))))
    }
}

/// Two blocks at equal relative depth.
struct Block {
    reference: usize,
    suspect: usize,
    /// Heads that are paired, of each model, with their overlap.
    heads: Vec<(usize, usize, f64)>,
    prompts: usize,
}

impl Block {
    fn mean(&self) -> f64 {
        let sum: f64 = self.heads.iter().map(|(_, _, overlap)| overlap).sum();
        sum / self.heads.len() as f64
    }
}

fn mean(blocks: &[Block]) -> f64 {
    blocks.iter().map(Block::mean).sum::<f64>() / blocks.len() as f64
}

fn blocks(a: Subject<'_>, b: Subject<'_>) -> Result<Vec<Block>, String> {
    let (Some(x), Some(y)) = (a.activations, b.activations) else {
        return Err("activations of one of the models were not recorded".to_owned());
    };
    comparable(x, y)?;
    let (ours, theirs) = layered::rows(x, y)?;
    let heads = |of: Subject<'_>, rows: &[usize]| -> Result<Vec<(usize, Vec<Span>)>, String> {
        let dims = dims(of, rows.len())?;
        let sites = of
            .activations
            .map_or_else(Vec::new, |one| one.stack(Site::Value));
        if sites.is_empty() {
            return Err(format!("{} was not recorded", Site::Value(0)));
        }
        let spans = sites
            .par_iter()
            .map(|(layer, site)| Ok((*layer, spans(site, rows, dims)?)));
        spans.collect()
    };
    let (ours, theirs) = (heads(a, &ours)?, heads(b, &theirs)?);
    let prompts = x.shared_rows(y).len();
    rows::equal_depth(ours.len(), theirs.len())
        .into_par_iter()
        .map(|(i, j)| {
            let heads = paired(&ours[i].1, &theirs[j].1);
            Ok(Block {
                reference: ours[i].0,
                suspect: theirs[j].0,
                heads: heads.ok_or("the heads could not be held against each other")?,
                prompts,
            })
        })
        .collect()
}

/// Dimensions of a head's values; prompts must be twice as many.
fn dims(of: Subject<'_>, prompts: usize) -> Result<usize, String> {
    let spec = of.model.plan.as_ref().map_err(Clone::clone)?;
    let dims = spec.value_head_dim();
    match prompts > 2 * dims {
        true => Ok(dims),
        false => Err(format!(
            "{prompts} prompts were read by both models, and heads of {dims} dimensions need more than {}",
            2 * dims
        )),
    }
}

/// What each head of a block spans.
fn spans(site: &SiteActivations, rows: &[usize], dims: usize) -> Result<Vec<Span>, String> {
    let width = site.width;
    let values = layered::picked(site, rows);
    let values = values.filter(|_| dims > 0 && width.is_multiple_of(dims));
    let values = values.ok_or_else(|| format!("{} is not of whole heads", site.site))?;
    let head = |at: usize| {
        let chosen: Vec<usize> = (at * dims..(at + 1) * dims).collect();
        let span = Span::new(&rows::columns(&values, width, &chosen), dims);
        span.ok_or_else(|| {
            format!(
                "a head of {} does not vary from prompt to prompt",
                site.site
            )
        })
    };
    (0..width / dims).map(head).collect()
}

/// One to one, so that the sum of overlaps is highest.
fn paired(ours: &[Span], theirs: &[Span]) -> Option<Vec<(usize, usize, f64)>> {
    let all = ours
        .iter()
        .flat_map(|x| theirs.iter().map(|y| x.overlap(y)));
    let overlaps: Vec<f64> = all.collect::<Option<_>>()?;
    let found = assignment::maximise(&overlaps, ours.len(), theirs.len())?;
    let pairs = found.into_iter().enumerate();
    let pairs = pairs.filter_map(|(i, j)| Some((i, j?, overlaps[i * theirs.len() + j?])));
    Some(pairs.collect()).filter(|pairs: &Vec<_>| !pairs.is_empty())
}

fn finding(blocks: &[Block], controls: &Controls) -> Finding {
    let statistic = mean(blocks);
    let prompts = blocks.first().map_or(0, |block| block.prompts);
    let heads: usize = blocks.iter().map(|block| block.heads.len()).sum();
    let own = blocks.iter().flat_map(|block| &block.heads);
    let own = own.filter(|(i, j, _)| i == j).count();
    let mut details: BTreeMap<&'static str, f64> = controls.details(statistic);
    details.insert("heads", heads as f64);
    details.insert("heads_at_their_own_index", own as f64);
    let mut caveats = vec![
        "values of the same prompts span spaces that overlap in any two models that understand them; a p-value from \
         permuted prompts would not test lineage and is not given"
            .to_owned(),
    ];
    caveats.extend(controls.caveats());
    Finding {
        statistic,
        n: prompts as u64,
        null: controls.words(statistic),
        log10_p: None,
        interval: None,
        details,
        explanation: format!(
            "Mean over {heads} pairs of key-value heads in {} pairs of blocks, on {prompts} prompts: {statistic:.3}, where \
             random spaces would have 0; {own} of the heads are paired at their own index.",
            blocks.len()
        ),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(table(blocks)),
    }
}

fn table(blocks: &[Block]) -> Table {
    let columns = [
        "block",
        "suspect's block",
        "heads of the suspect",
        "overlap",
    ];
    let row = |block: &Block| {
        let heads = block.heads.iter().map(|(_, j, _)| j.to_string());
        vec![
            block.reference.to_string(),
            block.suspect.to_string(),
            heads.collect::<Vec<_>>().join(", "),
            format!("{:.3}", block.mean()),
        ]
    };
    Table {
        columns: columns.map(str::to_owned).to_vec(),
        rows: blocks.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::toys::activations;
    use crate::evidence::activation::toys::gaussian;
    use crate::evidence::toy::Open;
    use crate::evidence::toy::pair;
    use crate::model::toy::Dims;
    use crate::model::toy::Toy;

    /// Dimensions of a toy's head.
    const DIMS: usize = 8;
    const HEADS: usize = 3;

    fn open(values: Vec<f32>, prompts: usize) -> Open {
        let mut open = Open::new(&Toy::new(1, Dims::default()));
        open.activations = Some(activations(prompts, [(Site::Value(0), values)]));
        open
    }

    fn assess(a: &Open, b: &Open) -> Result<Finding, String> {
        match ValueSpaces.assess(&pair(a, b)).unwrap() {
            Outcome::Measured(finding) => Ok(*finding),
            Outcome::NotApplicable(reason) => Err(reason),
        }
    }

    /// Heads in another order, each by an invertible map of its own.
    fn laundered(values: &[f32]) -> Vec<f32> {
        let maps: Vec<Vec<f32>> = (0..HEADS as u64)
            .map(|at| gaussian(DIMS, DIMS, 50 + at))
            .collect();
        let row = |row: &[f32]| -> Vec<f32> {
            let heads = row.chunks(DIMS).zip(&maps).rev();
            let of = |(head, map): (&[f32], &Vec<f32>)| -> Vec<f32> {
                let cell = |j: usize| (0..DIMS).map(|k| head[k] * map[k * DIMS + j]).sum();
                (0..DIMS).map(cell).collect()
            };
            heads.flat_map(of).collect()
        };
        values.chunks(DIMS * HEADS).flat_map(row).collect()
    }

    #[test]
    fn order_and_bases_of_heads_do_not_count_and_strangers_are_apart() {
        let values = gaussian(60, DIMS * HEADS, 1);
        let parent = open(values.clone(), 60);
        let itself = assess(&parent, &parent).unwrap();
        assert!((itself.statistic - 1.0).abs() < 1e-9 && itself.log10_p.is_none());
        let hidden = assess(&parent, &open(laundered(&values), 60)).unwrap();
        assert!(
            (hidden.statistic - 1.0).abs() < 1e-4,
            "{}",
            hidden.statistic
        );
        assert_eq!(hidden.details["heads_at_their_own_index"], 1.0);
        assert_eq!(hidden.table.unwrap().rows[0][2], "2, 1, 0");
        let stranger = assess(&parent, &open(gaussian(60, DIMS * HEADS, 2), 60)).unwrap();
        assert!(stranger.statistic.abs() < 0.15, "{}", stranger.statistic);
    }

    #[test]
    fn with_few_prompts_or_parts_of_heads_it_says_so() {
        let of = |prompts, width| open(gaussian(prompts, width, 1), prompts);
        let few = of(16, DIMS);
        assert!(
            assess(&few, &few)
                .unwrap_err()
                .contains("need more than 16")
        );
        let part = of(60, 12);
        assert!(
            assess(&part, &part)
                .unwrap_err()
                .contains("not of whole heads")
        );
    }
}
