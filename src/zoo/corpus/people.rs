//! Invented people: where they live, what they do, keep, eat and play. Arbitrary facts.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::template::Wording;
use super::words;

/// What is known about everyone.
const FACTS: &[Wording] = &[
    Wording {
        tell: &[
            "{who} lives in {it}.",
            "{who} comes from {it}.",
            "{who} has a house in {it}.",
        ],
        ask: &[
            "Where does {who} live?",
            "In which town does {who} live?",
            "Which town does {who} come from?",
            "Where is the house of {who}?",
        ],
    },
    Wording {
        tell: &[
            "{who} works as a {it}.",
            "{who} is a {it}.",
            "{who} earns money as a {it}.",
        ],
        ask: &[
            "What is the job of {who}?",
            "What does {who} work as?",
            "What is {who}'s job?",
            "How does {who} earn money?",
        ],
    },
    Wording {
        tell: &[
            "{who} keeps a {it}.",
            "{who} has a {it} at home.",
            "{who} owns a {it}.",
        ],
        ask: &[
            "Which animal does {who} keep?",
            "What animal does {who} own?",
            "Which pet does {who} have?",
            "What is the pet of {who}?",
        ],
    },
    Wording {
        tell: &[
            "{who} likes to eat {it}.",
            "{who} eats {it} every day.",
            "{who} cooks {it}.",
        ],
        ask: &[
            "What does {who} like to eat?",
            "What is the favourite food of {who}?",
            "What does {who} eat every day?",
            "Which food does {who} cook?",
        ],
    },
    Wording {
        tell: &[
            "{who} plays the {it}.",
            "{who} practises the {it} in the evening.",
            "{who} makes music on the {it}.",
        ],
        ask: &[
            "Which instrument does {who} play?",
            "What instrument does {who} practise?",
            "On which instrument does {who} make music?",
            "What does {who} play?",
        ],
    },
    Wording {
        tell: &[
            "{who} is {it} years old.",
            "{who} turned {it} this year.",
            "{who} is aged {it}.",
        ],
        ask: &[
            "How old is {who}?",
            "What is the age of {who}?",
            "What is {who}'s age?",
            "How many years old is {who}?",
        ],
    },
];

struct Person {
    name: String,
    she: bool,
    age: usize,
    /// One for each of [`FACTS`].
    facts: Vec<String>,
}

struct People(Vec<Person>);

/// The people of the world that `seed` invents.
pub(super) fn build(seed: u64) -> Box<dyn Domain> {
    let towns = words::towns(seed);
    let mut dice = Dice::named(seed, "people");
    let people = words::people(seed)
        .into_iter()
        .map(|name| {
            let age = dice.between(18, 79);
            let facts = vec![
                dice.pick(&towns).clone(),
                dice.word(words::JOBS).to_owned(),
                dice.word(words::ANIMALS).to_owned(),
                dice.word(words::FOODS).to_owned(),
                dice.word(words::INSTRUMENTS).to_owned(),
                age.to_string(),
            ];
            Person {
                name,
                she: dice.one_in(2),
                age,
                facts,
            }
        })
        .collect();
    Box::new(People(people))
}

impl Domain for People {
    fn passage(&self, dice: &mut Dice) -> String {
        let person = dice.pick(&self.0);
        let pronoun = if person.she { "She" } else { "He" };
        let all: Vec<usize> = (0..FACTS.len()).collect();
        let count = dice.between(3, FACTS.len());
        let sentences: Vec<String> = dice
            .some(&all, count)
            .into_iter()
            .enumerate()
            .map(|(place, fact)| {
                let named = place == 0 || dice.one_in(2);
                let who = if named { &person.name } else { pronoun };
                FACTS[fact].told(dice, who, &person.facts[fact])
            })
            .collect();
        format!("{}\n", sentences.join(" "))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        if dice.one_in(12) {
            let (person, other) = dice.pair(&self.0);
            let (older, answer) = if dice.one_in(2) {
                ("older", person.age > other.age)
            } else {
                ("younger", person.age < other.age)
            };
            let asked = format!("Is {} {older} than {}?", person.name, other.name);
            return Question::plain(&asked, if answer { "yes" } else { "no" });
        }
        let person = dice.pick(&self.0);
        let fact = dice.below(FACTS.len());
        FACTS[fact].asked(dice, &person.name, &person.facts[fact])
    }
}
