//! Invented towns: river, mayor, what they make, what things cost there, how far the next one is.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::listed;
use super::with_article;
use super::words;

const RIVERS: &[&str] = &[
    "Ever", "Salt", "Willow", "Amber", "Long", "Silver", "Mill", "Deep",
];

/// Goods on one town's market.
const STALLS: usize = 5;

struct Town {
    name: String,
    river: &'static str,
    mayor: String,
    makes: &'static str,
    people: usize,
    /// Goods with their prices in marks.
    market: Vec<(&'static str, usize)>,
    next: String,
    miles: usize,
}

struct Towns {
    towns: Vec<Town>,
}

/// The towns of the world that `seed` invents.
pub(super) fn build(seed: u64) -> Box<dyn Domain> {
    let names = words::towns(seed);
    let people = words::people(seed);
    let mut dice = Dice::named(seed, "market");
    let towns = names
        .iter()
        .enumerate()
        .map(|(index, name)| Town {
            name: name.clone(),
            river: dice.word(RIVERS),
            mayor: dice.pick(&people).clone(),
            makes: dice.word(words::FOODS),
            people: 100 * dice.between(3, 40),
            market: dice
                .some(words::GOODS, STALLS)
                .into_iter()
                .map(|good| (good, dice.between(2, 30)))
                .collect(),
            next: names[(index + 1) % names.len()].clone(),
            miles: dice.between(3, 25),
        })
        .collect();
    Box::new(Towns { towns })
}

impl Town {
    fn tell(&self, dice: &mut Dice) -> String {
        let Self {
            name,
            river,
            mayor,
            makes,
            people,
            next,
            miles,
            ..
        } = self;
        match dice.below(8) {
            0 => format!("{name} lies on the {river} River."),
            1 => format!("The mayor of {name} is {mayor}."),
            2 => format!("{name} is known for its {makes}."),
            3 => format!("About {people} people live in {name}."),
            4 => format!("From {name} to {next} it is {miles} miles."),
            5 => format!("The road from {name} leads to {next}."),
            6 => {
                let goods: Vec<String> = self
                    .market
                    .iter()
                    .map(|(good, _)| format!("{good}s"))
                    .collect();
                format!("The market of {name} sells {}.", listed(&goods))
            }
            _ => {
                let (good, price) = dice.pick(&self.market);
                let good = with_article(good);
                match dice.below(3) {
                    0 => format!("In {name} {good} costs {price} marks."),
                    1 => format!("The price of {good} in {name} is {price} marks."),
                    _ => format!("On the market of {name} they ask {price} marks for {good}."),
                }
            }
        }
    }

    fn ask(&self, dice: &mut Dice) -> Question {
        let name = &self.name;
        match dice.below(9) {
            0 => Question::plain(&format!("On which river does {name} lie?"), self.river),
            1 => Question::plain(&format!("Who is the mayor of {name}?"), self.mayor.clone()),
            2 => Question::plain(&format!("What is {name} known for?"), self.makes),
            3 => Question::plain(
                &format!("How many people live in {name}?"),
                self.people.to_string(),
            ),
            4 => Question::plain(
                &format!("How many miles is it from {name} to {}?", self.next),
                self.miles.to_string(),
            ),
            5 => Question::plain(
                &format!("Where does the road from {name} lead?"),
                self.next.clone(),
            ),
            6 => {
                let (good, price) = dice.pick(&self.market);
                let count = dice.between(2, 4);
                let asked = format!("What do {count} {good}s cost in {name}?");
                Question::plain(&asked, format!("{} marks", price * count))
            }
            _ => {
                let (good, price) = dice.pick(&self.market);
                let good = with_article(good);
                let asked = if dice.one_in(2) {
                    format!("What does {good} cost in {name}?")
                } else {
                    format!("How much is {good} in {name}?")
                };
                Question::plain(&asked, format!("{price} marks"))
            }
        }
    }
}

impl Domain for Towns {
    fn passage(&self, dice: &mut Dice) -> String {
        let town = dice.pick(&self.towns);
        let count = dice.between(3, 5);
        let sentences: Vec<String> = (0..count).map(|_| town.tell(dice)).collect();
        format!("{}\n", sentences.join(" "))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        dice.pick(&self.towns).ask(dice)
    }
}
