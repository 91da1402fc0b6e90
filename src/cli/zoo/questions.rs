//! `kinprobe zoo questions`: datasets of the world that the zoo's members learnt.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use serde_json::json;

use crate::cli::Global;
use crate::zoo::exam;
use crate::zoo::recipe::ExamRecipe;
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
    /// Running text instead, of up to so many characters each
    #[arg(long, value_name = "CHARACTERS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    text: Option<u32>,
}

/// Prints questions or text of the world in which the shipped recipes examine, one JSON object per line.
pub fn run(args: &Args, zoo: &Path, global: &Global) -> Result<()> {
    let recipes = Recipes::load(&zoo.join("recipes.yaml"))?;
    let rows = match args.text {
        Some(longest) => passages(&recipes.exam, args, longest as usize)?,
        None => questions(&recipes.exam, args)?,
    };
    let mut lines = String::new();
    for row in rows {
        writeln!(lines, "{row}")?;
    }
    global.result(&lines)
}

fn questions(recipe: &ExamRecipe, args: &Args) -> Result<Vec<Value>> {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let questions = exam::questions(recipe, args.seed, args.count as usize)?;
    let row = |(domain, question): &(&'static str, crate::zoo::corpus::Question)| {
        let number = numbers.entry(domain).or_default();
        *number += 1;
        json!({
            "id": format!("{domain}-{number:03}"),
            "domain": domain,
            "prompt": question.prompt,
            "answer": question.answer,
        })
    };
    Ok(questions.iter().map(row).collect())
}

fn passages(recipe: &ExamRecipe, args: &Args, longest: usize) -> Result<Vec<Value>> {
    let passages = exam::passages(recipe, args.seed, args.count as usize, longest)?;
    let row =
        |(at, text): (usize, &String)| json!({"id": format!("text-{:03}", at + 1), "text": text});
    Ok(passages.iter().enumerate().map(row).collect())
}
