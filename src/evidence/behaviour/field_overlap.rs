//! Structured answers, field by field: shared wrong values, shared slips of form, keys nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::items::{self, Suite};
use crate::evidence::control::Controls;
use crate::evidence::{
    Card, Error, Evidence, Finding, Interval, Needs, Outcome, Pair, Subject, Table,
};
use crate::record::{Record, normalise};
use crate::stat::interval;
use crate::text::ModelText;

/// See [`CARD`].
pub(super) struct FieldOverlap;

static CARD: Card = Card {
    id: "behaviour.field_overlap",
    version: 1,
    family: "behaviour.errors",
    title: "same wrong value among fields that both get wrong",
    measures: "Structured answers, field by field (the name of the tool, each argument): of the fields that both models \
               fill in and both get wrong, the share with the same value. Beside it, on the same items: slips of form (a \
               closed list: unclosed object, single quotes, words after the object, ...) and keys that the prompt does \
               not name, among them keys of the suite's schemas that this item did not give.",
    null: "The same share for independent models on the same items.",
    fooled_by: "Models that fall back on few values for whatever is asked; the same training data or the same convention \
                for actions, which gives the same keys unasked.",
    cost: "None beyond the recordings.",
    reference: "The 2024 comparison of MiniCPM-Llama3-V 2.5 and Llama3-V: the same mistakes under an unpublished schema for \
                agents.",
    needs: Needs::Answers,
    symmetric: true,
    survives: &[],
};

/// Level of the interval.
const LEVEL: f64 = 0.95;

/// Rows of each kind in the table, the most frequent first.
const ROWS: usize = 12;

impl Evidence for FieldOverlap {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let suites = items::shared(pair.reference, pair.suspect);
        if suites.is_empty() {
            return Ok(Outcome::NotApplicable(items::why_missing(pair)));
        }
        let counts = Counts::of(&suites);
        if counts.items == 0 {
            let reason = "no shared suite asks for structured answers".to_owned();
            return Ok(Outcome::NotApplicable(reason));
        }
        let Some(statistic) = counts.share() else {
            let reason = format!(
                "in {} structured answers there is no field that both models fill in and get wrong",
                counts.items
            );
            return Ok(Outcome::NotApplicable(reason));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(Counts::of(&items::shared(a, b)).share())
        })?;
        Ok(Outcome::Measured(Box::new(finding(
            statistic, &counts, &controls,
        ))))
    }
}

/// How often the reference, the suspect, and both on one item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Both {
    reference: u64,
    suspect: u64,
    both: u64,
    alike: u64,
}

impl Both {
    fn add(&mut self, reference: bool, suspect: bool, alike: bool) {
        self.reference += u64::from(reference);
        self.suspect += u64::from(suspect);
        self.both += u64::from(reference && suspect);
        self.alike += u64::from(reference && suspect && alike);
    }
}

/// Over the items of suites with structured answers.
#[derive(Debug, Default)]
struct Counts {
    items: u64,
    /// Wrong values by field; fields of an object are counted under the object.
    fields: BTreeMap<String, Both>,
    /// Slips of form by signature.
    slips: BTreeMap<&'static str, Both>,
    /// Items with a slip; alike with the same ones.
    malformed: Both,
    /// Keys that the prompt does not name.
    keys: BTreeMap<String, Both>,
    /// Items with such a key; alike with the same ones.
    unprompted: Both,
    /// Items with a key of the suite's schemas that the item did not give.
    leaked: Both,
}

impl Counts {
    fn of(suites: &[Suite<'_>]) -> Self {
        let mut counts = Self::default();
        for (a, b) in suites.iter().flat_map(|suite| &suite.items) {
            counts.add(a, b);
        }
        counts
    }

    fn add(&mut self, a: &Record, b: &Record) {
        let (Some(x), Some(y)) = (&a.form, &b.form) else {
            return;
        };
        self.items += 1;
        self.add_fields(a, b);
        let slips = |form: &crate::record::Form| -> BTreeSet<&'static str> {
            form.signatures.iter().map(|one| one.name()).collect()
        };
        let (ours, theirs) = (slips(x), slips(y));
        for slip in ours.union(&theirs) {
            let (p, q) = (ours.contains(slip), theirs.contains(slip));
            self.slips.entry(slip).or_default().add(p, q, true);
        }
        let any = |set: &BTreeSet<&str>| !set.is_empty();
        self.malformed.add(any(&ours), any(&theirs), ours == theirs);
        for key in x.unprompted.union(&y.unprompted) {
            let (p, q) = (x.unprompted.contains(key), y.unprompted.contains(key));
            self.keys.entry(key.clone()).or_default().add(p, q, true);
        }
        let same = x.unprompted == y.unprompted;
        let [p, q] = [x, y].map(|form| !form.unprompted.is_empty());
        self.unprompted.add(p, q, same);
        let [p, q] = [x, y].map(|form| !form.leaked.is_empty());
        self.leaked.add(p, q, x.leaked == y.leaked);
    }

    /// Wrong values that are there: two fields left out are no shared value.
    fn add_fields(&mut self, a: &Record, b: &Record) {
        let wrong = |record: &Record, name: &String| -> Option<String> {
            let field = record.fields.get(name).filter(|field| !field.correct)?;
            field.given.as_deref().map(normalise)
        };
        let names: BTreeSet<&String> = a.fields.keys().chain(b.fields.keys()).collect();
        for name in names {
            let (x, y) = (wrong(a, name), wrong(b, name));
            let object = name
                .split_once('.')
                .map_or(name.as_str(), |(object, _)| object);
            let counts = self.fields.entry(object.to_owned()).or_default();
            counts.add(x.is_some(), y.is_some(), x == y);
        }
    }

    fn total(&self) -> Both {
        self.fields.values().fold(Both::default(), |sum, one| Both {
            reference: sum.reference + one.reference,
            suspect: sum.suspect + one.suspect,
            both: sum.both + one.both,
            alike: sum.alike + one.alike,
        })
    }

    fn share(&self) -> Option<f64> {
        let total = self.total();
        (total.both > 0).then(|| total.alike as f64 / total.both as f64)
    }
}

fn finding(statistic: f64, counts: &Counts, controls: &Controls) -> Finding {
    let total = counts.total();
    let (low, high) = interval::wilson(total.alike, total.both, LEVEL);
    let mut details = controls.details(statistic);
    details.extend([
        ("items", counts.items as f64),
        ("both_wrong", total.both as f64),
        ("both_wrong_alike", total.alike as f64),
        ("both_malformed", counts.malformed.both as f64),
        ("malformed_alike", counts.malformed.alike as f64),
        ("both_unprompted_keys", counts.unprompted.both as f64),
        ("unprompted_keys_alike", counts.unprompted.alike as f64),
        ("both_leaked_keys", counts.leaked.both as f64),
        ("leaked_keys_alike", counts.leaked.alike as f64),
    ]);
    Finding {
        statistic,
        n: total.both,
        null: controls.words(statistic),
        log10_p: None,
        interval: Some(Interval {
            low,
            high,
            level: LEVEL,
        }),
        details,
        explanation: explanation(statistic, counts),
        caveats: controls.caveats(),
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(table(counts)),
    }
}

fn explanation(statistic: f64, counts: &Counts) -> String {
    let (total, malformed) = (counts.total(), counts.malformed);
    let (keys, leaked) = (counts.unprompted, counts.leaked);
    format!(
        "Of {} fields that both fill in and get wrong, {} have the same value ({:.1} %). Of {} items {} and {} are \
         malformed, {} in both and {} of these in the same way; {} and {} hold keys that the prompt does not name, {} in \
         both and {} of these the same ones; {} and {} hold keys of a schema of this suite that the item did not give, {} \
         in both.",
        total.both,
        total.alike,
        100.0 * statistic,
        counts.items,
        malformed.reference,
        malformed.suspect,
        malformed.both,
        malformed.alike,
        keys.reference,
        keys.suspect,
        keys.both,
        keys.alike,
        leaked.reference,
        leaked.suspect,
        leaked.both,
    )
}

fn table(counts: &Counts) -> Table {
    let fields = counts
        .fields
        .iter()
        .map(|(name, both)| (name.as_str(), *both));
    let slips = counts.slips.iter().map(|(name, both)| (*name, *both));
    let keys = counts
        .keys
        .iter()
        .map(|(name, both)| (name.as_str(), *both));
    let mut rows = section("wrong field", fields.collect());
    rows.extend(section("slip of form", slips.collect()));
    rows.extend(section("key not in the prompt", keys.collect()));
    Table {
        columns: ["what", "name", "reference", "suspect", "both", "alike"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    }
}

fn section(what: &str, mut counts: Vec<(&str, Both)>) -> Vec<Vec<String>> {
    counts.retain(|(_, both)| both.reference + both.suspect > 0);
    counts.sort_by_key(|(_, both)| std::cmp::Reverse((both.both, both.reference + both.suspect)));
    counts
        .into_iter()
        .take(ROWS)
        .map(|(name, both)| {
            let mut row = vec![what.to_owned(), ModelText::new(name).clipped(40)];
            let numbers = [both.reference, both.suspect, both.both, both.alike];
            row.extend(numbers.map(|number| number.to_string()));
            row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, answered, pair, structured};

    fn open(answers: &[&str]) -> Open {
        let mut open = answered(1, &[]);
        let target = r#"{"tool":"send","args":{"to":"Ines","n":3}}"#;
        open.recordings = vec![structured(
            answers.len(),
            |_| target.to_owned(),
            |i| answers[i].to_owned(),
        )];
        open
    }

    fn measured(a: &Open, b: &Open) -> Finding {
        match FieldOverlap.assess(&pair(a, b)).unwrap() {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn wrong_values_slips_and_keys_are_counted_by_hand() {
        let a = open(&[
            r#"{"tool":"ring","args":{"to":"Olga","n":3}}"#,
            r#"{"tool":"ring","args":{"to":"Ines","n":4}} ok"#,
            r#"{"action":"send""#,
            r#"{"tool":"send","args":{"to":"Ines","n":3}}"#,
        ]);
        let b = open(&[
            r#"{"tool":"RING","args":{"to":"Mia","n":3}}"#,
            r#"{"tool":"call","args":{"to":"Ines","n":4}} ok"#,
            r#"{"action":"send""#,
            r#"{"tool":"ring","args":{"to":"Ines"}}"#,
        ]);
        let finding = measured(&a, &b);
        // Both wrong: tool, to of the first item; tool, n of the second. Alike: the first tool, n.
        assert_eq!((finding.n, finding.statistic), (4, 0.5));
        let detail = |name: &str| finding.details[name];
        assert_eq!(
            (detail("both_malformed"), detail("malformed_alike")),
            (2.0, 2.0)
        );
        assert_eq!(
            (
                detail("both_unprompted_keys"),
                detail("unprompted_keys_alike")
            ),
            (4.0, 3.0)
        );
        assert_eq!(detail("both_leaked_keys"), 1.0);
        let rows = finding.table.unwrap().rows;
        let row = |what: &str, name: &str| {
            let found = rows.iter().find(|row| row[0] == what && row[1] == name);
            found.unwrap()[2..].join(" ")
        };
        assert_eq!(row("wrong field", "tool"), "2 3 2 1");
        assert_eq!(row("wrong field", "args"), "2 2 2 1");
        assert_eq!(row("slip of form", "unclosed_object"), "1 1 1 1");
        assert_eq!(row("key not in the prompt", "n"), "3 2 2 2");
    }

    #[test]
    fn without_structured_answers_or_shared_errors_there_is_no_share() {
        let plain = answered(1, &[("x", &["a"])]);
        let outcome = FieldOverlap.assess(&pair(&plain, &plain)).unwrap();
        assert!(matches!(outcome, Outcome::NotApplicable(reason) if reason.contains("structured")));
        let right = open(&[r#"{"tool":"send","args":{"to":"Ines","n":3}}"#]);
        let outcome = FieldOverlap.assess(&pair(&right, &right)).unwrap();
        assert!(matches!(outcome, Outcome::NotApplicable(reason) if reason.contains("no field")));
    }
}
