//! `kinprobe review`: what changed since a model was accepted, item by item, before a person.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::BufRead;
use std::io::IsTerminal;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use crate::baseline;
use crate::baseline::Baseline;
use crate::baseline::check::ItemChange;
use crate::baseline::check::Settings;
use crate::cli::Global;
use crate::cli::against::Against;
use crate::cli::baseline::FOLDER;
use crate::cli::baseline::GateArgs;
use crate::cli::baseline::accepted;
use crate::cli::baseline::for_people;
use crate::cli::baseline::open;
use crate::cli::baseline::suites;
use crate::cli::endpoint::Asking;
use crate::cli::exit;
use crate::cli::memory::Memory;
use crate::cli::run;
use crate::probe::Suite;
use crate::report::Style;
use crate::report::check::Card;
use crate::source::ModelRef;

/// Flags of `review`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model; its label names the baseline (`name=MODEL` to hold another one against it)
    model: ModelRef,
    /// Suites, by id or by the path of a YAML file
    #[arg(short, long, required = true, num_args = 1.., value_name = "SUITE")]
    suite: Vec<String>,
    /// Folder of the baselines
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    baseline: PathBuf,
    /// Why what is accepted is right [default: asked for]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    asking: Asking,
}

/// Reads the baselines, asks the model, shows what changed, writes what was accepted.
///
/// # Errors
/// No terminal; what `check` refuses; and, once all is written, changes that were not accepted.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    for_people()?;
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(exit::usage(without_terminal(args)));
    }
    let suites = suites(global, &args.suite)?;
    let label = run::label(&args.model);
    let place = |suite: &Suite| baseline::path(&args.baseline, &suite.id, &label);
    let before = suites.iter().map(|suite| baseline::read(&place(suite)));
    let before = before.collect::<Result<Vec<Baseline>, _>>()?;
    let model = open(global, &args.model, &label, &args.asking)?;
    let runner = run::load(global, &model, args.memory.limit())?;
    let mut open = 0;
    for (suite, before) in suites.iter().zip(&before) {
        let against = Against {
            global,
            model: &model,
            runner: &*runner,
            suite,
            before,
            place: place(suite),
        };
        let settings = Settings {
            gate: args.gate.gate(before.head.gate)?,
            noise_floor: args.gate.noise_floor,
            strict: false,
            alpha_share: 1.0,
        };
        let (now, outcome) = against.all(&settings)?;
        global.result(&format!(
            "{}: {} of {} items changed ({})",
            suite.id,
            outcome.changed.len(),
            outcome.compared,
            outcome.gate.tier.name()
        ))?;
        let mut desk = Desk {
            input: std::io::stdin().lock(),
            output: std::io::stdout().lock(),
            style: global.style(),
        };
        let decided = desk.review(suite, &outcome.changed)?;
        open += decided.open.len();
        if decided.taken.is_empty() {
            continue;
        }
        let reason = match &args.reason {
            Some(reason) => reason.clone(),
            None => desk.line("why is this right? ")?.unwrap_or_default(),
        };
        let accepted = accepted(&reason)?;
        let after = baseline::reviewed(before, &now, &decided.taken, &decided.open, accepted);
        baseline::write(&against.place, &after)?;
        writeln!(
            desk.output,
            "{} accepted: {}",
            decided.taken.len(),
            against.place.display()
        )?;
    }
    match open {
        0 => Ok(()),
        _ => Err(exit::coded(
            exit::GATE_FAILED,
            format!(
                "{open} changed items are left as they were accepted: correct the model, or review again"
            ),
        )),
    }
}

/// What to type where nobody can be asked.
fn without_terminal(args: &Args) -> String {
    let rest = format!("{} --suite {}", args.model, args.suite.join(" "));
    format!(
        "a review is done on a terminal; without one `kinprobe check {rest} --baseline {folder}` says what changed and \
         `kinprobe accept {rest} --to {folder} --reason \"…\"` accepts all of it",
        folder = args.baseline.display()
    )
}

/// Which of the changed items were accepted.
#[derive(Debug, Default, PartialEq)]
struct Decided {
    taken: BTreeSet<String>,
    open: BTreeSet<String>,
}

/// Where items are shown and answers come from.
struct Desk<I, O> {
    input: I,
    output: O,
    style: Style,
}

impl<I: BufRead, O: Write> Desk<I, O> {
    /// Shows one item after the other; the end of the input leaves the rest open.
    fn review(&mut self, suite: &Suite, changed: &[ItemChange]) -> Result<Decided> {
        let prompts: BTreeMap<&str, &str> = suite
            .items
            .iter()
            .map(|item| (item.id.as_str(), item.prompt.as_str()))
            .collect();
        let mut decided = Decided::default();
        let mut for_all = None;
        for (at, change) in changed.iter().enumerate() {
            let take = match for_all {
                Some(take) => take,
                None => {
                    let card = Card {
                        change,
                        prompt: prompts
                            .get(change.item.as_str())
                            .copied()
                            .unwrap_or_default(),
                        place: (at + 1, changed.len()),
                    };
                    self.output.write_all(card.text(self.style).as_bytes())?;
                    let (take, all) = self.choice()?;
                    for_all = all.then_some(take);
                    take
                }
            };
            let set = if take {
                &mut decided.taken
            } else {
                &mut decided.open
            };
            set.insert(change.item.clone());
        }
        Ok(decided)
    }

    /// Whether to take the item, and whether that goes for the rest as well.
    fn choice(&mut self) -> Result<(bool, bool)> {
        loop {
            let line = self.line("[a]ccept, [r]eject, [A]ccept all the rest, [q]uit: ")?;
            match line.as_deref() {
                Some("a") => return Ok((true, false)),
                Some("r") => return Ok((false, false)),
                Some("A") => return Ok((true, true)),
                Some("q") | None => return Ok((false, true)),
                Some(_) => {}
            }
        }
    }

    /// One line, without what surrounds it; `None` at the end of the input.
    fn line(&mut self, prompt: &str) -> Result<Option<String>> {
        write!(self.output, "{prompt}")?;
        self.output.flush()?;
        let mut line = String::new();
        let read = self.input.read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(item: &str) -> ItemChange {
        ItemChange {
            item: item.to_owned(),
            before: "one \u{1b}[2J answer".to_owned(),
            now: "another".to_owned(),
            correct: [Some(true), Some(false)],
            margin: Some(0.5),
            margin_of: None,
            knife_edge: false,
            why: "another answer".to_owned(),
        }
    }

    fn decided(input: &str) -> (Vec<String>, Vec<String>, String) {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let suites = crate::probe::select(root, &["short-answer".to_owned()]).unwrap();
        let mut ids = suites[0].items.iter().map(|item| item.id.clone());
        let changed: Vec<ItemChange> = ids.by_ref().take(4).map(|id| change(&id)).collect();
        let mut desk = Desk {
            input: input.as_bytes(),
            output: Vec::new(),
            style: Style::PLAIN,
        };
        let decided = desk.review(&suites[0], &changed).unwrap();
        let place = |set: &BTreeSet<String>| -> Vec<String> {
            let of = |id: &String| changed.iter().position(|one| one.item == *id).unwrap();
            let mut all: Vec<usize> = set.iter().map(of).collect();
            all.sort_unstable();
            all.iter().map(ToString::to_string).collect()
        };
        let shown = String::from_utf8(desk.output).unwrap();
        (place(&decided.taken), place(&decided.open), shown)
    }

    #[test]
    fn each_item_is_taken_or_left() {
        let (taken, open, shown) = decided("a\nr\nwhat\na\nr\n");
        assert_eq!(
            (taken, open),
            (
                vec!["0".to_owned(), "2".to_owned()],
                vec!["1".to_owned(), "3".to_owned()]
            )
        );
        assert!(
            shown.contains("(2 of 4)") && shown.contains("(right)"),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let side_by_side = |line: &str| line.contains("one") && line.contains("│ another");
        assert!(shown.lines().any(side_by_side), "{shown}");
    }

    #[test]
    fn the_rest_is_taken_at_once_or_left() {
        let all = ["1", "2", "3"].map(str::to_owned).to_vec();
        let first = vec!["0".to_owned()];
        let (taken, open, shown) = decided("r\nA\n");
        assert_eq!((&taken, &open), (&all, &first));
        assert_eq!(shown.matches(" of 4)").count(), 2, "{shown}");
        // The end of the input and `q` are the same.
        for rest in ["", "q\n"] {
            let (taken, open, _) = decided(&format!("a\n{rest}"));
            assert_eq!((&taken, &open), (&first, &all));
        }
    }
}
