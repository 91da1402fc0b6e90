//! `kinprobe zoo questions`: a dataset of the world that the zoo's members learnt.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::cli::Global;
use crate::zoo::exam;
use crate::zoo::recipe::Recipes;

/// Flags of `zoo questions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Questions to write, evenly over the domains as far as they have as many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Seed of the choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// One line of the dataset.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: String,
    domain: &'a str,
    prompt: &'a str,
    answer: &'a str,
}

/// Prints the questions, one JSON object per line, of the world in which the shipped recipes examine.
pub fn run(args: &Args, zoo: &Path, global: &Global) -> Result<()> {
    let recipes = Recipes::load(&zoo.join("recipes.yaml"))?;
    let questions = exam::questions(&recipes.exam, args.seed, args.count as usize)?;
    let mut lines = String::new();
    let mut numbers = std::collections::BTreeMap::new();
    for (domain, question) in &questions {
        let number = numbers.entry(*domain).or_insert(0);
        *number += 1;
        let line = Line {
            id: format!("{domain}-{number:03}"),
            domain,
            prompt: &question.prompt,
            answer: &question.answer,
        };
        writeln!(lines, "{}", serde_json::to_string(&line)?)?;
    }
    global.result(&lines)
}
