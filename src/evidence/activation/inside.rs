//! What a method of activations has to say; panels and words around it are the same for all.

use std::collections::BTreeMap;

use super::beside;
use super::beside::Example;
use crate::evidence::Assessment;
use crate::evidence::Card;
use crate::evidence::Error;
use crate::evidence::Evidence;
use crate::evidence::Figure;
use crate::evidence::Finding;
use crate::evidence::Outcome;
use crate::evidence::Pair;
use crate::evidence::Subject;
use crate::evidence::Table;
use crate::evidence::control::Controls;
use crate::evidence::control::Named;
use crate::evidence::control::Sides;
use crate::model::Site;
use crate::record::Activations;
use crate::record::grams::ReferenceGrams;

/// A method that needs nothing of two models but what was read inside them.
pub(crate) trait Inside: Sync {
    /// What it is.
    fn card(&self) -> &'static Card;

    /// Measures two models that read the same prompts; `seed` seeds every random choice.
    ///
    /// # Errors
    /// Why it does not apply.
    fn measure(&self, a: &Activations, b: &Activations, seed: u64) -> Result<Measured, String>;

    /// The number alone, for pairs that this one is held against; `None` where it does not apply.
    fn statistic(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        Some(self.measure(a, b, seed).ok()?.statistic)
    }

    /// The p-value alone; `None` where there is none.
    fn log10_p(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        self.measure(a, b, seed).ok()?.log10_p
    }

    /// One model's curve over blocks, where the first curves of the pair are to stand in the band of independent
    /// models'.
    fn curve(&self, _: &Activations) -> Option<Vec<f64>> {
        None
    }

    /// The first picture alone, for pairs that this one is looked at beside.
    fn picture(&self, a: &Activations, b: &Activations, seed: u64) -> Option<Figure> {
        self.measure(a, b, seed).ok()?.figures.into_iter().next()
    }
}

/// What two models alone say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// The value.
    pub statistic: f64,
    /// Sample size of the statistic.
    pub n: u64,
    /// What a p-value is held against, where there is one.
    pub null: Option<String>,
    /// Base-10 logarithm of the p-value where a valid one exists.
    pub log10_p: Option<f64>,
    /// Further numbers by name.
    pub details: BTreeMap<&'static str, f64>,
    /// One or two sentences for the reader.
    pub explanation: String,
    /// What limits this number.
    pub caveats: Vec<String>,
    /// Pictures of it.
    pub figures: Vec<Figure>,
    /// Detail rows.
    pub table: Option<Table>,
}

impl<T: Inside> Evidence for T {
    fn card(&self) -> &'static Card {
        Inside::card(self)
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (Some(a), Some(b)) = (pair.reference.activations, pair.suspect.activations) else {
            return Ok(Outcome::NotApplicable(why_missing(pair)));
        };
        let controls = || {
            Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
                let (Some(a), Some(b)) = (a.activations, b.activations) else {
                    return Ok(None);
                };
                Ok(known(self, a, b, pair.seed))
            })
        };
        let examples = beside::examples(&pair.sides(), |one| one.activations);
        let outcome = outcome(self, a, b, pair.seed, controls)?;
        Ok(with_pictures(self, outcome, &examples, pair.seed))
    }
}

/// A model of which nothing is known but what was read inside it.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// What a report calls it.
    pub label: &'a str,
    /// All of it.
    pub activations: &'a Activations,
}

impl Named for Heard<'_> {
    fn label(&self) -> &str {
        self.label
    }

    fn shape(&self) -> Option<(usize, usize)> {
        let blocks = self.activations.stack(Site::ResidPost);
        Some((blocks.len(), blocks.first()?.1.width))
    }
}

/// Measures two models of which nothing but activations is at hand by every method that needs no more, in
/// registry order, beside those of independent models; then beyond what those and shipped Gram matrices of
/// others agree on.
pub fn assess_heard(
    [reference, suspect]: [Heard<'_>; 2],
    population: &[Heard<'_>],
    references: &[ReferenceGrams],
    (published, seed): (bool, u64),
) -> Vec<Assessment> {
    let sides = Sides {
        reference,
        suspect,
        population,
        derived: None,
    };
    let literature = match published {
        true => super::published::INSIDE,
        false => &[],
    };
    let methods = super::INSIDE.iter().chain(literature);
    let assessed = methods.map(|method| {
        let measure =
            |a: Heard<'_>, b: Heard<'_>| Ok(known(*method, a.activations, b.activations, seed));
        let controls = || Controls::of(&sides, &measure);
        let (a, b) = (reference.activations, suspect.activations);
        let examples = beside::examples(&sides, |one| Some(one.activations));
        let outcome = outcome(*method, a, b, seed, controls)
            .map(|outcome| with_pictures(*method, outcome, &examples, seed));
        Assessment {
            card: method.card(),
            outcome: outcome.map_err(|error| error.to_string()),
        }
    });
    let beyond = super::deconfounded_cka::assess_heard(&sides, references, seed);
    assessed.chain([beyond]).collect()
}

/// The number of two models, with those of known pairs.
fn outcome<M: Inside + ?Sized>(
    method: &M,
    a: &Activations,
    b: &Activations,
    seed: u64,
    controls: impl FnOnce() -> Result<Controls, Error>,
) -> Result<Outcome, Error> {
    let measured = comparable(a, b).and_then(|()| method.measure(a, b, seed));
    Ok(match measured {
        Ok(measured) => Outcome::Measured(Box::new(measured.beside(&controls()?))),
        Err(reason) => Outcome::NotApplicable(reason),
    })
}

/// With the same picture of known pairs beside the first heatmap, and the band of independent models around the
/// first curves.
fn with_pictures<M: Inside + ?Sized>(
    method: &M,
    mut outcome: Outcome,
    examples: &[Example<'_>],
    seed: u64,
) -> Outcome {
    if let Outcome::Measured(finding) = &mut outcome {
        beside::draw(&mut finding.figures, examples, |a, b| {
            comparable(a, b).ok()?;
            method.picture(a, b, seed)
        });
        beside::band(&mut finding.figures, examples, |one| method.curve(one));
    }
    outcome
}

/// The number of a known pair.
fn known<M: Inside + ?Sized>(
    method: &M,
    a: &Activations,
    b: &Activations,
    seed: u64,
) -> Option<f64> {
    comparable(a, b).ok()?;
    method.statistic(a, b, seed)
}

/// Whether the two read the same.
pub(super) fn comparable(a: &Activations, b: &Activations) -> Result<(), String> {
    match a.suite == b.suite {
        true => Ok(()),
        false => Err("the two models read different suites".to_owned()),
    }
}

pub(super) fn why_missing(pair: &Pair<'_>) -> String {
    let [a, b] = [pair.reference, pair.suspect].map(|one| (one.activations.is_none(), one.missing));
    match [a, b] {
        [(true, Some(why)), _] => format!("reference: {why}"),
        [_, (true, Some(why))] => format!("suspect: {why}"),
        _ => "activations of one of the models were not recorded".to_owned(),
    }
}

impl Measured {
    /// With the same number of known pairs beside it.
    fn beside(self, controls: &Controls) -> Finding {
        let panel = controls.words(self.statistic);
        let mut details = controls.details(self.statistic);
        details.extend(self.details);
        let mut caveats = self.caveats;
        caveats.extend(controls.caveats());
        Finding {
            statistic: self.statistic,
            n: self.n,
            null: match self.null {
                Some(null) => format!("{null}. Beside it: {panel}"),
                None => panel,
            },
            log10_p: self.log10_p,
            interval: None,
            details,
            explanation: self.explanation,
            caveats,
            controls: controls.list.clone(),
            figures: self.figures,
            table: self.table,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::linear_cka::LinearCka;
    use crate::evidence::toy::Open;
    use crate::evidence::toy::pair;
    use crate::model::toy::Dims;
    use crate::model::toy::Toy;

    #[test]
    fn without_activations_it_says_why() {
        let open = Open::new(&Toy::new(1, Dims::default()));
        let mut without = pair(&open, &open);
        without.suspect.missing = Some("its family is not known");
        let Outcome::NotApplicable(reason) = LinearCka.assess(&without).unwrap() else {
            panic!()
        };
        assert_eq!(reason, "suspect: its family is not known");
    }
}
