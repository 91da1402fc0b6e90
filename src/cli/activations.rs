//! `kinprobe activations`: what was recorded inside two models, side by side; loads no model.

mod grams;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;

use crate::cli::Global;
use crate::cli::assemble;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::evidence;
use crate::evidence::Heard;
use crate::record::tapped;
use crate::record::tapped::Tapped;
use crate::report;
use crate::report::data;
use crate::report::data::ModelCard;
use crate::source;
use crate::text::ModelText;
use crate::verdict;
use crate::verdict::Calibration;

/// Flags of `activations`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the first model's activations, as `kinprobe run --tap` or another program wrote it
    reference: Folder,
    /// Folder of the second model's
    #[arg(required_unless_present = "write_grams")]
    suspect: Option<Folder>,
    /// Folders of independent models that read the same prompts: what strangers have in common
    #[arg(long, value_name = "FOLDER", num_args = 1..)]
    panel: Vec<Folder>,
    /// Run methods of the literature beside ours
    #[arg(long)]
    published: bool,
    /// Compare nothing: keep Gram matrices of all folders named in DIR, from which other comparisons take what
    /// unrelated models agree on
    #[arg(long, value_name = "DIR", requires = "licence", conflicts_with_all = ["published", "out"])]
    write_grams: Option<PathBuf>,
    /// With --write-grams: the licence of the models
    #[arg(long, value_name = "TEXT", requires = "write_grams")]
    licence: Option<String>,
    /// Folder for the report: index.html and result.json [default: none is written]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// `[label=]folder`.
#[derive(Debug, Clone)]
struct Folder {
    label: Option<String>,
    path: PathBuf,
}

impl FromStr for Folder {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let (label, path) = source::split_label(given)?;
        Ok(Self {
            label,
            path: PathBuf::from(path),
        })
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            write!(f, "{label}=")?;
        }
        write!(f, "{}", self.path.display())
    }
}

/// One folder, read.
struct Side {
    label: String,
    source: String,
    tapped: Tapped,
}

/// Read, compare, judge, report.
///
/// # Errors
/// A folder that cannot be read or is not what its manifest says, or two that were given different prompts
/// under one name.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let folders = [&args.reference].into_iter().chain(&args.suspect);
    let folders: Vec<&Folder> = folders.chain(&args.panel).collect();
    let task = Bars::shared(global).start("reading activations", folders.len() as u64);
    let mut sides = Vec::new();
    for folder in folders {
        sides.push(side(folder)?);
        task.advance(1);
    }
    drop(task);
    for (at, side) in sides.iter().enumerate() {
        let before = sides[..at].iter();
        for other in before {
            other
                .tapped
                .reads_as(&side.tapped)
                .map_err(|reason| exit::coded(exit::INTEGRITY, reason))?;
        }
    }
    if let (Some(folder), Some(licence)) = (&args.write_grams, &args.licence) {
        return grams::write(folder, licence, &sides, global);
    }
    let heard: Vec<Heard<'_>> = sides.iter().map(Side::heard).collect();
    let [reference, suspect, population @ ..] = &heard[..] else {
        return Err(exit::usage("two folders are compared"));
    };
    let settings = (args.published, args.seed);
    let references = grams::of_other_runs(global, &sides)?;
    let pair = [*reference, *suspect];
    let assessments = evidence::assess_heard(pair, population, &references, settings);
    let calibration = calibration(global, &sides[..2])?;
    let report = report::Report {
        schema: data::RESULT_SCHEMA,
        tool: assemble::tool(),
        models: sides[..2].iter().map(Side::card).collect(),
        findings: verdict::judge(&assessments, &calibration),
        evidence: assessments
            .into_iter()
            .map(|assessment| assemble::evidence_row(&calibration, assessment))
            .collect(),
        coverage: coverage(&sides),
        answers: Vec::new(),
        warnings: vec![
            "nothing but activations was at hand: weights, tokenizers and configuration were not compared"
                .to_owned(),
        ],
        reproduce: reproduce(args),
    };
    let paths = match &args.out {
        Some(folder) => Some(report::write(folder, &report)?),
        None => None,
    };
    if global.json {
        return global.result(&report::json(&report)?);
    }
    global.result(&report::terminal(&report, paths.as_ref(), global.style()))
}

fn side(folder: &Folder) -> Result<Side> {
    let tapped = tapped::read(&folder.path)?;
    let own = ModelText::new(&tapped.manifest.model).clipped(60);
    Ok(Side {
        label: folder.label.clone().unwrap_or(own),
        source: folder.path.display().to_string(),
        tapped,
    })
}

/// The tables without what the two models added to them.
fn calibration(global: &Global, pair: &[Side]) -> Result<Calibration> {
    let calibration = Calibration::load(&source::data_root(global.data.as_deref())?)?;
    let digests = pair
        .iter()
        .filter_map(|side| side.tapped.manifest.model_digest.as_deref());
    let runs = digests.flat_map(|digest| calibration.known_as(digest));
    Ok(calibration.without(&runs.collect()))
}

fn coverage(sides: &[Side]) -> data::Coverage {
    let [reference, suspect, ..] = sides else {
        return data::Coverage::default();
    };
    let manifest = &reference.tapped.manifest;
    let shared = reference.tapped.prompts.keys();
    let shared = shared.filter(|item| suspect.tapped.prompts.contains_key(*item));
    data::Coverage {
        depth: "activations".to_owned(),
        suites: vec![data::SuiteCoverage {
            suite: manifest.suite.clone(),
            sha256: manifest.suite_sha256.clone().unwrap_or_default(),
            planned: manifest.items().count() + manifest.missing.len(),
            answered: shared.count(),
        }],
        missing: vec!["weights, tokenizers, configuration and answers: not at hand".to_owned()],
        ..data::Coverage::default()
    }
}

impl Side {
    fn heard(&self) -> Heard<'_> {
        Heard {
            label: &self.label,
            activations: &self.tapped.activations,
        }
    }

    fn card(&self) -> ModelCard {
        let manifest = &self.tapped.manifest;
        let activations = &self.tapped.activations;
        let fact = |name: &str, value: String| (name.to_owned(), value);
        ModelCard {
            label: self.label.clone(),
            source: self.source.clone(),
            revision: None,
            digest: manifest.model_digest.clone().unwrap_or_default(),
            architecture: "not known".to_owned(),
            parameters: None,
            dtype: manifest.engine.clone(),
            dimensions: vec![
                fact("sites", activations.sites.len().to_string()),
                fact("rows", activations.items.len().to_string()),
            ],
            files: Vec::new(),
            caveats: Vec::new(),
        }
    }
}

/// The command again, without this machine's output folder.
fn reproduce(args: &Args) -> String {
    let mut words = vec![format!("kinprobe activations {}", args.reference)];
    words.extend(args.suspect.iter().map(ToString::to_string));
    if !args.panel.is_empty() {
        words.push("--panel".to_owned());
        words.extend(args.panel.iter().map(ToString::to_string));
    }
    words.extend(args.published.then(|| "--published".to_owned()));
    if args.seed != 0 {
        words.push(format!("--seed {}", args.seed));
    }
    words.join(" ")
}
