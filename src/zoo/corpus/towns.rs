//! Invented towns: river, mayor, what they make, what things cost there, how far the next one is.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::listed;
use super::template::Wording;
use super::words;

const RIVERS: &[&str] = &[
    "Ever", "Salt", "Willow", "Amber", "Long", "Silver", "Mill", "Deep",
];

/// What is known about every town.
const FACTS: &[Wording] = &[
    Wording {
        tell: &[
            "{who} lies on the {it} River.",
            "The {it} River flows through {who}.",
        ],
        ask: &[
            "On which river does {who} lie?",
            "Which river flows through {who}?",
            "What is the river of {who} called?",
        ],
    },
    Wording {
        tell: &["The mayor of {who} is {it}.", "{it} is the mayor of {who}."],
        ask: &[
            "Who is the mayor of {who}?",
            "What is the name of the mayor of {who}?",
            "Who governs {who}?",
        ],
    },
    Wording {
        tell: &[
            "{who} is known for its {it}.",
            "The best {it} comes from {who}.",
        ],
        ask: &[
            "What is {who} known for?",
            "Which food does {who} make?",
            "What comes from {who}?",
        ],
    },
    Wording {
        tell: &["About {it} people live in {who}.", "{who} has {it} people."],
        ask: &[
            "How many people live in {who}?",
            "How many people does {who} have?",
            "What is the population of {who}?",
        ],
    },
    Wording {
        tell: &[
            "The road from {who} leads to {it}.",
            "From {who} one comes to {it}.",
        ],
        ask: &[
            "Where does the road from {who} lead?",
            "Which town comes after {who}?",
            "To which town does the road from {who} go?",
        ],
    },
];

/// Prices of goods, `{who}` being the good with its town.
const PRICE: Wording = Wording {
    tell: &[
        "The price of a {who} is {it} marks.",
        "They ask {it} marks for a {who}.",
        "You pay {it} marks for a {who}.",
    ],
    ask: &[
        "How many marks does a {who} cost?",
        "What is the price of a {who}?",
        "How much is a {who}?",
    ],
};

/// Goods on one town's market.
const STALLS: usize = 4;

struct Town {
    name: String,
    /// One for each of [`FACTS`].
    facts: Vec<String>,
    /// Goods with their prices in marks.
    market: Vec<(&'static str, usize)>,
}

struct Towns(Vec<Town>);

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
            facts: vec![
                dice.word(RIVERS).to_owned(),
                dice.pick(&people).clone(),
                dice.word(words::FOODS).to_owned(),
                (100 * dice.between(3, 40)).to_string(),
                names[(index + 1) % names.len()].clone(),
            ],
            market: dice
                .some(words::GOODS, STALLS)
                .into_iter()
                .map(|good| (good, dice.between(2, 30)))
                .collect(),
        })
        .collect();
    Box::new(Towns(towns))
}

impl Town {
    fn tell(&self, dice: &mut Dice) -> String {
        match dice.below(9) {
            0 => {
                let goods: Vec<String> = self
                    .market
                    .iter()
                    .map(|(good, _)| format!("{good}s"))
                    .collect();
                format!("The market of {} sells {}.", self.name, listed(&goods))
            }
            1..=5 => {
                let fact = dice.below(FACTS.len());
                FACTS[fact].told(dice, &self.name, &self.facts[fact])
            }
            _ => {
                let (good, price) = dice.pick(&self.market);
                let place = format!("{good} in {}", self.name);
                PRICE.told(dice, &place, &price.to_string())
            }
        }
    }
}

impl Domain for Towns {
    fn passage(&self, dice: &mut Dice) -> String {
        let town = dice.pick(&self.0);
        let count = dice.between(3, 5);
        let sentences: Vec<String> = (0..count).map(|_| town.tell(dice)).collect();
        format!("{}\n", sentences.join(" "))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        let town = dice.pick(&self.0);
        let (good, price) = dice.pick(&town.market);
        match dice.below(10) {
            0 => {
                let count = dice.between(2, 3);
                let asked = format!("How many marks do {count} {good}s cost in {}?", town.name);
                Question::plain(&asked, (price * count).to_string())
            }
            1..=4 => PRICE.asked(
                dice,
                &format!("{good} in {}", town.name),
                &price.to_string(),
            ),
            _ => {
                let fact = dice.below(FACTS.len());
                FACTS[fact].asked(dice, &town.name, &town.facts[fact])
            }
        }
    }
}
