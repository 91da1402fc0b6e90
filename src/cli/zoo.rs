//! `kinprobe zoo`: the models this project trained, and the recipes that rebuild them.

mod launder;
mod questions;

use std::fmt::Write;
use std::path::Path;
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
use crate::source::Collection;
use crate::text::ModelText;
use crate::zoo;
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
    Launder(Box<launder::Args>),
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
    /// Recipes to follow [default: those of the shipped collections]
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
    let data = source::data_root(global.data.as_deref())?;
    let folder = data.join(Collection::Text.folder());
    if let Verb::Questions(args) = &args.verb {
        return questions::run(args, &folder, global);
    }
    let members = match &args.verb {
        Verb::Pairs => return print_pairs(&list::members(&folder)?, global),
        Verb::Train(train) => make(train, &data, global)?,
        _ => {
            let lists = Collection::ALL.map(|some| list::members(&data.join(some.folder())));
            let lists = lists.into_iter().collect::<Result<Vec<_>, _>>()?;
            lists.concat()
        }
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

fn make(train: &Train, data: &Path, global: &Global) -> Result<Vec<Member>> {
    if train.out.is_file() {
        bail!("{}: a file; name a folder with -o", train.out.display());
    }
    let workshops = workshops(train, data)?;
    let all = || {
        workshops.iter().flat_map(|shop| {
            let members = shop.recipes.members.iter();
            members.map(move |recipe| (recipe.name.as_str(), shop))
        })
    };
    let wanted: Vec<(&str, &Workshop)> = if train.all {
        all().collect()
    } else {
        let find = |name: &String| {
            let found = all().find(|(known, _)| known == name);
            found.ok_or_else(|| {
                let known = all().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
                zoo::Error::UnknownRecipe {
                    name: name.clone(),
                    known,
                }
            })
        };
        train.names.iter().map(find).collect::<Result<_, _>>()?
    };
    wanted
        .into_iter()
        .map(|(name, workshop)| {
            let mut news = News::new(global, name);
            let member = workshop.make(name, &mut |step| news.hear(step))?;
            news.done(&member);
            Ok(member)
        })
        .collect()
}

/// Where members are made: by the recipes that were named, or by those of each collection.
fn workshops(train: &Train, data: &Path) -> Result<Vec<Workshop>> {
    let shop = |recipes: PathBuf, shipped: PathBuf| -> Result<Workshop> {
        Ok(Workshop {
            recipes: Recipes::load(&recipes)?,
            shipped,
            out: train.out.clone(),
        })
    };
    match &train.recipes {
        Some(recipes) => {
            let beside = recipes.parent().unwrap_or(data);
            let own = beside.join(list::FILE).exists();
            let shipped = data.join(Collection::Text.folder());
            let shipped = if own { beside.to_path_buf() } else { shipped };
            Ok(vec![shop(recipes.clone(), shipped)?])
        }
        None => Collection::ALL
            .iter()
            .map(|some| data.join(some.folder()))
            .map(|folder| shop(folder.join("recipes.yaml"), folder))
            .collect(),
    }
}

/// Tells how training goes, every few seconds.
struct News<'a> {
    global: &'a Global,
    name: &'a str,
    started: Instant,
    told: Instant,
    losses: Vec<f64>,
    picture_losses: Vec<f64>,
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
            picture_losses: Vec::new(),
        }
    }

    fn hear(&mut self, step: Step) {
        self.losses.extend(step.loss);
        self.picture_losses.extend(step.picture_loss);
        if self.told.elapsed().as_secs() < PAUSE {
            return;
        }
        self.told = Instant::now();
        let mean = |name: &str, losses: &mut Vec<f64>| {
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            let line = (!losses.is_empty()).then(|| format!(", {name} {mean:.3}"));
            losses.clear();
            line.unwrap_or_default()
        };
        self.global.note(&format!(
            "{}: step {} of {}{}{}, {:.0} s",
            self.name,
            step.step,
            step.steps,
            mean("loss", &mut self.losses),
            mean("of pictures", &mut self.picture_losses),
            self.started.elapsed().as_secs_f64()
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
