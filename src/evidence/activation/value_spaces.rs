//! What the values of each key-value head span over the prompts, whatever basis the head keeps them in.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::inside::Inside;
use super::inside::Measured;
use super::layered;
use super::rows;
use crate::evidence::Card;
use crate::evidence::Needs;
use crate::evidence::Table;
use crate::model::Site;
use crate::record::Activations;
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

impl Inside for ValueSpaces {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, _: u64) -> Result<Measured, String> {
        Ok(measured(&blocks(a, b)?))
    }

    fn statistic(&self, a: &Activations, b: &Activations, _: u64) -> Option<f64> {
        Some(mean(&blocks(a, b).ok()?))
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

fn blocks(a: &Activations, b: &Activations) -> Result<Vec<Block>, String> {
    let (ours, theirs) = layered::rows(a, b)?;
    let prompts = ours.len();
    let heads = |of: &Activations, rows: &[usize]| -> Result<Vec<(usize, Vec<Span>)>, String> {
        let sites = of.stack(Site::Value);
        if sites.is_empty() {
            return Err(format!("{} was not recorded", Site::Value(0)));
        }
        let heads = of
            .key_value_heads
            .ok_or("how many heads values are of was not recorded")?;
        let spans = sites.par_iter().map(|(layer, site)| {
            let dims = dims(site, heads, rows.len())?;
            Ok((*layer, spans(site, rows, dims)?))
        });
        spans.collect()
    };
    let (ours, theirs) = (heads(a, &ours)?, heads(b, &theirs)?);
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
fn dims(site: &SiteActivations, heads: usize, prompts: usize) -> Result<usize, String> {
    if heads == 0 || !site.width.is_multiple_of(heads) {
        return Err(format!("{} is not of whole heads", site.site));
    }
    let dims = site.width / heads;
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
    let values = values.ok_or_else(|| format!("{} lacks rows", site.site))?;
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

fn measured(blocks: &[Block]) -> Measured {
    let statistic = mean(blocks);
    let prompts = blocks.first().map_or(0, |block| block.prompts);
    let heads: usize = blocks.iter().map(|block| block.heads.len()).sum();
    let own = blocks.iter().flat_map(|block| &block.heads);
    let own = own.filter(|(i, j, _)| i == j).count();
    Measured {
        statistic,
        n: prompts as u64,
        null: None,
        log10_p: None,
        details: BTreeMap::from([
            ("heads", heads as f64),
            ("heads_at_their_own_index", own as f64),
        ]),
        explanation: format!(
            "Mean over {heads} pairs of key-value heads in {} pairs of blocks, on {prompts} prompts: {statistic:.3}, where \
             random spaces would have 0; {own} of the heads are paired at their own index.",
            blocks.len()
        ),
        caveats: vec![
            "values of the same prompts span spaces that overlap in any two models that understand them; a p-value from \
             permuted prompts would not test lineage and is not given"
                .to_owned(),
        ],
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

    /// Dimensions of a head.
    const DIMS: usize = 8;
    const HEADS: usize = 3;

    fn model(values: Vec<f32>, prompts: usize, heads: usize) -> Activations {
        Activations {
            key_value_heads: Some(heads),
            ..activations(prompts, [(Site::Value(0), values)])
        }
    }

    fn assess(a: &Activations, b: &Activations) -> Result<Measured, String> {
        ValueSpaces.measure(a, b, 0)
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
        let parent = model(values.clone(), 60, HEADS);
        let itself = assess(&parent, &parent).unwrap();
        assert!((itself.statistic - 1.0).abs() < 1e-9 && itself.log10_p.is_none());
        let hidden = assess(&parent, &model(laundered(&values), 60, HEADS)).unwrap();
        assert!(
            (hidden.statistic - 1.0).abs() < 1e-4,
            "{}",
            hidden.statistic
        );
        assert_eq!(hidden.details["heads_at_their_own_index"], 1.0);
        assert_eq!(hidden.table.unwrap().rows[0][2], "2, 1, 0");
        let stranger = assess(&parent, &model(gaussian(60, DIMS * HEADS, 2), 60, HEADS)).unwrap();
        assert!(stranger.statistic.abs() < 0.15, "{}", stranger.statistic);
    }

    #[test]
    fn with_few_prompts_or_parts_of_heads_it_says_so() {
        let of = |prompts, width, heads| model(gaussian(prompts, width, 1), prompts, heads);
        let why = |one: Activations| assess(&one, &one).unwrap_err();
        assert!(why(of(16, DIMS, 1)).contains("need more than 16"));
        assert!(why(of(60, 12, 5)).contains("not of whole heads"));
        let mut unknown = of(60, 12, 3);
        unknown.key_value_heads = None;
        assert!(why(unknown).contains("was not recorded"));
    }
}
