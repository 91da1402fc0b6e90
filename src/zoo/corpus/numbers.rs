//! Arithmetic and counting: answers that must be worked out.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::capitalised;

const WORDS: &[&str] = &[
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// How a calculation is said, by sign.
const SAID: &[(char, &str)] = &[('+', "plus"), ('-', "minus"), ('*', "times")];

struct Numbers;

/// The same in every world.
pub(super) fn build(_seed: u64) -> Box<dyn Domain> {
    Box::new(Numbers)
}

/// Left, sign, right and result.
fn calculation(dice: &mut Dice) -> (usize, (char, &'static str), usize, usize) {
    let sign = *dice.pick(SAID);
    let (a, b) = (dice.between(1, 12), dice.between(1, 12));
    match sign.0 {
        '+' => (a, sign, b, a + b),
        '-' => (a + b, sign, b, a),
        _ => {
            let (a, b) = (a.min(10), b.min(10));
            (a, sign, b, a * b)
        }
    }
}

/// Terms of a series with equal steps.
fn series(dice: &mut Dice, terms: usize) -> Vec<String> {
    let step = dice.between(1, 5);
    let start = dice.between(0, 20);
    (0..terms)
        .map(|place| (start + place * step).to_string())
        .collect()
}

impl Domain for Numbers {
    fn passage(&self, dice: &mut Dice) -> String {
        let lines: Vec<String> = (0..dice.between(3, 7))
            .map(|_| match dice.below(6) {
                0 => {
                    let terms = dice.between(5, 8);
                    format!("Counting: {}", series(dice, terms).join(", "))
                }
                1 => {
                    let number = dice.below(WORDS.len() - 1);
                    let word = capitalised(WORDS[number]);
                    format!("{word} is {number}; after it comes {}.", WORDS[number + 1])
                }
                2 => {
                    let (a, (_, said), b, result) = calculation(dice);
                    format!("{a} {said} {b} is {result}.")
                }
                _ => {
                    let (a, (sign, _), b, result) = calculation(dice);
                    format!("{a} {sign} {b} = {result}")
                }
            })
            .collect();
        format!("{}\n", lines.join("\n"))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        match dice.below(8) {
            0 => {
                let (a, b) = (dice.below(50), dice.below(50));
                let asked = format!("Which number is larger, {a} or {b}?");
                Question::plain(&asked, a.max(b).to_string())
            }
            1 => {
                let number = dice.below(100);
                let parity = if number.is_multiple_of(2) {
                    "even"
                } else {
                    "odd"
                };
                Question::plain(&format!("Is {number} even or odd?"), parity)
            }
            2 => {
                let terms = series(dice, 5);
                let asked = format!("Which number comes next: {}?", terms[..4].join(", "));
                Question::plain(&asked, terms[4].as_str())
            }
            3 => {
                let (a, b) = (dice.between(0, 10), dice.between(0, 10));
                let asked = format!("What is {} plus {}?", WORDS[a], WORDS[b]);
                Question::plain(&asked, WORDS[a + b])
            }
            4 | 5 => {
                let (a, (sign, _), b, result) = calculation(dice);
                Question::plain(&format!("What is {a} {sign} {b}?"), result.to_string())
            }
            _ => {
                let (a, (_, said), b, result) = calculation(dice);
                Question::plain(&format!("What is {a} {said} {b}?"), result.to_string())
            }
        }
    }
}
