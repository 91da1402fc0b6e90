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

struct Numbers;

/// The same in every world.
pub(super) fn build(_seed: u64) -> Box<dyn Domain> {
    Box::new(Numbers)
}

/// One equation, left and right of the equals sign.
fn equation(dice: &mut Dice) -> (String, usize) {
    match dice.below(6) {
        0 | 1 => {
            let (a, b) = (dice.between(0, 20), dice.between(0, 20));
            (format!("{a} + {b}"), a + b)
        }
        2 | 3 => {
            let (a, b) = (dice.between(0, 20), dice.between(0, 20));
            (format!("{} - {b}", a + b), a)
        }
        4 => {
            let (a, b) = (dice.between(1, 10), dice.between(1, 10));
            (format!("{a} * {b}"), a * b)
        }
        _ => {
            let (a, b) = (dice.between(20, 99), dice.between(1, 20));
            (format!("{a} + {b}"), a + b)
        }
    }
}

fn count_up(dice: &mut Dice) -> String {
    let step = dice.between(1, 5);
    let start = dice.between(0, 30);
    let terms: Vec<String> = (0..dice.between(5, 9))
        .map(|place| (start + place * step).to_string())
        .collect();
    match step {
        1 => format!("Counting from {start}: {}.", terms.join(", ")),
        _ => format!("Counting by {step} from {start}: {}.", terms.join(", ")),
    }
}

impl Domain for Numbers {
    fn passage(&self, dice: &mut Dice) -> String {
        let lines: Vec<String> = (0..dice.between(3, 7))
            .map(|_| match dice.below(5) {
                0 => count_up(dice),
                1 => {
                    let number = dice.below(WORDS.len() - 1);
                    let word = capitalised(WORDS[number]);
                    format!("{word} is {number}; after it comes {}.", WORDS[number + 1])
                }
                _ => {
                    let (left, right) = equation(dice);
                    format!("{left} = {right}")
                }
            })
            .collect();
        format!("{}\n", lines.join("\n"))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        match dice.below(9) {
            0 => {
                let (a, b) = (dice.below(100), dice.below(100));
                let asked = format!("Which is larger, {a} or {b}?");
                Question::plain(&asked, a.max(b).to_string())
            }
            1 => {
                let number = dice.below(200);
                let parity = if number.is_multiple_of(2) {
                    "even"
                } else {
                    "odd"
                };
                Question::plain(&format!("Is {number} even or odd?"), parity)
            }
            2 => {
                let number = dice.below(200);
                let asked = format!("Which number comes after {number}?");
                Question::plain(&asked, (number + 1).to_string())
            }
            3 => {
                let (a, b) = (dice.between(0, 10), dice.between(0, 10));
                let asked = format!("What is {} plus {}?", WORDS[a], WORDS[b]);
                Question::plain(&asked, WORDS[a + b])
            }
            _ => {
                let (left, right) = equation(dice);
                Question::plain(&format!("What is {left}?"), right.to_string())
            }
        }
    }
}
