//! AttnDiff: how strongly every head's pattern changes with one word, as a spectrum.
//!
//! The paper summarises each head's difference of patterns by its largest singular values; its code does so
//! when asked for `K` of them (5 to 10 are advised), and lays all heads of all layers beside each other. By
//! default, and in the fingerprints that are released with it, a head is one number, the Frobenius norm. Both
//! are compared by the biased linear CKA over pairs. The library beside these programs has another statistic,
//! over positions, that is below 1 of a model with itself. All three are here: the statistic is the described
//! one.

mod patterns;

use std::collections::BTreeMap;

use rayon::prelude::*;

use self::patterns::Change;
use self::patterns::Patterns;
use crate::evidence::Card;
use crate::evidence::Needs;
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
               CKA of the two models' samples, biased as published. Among the details: the same debiased (debiased); of one \
               Frobenius norm per head, which the released program keeps unless told otherwise (head_norms); of the means \
               over the heads of a layer (mean_over_heads); and what the released library computes over positions \
               (as_coded), where all prompts have the same number of tokens in both models.",
    null: "None: above 0.98 for derivatives and below 0.22 for unrelated models are published, of 60 pairs. The biased \
           estimate is high for independent noise of few pairs and many columns (0.87 at 30 pairs and 208 columns); columns \
           of models go together, which lends them less. The number stands beside that of independent models.",
    fooled_by: "Where a changed word stands and how many tokens follow it bounds how much any pattern can change, in every \
                model of the tokenizer: strangers rise. Singular values say how much a pattern changed, not where. Many \
                columns (8 x heads x layers) beside few pairs raise strangers further, and as_coded is below 1 of a model \
                with itself.",
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
        let [x, y] = both.changes()?;
        let of = |part: fn(&Change) -> Vec<f32>| Some([samples(&x, part)?, samples(&y, part)?]);
        let spectra = of(|change| change.spectra.clone());
        let statistic = spectra.as_ref().and_then(biased);
        let statistic = statistic.ok_or("a changed word changes no attention pattern")?;
        let debiased = spectra.and_then(|[x, y]| {
            let [x, y] = [x, y].map(|gram| CentredGram::of_gram(gram, pairs));
            x?.cka(&y?)
        });
        let extra = [
            ("debiased", debiased),
            (
                "head_norms",
                of(|change| change.norms.clone()).as_ref().and_then(biased),
            ),
            (
                "mean_over_heads",
                of(Change::mean_over_heads).as_ref().and_then(biased),
            ),
            ("as_coded", both.over_positions()),
        ];
        let mut details: BTreeMap<&'static str, f64> = BTreeMap::new();
        details.extend(
            extra
                .iter()
                .filter_map(|(name, value)| Some((*name, (*value)?))),
        );
        details.insert("pairs_left_out", both.left_out as f64);
        let beside = debiased.map_or_else(String::new, |value| format!(" Debiased: {value:.3}."));
        Ok(Measured {
            statistic,
            n: pairs as u64,
            null: None,
            log10_p: None,
            details,
            explanation: format!(
                "Singular values of what one word changes in every attention pattern, on {pairs} pairs of prompts: \
                 {statistic:.3}.{beside}"
            ),
            caveats: both.caveats(),
            figures: Vec::new(),
            table: None,
        })
    }
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
            for (head, values) in changed.concat().iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::toys::activations;
    use crate::evidence::activation::toys::gaussian;
    use crate::model::Site;

    const PAIRS: usize = 24;
    const SIDE: usize = 9;
    const HEADS: usize = 3;
    const LAYERS: usize = 2;
    /// Numbers that a token is.
    const WIDTH: usize = 4;

    /// Causal attention of random bilinear forms over prompts of 7 to 9 random tokens, one of them edited;
    /// `own` makes the model, `noise` a child of it, `texts` the prompts.
    fn model(own: u64, noise: f32, texts: u64) -> Activations {
        let tokens = gaussian(PAIRS * SIDE, WIDTH, texts);
        let edits = gaussian(PAIRS, WIDTH, texts + 1);
        let forms = gaussian(LAYERS * HEADS, WIDTH * WIDTH, own);
        let other = gaussian(LAYERS * HEADS, WIDTH * WIDTH, own + 1000);
        let forms: Vec<f32> = forms
            .iter()
            .zip(&other)
            .map(|(w, e)| w + noise * e)
            .collect();
        let site = |layer: usize| {
            let forms = &forms[layer * HEADS * WIDTH * WIDTH..][..HEADS * WIDTH * WIDTH];
            let prompts = (0..2 * PAIRS).map(|at| {
                let (edited, pair) = (at >= PAIRS, at % PAIRS);
                let mut text = tokens[pair * SIDE * WIDTH..][..(7 + pair % 3) * WIDTH].to_vec();
                if edited {
                    let place = (2 + pair % 4) * WIDTH;
                    text[place..place + WIDTH].copy_from_slice(&edits[pair * WIDTH..][..WIDTH]);
                }
                let heads = forms.chunks(WIDTH * WIDTH);
                heads
                    .flat_map(move |form| pattern(&text, form))
                    .collect::<Vec<f32>>()
            });
            (Site::Pattern(layer), prompts.collect::<Vec<_>>().concat())
        };
        named(activations(2 * PAIRS, (0..LAYERS).map(site)), SIDE)
    }

    /// `[SIDE, SIDE]`, zeros behind the end of `text`.
    fn pattern(text: &[f32], form: &[f32]) -> Vec<f32> {
        let mut row = vec![0.0; SIDE * SIDE];
        for (at, query) in text.chunks(WIDTH).enumerate() {
            let score = |key: &[f32]| -> f32 {
                let cells = (0..WIDTH * WIDTH).map(|k| query[k / WIDTH] * form[k] * key[k % WIDTH]);
                cells.sum::<f32>().exp()
            };
            let scores: Vec<f32> = text.chunks(WIDTH).take(at + 1).map(score).collect();
            let total: f32 = scores.iter().sum();
            for (key, score) in scores.iter().enumerate() {
                row[at * SIDE + key] = score / total;
            }
        }
        row
    }

    /// Originals first, of patterns over `tokens`.
    fn named(mut of: Activations, tokens: usize) -> Activations {
        let half = of.items.len() / 2;
        let name = |side: &'static str| (0..half).map(move |i| format!("word-{i}.{side}"));
        of.items = name("original").chain(name("edited")).collect();
        of.tokens = Some(tokens);
        of
    }

    fn measure(a: &Activations, b: &Activations) -> Measured {
        AttnDiff.measure(a, b, 0).unwrap()
    }

    #[test]
    fn a_child_is_above_a_stranger() {
        let (a, child, other) = (model(1, 0.0, 77), model(1, 0.3, 77), model(2, 0.0, 77));
        let [itself, kin, stranger] = [&a, &child, &other].map(|b| measure(&a, b));
        for name in ["debiased", "head_norms", "mean_over_heads"] {
            assert!((itself.details[name] - 1.0).abs() < 1e-9, "{name}");
            assert!(kin.details[name] > stranger.details[name] + 0.05, "{name}");
        }
        assert!((itself.statistic - 1.0).abs() < 1e-9);
        assert!(kin.statistic < 1.0 && kin.statistic > stranger.statistic + 0.05);
        assert!((measure(&other, &a).statistic - stranger.statistic).abs() < 1e-12);
        // Prompts are not all as long.
        assert_eq!(kin.details.get("as_coded"), None);
        assert_eq!((kin.n, kin.details["pairs_left_out"]), (PAIRS as u64, 0.0));
    }

    /// Independent columns are near 1; those of models go together, and what bias lends them is less.
    #[test]
    fn the_biased_estimate_of_noise_is_high() {
        let noise = |seed| {
            let rows = gaussian(30, 208, seed);
            gram::products(&gram::centred(&rows, 208).unwrap(), 30, 208)
        };
        let high = biased(&[noise(1), noise(2)]).unwrap();
        assert!((0.85..0.9).contains(&high), "{high}");
        // Two models that read different prompts under the same names.
        let strangers = measure(&model(1, 0.0, 77), &model(2, 0.0, 78));
        let debiased = strangers.details["debiased"];
        assert!(
            debiased < 0.05 && strangers.statistic > 0.1,
            "{strangers:?}"
        );
    }

    /// One head over three tokens, of which an edit changes `(0, 0, 0), (1, -1, 0) / 2, (-1, -1, 2) / 4`, more
    /// in one pair than in another. The mean's rows have the Gram matrix `diag(0, 1/2, 3/8)`; centred, its
    /// square is 31/144 and the square of its trace 49/144.
    #[test]
    fn as_coded_is_below_one_of_a_model_with_itself() {
        let original = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.25, 0.25, 0.5];
        let change = [0.0, 0.0, 0.0, 0.5, -0.5, 0.0, -0.25, -0.25, 0.5];
        let edited = (1..=4).flat_map(|pair| {
            let strength = pair as f32 / 4.0;
            let both = original.iter().zip(&change);
            both.map(move |(x, change)| x - strength * change)
        });
        let values: Vec<f32> = original.repeat(4).into_iter().chain(edited).collect();
        let of = named(activations(8, [(Site::Pattern(0), values)]), 3);
        let itself = measure(&of, &of);
        assert!((itself.statistic - 1.0).abs() < 1e-9);
        let coded = itself.details["as_coded"];
        assert!((coded - 31.0 / 49.0).abs() < 1e-6, "{coded}");
    }

    /// The spectrum of a head by hand: a change of one row has one singular value, its length.
    #[test]
    fn a_head_is_its_eight_largest_singular_values() {
        let rows = |second: [f32; 3]| {
            let mut values = vec![1.0, 0.0, 0.0];
            values.extend(second);
            values.extend([0.0; 3]);
            values
        };
        let values = [rows([1.0, 0.0, 0.0]), rows([0.4, 0.6, 0.0])].concat();
        let of = named(activations(2, [(Site::Pattern(0), values)]), 3);
        let patterns = Patterns::of(&of).unwrap();
        assert_eq!((patterns.tokens(0), patterns.tokens(1)), (2, 2));
        let change = Change::of(&patterns, [0, 1], 2).unwrap();
        assert_eq!(change.spectra.len(), 8);
        assert!((f64::from(change.spectra[0]) - 0.72_f64.sqrt()).abs() < 1e-6);
        assert!(change.spectra[1..].iter().all(|value| value.abs() < 1e-6));
        assert_eq!(change.norms, [change.spectra[0]]);
        assert_eq!(change.mean_over_heads(), change.spectra);
    }

    #[test]
    fn pairs_of_unequal_prompts_are_left_out_of_both() {
        let (a, mut b) = (model(1, 0.0, 77), model(2, 0.0, 77));
        let all = measure(&b, &a);
        // The last query of the first prompt is gone: it has a token less than the edited one.
        for site in &mut b.sites {
            for head in site.values[..site.width].chunks_mut(SIDE * SIDE) {
                head[6 * SIDE..7 * SIDE].fill(0.0);
            }
        }
        let fewer = measure(&a, &b);
        assert_eq!(
            (fewer.n, fewer.details["pairs_left_out"]),
            (PAIRS as u64 - 1, 1.0)
        );
        assert!(
            fewer
                .caveats
                .iter()
                .any(|caveat| caveat.starts_with("1 pairs were left out"))
        );
        assert_ne!(fewer.statistic, all.statistic);
        // Whatever the zeros behind the end.
        let mut wide = model(1, 0.0, 77);
        wide.tokens = Some(SIDE + 2);
        for site in &mut wide.sites {
            let mut values = Vec::new();
            for head in site.values.chunks(SIDE * SIDE) {
                for query in head.chunks(SIDE) {
                    values.extend_from_slice(query);
                    values.extend([0.0; 2]);
                }
                values.extend(vec![0.0; 2 * (SIDE + 2)]);
            }
            site.width = HEADS * (SIDE + 2) * (SIDE + 2);
            site.values = values;
        }
        assert!((measure(&a, &wide).statistic - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_pattern_of_whole_prompts_is_refused() {
        let reason = |of: &Activations| AttnDiff.measure(of, of, 0).unwrap_err();
        let mut of = model(1, 0.0, 77);
        of.items.reverse();
        of.items[0] = "item".to_owned();
        assert!(AttnDiff.measure(&of, &of, 0).is_ok());
        of.items.iter_mut().for_each(|item| item.push('x'));
        assert!(reason(&of).contains("0 of 0 pairs"));
        for tokens in [None, Some(0), Some(SIDE + 1), Some(usize::MAX)] {
            of.tokens = tokens;
            assert!(reason(&of).contains("--pool whole"), "{tokens:?}");
        }
        of.sites.clear();
        of.tokens = Some(SIDE);
        assert!(reason(&of).contains("hook_pattern was not recorded"));
        let mut same = model(1, 0.0, 77);
        for site in &mut same.sites {
            let half = site.values.len() / 2;
            site.values.copy_within(..half, half);
        }
        assert!(reason(&same).contains("changes no attention pattern"));
    }
}
