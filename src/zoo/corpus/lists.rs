//! Lists: answers that stand in the prompt and must be found there.

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

const PLACES: &[&str] = &["first", "second", "third", "last"];

impl Lists {
    fn items(&self, dice: &mut Dice, count: usize) -> Vec<String> {
        match dice.below(4) {
            0 => dice.some(&self.people, count),
            1 => dice.some(&self.towns, count),
            2 => owned(&dice.some(words::GOODS, count)),
            _ => owned(&dice.some(words::ANIMALS, count)),
        }
    }

    /// One line of JSON, and its entries.
    fn record(&self, dice: &mut Dice) -> (String, [(&'static str, String); 3]) {
        let entries = [
            ("name", dice.pick(&self.people).clone()),
            ("town", dice.pick(&self.towns).clone()),
            ("item", dice.word(words::GOODS).to_owned()),
        ];
        let fields: Vec<String> = entries
            .iter()
            .map(|(key, value)| format!("\"{key}\": \"{value}\""))
            .collect();
        (format!("{{{}}}", fields.join(", ")), entries)
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Domain for Lists {
    fn passage(&self, dice: &mut Dice) -> String {
        let count = dice.between(2, 6);
        let items = self.items(dice, count);
        let list = items.join(", ");
        if dice.one_in(4) {
            let mut sorted = items;
            sorted.sort();
            return format!("List: {list}\nSorted: {}\n", sorted.join(", "));
        }
        let again: Vec<String> = (0..dice.between(1, 3))
            .map(|_| format!("Again: {list}\n"))
            .collect();
        format!("List: {list}\n{}", again.concat())
    }

    fn question(&self, dice: &mut Dice) -> Question {
        let count = dice.between(3, 4);
        let items = self.items(dice, count);
        let list = items.join(", ");
        match dice.below(8) {
            0 => {
                let asked = format!("How many words are in this list: {list}?");
                Question::plain(&asked, items.len().to_string())
            }
            1 => {
                let place = dice.below(items.len() - 1);
                let asked = format!("Which word follows {} in this list: {list}?", items[place]);
                Question::plain(&asked, items[place + 1].clone())
            }
            2 => Question::plain(&format!("What does this list say: {list}?"), list),
            3..=5 => {
                let place = dice.below(PLACES.len());
                let item = items.get(place).filter(|_| place < 3).or(items.last());
                let asked = format!("Which word is the {} in this list: {list}?", PLACES[place]);
                Question::plain(&asked, item.cloned().unwrap_or_default())
            }
            _ => {
                let (json, entries) = self.record(dice);
                let (key, value) = dice.pick(&entries).clone();
                Question::plain(&format!("What is the {key} in {json}?"), value)
            }
        }
    }
}
