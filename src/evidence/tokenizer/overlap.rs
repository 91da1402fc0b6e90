//! Overlap of vocabularies, ids, merges and added tokens.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::Tokenizer;
use crate::text::ModelText;

/// See [`CARD`].
pub(super) struct Overlap;

static CARD: Card = Card {
    id: "tokenizer.overlap",
    version: 1,
    family: "tokenizer",
    title: "overlap of vocabularies (Jaccard index)",
    measures: "Tokens (as strings) that both vocabularies have, divided by those that either has. Beside it: shared \
               tokens with the same id, common start and Jaccard index of the merge lists, tokens added by one \
               only.",
    null: "The same number for independent models. Tokenizers are chosen, not trained with the model: many independent \
           models share one.",
    fooled_by: "Reuse of a public tokenizer, which is ordinary and says nothing of the weights.",
    cost: "Vocabularies in memory.",
    reference: "Jaccard (1912); tokenizer comparison in the 2023 to 2025 disputes (Yi, MiniCPM, Pangu).",
    needs: Needs::Tokenizer,
    symmetric: true,
    survives: &[],
};

/// Examples per row of the table.
const EXAMPLES: usize = 12;

impl Evidence for Overlap {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let models = [pair.reference.model, pair.suspect.model];
        let (a, b) = match models.map(|model| model.tokenizer.as_ref()) {
            [Ok(a), Ok(b)] => (a, b),
            [Err(why), _] => return Ok(Outcome::NotApplicable(format!("reference: {why}"))),
            [_, Err(why)] => return Ok(Outcome::NotApplicable(format!("suspect: {why}"))),
        };
        let counts = Counts::new(a, b);
        let Some(statistic) = counts.jaccard() else {
            return Ok(Outcome::NotApplicable(
                "both vocabularies are empty".to_owned(),
            ));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let both = (a.model.tokenizer.as_ref(), b.model.tokenizer.as_ref());
            Ok(match both {
                (Ok(a), Ok(b)) => Counts::new(a, b).jaccard(),
                _ => None,
            })
        })?;
        Ok(Outcome::Measured(Box::new(finding(
            statistic,
            &counts,
            [a, b],
            &controls,
        ))))
    }
}

/// What two vocabularies share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    sizes: [usize; 2],
    shared: usize,
    same_id: usize,
}

impl Counts {
    fn new(a: &Tokenizer, b: &Tokenizer) -> Self {
        let (x, y) = (a.vocab(), b.vocab());
        let shared = x.iter().filter_map(|(token, id)| Some((id, y.get(token)?)));
        let (shared, same_id) = shared.fold((0, 0), |(n, same), (a, b)| {
            (n + 1, same + usize::from(a == b))
        });
        Self {
            sizes: [x.len(), y.len()],
            shared,
            same_id,
        }
    }

    fn jaccard(&self) -> Option<f64> {
        let either = self.sizes[0] + self.sizes[1] - self.shared;
        (either > 0).then(|| self.shared as f64 / either as f64)
    }

    /// Share of the smaller vocabulary whose tokens have the same id in the larger.
    fn kept(&self) -> f64 {
        self.same_id as f64 / self.sizes[0].min(self.sizes[1]).max(1) as f64
    }
}

/// Merge lists, in order of importance.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Merges {
    sizes: [usize; 2],
    /// Leading merges that are equal.
    prefix: usize,
    jaccard: Option<f64>,
}

impl Merges {
    fn new(a: &Tokenizer, b: &Tokenizer) -> Self {
        let (x, y) = (a.merges(), b.merges());
        let (left, right): (BTreeSet<_>, BTreeSet<_>) = (x.iter().collect(), y.iter().collect());
        let shared = left.intersection(&right).count();
        let either = left.len() + right.len() - shared;
        Self {
            sizes: [x.len(), y.len()],
            prefix: x.iter().zip(y).take_while(|(p, q)| p == q).count(),
            jaccard: (shared > 0 || either > 0).then(|| shared as f64 / either as f64),
        }
    }
}

/// Added tokens of `a` that are not added tokens of `b`, in order of id.
fn only<'a>(a: &'a Tokenizer, b: &Tokenizer) -> Vec<&'a str> {
    let mut tokens: Vec<(&u32, &str)> = a
        .added()
        .iter()
        .filter(|(token, _)| !b.added().contains_key(*token))
        .map(|(token, id)| (id, token.as_str()))
        .collect();
    tokens.sort_unstable();
    tokens.into_iter().map(|(_, token)| token).collect()
}

fn finding(
    statistic: f64,
    counts: &Counts,
    [a, b]: [&Tokenizer; 2],
    controls: &Controls,
) -> Finding {
    let merges = Merges::new(a, b);
    let added = [only(a, b), only(b, a)];
    let same_merges = a.merges() == b.merges();
    let equal = a.vocab() == b.vocab() && same_merges && a.kind() == b.kind();
    let mut details = controls.details(statistic);
    details.extend(BTreeMap::from([
        ("reference_size", counts.sizes[0] as f64),
        ("suspect_size", counts.sizes[1] as f64),
        ("shared", counts.shared as f64),
        ("shared_with_same_id", counts.same_id as f64),
        ("smaller_kept", counts.kept()),
        ("merges_common_start", merges.prefix as f64),
        ("added_by_reference_only", added[0].len() as f64),
        ("added_by_suspect_only", added[1].len() as f64),
        ("equal", f64::from(u8::from(equal))),
    ]));
    details.extend(merges.jaccard.map(|value| ("merges_jaccard", value)));
    let explanation = if equal {
        format!(
            "One and the same vocabulary of {} tokens, with the same ids and merges.",
            counts.sizes[0]
        )
    } else {
        format!(
            "{} of {} and {} tokens are shared (Jaccard index {statistic:.3}), {} of them with the same id.",
            counts.shared, counts.sizes[0], counts.sizes[1], counts.same_id
        )
    };
    let mut caveats = vec!["a shared tokenizer is no evidence of shared weights".to_owned()];
    if a.kind() != b.kind() {
        caveats.push(format!(
            "different kinds of tokenizer: {} and {}",
            a.kind(),
            b.kind()
        ));
    }
    Finding {
        statistic,
        n: (counts.sizes[0] + counts.sizes[1] - counts.shared) as u64,
        null: controls.words(statistic),
        log10_p: None,
        interval: None,
        details,
        explanation,
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(table(counts, &merges, &added, [a, b])),
    }
}

fn table(
    counts: &Counts,
    merges: &Merges,
    added: &[Vec<&str>; 2],
    [a, b]: [&Tokenizer; 2],
) -> Table {
    let row = |name: &str, a: String, b: String| vec![name.to_owned(), a, b];
    let number = |name: &str, pair: [usize; 2]| row(name, pair[0].to_string(), pair[1].to_string());
    let examples = |tokens: &[&str]| {
        if tokens.is_empty() {
            return "none".to_owned();
        }
        let shown = tokens
            .iter()
            .take(EXAMPLES)
            .map(|token| ModelText::new(*token).clipped(30));
        let mut text = shown.collect::<Vec<_>>().join(" ");
        if tokens.len() > EXAMPLES {
            text += &format!(" and {} more", tokens.len() - EXAMPLES);
        }
        text
    };
    let jaccard = merges
        .jaccard
        .map_or_else(|| "none".to_owned(), |value| format!("{value:.3}"));
    Table {
        columns: ["", "reference", "suspect"].map(str::to_owned).to_vec(),
        rows: vec![
            row("kind", a.kind().to_owned(), b.kind().to_owned()),
            number("tokens", counts.sizes),
            number("shared tokens", [counts.shared; 2]),
            number("shared with the same id", [counts.same_id; 2]),
            number("merges", merges.sizes),
            number("merges equal from the start", [merges.prefix; 2]),
            row("Jaccard index of merges", jaccard.clone(), jaccard),
            number("added tokens", [a.added().len(), b.added().len()]),
            row("added here only", examples(&added[0]), examples(&added[1])),
        ],
    }
}
