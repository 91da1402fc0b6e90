//! `kinprobe methods`: each method's card.

use std::fmt::Write;

use anyhow::Result;

use crate::cli::Global;
use crate::evidence;
use crate::evidence::Card;

/// Flags of `methods`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only methods whose id starts with this (`weight`, `behaviour.error_overlap`)
    #[arg(value_name = "ID")]
    id: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When no method has such an id, or stdout is closed.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let start = args.id.as_deref().unwrap_or_default();
    let cards: Vec<&Card> = evidence::methods()
        .map(evidence::Evidence::card)
        .filter(|card| card.id.starts_with(start))
        .collect();
    if cards.is_empty() {
        let known: Vec<&str> = evidence::methods().map(|method| method.card().id).collect();
        anyhow::bail!(
            "no method's id starts with `{start}`: there are {}",
            known.join(", ")
        );
    }
    if global.json {
        return global.json_result(&cards);
    }
    let texts: Vec<String> = cards.iter().map(|card| text(card)).collect();
    global.result(&texts.join("\n"))
}

/// Columns of the text.
const WIDTH: usize = 80;

/// Columns before a field's text.
const INDENT: usize = 12;

fn text(card: &Card) -> String {
    let mut out = format!(
        "{} (version {}, family {})\n",
        card.id, card.version, card.family
    );
    let survives = match card.survives {
        [] => "no laundering in particular".to_owned(),
        names => names.join(", "),
    };
    let fields = [
        ("title", card.title),
        ("measures", card.measures),
        ("null", card.null),
        ("fooled by", card.fooled_by),
        ("cost", card.cost),
        ("reference", card.reference),
        ("survives", &survives),
    ];
    for (name, value) in fields {
        let mut label = name;
        for line in wrap(value, WIDTH - INDENT) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "  {label:<width$}{line}", width = INDENT - 2);
            label = "";
        }
    }
    out
}

/// Words in lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width
        });
        match line {
            Some(line) => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_fit_the_terminal() {
        for method in evidence::methods() {
            for line in text(method.card()).lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn wrapping_keeps_the_words() {
        assert_eq!(wrap("ab cd  efg", 5), vec!["ab cd", "efg"]);
        assert_eq!(wrap("abcdefgh i", 3), vec!["abcdefgh", "i"]);
    }
}
