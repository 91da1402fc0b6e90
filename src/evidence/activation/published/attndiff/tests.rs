//! The method on made-up patterns, and by hand.

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
