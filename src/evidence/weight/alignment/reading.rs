//! A statistic read off two models in one basis, and off its controls in theirs.

use super::Alignment;
use crate::evidence::control::Controls;
use crate::evidence::{Error, Finding, Outcome, Pair, Subject};
use crate::model::Model;

/// What a method reads off two models that were brought into one basis.
pub(in crate::evidence::weight) trait Reading: Sized {
    /// Why there may be nothing to read, in words.
    const NOTHING: &'static str;

    /// The method's statistic.
    fn statistic(&self) -> f64;

    /// With all that stands beside it.
    fn finding(&self, alignment: &Alignment, controls: &Controls) -> Finding;
}

/// Reads one pair of models in their basis; `None` where there is nothing to read.
type Read<'r, R> = &'r dyn Fn(&Alignment, &Model, &Model) -> Result<Option<R>, Error>;

/// Reads `pair` and its controls, each in its own common basis.
///
/// # Errors
/// As reading the tensors.
pub(in crate::evidence::weight) fn assess<R: Reading>(
    pair: &Pair<'_>,
    read: Read<'_, R>,
) -> Result<Outcome, Error> {
    let (a, b) = (pair.reference.model, pair.suspect.model);
    let found = pair.memo.of(a, b, pair.seed)?;
    let alignment = match found.as_ref() {
        Ok(alignment) => alignment,
        Err(reason) => return Ok(Outcome::NotApplicable(reason.clone())),
    };
    let Some(reading) = read(alignment, a, b)? else {
        return Ok(Outcome::NotApplicable(R::NOTHING.to_owned()));
    };
    let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
        let found = pair.memo.of(a.model, b.model, pair.seed)?;
        let Ok(alignment) = found.as_ref() else {
            return Ok(None);
        };
        let reading = read(alignment, a.model, b.model)?;
        Ok(reading.map(|reading| reading.statistic()))
    })?;
    Ok(Outcome::Measured(Box::new(
        reading.finding(alignment, &controls),
    )))
}
