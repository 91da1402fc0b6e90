//! `--was`: what was done to the model that was accepted, read off its weights and those of this one.

use anyhow::Result;

use crate::baseline;
use crate::baseline::Baseline;
use crate::cli::Global;
use crate::cli::exit;
use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Depth;
use crate::cli::pipeline::Panel;
use crate::source::ModelRef;
use crate::verdict::Lineage;

/// The lineage of `was` and `now`, by every method that reads weights.
///
/// No other models stand beside the two: exact tests and calibration tables take none.
///
/// # Errors
/// A model that cannot be read, or that is not the one that was accepted.
pub fn lineage(
    global: &Global,
    was: &ModelRef,
    now: &ModelRef,
    accepted: &[Baseline],
) -> Result<Lineage> {
    let bench = Bench::new(global, &[], Depth::Standard, 0)?;
    let before = bench.open(was, "accepted")?;
    let weights = baseline::weights(&before);
    if accepted
        .iter()
        .any(|one| one.head.bound.weights.as_deref() != Some(&weights))
    {
        return Err(exit::coded(
            exit::INTEGRITY,
            format!(
                "--was {was} is not the model that was accepted: its weights are others, or were behind an endpoint; name that one, or none"
            ),
        ));
    }
    let [before, now] = bench.with_roles(before, bench.open(now, "now")?)?;
    let [before, now] = bench.record_pair(before, now)?;
    let pair = [&before, &now];
    let nobody = Panel {
        population: Vec::new(),
        derived: None,
    };
    let assessments = bench.assess(pair, &nobody)?;
    Ok(bench.judge(pair, &assessments).lineage)
}
