//! What two models that see make of the same random patches.

use std::collections::BTreeMap;

use super::inside::Inside;
use super::inside::comparable;
use super::linear_cka::LinearCka;
use super::residual_order::ResidualOrder;
use super::unit_order::UnitOrder;
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
use crate::record::Activations;
use crate::record::Patches;

/// See [`CARD`].
pub(super) struct VisionPatches;

static CARD: Card = Card {
    id: "activation.vision_patches",
    version: 1,
    family: "activation.vision",
    title: "vision tower and resampler on random patches: agreement at their own index, and debiased linear CKA",
    measures: "Both models' vision towers are shown the same 8 grids of up to 64 patches of random pixels, and their resamplers \
               the same random features. Three tests, as activation.unit_order and activation.residual_order, with patches (and \
               the resampler's queries) in place of prompts: hidden units of the tower's MLPs, coordinates of the tower's \
               stream, and coordinates of what the resampler puts out, each at their own index. The statistic is the mean of \
               the cosines of those that apply. Beside it debiased linear CKA of the tower's blocks and of the resampler's output.",
    null: "Had the two vision parts been initialised independently, every order of the suspect's hidden units (in each block), \
           of its tower's coordinates and of its resampler's output coordinates would be equally likely, whatever both were \
           trained on. The p-value is the smallest of those of the tests that apply times their number (Bonferroni). Exact. CKA \
           has no p-value: random input is the same for all, and independent models are beside it.",
    fooled_by: "Two honest models built on one published tower share it, and so the order of its units; two on one published \
                language model share the coordinates that the resampler writes to. The same random seed looks related too. \
                Reordered or rotated units hide kin, and so do another width or size of patch.",
    cost: "512 patches through the tower; then as activation.unit_order and activation.residual_order.",
    reference: "As activation.unit_order and activation.residual_order; random input in place of pictures: ours.",
    needs: Needs::Activations,
    symmetric: true,
    survives: &[],
};

/// What is tested, in order.
const TESTS: [(&str, &str); 3] = [
    ("hidden units of the tower", "log10_p_tower_units"),
    ("coordinates of the tower", "log10_p_tower_stream"),
    ("coordinates of the resampler's output", "log10_p_resampler"),
];

impl Evidence for VisionPatches {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (a, b) = match (pair.reference.patches, pair.suspect.patches) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(why), _) => return Ok(Outcome::NotApplicable(format!("reference: {why}"))),
            (_, Err(why)) => return Ok(Outcome::NotApplicable(format!("suspect: {why}"))),
        };
        let tests = Tests::new(a, b, pair.seed);
        let Some(statistic) = tests.cosine() else {
            return Ok(Outcome::NotApplicable(tests.reasons()));
        };
        let known = |of: &dyn Fn(&Patches, &Patches) -> Option<f64>| {
            Controls::measure(pair, &|x: Subject<'_>, y: Subject<'_>| {
                Ok(x.patches
                    .ok()
                    .zip(y.patches.ok())
                    .and_then(|(x, y)| of(x, y)))
            })
        };
        let controls = known(&|x, y| Tests::cosine_of(x, y, pair.seed))?;
        let tower = (
            cka(&a.tower, &b.tower),
            known(&|x, y| cka(&x.tower, &y.tower))?,
        );
        let resampler = (
            cka(&a.resampler, &b.resampler),
            known(&|x, y| cka(&x.resampler, &y.resampler))?,
        );
        let finding = finding(statistic, &tests, [tower, resampler], &controls);
        Ok(Outcome::Measured(Box::new(finding)))
    }
}

/// The number and the p-value of each test, or why it does not apply.
struct Tests(Vec<Result<Test, String>>);

struct Test {
    cosine: f64,
    log10_p: f64,
    least: f64,
    n: u64,
}

impl Tests {
    fn new(a: &Patches, b: &Patches, seed: u64) -> Self {
        let one = |(method, a, b): (&dyn Inside, &Activations, &Activations)| {
            comparable(a, b).map_err(|_| format!("{} and {}", a.suite, b.suite))?;
            let measured = method.measure(a, b, seed)?;
            let none = || "no p-value".to_owned();
            Ok(Test {
                cosine: measured.statistic,
                log10_p: measured.log10_p.ok_or_else(none)?,
                least: measured
                    .details
                    .get("least_log10_p")
                    .copied()
                    .unwrap_or(0.0),
                n: measured.n,
            })
        };
        Self(parts(a, b).into_iter().map(one).collect())
    }

    /// The mean of cosines alone.
    fn cosine_of(a: &Patches, b: &Patches, seed: u64) -> Option<f64> {
        let parts = parts(a, b).into_iter();
        let cosines = parts.map(|(method, a, b)| {
            comparable(a, b).ok()?;
            method.statistic(a, b, seed)
        });
        mean(cosines.flatten())
    }

    fn known(&self) -> impl Iterator<Item = &Test> {
        self.0.iter().flatten()
    }

    fn cosine(&self) -> Option<f64> {
        mean(self.known().map(|test| test.cosine))
    }

    /// The smallest of some p-values, times how many there are.
    fn smallest(&self, of: impl Fn(&Test) -> f64) -> f64 {
        let count = self.known().count() as f64;
        let least = self.known().map(of).fold(0.0, f64::min);
        (least + count.log10()).min(0.0)
    }

    fn reasons(&self) -> String {
        let reasons: Vec<&str> = self
            .0
            .iter()
            .filter_map(|test| test.as_ref().err().map(String::as_str))
            .collect();
        reasons.join("; ")
    }

    fn table(&self) -> Table {
        let columns = ["test", "cosine", "n", "log10 p"];
        let row = |((what, _), test): (&(&str, &str), &Result<Test, String>)| match test {
            Ok(test) => vec![
                (*what).to_owned(),
                format!("{:.3}", test.cosine),
                test.n.to_string(),
                format!("{:.1}", test.log10_p),
            ],
            Err(reason) => vec![
                (*what).to_owned(),
                reason.clone(),
                String::new(),
                String::new(),
            ],
        };
        Table {
            columns: columns.map(str::to_owned).to_vec(),
            rows: TESTS.iter().zip(&self.0).map(row).collect(),
        }
    }
}

/// What each of [`TESTS`] is of.
fn parts<'p>(
    a: &'p Patches,
    b: &'p Patches,
) -> [(&'static dyn Inside, &'p Activations, &'p Activations); 3] {
    [
        (&UnitOrder, &a.tower, &b.tower),
        (&ResidualOrder, &a.tower, &b.tower),
        (&ResidualOrder, &a.resampler, &b.resampler),
    ]
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn cka(a: &Activations, b: &Activations) -> Option<f64> {
    comparable(a, b).ok()?;
    LinearCka.statistic(a, b, 0)
}

fn finding(
    statistic: f64,
    tests: &Tests,
    geometry: [(Option<f64>, Controls); 2],
    controls: &Controls,
) -> Finding {
    let log10_p = tests.smallest(|test| test.log10_p);
    let mut details: BTreeMap<&'static str, f64> = controls.details(statistic);
    details.insert("tests", tests.known().count() as f64);
    details.insert("least_log10_p", tests.smallest(|test| test.least));
    for ((_, name), test) in TESTS.iter().zip(&tests.0) {
        details.extend(test.as_ref().ok().map(|test| (*name, test.log10_p)));
    }
    let mut words = Vec::new();
    for ((name, what), (value, known)) in [("tower_cka", "tower"), ("resampler_cka", "resampler")]
        .into_iter()
        .zip(geometry)
    {
        if let Some(value) = value {
            details.insert(name, value);
            words.push(format!(
                "Debiased linear CKA of the {what} {value:.3}: {}.",
                known.words(value)
            ));
        }
    }
    let mut caveats = vec![
        "two models built on one published tower or one published language model share the order of its units: the test says \
         that a part has a common start, not who trained it"
            .to_owned(),
    ];
    caveats.extend(controls.caveats());
    Finding {
        statistic,
        n: tests.known().map(|test| test.n).sum(),
        null: format!(
            "exact: under independent initialisation of the vision parts every order of their units is equally likely; \
             Bonferroni over {} tests. Beside it: {}",
            tests.known().count(),
            controls.words(statistic)
        ),
        log10_p: Some(log10_p),
        interval: None,
        details,
        explanation: format!(
            "On random patches, mean cosine of units at their own index {statistic:.3}, p = 10^{log10_p:.1}. {}",
            words.join(" ")
        ),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(tests.table()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::rows::toy;
    use crate::evidence::toy::Open;
    use crate::evidence::toy::pair;
    use crate::model::toy::Dims;
    use crate::model::toy::Toy;

    fn patches(own: u64, noise: f64) -> Patches {
        Patches {
            tower: toy::model(3, 30, own, noise),
            resampler: toy::model(1, 24, own + 500, noise),
        }
    }

    fn assess(a: &Patches, b: &Patches) -> Outcome {
        let open = Open::new(&Toy::new(1, Dims::default()));
        let with = |patches| Subject {
            patches: Ok(patches),
            ..open.subject()
        };
        let pair = Pair {
            reference: with(a),
            suspect: with(b),
            ..pair(&open, &open)
        };
        VisionPatches.assess(&pair).unwrap()
    }

    fn found(a: &Patches, b: &Patches) -> Finding {
        match assess(a, b) {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn itself_a_child_and_strangers() {
        let parent = patches(1, 0.0);
        let itself = found(&parent, &parent);
        assert!((itself.statistic - 1.0).abs() < 1e-9);
        assert!((itself.log10_p.unwrap() - itself.details["least_log10_p"]).abs() < 1e-9);
        assert!((itself.details["tower_cka"] - 1.0).abs() < 1e-9);
        let child = found(&parent, &patches(1, 0.3));
        assert!(child.log10_p.unwrap() < -3.0 && child.statistic > 0.3);
        for own in 2..12 {
            let other = found(&parent, &patches(own, 0.0));
            assert!(other.log10_p.unwrap() > -2.5 && other.statistic.abs() < 0.3);
        }
    }

    #[test]
    fn what_cannot_be_held_side_by_side_is_left_out() {
        let parent = patches(1, 0.0);
        let mut other = parent.clone();
        other.tower.suite = "patches of another size".to_owned();
        let part = found(&parent, &other);
        assert_eq!((part.details["tests"], part.n), (1.0, 24));
        assert!(!part.details.contains_key("tower_cka"));
        other.resampler.suite = "features of another width".to_owned();
        assert!(matches!(assess(&parent, &other), Outcome::NotApplicable(_)));
        let open = Open::new(&Toy::new(1, Dims::default()));
        let outcome = VisionPatches.assess(&pair(&open, &open)).unwrap();
        assert_eq!(
            outcome,
            Outcome::NotApplicable("reference: it sees nothing".to_owned())
        );
    }
}
