//! Everyday words: opposites, kinds of things, the order of days and months, plurals, materials.
//! The same in every world.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::capitalised;
use super::listed;
use super::with_article;

const OPPOSITES: &[(&str, &str)] = &[
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("light", "dark"),
    ("hard", "soft"),
    ("early", "late"),
    ("open", "closed"),
    ("full", "empty"),
    ("young", "old"),
    ("rich", "poor"),
    ("happy", "sad"),
    ("up", "down"),
    ("left", "right"),
    ("day", "night"),
    ("wet", "dry"),
    ("loud", "quiet"),
    ("strong", "weak"),
    ("high", "low"),
    ("near", "far"),
    ("clean", "dirty"),
    ("thick", "thin"),
    ("true", "false"),
    ("begin", "end"),
    ("buy", "sell"),
    ("win", "lose"),
];

const KINDS: &[(&str, &[&str])] = &[
    (
        "fruit",
        &["apple", "pear", "plum", "cherry", "lemon", "grape", "peach"],
    ),
    (
        "animal",
        &["dog", "cow", "lion", "rabbit", "wolf", "bear", "mouse"],
    ),
    ("bird", &["owl", "crow", "goose", "eagle", "parrot", "swan"]),
    ("tool", &["hammer", "saw", "spade", "knife", "axe", "drill"]),
    (
        "metal",
        &["iron", "gold", "silver", "copper", "tin", "lead"],
    ),
    (
        "colour",
        &["red", "blue", "green", "yellow", "white", "black"],
    ),
    (
        "drink",
        &["water", "milk", "tea", "coffee", "juice", "wine"],
    ),
    ("tree", &["oak", "elm", "birch", "pine", "willow", "maple"]),
    (
        "garment",
        &["coat", "shirt", "hat", "sock", "glove", "scarf"],
    ),
    (
        "vehicle",
        &["car", "train", "boat", "bicycle", "bus", "wagon"],
    ),
];

const DAYS: &[&str] = &[
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const PLURALS: &[(&str, &str)] = &[
    ("mouse", "mice"),
    ("goose", "geese"),
    ("foot", "feet"),
    ("tooth", "teeth"),
    ("child", "children"),
    ("man", "men"),
    ("woman", "women"),
    ("leaf", "leaves"),
    ("knife", "knives"),
    ("city", "cities"),
    ("box", "boxes"),
    ("dog", "dogs"),
    ("lamp", "lamps"),
    ("berry", "berries"),
    ("wolf", "wolves"),
];

const COLOUR_OF: &[(&str, &str)] = &[
    ("snow", "white"),
    ("grass", "green"),
    ("blood", "red"),
    ("coal", "black"),
    ("the sky", "blue"),
    ("the sun", "yellow"),
    ("a lemon", "yellow"),
    ("milk", "white"),
    ("a crow", "black"),
    ("a frog", "green"),
];

const YOUNG: &[(&str, &str)] = &[
    ("dog", "puppy"),
    ("cat", "kitten"),
    ("cow", "calf"),
    ("sheep", "lamb"),
    ("horse", "foal"),
    ("goat", "kid"),
    ("bear", "cub"),
    ("duck", "duckling"),
    ("pig", "piglet"),
    ("goose", "gosling"),
];

struct Everyday;

/// The same in every world.
pub(super) fn build(_seed: u64) -> Box<dyn Domain> {
    Box::new(Everyday)
}

/// One of the pairs, in either order.
fn either_way(
    dice: &mut Dice,
    pairs: &[(&'static str, &'static str)],
) -> (&'static str, &'static str) {
    let pair = *dice.pick(pairs);
    if dice.one_in(2) {
        (pair.0, pair.1)
    } else {
        (pair.1, pair.0)
    }
}

fn statement(dice: &mut Dice) -> String {
    match dice.below(7) {
        0 => {
            let (one, other) = either_way(dice, OPPOSITES);
            format!("The opposite of {one} is {other}.")
        }
        1 => {
            let (kind, members) = dice.pick(KINDS);
            let member = capitalised(&with_article(dice.word(members)));
            format!("{member} is {}.", with_article(kind))
        }
        2 => {
            let day = dice.below(DAYS.len());
            format!(
                "After {} comes {}.",
                DAYS[day],
                DAYS[(day + 1) % DAYS.len()]
            )
        }
        3 => {
            let month = dice.below(MONTHS.len());
            format!(
                "{} follows {}.",
                MONTHS[(month + 1) % MONTHS.len()],
                MONTHS[month]
            )
        }
        4 => {
            let (one, many) = dice.pick(PLURALS);
            format!("One {one}, two {many}.")
        }
        5 => {
            let (thing, colour) = dice.pick(COLOUR_OF);
            format!("{} is {colour}.", capitalised(thing))
        }
        _ => {
            let (parent, young) = dice.pick(YOUNG);
            format!("A young {parent} is called a {young}.")
        }
    }
}

fn odd_one_out(dice: &mut Dice) -> Question {
    let (kind, members) = *dice.pick(KINDS);
    let chosen = dice.word(members);
    let mut options = vec![chosen.to_owned()];
    while options.len() < 3 {
        let (other, strangers) = dice.pick(KINDS);
        let stranger = dice.word(strangers).to_owned();
        if *other != kind && !members.contains(&stranger.as_str()) && !options.contains(&stranger) {
            options.push(stranger);
        }
    }
    // A bird is an animal too.
    if kind == "animal" {
        options.retain(|option| {
            KINDS
                .iter()
                .all(|(of, birds)| *of != "bird" || !birds.contains(&option.as_str()))
        });
    }
    dice.shuffle(&mut options);
    let asked = format!(
        "Which of these is {}: {}?",
        with_article(kind),
        listed(&options)
    );
    Question::plain(&asked, chosen)
}

impl Domain for Everyday {
    fn passage(&self, dice: &mut Dice) -> String {
        let lines: Vec<String> = (0..dice.between(3, 6)).map(|_| statement(dice)).collect();
        format!("{}\n", lines.join(" "))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        match dice.below(9) {
            0 => {
                let (one, other) = either_way(dice, OPPOSITES);
                let asked = if dice.one_in(2) {
                    format!("What is the opposite of {one}?")
                } else {
                    format!("Which word means the opposite of {one}?")
                };
                Question::plain(&asked, other)
            }
            1 => {
                let (kind, members) = dice.pick(KINDS);
                let member = with_article(dice.word(members));
                Question::plain(
                    &format!("What kind of thing is {member}?"),
                    with_article(kind),
                )
            }
            2 => {
                let day = dice.below(DAYS.len());
                let ahead = dice.between(1, 3);
                let asked = match ahead {
                    1 => format!("Which day comes after {}?", DAYS[day]),
                    _ => format!("Which day comes {ahead} days after {}?", DAYS[day]),
                };
                Question::plain(&asked, DAYS[(day + ahead) % DAYS.len()])
            }
            3 => {
                let month = dice.below(MONTHS.len());
                if dice.one_in(2) {
                    let asked = format!("Which month comes after {}?", MONTHS[month]);
                    Question::plain(&asked, MONTHS[(month + 1) % MONTHS.len()])
                } else {
                    let asked = format!("Which month comes before {}?", MONTHS[month]);
                    Question::plain(&asked, MONTHS[(month + MONTHS.len() - 1) % MONTHS.len()])
                }
            }
            4 => {
                let (one, many) = dice.pick(PLURALS);
                Question::plain(&format!("What is the plural of {one}?"), *many)
            }
            5 => {
                let (thing, colour) = dice.pick(COLOUR_OF);
                Question::plain(&format!("What colour is {thing}?"), *colour)
            }
            6 => {
                let (parent, young) = dice.pick(YOUNG);
                Question::plain(
                    &format!("What is a young {parent} called?"),
                    format!("a {young}"),
                )
            }
            _ => odd_one_out(dice),
        }
    }
}
