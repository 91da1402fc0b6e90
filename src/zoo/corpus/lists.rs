//! Lists and JSON objects: answers that stand in the prompt and must be found there.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::words;

struct Lists {
    people: Vec<String>,
    towns: Vec<String>,
}

/// Lists of the things of the world that `seed` invents.
pub(super) fn build(seed: u64) -> Box<dyn Domain> {
    Box::new(Lists {
        people: words::people(seed),
        towns: words::towns(seed),
    })
}

impl Lists {
    fn items(&self, dice: &mut Dice) -> Vec<String> {
        let count = dice.between(3, 5);
        match dice.below(4) {
            0 => dice.some(&self.people, count),
            1 => dice.some(&self.towns, count),
            2 => owned(&dice.some(words::GOODS, count)),
            _ => owned(&dice.some(words::ANIMALS, count)),
        }
    }

    fn record(&self, dice: &mut Dice) -> [(&'static str, String); 4] {
        [
            ("name", dice.pick(&self.people).clone()),
            ("town", dice.pick(&self.towns).clone()),
            ("item", (dice.word(words::GOODS)).to_owned()),
            ("count", dice.between(1, 40).to_string()),
        ]
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// One line of JSON; numbers stay bare.
fn json(record: &[(&'static str, String)]) -> String {
    let fields: Vec<String> = record
        .iter()
        .map(|(key, value)| match *key {
            "count" => format!("\"{key}\": {value}"),
            _ => format!("\"{key}\": \"{value}\""),
        })
        .collect();
    format!("{{{}}}", fields.join(", "))
}

impl Domain for Lists {
    fn passage(&self, dice: &mut Dice) -> String {
        match dice.below(3) {
            0 => {
                let lines: Vec<String> = (0..dice.between(2, 3))
                    .map(|_| json(&self.record(dice)))
                    .collect();
                format!("{}\n", lines.join("\n"))
            }
            1 => {
                let items = self.items(dice);
                let lines: Vec<String> = items.iter().map(|item| format!("- {item}\n")).collect();
                format!("List of {} things:\n{}", items.len(), lines.concat())
            }
            _ => {
                let items = self.items(dice);
                let mut sorted = items.clone();
                sorted.sort();
                let mut reversed = items.clone();
                reversed.reverse();
                format!(
                    "List: {}\nSorted: {}\nBackwards: {}\n",
                    items.join(", "),
                    sorted.join(", "),
                    reversed.join(", ")
                )
            }
        }
    }

    fn question(&self, dice: &mut Dice) -> Question {
        let items = self.items(dice);
        let list = items.join(", ");
        match dice.below(7) {
            0 => Question::plain(
                &format!("What is the first word of this list: {list}?"),
                items[0].clone(),
            ),
            1 => Question::plain(
                &format!("What is the last word of this list: {list}?"),
                items[items.len() - 1].clone(),
            ),
            2 => Question::plain(
                &format!("How many words are in this list: {list}?"),
                items.len().to_string(),
            ),
            3 => {
                let place = dice.below(items.len() - 1);
                let asked = format!("Which word follows {} in this list: {list}?", items[place]);
                Question::plain(&asked, items[place + 1].clone())
            }
            4 => {
                let first = items.iter().min().cloned().unwrap_or_default();
                Question::plain(
                    &format!("Which word comes first in the alphabet: {list}?"),
                    first,
                )
            }
            _ => {
                let record = self.record(dice);
                let (key, value) = dice.pick(&record).clone();
                let asked = format!("What is the {key} in {}?", json(&record));
                Question::plain(&asked, value)
            }
        }
    }
}
