//! `kinprobe zoo`: the models this project trained, and the recipes that rebuild them.

mod launder;
mod questions;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use anyhow::bail;
use comfy_table::Cell;
use comfy_table::CellAlignment;
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::cli::Global;
use crate::source;
use crate::text::ModelText;
use crate::zoo::list;
use crate::zoo::list::Member;
use crate::zoo::make::Workshop;
use crate::zoo::pairs;
use crate::zoo::pairs::Kinship;
use crate::zoo::recipe::Recipes;
use crate::zoo::train::Step;

/// Flags of `zoo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the members: what each was made from, how large it is, what it knows
    Ls,
    /// What is known of every ordered pair of members, as CSV
    Pairs,
    /// Make members anew from their recipes, with zoo.json beside them
    Train(Train),
    /// Questions of the invented world that the members learnt, none of which they were taught, as JSON lines
    Questions(questions::Args),
    /// Copy any model with changes that keep its function, or with some that do not
    Launder(launder::Args),
}

#[derive(Debug, clap::Args)]
struct Train {
    /// Members to make, by name; a parent is taken from DIR, or else from the shipped zoo
    #[arg(required_unless_present = "all", value_name = "NAME")]
    names: Vec<String>,
    /// Make every member, parents first
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Folder for the members; one of the same name is replaced
    #[arg(short, long = "out", value_name = "DIR")]
    out: PathBuf,
    /// Recipes to follow [default: those of the shipped zoo]
    #[arg(long, value_name = "FILE")]
    recipes: Option<PathBuf>,
}

/// Lists or makes members.
///
/// # Errors
/// Recipes or members that cannot be read, an unknown name, or a training that fails.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Verb::Launder(args) = &args.verb {
        return launder::run(args, global);
    }
    let folder = source::data_root(global.data.as_deref())?.join("datasets/zoo");
    if let Verb::Questions(args) = &args.verb {
        return questions::run(args, &folder, global);
    }
    let members = match &args.verb {
        Verb::Pairs => return print_pairs(&list::members(&folder)?, global),
        Verb::Train(train) => make(train, folder, global)?,
        _ => list::members(&folder)?,
    };
    if global.json {
        return global.json_result(&members);
    }
    global.result(&table(&members))
}

fn print_pairs(members: &[Member], global: &Global) -> Result<()> {
    let pairs = Kinship::of(members).pairs();
    if global.json {
        return global.json_result(&pairs);
    }
    global.result(&pairs::to_csv(&pairs)?)
}

fn make(train: &Train, shipped: PathBuf, global: &Global) -> Result<Vec<Member>> {
    let recipes = train.recipes.clone();
    let recipes = Recipes::load(&recipes.unwrap_or_else(|| shipped.join("recipes.yaml")))?;
    let names: Vec<String> = if train.all {
        recipes
            .members
            .iter()
            .map(|recipe| recipe.name.clone())
            .collect()
    } else {
        train.names.clone()
    };
    for name in &names {
        recipes.get(name)?;
    }
    if train.out.is_file() {
        bail!("{}: a file; name a folder with -o", train.out.display());
    }
    let workshop = Workshop {
        recipes,
        shipped,
        out: train.out.clone(),
    };
    names
        .iter()
        .map(|name| {
            let mut news = News::new(global, name);
            let member = workshop.make(name, &mut |step| news.hear(step))?;
            news.done(&member);
            Ok(member)
        })
        .collect()
}

/// Tells how training goes, every few seconds.
struct News<'a> {
    global: &'a Global,
    name: &'a str,
    started: Instant,
    told: Instant,
    losses: Vec<f64>,
}

/// Seconds between lines.
const PAUSE: u64 = 10;

impl<'a> News<'a> {
    fn new(global: &'a Global, name: &'a str) -> Self {
        let started = Instant::now();
        Self {
            global,
            name,
            started,
            told: started,
            losses: Vec::new(),
        }
    }

    fn hear(&mut self, step: Step) {
        self.losses.push(step.loss);
        if self.told.elapsed().as_secs() < PAUSE {
            return;
        }
        self.told = Instant::now();
        let mean = self.losses.iter().sum::<f64>() / self.losses.len() as f64;
        self.losses.clear();
        self.global.note(&format!(
            "{}: step {} of {}, loss {mean:.3}, {:.0} tokens/s",
            self.name,
            step.step,
            step.steps,
            step.tokens as f64 / self.started.elapsed().as_secs_f64()
        ));
    }

    fn done(&self, member: &Member) {
        let loss = member
            .training
            .as_ref()
            .map(|training| format!("loss {:.4}, ", training.loss))
            .unwrap_or_default();
        self.global.note(&format!(
            "{}: {loss}{} of {} held-out questions right, {:.0} s",
            self.name,
            member.exam.right,
            member.exam.asked,
            self.started.elapsed().as_secs_f64()
        ));
    }
}

fn table(members: &[Member]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "name",
        "made from",
        "relation",
        "weights",
        "loss",
        "exam",
        "digest",
    ]);
    let shown = |text: &str| ModelText::new(text).clipped(24);
    for member in members {
        let loss = member.training.as_ref().map(|training| training.loss);
        let exam = 100.0 * member.exam.right as f64 / member.exam.asked.max(1) as f64;
        let digest = member.digest.trim_start_matches("sha256:");
        table.add_row([
            Cell::new(shown(&member.name)),
            Cell::new(
                member
                    .parent
                    .as_deref()
                    .map_or_else(|| "-".to_owned(), shown),
            ),
            Cell::new(
                member
                    .relation
                    .as_deref()
                    .map_or_else(|| "base".to_owned(), shown),
            ),
            right(format!("{:.2} M", member.parameters as f64 / 1e6)),
            right(loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.3}"))),
            right(format!("{exam:.0} %")),
            Cell::new(digest.get(..8).unwrap_or_default()),
        ]);
    }
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim());
    }
    text
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
