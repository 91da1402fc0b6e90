//! Invented people: where they live, what they do, keep, eat and play. Arbitrary facts.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::with_article;
use super::words;

/// One person; indices point into the word lists.
struct Person {
    name: String,
    she: bool,
    town: String,
    job: &'static str,
    animal: &'static str,
    food: &'static str,
    instrument: &'static str,
    age: usize,
}

struct People {
    people: Vec<Person>,
}

/// The people of the world that `seed` invents.
pub(super) fn build(seed: u64) -> Box<dyn Domain> {
    let towns = words::towns(seed);
    let mut dice = Dice::named(seed, "people");
    let people = words::people(seed)
        .into_iter()
        .map(|name| Person {
            name,
            she: dice.one_in(2),
            town: dice.pick(&towns).clone(),
            job: dice.word(words::JOBS),
            animal: dice.word(words::ANIMALS),
            food: dice.word(words::FOODS),
            instrument: dice.word(words::INSTRUMENTS),
            age: dice.between(18, 79),
        })
        .collect();
    Box::new(People { people })
}

/// What can be said and asked about a person.
const FACTS: usize = 6;

impl Person {
    fn tell(&self, fact: usize, subject: &str, way: usize) -> String {
        let Self {
            town,
            job,
            animal,
            food,
            instrument,
            age,
            ..
        } = self;
        let job = with_article(job);
        let animal = with_article(animal);
        match (fact, way) {
            (0, 0) => format!("{subject} lives in {town}."),
            (0, 1) => format!("The home of {} is in {town}.", self.name),
            (0, _) => format!("{subject} comes from {town}."),
            (1, 0) => format!("{subject} is {job}."),
            (1, 1) => format!("{subject} works as {job}."),
            (1, _) => format!("{subject} earns money as {job}."),
            (2, 0) => format!("{subject} keeps {animal}."),
            (2, 1) => format!("{subject} has {animal} at home."),
            (2, _) => format!("{subject} owns {animal}."),
            (3, 0) => format!("{subject} likes to eat {food}."),
            (3, 1) => format!("{subject} eats {food} every day."),
            (3, _) => format!("The best food for {} is {food}.", self.name),
            (4, 0) => format!("{subject} plays the {instrument}."),
            (4, 1) => format!("{subject} practises the {instrument} in the evening."),
            (4, _) => format!("{subject} makes music on the {instrument}."),
            (_, 0) => format!("{subject} is {age} years old."),
            (_, 1) => format!("The age of {} is {age}.", self.name),
            (_, _) => format!("{subject} turned {age} this year."),
        }
    }

    fn ask(&self, fact: usize, way: usize) -> Question {
        let name = &self.name;
        match fact {
            0 => {
                let question = match way {
                    0 => format!("Where does {name} live?"),
                    1 => format!("In which town does {name} live?"),
                    _ => format!("Which town does {name} come from?"),
                };
                Question::plain(&question, self.town.clone())
            }
            1 => {
                let question = match way {
                    0 => format!("What is the job of {name}?"),
                    1 => format!("What does {name} work as?"),
                    _ => format!("What is {name}'s job?"),
                };
                Question::plain(&question, self.job)
            }
            2 => {
                let question = match way {
                    0 => format!("Which animal does {name} keep?"),
                    1 => format!("What animal does {name} own?"),
                    _ => format!("Which pet does {name} have?"),
                };
                Question::plain(&question, self.animal)
            }
            3 => {
                let question = match way {
                    0 => format!("What does {name} like to eat?"),
                    1 => format!("What is the favourite food of {name}?"),
                    _ => format!("What does {name} eat every day?"),
                };
                Question::plain(&question, self.food)
            }
            4 => {
                let question = match way {
                    0 => format!("Which instrument does {name} play?"),
                    1 => format!("What instrument does {name} practise?"),
                    _ => format!("On which instrument does {name} make music?"),
                };
                Question::plain(&question, self.instrument)
            }
            _ => {
                let question = match way {
                    0 => format!("How old is {name}?"),
                    1 => format!("What is the age of {name}?"),
                    _ => format!("What is {name}'s age?"),
                };
                Question::plain(&question, self.age.to_string())
            }
        }
    }
}

impl Domain for People {
    fn passage(&self, dice: &mut Dice) -> String {
        let person = dice.pick(&self.people);
        let pronoun = if person.she { "She" } else { "He" };
        let count = dice.between(3, 5);
        let sentences: Vec<String> = dice
            .some(&[0, 1, 2, 3, 4, 5], count)
            .into_iter()
            .enumerate()
            .map(|(place, fact)| {
                let named = place == 0 || dice.one_in(2);
                let subject = if named { &person.name } else { pronoun };
                person.tell(fact, subject, dice.below(3))
            })
            .collect();
        format!("{}\n", sentences.join(" "))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        if dice.one_in(10) {
            let (person, other) = dice.pair(&self.people);
            let (older, answer) = if dice.one_in(2) {
                ("older", person.age >= other.age)
            } else {
                ("younger", person.age < other.age)
            };
            let asked = format!("Is {} {older} than {}?", person.name, other.name);
            return Question::plain(&asked, if answer { "yes" } else { "no" });
        }
        let fact = dice.below(FACTS);
        let way = dice.below(3);
        dice.pick(&self.people).ask(fact, way)
    }
}
