//! What attention makes of one changed word.

use std::collections::BTreeMap;
use std::collections::HashMap;

use super::inside::Inside;
use super::inside::Measured;
use super::layered;
use super::layered::Stack;
use super::layered::row_of;
use crate::evidence::Card;
use crate::evidence::Needs;
use crate::model::Site;
use crate::record::Activations;
use crate::record::SiteActivations;
use crate::stat::cka;

/// See [`CARD`].
pub(super) struct AttentionDifference;

static CARD: Card = Card {
    id: "activation.attention_difference",
    version: 1,
    family: "activation.similarity",
    title: "debiased linear centred kernel alignment of what attention makes of one changed word",
    measures: "Both models read pairs of prompts that differ in one word and end alike (`<pair>.original` and \
               `<pair>.edited`, as the suite minimal-pairs has them). What attention adds to the residual stream at \
               the last token is taken from the one and from the other; the difference is one sample per pair, in \
               which what attention does anywhere (first token, position) cancels. Debiased linear CKA of the two \
               models' samples, mean over paired blocks. Outputs behind the output projection do not \
               depend on the order or the bases of heads.",
    null: "The same number for independent models that read the same pairs. Permuting pairs is no null for lineage.",
    fooled_by: "Two able models of the same data react alike. Pairs whose words are many tokens in one tokenizer and one \
                in the other. Few pairs make a wide band of strangers.",
    cost: "pairs^2 x width per block; not recorded by compare: `kinprobe run datasets/minimal-pairs/minimal-pairs.yaml \
           --tap 'blocks.*.hook_attn_out'` reads 120 short prompts, `kinprobe activations` compares.",
    reference: "After AttnDiff (2026), whose differences are of spectra of attention patterns, by a biased CKA, and heads \
                cut to the smaller number; here of attention outputs, debiased, and of all heads.",
    needs: Needs::Activations,
    symmetric: true,
    survives: &[],
};

impl Inside for AttentionDifference {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, _: u64) -> Result<Measured, String> {
        let (pairs, [ours, theirs]) = stacks(a, b)?;
        let statistic = ours
            .along(&theirs)
            .ok_or_else(|| "a changed word changes no output of attention".to_owned())?;
        let mut caveats = vec![
            "two models that understand the sentences react alike; no p-value is given".to_owned(),
        ];
        caveats.extend(layered::depths(ours.len(), theirs.len()));
        Ok(Measured {
            statistic,
            n: pairs as u64,
            null: None,
            log10_p: None,
            details: BTreeMap::new(),
            explanation: format!(
                "Mean over paired blocks, of differences on {pairs} pairs of prompts: {statistic:.3}."
            ),
            caveats,
            figures: vec![ours.map(
                &theirs,
                "debiased linear CKA of differences of attention outputs, block by block",
            )],
            table: None,
        })
    }

    fn statistic(&self, a: &Activations, b: &Activations, _: u64) -> Option<f64> {
        let (_, [ours, theirs]) = stacks(a, b).ok()?;
        ours.along(&theirs)
    }
}

fn stacks(a: &Activations, b: &Activations) -> Result<(usize, [Stack; 2]), String> {
    let kind = Site::AttnOut as fn(usize) -> Site;
    if [a, b].iter().any(|one| one.stack(kind).is_empty()) {
        return Err(format!(
            "{} was not recorded: `kinprobe run datasets/minimal-pairs/minimal-pairs.yaml --tap \
             'blocks.*.hook_attn_out'` does",
            kind(0)
        ));
    }
    let (of_a, of_b) = (pairs(a)?, pairs(b)?);
    let shared = of_a
        .iter()
        .filter_map(|(pair, x)| Some((x, of_b.get(pair)?)));
    let (ours, theirs): (Vec<[usize; 2]>, Vec<[usize; 2]>) = shared.unzip();
    if ours.len() < cka::LEAST_ROWS {
        return Err(format!(
            "{} pairs of prompts `<pair>.original` and `<pair>.edited` were read by both models, and the estimator \
             needs {}: the suite minimal-pairs has some",
            ours.len(),
            cka::LEAST_ROWS
        ));
    }
    let stack = |of: &Activations, rows: &[[usize; 2]]| {
        Stack::new(&of.stack(kind), rows.len(), |site| {
            let each = rows.iter().map(|rows| difference(site, *rows));
            Some(each.collect::<Option<Vec<_>>>()?.concat())
        })
    };
    Ok((ours.len(), [stack(a, &ours), stack(b, &theirs)]))
}

fn difference(site: &SiteActivations, [original, edited]: [usize; 2]) -> Option<Vec<f32>> {
    let (x, y) = (row_of(site, original)?, row_of(site, edited)?);
    Some(x.iter().zip(y).map(|(x, y)| x - y).collect())
}

/// Rows of the two prompts of each pair, by its name.
pub(super) fn pairs(of: &Activations) -> Result<BTreeMap<&str, [usize; 2]>, String> {
    let mut rows: HashMap<&str, usize> = HashMap::new();
    for (row, item) in of.items.iter().enumerate() {
        if rows.insert(item, row).is_some() {
            return Err("one row per prompt is needed: record with --pool last".to_owned());
        }
    }
    let mut found = BTreeMap::new();
    for (item, original) in &rows {
        let Some(pair) = item.strip_suffix(".original") else {
            continue;
        };
        if let Some(edited) = rows.get(format!("{pair}.edited").as_str()) {
            found.insert(pair, [*original, *edited]);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::AttentionDifference;
    use crate::evidence::activation::inside::Inside;
    use crate::evidence::activation::toys::activations;
    use crate::evidence::activation::toys::gaussian;
    use crate::model::Site;
    use crate::record::Activations;

    const PAIRS: usize = 40;
    const WIDTH: usize = 16;

    /// What is common to all models, and beside it what `seed` makes of each changed word.
    fn model(seed: u64) -> Activations {
        let common = gaussian(PAIRS, WIDTH, 77);
        let own = gaussian(PAIRS, WIDTH, seed);
        let both = common.iter().zip(&own);
        let rows = both
            .clone()
            .map(|(common, _)| 50.0 * common)
            .chain(both.map(|(common, own)| 50.0 * common - own));
        let mut of = activations(2 * PAIRS, [(Site::AttnOut(0), rows.collect())]);
        let name = |side: &'static str| (0..PAIRS).map(move |i| format!("word-{i}.{side}"));
        of.items = name("original").chain(name("edited")).collect();
        of
    }

    #[test]
    fn what_is_common_to_both_prompts_of_a_pair_cancels() {
        let (a, b) = (model(1), model(2));
        let of = |b| AttentionDifference.statistic(&a, b, 0).unwrap();
        assert!((of(&a) - 1.0).abs() < 1e-9);
        assert!(of(&b).abs() < 0.1, "{}", of(&b));
        let said = AttentionDifference.measure(&a, &b, 0).unwrap();
        assert_eq!(said.n, PAIRS as u64);
        // Pairs meet by name, wherever they are.
        let mut other = model(1);
        let values = &mut other.sites[0].values;
        let (x, y) = values.split_at_mut(PAIRS * WIDTH);
        x.swap_with_slice(y);
        other.items.rotate_left(PAIRS);
        assert!((of(&other) - 1.0).abs() < 1e-9);
        // The other way round every difference has the other sign, and the Gram matrix is the same.
        let mut turned = model(1);
        for item in &mut turned.items {
            *item = match item.strip_suffix(".original") {
                Some(pair) => format!("{pair}.edited"),
                None => item.replace(".edited", ".original"),
            };
        }
        assert!((of(&turned) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn prompts_that_are_no_pairs_are_refused() {
        let reason = |of: &Activations| AttentionDifference.measure(of, of, 0).unwrap_err();
        let mut other = model(1);
        other.items = (0..2 * PAIRS).map(|i| format!("item-{i}")).collect();
        assert!(reason(&other).contains("0 pairs of prompts"));
        other.items = vec!["word-1.original".to_owned(); 2 * PAIRS];
        assert!(reason(&other).contains("--pool last"));
        other.sites[0].site = Site::ResidPost(0);
        assert!(reason(&other).contains("hook_attn_out was not recorded"));
    }
}
