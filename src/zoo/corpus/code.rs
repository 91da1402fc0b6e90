//! Small programs and what they give.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::words;

const VERBS: &[(&str, char)] = &[("add", '+'), ("take", '-'), ("times", '*')];

const VARIABLES: &[&str] = &["x", "y", "n", "total", "count", "size", "price"];

struct Code;

/// The same in every world.
pub(super) fn build(_seed: u64) -> Box<dyn Domain> {
    Box::new(Code)
}

fn apply(operator: char, left: usize, right: usize) -> usize {
    match operator {
        '+' => left + right,
        '-' => left.saturating_sub(right),
        _ => left * right,
    }
}

fn function(dice: &mut Dice) -> String {
    let (verb, operator) = dice.pick(VERBS);
    let (variable, by) = (dice.word(VARIABLES), dice.between(1, 9));
    let given = dice.between(by, 20);
    let result = apply(*operator, given, by);
    format!(
        "def {verb}_{by}({variable}):\n    return {variable} {operator} {by}\n\nprint({verb}_{by}({given}))  # {result}\n"
    )
}

fn assignments(dice: &mut Dice) -> (String, usize) {
    let names = dice.some(VARIABLES, 2);
    let (first, second) = (names[0], names[1]);
    let (a, b) = (dice.between(1, 12), dice.between(1, 9));
    let (operator, a) = match dice.below(3) {
        0 => ('+', a),
        1 => ('-', a + b),
        _ => ('*', a.min(9)),
    };
    let program = format!("{first} = {a}\n{second} = {first} {operator} {b}\nprint({second})");
    (program, apply(operator, a, b))
}

fn on_a_list(dice: &mut Dice) -> (String, String) {
    let items = dice.some(words::GOODS, 3);
    let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    let place = dice.below(3);
    let (call, result) = if dice.one_in(4) {
        ("len(items)".to_owned(), "3".to_owned())
    } else {
        (format!("items[{place}]"), items[place].to_owned())
    };
    (
        format!("items = [{}]\nprint({call})", quoted.join(", ")),
        result,
    )
}

fn loops(dice: &mut Dice) -> String {
    let (variable, limit) = (dice.word(VARIABLES), dice.between(2, 5));
    let printed: Vec<String> = (0..limit).map(|i| i.to_string()).collect();
    format!(
        "for {variable} in range({limit}):\n    print({variable})\n# {}\n",
        printed.join(" ")
    )
}

impl Domain for Code {
    fn passage(&self, dice: &mut Dice) -> String {
        match dice.below(4) {
            0 | 1 => function(dice),
            2 => loops(dice),
            _ => {
                let (program, result) = assignments(dice);
                format!("{program}  # {result}\n")
            }
        }
    }

    fn question(&self, dice: &mut Dice) -> Question {
        let (program, result) = if dice.one_in(2) {
            let (program, result) = assignments(dice);
            (program, result.to_string())
        } else {
            on_a_list(dice)
        };
        Question::plain(&format!("What does this program print?\n{program}"), result)
    }

    fn questions_together(&self) -> usize {
        2
    }
}
