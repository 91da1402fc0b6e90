//! `kinprobe parents`: which of several candidates a model was made from.

use anyhow::Result;

use crate::cli::Global;
use crate::cli::assemble;
use crate::cli::exit;
use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Depth;
use crate::cli::pipeline::Dossier;
use crate::evidence::mixture::mixture;
use crate::report::parents;
use crate::report::parents::Document;
use crate::source::ModelRef;
use crate::verdict::parents::Claim;
use crate::verdict::parents::Parents;

/// Flags of `parents`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model whose origin is asked for
    suspect: ModelRef,
    /// Models that it may have been made from
    #[arg(long, value_name = "MODEL", num_args = 1.., required = true)]
    of: Vec<ModelRef>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Open, record, assess each candidate, judge them together, report.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(twice) = twice(&args.of) {
        return Err(exit::usage(format!(
            "`{twice}` is named twice after --of: name each candidate once"
        )));
    }
    let bench = Bench::new(global, &[], Depth::Standard, args.seed)?;
    let mut candidates = Vec::new();
    let mut claims = Vec::new();
    for candidate in &args.of {
        let (claim, pair) = claim(&bench, candidate, &args.suspect)?;
        claims.push(claim);
        candidates.push(pair);
    }
    let parents = Parents::judge(&claims);
    let related = parents.related();
    let models: Vec<_> = related.iter().map(|at| &candidates[*at][0].model).collect();
    // Roles may have been assigned by the nearest candidate's.
    let suspect = related.first().map(|at| &candidates[*at][1].model);
    let mixed = match suspect {
        Some(suspect) if models.len() > 1 => mixture(&models, suspect)?,
        _ => None,
    };
    let parents = parents.conclude(&related, mixed.as_ref(), &bench.calibration.parents);
    let document = Document {
        tool: assemble::tool(),
        suspect: args.suspect.to_string(),
        sources: args.of.iter().map(ToString::to_string).collect(),
        parents: &parents,
    };
    if global.json {
        return global.result(&parents::json(&document)?);
    }
    global.result(&parents::terminal(&document, global.style()))
}

/// A candidate that is named more than once.
fn twice(candidates: &[ModelRef]) -> Option<String> {
    let mut names: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    let pair = names.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(pair[0].clone())
}

/// The candidate beside the suspect, with every method's outcome.
fn claim(
    bench: &Bench<'_>,
    candidate: &ModelRef,
    suspect: &ModelRef,
) -> Result<(Claim, [Dossier; 2])> {
    let label = candidate
        .label
        .clone()
        .unwrap_or_else(|| candidate.to_string());
    let pair = bench.with_roles(
        bench.open(candidate, &label)?,
        bench.open(suspect, "suspect")?,
    )?;
    let [reference, suspect] = pair;
    let dossiers = bench.record_pair(reference, suspect)?;
    let pair = [&dossiers[0], &dossiers[1]];
    let panel = bench.panel(pair, &[])?;
    let claim = Claim {
        assessments: bench.assess(pair, &panel)?,
        calibration: bench.calibration_for(pair),
        label,
    };
    Ok((claim, dossiers))
}
