//! `kinprobe demo`: an investigation as that of Llama3-V, replayed on models that are shipped.

mod ladder;

use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::cli::Global;
use crate::cli::assemble;
use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Depth;
use crate::cli::pipeline::Dossier;
use crate::cli::signs;
use crate::evidence::Assessment;
use crate::model::Model;
use crate::model::mapping;
use crate::report;
use crate::report::demo;
use crate::report::demo::Demo;
use crate::report::demo::Pair;
use crate::report::demo::story;
use crate::report::demo::story::Facts;
use crate::report::demo::story::Ladder;
use crate::report::demo::story::Story;
use crate::source;
use crate::source::Collection;
use crate::source::ModelRef;
use crate::source::ZooMember;

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Report folder
    #[arg(short, long, value_name = "DIR", default_value = "reports/demo")]
    out: PathBuf,
}

/// What all are asked: signs that few can read, and actions.
const SUITES: &[&str] = &["invented-script", "agent-actions"];

/// Prompts of each suite at most: all pictures, and as many actions as a minute allows.
const MOST: [usize; 2] = [usize::MAX, 100];

/// The suspect of the investigation.
const SUSPECT: &str = "script-suspect";

/// Who is held against the original beside the suspect; the rest are of the panel.
const OTHERS: &[&str] = &["script-finetuned", "script-all-1"];

/// Looks into the suspect, then holds others of known relation against the original.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let suites: Vec<String> = SUITES.iter().map(|&suite| suite.to_owned()).collect();
    let mut bench = Bench::new(global, &suites, Depth::Full, 0)?;
    for (suite, most) in bench.suites.iter_mut().zip(MOST) {
        *suite = suite.reduced(most);
    }
    let members = source::zoo_members(&bench.data, Collection::Script)?;
    let (base, others) = members.split_first().context("the collection is empty")?;
    let reference = dossier(&bench, &base.name, None)?;
    let (mut pairs, mut told) = (Vec::new(), None);
    for other in in_order(others) {
        let suspect = dossier(&bench, &other.name, Some(&reference.model))?;
        let pair = [&reference, &suspect];
        let name = format!("{}-vs-{}", base.name, other.name);
        let folder = args.out.join(&name);
        let panel = bench.panel(pair, &[])?;
        let assessments = bench.assess(pair, &panel)?;
        let size = noise(&assessments);
        let findings = bench.judge(pair, &assessments);
        let [a, b] = pair.map(|dossier| &dossier.model.artefacts.reference);
        let reproduce = format!("kinprobe compare {a} {b} --suite {}", SUITES.join(" "));
        let report = assemble::report(&bench, pair, assessments, findings, reproduce);
        report::write(&folder, &report)?;
        assemble::keep_recordings(&bench, &folder, pair)?;
        if other.name == SUSPECT {
            let overlap = signs::side_by_side(&bench, &folder, pair, &panel.population)?;
            let overlap = overlap.context("the suspect was shown no pictures")?;
            let (names, renames) = names(&bench, pair)?;
            told = Some(story::tell(&Facts {
                report: &report,
                folder: &name,
                overlap: &overlap,
                names,
                renames,
                ladder: ladder(&bench, pair, size)?,
            }));
        }
        pairs.push(Pair {
            report,
            folder: name,
            known: Some(known(other)),
        });
    }
    finish(args, global, told, pairs)
}

fn finish(args: &Args, global: &Global, story: Option<Story>, pairs: Vec<Pair>) -> Result<()> {
    let demo = Demo {
        tool: assemble::tool(),
        story,
        pairs,
        reproduce: "kinprobe demo".to_owned(),
    };
    let paths = demo::write(&args.out, &demo)?;
    if global.json {
        return global.result(&demo::json(&demo)?);
    }
    global.result(&demo::terminal(&demo, Some(&paths), global.style()))
}

/// The suspect, then the others.
fn in_order(members: &[ZooMember]) -> impl Iterator<Item = &ZooMember> {
    let names = [SUSPECT].into_iter().chain(OTHERS.iter().copied());
    names.flat_map(|name| members.iter().filter(move |member| member.name == name))
}

/// What the collection's list says of a member, in words.
fn known(member: &ZooMember) -> String {
    match (&member.relation, &member.parent) {
        (Some(relation), Some(parent)) => format!("{} from {parent}", relation.replace('_', "-")),
        _ => "trained separately".to_owned(),
    }
}

/// A member, with the roles of `onto` where its own are not known.
fn dossier(bench: &Bench<'_>, name: &str, onto: Option<&Model>) -> Result<Dossier> {
    let reference: ModelRef = format!("zoo:{name}").parse()?;
    let model = bench.open(&reference, name)?;
    let known = onto.map(|onto| mapping::with_roles_of(&model, onto));
    bench.record(known.transpose()?.flatten().unwrap_or(model))
}

/// The size of the noise between the two, where there is one noise.
fn noise(assessments: &[Assessment]) -> Option<f64> {
    let mut found = assessments
        .iter()
        .filter(|assessment| assessment.card.id == "weight.difference");
    found.next()?.finding()?.details.get("sigma").copied()
}

fn ladder(bench: &Bench<'_>, pair: [&Dossier; 2], size: Option<f64>) -> Result<Option<Ladder>> {
    let (Some(size), Some(suite)) = (size, bench.suites.first()) else {
        return Ok(None);
    };
    Ok(Some(ladder::ladder(bench, pair, suite, size)?))
}

/// How the suspect's names were undone, and the changes that several tensors share.
fn names(
    bench: &Bench<'_>,
    [reference, suspect]: [&Dossier; 2],
) -> Result<(Vec<String>, Vec<String>)> {
    let given: ModelRef = suspect.model.artefacts.reference.parse()?;
    let as_found = bench.open(&given, &suspect.model.label)?;
    let mapping = mapping::map(&as_found.weights, &reference.model.weights)?;
    let mut lines = vec![
        format!(
            "The reference calls itself {}, the suspect {}.",
            assemble::architecture(&reference.model),
            assemble::architecture(&as_found)
        ),
        format!(
            "{} tensors of its language part were found among the reference's: {}.",
            mapping.pairs.len(),
            mapping.summary()
        ),
    ];
    lines.extend(suspect.model.sight.iter().map(|sight| {
        format!(
            "{} tensors of its vision part were found in the same way.",
            sight.names.len()
        )
    }));
    Ok((lines, mapping.rules))
}
