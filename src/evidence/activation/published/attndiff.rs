//! AttnDiff: how strongly every head's pattern changes with one word, as a spectrum.
//!
//! The paper summarises each head's difference of patterns by its largest singular values; its code does so
//! when asked for `K` of them (5 to 10 are advised), and lays all heads of all layers beside each other. By
//! default, and in the fingerprints that are released with it, a head is one number, the Frobenius norm. Both
//! are compared by the biased linear CKA over pairs. The library beside these programs has another statistic,
//! over positions, that is below 1 of a model with itself. All three are here: the statistic is the described
//! one.

mod patterns;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rayon::prelude::*;

use self::patterns::Change;
use self::patterns::Patterns;
use crate::evidence::Card;
use crate::evidence::Needs;
use crate::evidence::Table;
use crate::evidence::activation::attention_difference;
use crate::evidence::activation::inside::Inside;
use crate::evidence::activation::inside::Measured;
use crate::record::Activations;
use crate::stat::cka;
use crate::stat::cka::CentredGram;
use crate::stat::gram;

/// See [`CARD`].
pub(super) struct AttnDiff;

static CARD: Card = Card {
    id: "activation.attndiff",
    version: 1,
    family: "published.activation",
    title: "AttnDiff: biased linear CKA of singular values of attention pattern differences",
    measures: "Both models read pairs of prompts that differ in one word (`<pair>.original` and `<pair>.edited`). Of every \
               head of every layer the attention pattern of the edited prompt is taken from that of the original one; the 8 \
               largest singular values of the difference, of all heads beside each other, are one sample per pair; linear \
               CKA of the two models' samples, biased as published. Beside it stand the same debiased (debiased); of one \
               Frobenius norm per head, which the released program keeps unless told otherwise (head_norms); of the means \
               over the heads of a layer (mean_over_heads); and what the released library computes over positions \
               (as_coded), where all prompts have the same number of tokens in both models.",
    null: "None: above 0.98 for derivatives and below 0.22 for unrelated models are published, of 60 pairs. The biased \
           estimate is high for independent noise of few pairs and many columns (0.87 at 30 pairs and 208 columns); columns \
           of models go together, which lends them less. The number stands beside that of independent models.",
    fooled_by: "Models that learned the same language are struck by the same words: independent models of one tokenizer in \
                this project's zoo are at 0.73 on 19 pairs, debiased 0.68, and a fine-tuned child is at 0.86. Singular \
                values say how much a pattern changed, not where. Many columns (8 x heads x layers) beside few pairs raise \
                strangers (0.2 between pairs that do not belong together, of the same 19). Words that are not the same \
                number of tokens leave few pairs. as_coded is below 1 of a model with itself.",
    cost: "pairs x layers x heads x tokens^3; not recorded by compare: `kinprobe run \
           datasets/minimal-pairs/minimal-pairs.yaml --tap 'blocks.*.attn.hook_pattern' --pool whole` reads 120 short \
           prompts, `kinprobe activations --published` compares.",
    reference: "Zhang et al.: AttnDiff: Attention-based Differential Fingerprinting for Large Language Models (2026), on \
                this project's prompts. Its code cuts the longer prompt of a pair to the tokens of the shorter one and all \
                layers to the fewest heads; here such a pair is left out, and heads are all kept.",
    needs: Needs::Activations,
    symmetric: true,
    survives: &[],
};

impl Inside for AttnDiff {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, _: u64) -> Result<Measured, String> {
        let both = Both::of(a, b)?;
        let pairs = both.used.len();
        let variants = variants(&both)?;
        let [described, debiased, ..] = &variants;
        let statistic = described.2;
        let statistic = statistic.ok_or("a changed word changes no attention pattern")?;
        let beside = debiased.2.map(|value| format!(" Debiased: {value:.3}."));
        let known = variants
            .iter()
            .filter_map(|one| Some((one.0, one.1, one.2?)));
        let mut details: BTreeMap<&'static str, f64> = known
            .clone()
            .skip(1)
            .map(|(name, _, value)| (name, value))
            .collect();
        details.insert("pairs_left_out", both.left_out as f64);
        let rows = known.map(|(name, words, value)| {
            [name, words, &format!("{value:.4}")]
                .map(str::to_owned)
                .to_vec()
        });
        Ok(Measured {
            statistic,
            n: pairs as u64,
            null: None,
            log10_p: None,
            details,
            explanation: format!(
                "Singular values of what one word changes in every attention pattern, on {pairs} pairs of prompts: \
                 {statistic:.3}.{}",
                beside.unwrap_or_default()
            ),
            caveats: both.caveats(),
            figures: Vec::new(),
            table: Some(Table {
                columns: ["form", "of what", "CKA"].map(str::to_owned).to_vec(),
                rows: rows.collect(),
            }),
        })
    }
}

/// Name, words and value of a form of the method.
type Variant = (&'static str, &'static str, Option<f64>);

/// Every form, the described one first and its debiased estimate behind it.
fn variants(both: &Both<'_>) -> Result<[Variant; 5], String> {
    let [x, y] = both.changes()?;
    let of = |part: fn(&Change) -> Vec<f32>| Some([samples(&x, part)?, samples(&y, part)?]);
    let spectra = of(|change| change.spectra.clone());
    let debiased = |[x, y]: &[Vec<f64>; 2]| {
        let of = |gram: &Vec<f64>| CentredGram::of_gram(gram.clone(), both.used.len());
        of(x)?.cka(&of(y)?)
    };
    let biased_of = |part| of(part).as_ref().and_then(biased);
    Ok([
        (
            "described",
            "8 singular values of every head, over pairs",
            spectra.as_ref().and_then(biased),
        ),
        (
            "debiased",
            "the same, debiased",
            spectra.as_ref().and_then(debiased),
        ),
        (
            "head_norms",
            "the Frobenius norm of every head, over pairs: what is released",
            biased_of(|change| change.norms.clone()),
        ),
        (
            "mean_over_heads",
            "8 singular values, mean over the heads of a layer, over pairs",
            biased_of(Change::mean_over_heads),
        ),
        (
            "as_coded",
            "mean differences, over positions: the released library",
            both.over_positions(),
        ),
    ])
}

/// The Gram matrix of one part of every change, centred over pairs.
fn samples(changes: &[Change], part: impl Fn(&Change) -> Vec<f32>) -> Option<Vec<f64>> {
    let values: Vec<f32> = changes.iter().flat_map(part).collect();
    let width = values.len() / changes.len().max(1);
    let centred = gram::centred(&values, width)?;
    Some(gram::products(&centred, changes.len(), width))
}

/// `<K, L> / (|K| |L|)`.
fn biased([k, l]: &[Vec<f64>; 2]) -> Option<f64> {
    let lengths = (dot(k, k) * dot(l, l)).sqrt();
    (lengths > 0.0 && lengths.is_finite()).then(|| dot(k, l) / lengths)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Two models that read the same pairs.
struct Both<'a> {
    models: [Patterns<'a>; 2],
    /// Of every pair that is used the rows and the tokens in each model.
    used: Vec<[Pair; 2]>,
    left_out: usize,
}

/// Rows of the two prompts of a pair in one model, and how many tokens each has.
type Pair = ([usize; 2], usize);

impl<'a> Both<'a> {
    fn of(a: &'a Activations, b: &'a Activations) -> Result<Self, String> {
        let models = [Patterns::of(a)?, Patterns::of(b)?];
        let [ours, theirs] = [
            attention_difference::pairs(a)?,
            attention_difference::pairs(b)?,
        ];
        let pair = |model: &Patterns<'_>, rows: [usize; 2]| -> Option<Pair> {
            let [original, edited] = rows.map(|row| model.tokens(row));
            (original == edited && original > 0).then_some((rows, original))
        };
        let shared = ours
            .iter()
            .filter_map(|(name, rows)| Some((*rows, *theirs.get(name)?)));
        let pairs: Vec<_> = shared
            .map(|(x, y)| Some([pair(&models[0], x)?, pair(&models[1], y)?]))
            .collect();
        let shared = pairs.len();
        let used: Vec<[Pair; 2]> = pairs.into_iter().flatten().collect();
        if used.len() < cka::LEAST_ROWS {
            return Err(format!(
                "{} of {shared} pairs of prompts `<pair>.original` and `<pair>.edited` that both models read have as many \
                 tokens in the one as in the other, and the estimator needs {}: the suite minimal-pairs has some",
                used.len(),
                cka::LEAST_ROWS
            ));
        }
        Ok(Self {
            left_out: shared - used.len(),
            models,
            used,
        })
    }

    /// Of each model, by pair.
    fn changes(&self) -> Result<[Vec<Change>; 2], String> {
        let of = |at: usize| -> Option<Vec<Change>> {
            let each = self.used.par_iter().map(|pair| {
                let (rows, tokens) = pair[at];
                Change::of(&self.models[at], rows, tokens)
            });
            each.collect()
        };
        let changes = of(0).and_then(|ours| Some([ours, of(1)?]));
        changes.ok_or_else(|| "singular values of a pattern were not found".to_owned())
    }

    /// `tr(X'YY'X) / (|X|^2 |Y|^2)` of the mean differences `[tokens, layers x heads x tokens]`, centred over
    /// tokens; `None` where the two do not have as many layers and heads, or prompts are not all as long.
    fn over_positions(&self) -> Option<f64> {
        let tokens = self.used.first()?[0].1;
        let equal = |pair: &[Pair; 2]| pair.iter().all(|(_, count)| *count == tokens);
        let [ours, theirs] = &self.models;
        if self.left_out > 0 || !self.used.iter().all(equal) || ours.heads() != theirs.heads() {
            return None;
        }
        let [k, l] = [self.positions(0, tokens)?, self.positions(1, tokens)?];
        let trace = |gram: &[f64]| gram.iter().step_by(tokens + 1).sum::<f64>();
        let squares = trace(&k) * trace(&l);
        (squares > 0.0 && squares.is_finite()).then(|| dot(&k, &l) / squares)
    }

    /// `X X'` of one model's mean differences.
    fn positions(&self, at: usize, tokens: usize) -> Option<Vec<f64>> {
        let heads: usize = self.models[at].heads().iter().sum();
        let width = heads * tokens;
        let mut sums = vec![0.0; tokens * width];
        for pair in &self.used {
            let changed = self.models[at].differences(pair[at].0, tokens);
            for (head, values) in changed.enumerate() {
                for (query, keys) in values.chunks(tokens).enumerate() {
                    let start = query * width + head * tokens;
                    for (sum, key) in sums[start..].iter_mut().zip(keys) {
                        *sum += key;
                    }
                }
            }
        }
        let pairs = self.used.len() as f64;
        let means: Vec<f32> = sums.iter().map(|sum| (sum / pairs) as f32).collect();
        let centred = gram::centred(&means, width)?;
        Some(gram::products(&centred, tokens, width))
    }

    fn caveats(&self) -> Vec<String> {
        let mut caveats =
            vec!["biased: independent noise of many columns beside few pairs is high".to_owned()];
        if self.left_out > 0 {
            caveats.push(format!(
                "{} pairs were left out: their two prompts have different numbers of tokens in one of the models",
                self.left_out
            ));
        }
        caveats
    }
}
