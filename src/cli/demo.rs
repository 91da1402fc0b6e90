//! `kinprobe demo`: the main job on shipped models.

use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::cli::Global;
use crate::cli::assemble;
use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Depth;
use crate::cli::pipeline::Dossier;
use crate::model::Model;
use crate::model::mapping;
use crate::report;
use crate::report::Report;
use crate::report::demo;
use crate::report::demo::Demo;
use crate::report::demo::Pair;
use crate::source;
use crate::source::ModelRef;
use crate::source::ZooMember;

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Report folder
    #[arg(short, long, value_name = "DIR", default_value = "reports/demo")]
    out: PathBuf,
}

/// Whom the first base of the zoo meets: strangers that differ in nothing but their seed, then kin.
const SUSPECTS: &[&str] = &[
    "base-b",
    "base-c",
    "base-d",
    "base-a-finetuned",
    "base-a-noised",
    "base-a-renamed",
    "base-a-continued",
];

/// Compares the first base of the zoo with a few members of known relation.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let bench = Bench::new(global, &[], Depth::Full, 0)?;
    let members = source::zoo_members(&bench.data)?;
    let (base, others) = members.split_first().context("the zoo is empty")?;
    let reference = dossier(&bench, &base.name, None)?;
    let mut pairs = Vec::new();
    for other in others
        .iter()
        .filter(|m| SUSPECTS.contains(&m.name.as_str()))
    {
        let suspect = dossier(&bench, &other.name, Some(&reference.model))?;
        let report = compare(&bench, [&reference, &suspect])?;
        let folder = format!("{}-vs-{}", base.name, other.name);
        report::write(&args.out.join(&folder), &report)?;
        assemble::keep_recordings(&bench, &args.out.join(&folder), [&reference, &suspect])?;
        pairs.push(Pair {
            report,
            folder,
            known: Some(known(other)),
        });
    }
    let demo = Demo {
        tool: assemble::tool(),
        pairs,
        reproduce: "kinprobe demo".to_owned(),
    };
    let paths = demo::write(&args.out, &demo)?;
    if global.json {
        return global.result(&demo::json(&demo)?);
    }
    global.result(&demo::terminal(&demo, Some(&paths), global.style()))
}

/// What the zoo's list says of a member, in words.
fn known(member: &ZooMember) -> String {
    match (&member.relation, &member.parent) {
        (Some(relation), Some(parent)) => format!("{} from {parent}", relation.replace('_', "-")),
        _ => "another seed".to_owned(),
    }
}

/// A member, with the roles of `onto` where its own are not known.
fn dossier(bench: &Bench<'_>, name: &str, onto: Option<&Model>) -> Result<Dossier> {
    let reference: ModelRef = format!("zoo:{name}").parse()?;
    let model = bench.open(&reference, name)?;
    let known = onto.map(|onto| mapping::with_roles_of(&model, onto));
    bench.record(known.transpose()?.flatten().unwrap_or(model))
}

fn compare(bench: &Bench<'_>, pair: [&Dossier; 2]) -> Result<Report> {
    let panel = bench.panel(pair, &[])?;
    let assessments = bench.assess(pair, &panel);
    let findings = bench.judge(pair, &assessments);
    let [reference, suspect] = pair.map(|dossier| &dossier.model.artefacts.reference);
    let reproduce = format!("kinprobe compare {reference} {suspect}");
    Ok(assemble::report(
        bench,
        pair,
        assessments,
        findings,
        reproduce,
    ))
}
