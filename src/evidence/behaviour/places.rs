//! What two models expect at the places of a prompt where both end a token.

use std::collections::BTreeMap;

use super::items;
use crate::evidence::control::Controls;
use crate::evidence::{Error, Finding, Interval, Outcome, Pair, Subject};
use crate::record::Place;
use crate::stat::interval::Bootstrap;

/// Level of the intervals.
const LEVEL: f64 = 0.95;

/// Resamples of the items: places of one prompt are not independent.
const DRAWS: usize = 1000;

/// What may come next, with its probability, the most probable first; what is beyond the recorded
/// candidates is missing.
pub(super) type Law<'a> = Vec<(&'a str, f64)>;

/// Places that both models have.
pub(super) struct Shared<'a> {
    /// By item.
    pub items: Vec<Item<'a>>,
    /// Whether candidates are compared as tokens; by their first character otherwise, because the models
    /// have other tokens.
    pub by_token: bool,
}

/// One prompt that both read.
pub(super) struct Item<'a> {
    /// Its id.
    pub id: &'a str,
    /// In the order of the prompt.
    pub places: Vec<(&'a Place, &'a Place)>,
    texts: [&'a BTreeMap<u32, String>; 2],
}

impl<'a> Shared<'a> {
    /// Of two models; `None` where none of the suites that both answered was read along by both.
    pub fn of(a: Subject<'a>, b: Subject<'a>) -> Option<Self> {
        let mut found = Vec::new();
        for suite in items::shared(a, b) {
            for (ours, theirs) in &suite.items {
                let places = common(&ours.places, &theirs.places);
                if !places.is_empty() {
                    found.push(Item {
                        id: &ours.item,
                        places,
                        texts: suite.texts,
                    });
                }
            }
        }
        let vocabulary = |one: Subject<'a>| one.model.tokenizer.as_ref().ok();
        let by_token = match (vocabulary(a), vocabulary(b)) {
            (Some(x), Some(y)) => x.vocab() == y.vocab(),
            _ => false,
        };
        (!found.is_empty()).then_some(Self {
            items: found,
            by_token,
        })
    }

    /// Both models' laws at a place of `item`.
    pub fn laws(&self, item: &Item<'a>, (x, y): (&'a Place, &'a Place)) -> [Law<'a>; 2] {
        let [ours, theirs] = item.texts;
        [law(x, ours, self.by_token), law(y, theirs, self.by_token)]
    }

    /// How candidates were compared, where that needs saying.
    pub fn caveat(&self) -> Option<String> {
        (!self.by_token).then(|| {
            "the models have other tokens: what they expect is compared by its first character, where both end a \
             token"
                .to_owned()
        })
    }

    /// A mean over all places of what `value` makes of two laws, by item: sum and number.
    fn sums(&self, value: &dyn Fn(&Law<'_>, &Law<'_>) -> Option<f64>) -> Vec<(f64, u64)> {
        let of = |item: &Item<'a>| {
            let values = item.places.iter().filter_map(|places| {
                let [x, y] = self.laws(item, *places);
                value(&x, &y)
            });
            values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1))
        };
        self.items.iter().map(of).collect()
    }
}

/// A measure of two laws, 1 for equal ones.
pub(super) type Alike = fn(&Law<'_>, &Law<'_>) -> Option<f64>;

/// The mean of `value` over the places that both models have, beside the same of independent models.
pub(super) fn mean(
    pair: &Pair<'_>,
    value: Alike,
    words: impl Fn(f64, u64, usize) -> String,
) -> Result<Outcome, Error> {
    let Some(shared) = Shared::of(pair.reference, pair.suspect) else {
        return Ok(Outcome::NotApplicable(why_missing(pair)));
    };
    let sums = shared.sums(&value);
    let Some(statistic) = ratio(&sums) else {
        let reason = "no place has candidates of both models".to_owned();
        return Ok(Outcome::NotApplicable(reason));
    };
    let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
        Ok(Shared::of(a, b).and_then(|shared| ratio(&shared.sums(&value))))
    })?;
    let n = sums.iter().map(|(_, n)| n).sum();
    let mut caveats: Vec<String> = shared.caveat().into_iter().collect();
    caveats.extend(controls.caveats());
    let mut details = controls.details(statistic);
    details.insert("items", sums.len() as f64);
    Ok(Outcome::Measured(Box::new(Finding {
        statistic,
        n,
        null: controls.words(statistic),
        log10_p: None,
        interval: by_items(sums.len(), pair.seed, |drawn| {
            ratio(&drawn.iter().map(|&at| sums[at]).collect::<Vec<_>>())
        }),
        details,
        explanation: words(statistic, n, sums.len()),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: None,
    })))
}

/// An interval from drawing items with replacement.
pub(super) fn by_items(
    items: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    let bootstrap = Bootstrap {
        draws: DRAWS,
        level: LEVEL,
        seed,
    };
    let (low, high) = bootstrap.interval(&[items], |drawn| statistic(&drawn[0]))?;
    Some(Interval {
        low,
        high,
        level: LEVEL,
    })
}

/// Why nothing can be said.
pub(super) fn why_missing(pair: &Pair<'_>) -> String {
    if items::shared(pair.reference, pair.suspect).is_empty() {
        return items::why_missing(pair);
    }
    "what the models expect along a prompt was not recorded of both: it is where a suite of next tokens is asked of \
     models on this machine"
        .to_owned()
}

fn ratio(sums: &[(f64, u64)]) -> Option<f64> {
    let (sum, n) = sums
        .iter()
        .fold((0.0, 0), |(sum, n), one| (sum + one.0, n + one.1));
    (n > 0).then(|| sum / n as f64)
}

/// Places at the same byte.
fn common<'a>(x: &'a [Place], y: &'a [Place]) -> Vec<(&'a Place, &'a Place)> {
    let by_offset: BTreeMap<u32, &Place> = y.iter().map(|place| (place.offset, place)).collect();
    x.iter()
        .filter_map(|place| Some((place, *by_offset.get(&place.offset)?)))
        .collect()
}

fn law<'a>(place: &Place, texts: &'a BTreeMap<u32, String>, by_token: bool) -> Law<'a> {
    let mut law: Law<'a> = Vec::with_capacity(place.top.len());
    for (token, logprob) in &place.top {
        let Some(text) = texts.get(token) else {
            continue;
        };
        let key = match (by_token, text.chars().next()) {
            (false, Some(first)) => &text[..first.len_utf8()],
            _ => text.as_str(),
        };
        let probability = f64::from(*logprob).exp();
        match law.iter_mut().find(|(known, _)| *known == key) {
            Some((_, sum)) => *sum += probability,
            None => law.push((key, probability)),
        }
    }
    if !by_token {
        law.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(y.0)));
    }
    law
}

/// Probabilities of two laws over the same outcomes: all candidates of either, then whatever is left. A
/// candidate that the other does not have among its own counts as having no probability there.
pub(super) fn outcomes(x: &Law<'_>, y: &Law<'_>) -> [Vec<f64>; 2] {
    let of = |law: &Law<'_>, key: &str| {
        let found = law.iter().find(|(known, _)| *known == key);
        found.map_or(0.0, |(_, probability)| *probability)
    };
    let keys: Vec<&str> = x
        .iter()
        .chain(y.iter().filter(|(key, _)| of(x, key) == 0.0))
        .map(|(key, _)| *key)
        .collect();
    [x, y].map(|law| {
        let mut all: Vec<f64> = keys.iter().map(|key| of(law, key)).collect();
        all.push((1.0 - all.iter().sum::<f64>()).max(0.0));
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{expecting, pair};

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    /// Places at 1, 3, 5 and at 3, 4, 5: two in common.
    #[test]
    fn models_meet_where_both_end_a_token() {
        let a = expecting(
            1,
            &[&[
                (1, &[("x", 0.5)]),
                (3, &[("ab", 0.5), ("ac", 0.25)]),
                (5, &[("q", 1.0)]),
            ]],
        );
        let b = expecting(
            2,
            &[&[
                (3, &[("b", 0.5)]),
                (4, &[("x", 0.5)]),
                (5, &[("q", 0.5), ("r", 0.25)]),
            ]],
        );
        let shared = Shared::of(a.subject(), b.subject()).unwrap();
        assert!(!shared.by_token && shared.caveat().is_some());
        let item = &shared.items[0];
        let offsets: Vec<u32> = item.places.iter().map(|(x, _)| x.offset).collect();
        assert_eq!(offsets, [3, 5]);
        // By first character, since toys have no tokenizer: "ab" and "ac" are one.
        let [x, y] = shared.laws(item, item.places[0]);
        assert_eq!((x.len(), x[0].0, y[0].0), (1, "a", "b"));
        close(x[0].1, 0.75);
        let [p, q] = outcomes(&x, &y);
        assert_eq!((p.len(), q.len()), (3, 3));
        close(p[0], 0.75);
        close(p[2], 0.25);
        close(q[1], 0.5);
        close(q[2], 0.5);
        let outcome = mean(
            &pair(&a, &b),
            |x, y| Some(f64::from(x[0].0 == y[0].0)),
            |_, _, _| "w".to_owned(),
        );
        let Outcome::Measured(finding) = outcome.unwrap() else {
            panic!()
        };
        assert_eq!((finding.statistic, finding.n), (0.5, 2));
    }

    #[test]
    fn answers_alone_give_no_places() {
        let a = crate::evidence::toy::answered(1, &[("x", &["a"])]);
        let outcome = mean(&pair(&a, &a), |_, _| Some(1.0), |_, _, _| String::new()).unwrap();
        assert!(
            matches!(outcome, Outcome::NotApplicable(reason) if reason.contains("along a prompt"))
        );
    }
}
