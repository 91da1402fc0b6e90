//! Everyday words: opposites, kinds of things, days and months, plurals, colours, letters. The same
//! in every world.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::listed;
use super::template::Wording;

/// What belongs to what, and how that is worded.
struct Table {
    wording: Wording,
    pairs: &'static [(&'static str, &'static str)],
    /// Whether every pair also holds the other way round.
    both_ways: bool,
}

const TABLES: &[Table] = &[
    Table {
        wording: Wording {
            tell: &[
                "The opposite of {who} is {it}.",
                "{who} is the contrary of {it}.",
            ],
            ask: &[
                "What is the opposite of {who}?",
                "Which word means the opposite of {who}?",
                "What is the contrary of {who}?",
            ],
        },
        pairs: &[
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
        ],
        both_ways: true,
    },
    Table {
        wording: Wording {
            tell: &["One {who}, two {it}.", "More than one {who} are {it}."],
            ask: &[
                "What is the plural of {who}?",
                "What are two of {who}?",
                "How do you write more than one {who}?",
            ],
        },
        pairs: &[
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
            ("berry", "berries"),
        ],
        both_ways: false,
    },
    Table {
        wording: Wording {
            tell: &[
                "The colour of {who} is {it}.",
                "We know that {who} is {it}.",
            ],
            ask: &[
                "What colour is {who}?",
                "What is the colour of {who}?",
                "Which colour does {who} have?",
            ],
        },
        pairs: &[
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
        ],
        both_ways: false,
    },
    Table {
        wording: Wording {
            tell: &[
                "A young {who} is called a {it}.",
                "A {who} was once a {it}.",
            ],
            ask: &[
                "What is a young {who} called?",
                "What do we call the young of a {who}?",
                "Which word means a young {who}?",
            ],
        },
        pairs: &[
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
        ],
        both_ways: false,
    },
];

/// Kinds of things with their members.
const KIND: Wording = Wording {
    tell: &["{who} is a kind of {it}.", "Every {who} is a {it}."],
    ask: &[
        "What kind of thing is {who}?",
        "What is {who} a kind of?",
        "To which group does {who} belong?",
    ],
};

const KINDS: &[(&str, &[&str])] = &[
    (
        "fruit",
        &["apple", "pear", "plum", "cherry", "grape", "peach"],
    ),
    ("animal", &["dog", "cow", "lion", "rabbit", "wolf", "bear"]),
    ("bird", &["owl", "crow", "goose", "eagle", "parrot", "swan"]),
    ("tool", &["hammer", "saw", "spade", "axe", "drill"]),
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
];

/// What follows what.
const AFTER: Wording = Wording {
    tell: &["After {who} comes {it}.", "{it} follows {who}."],
    ask: &[
        "What comes after {who}?",
        "What follows {who}?",
        "Which comes next after {who}?",
    ],
};

/// What precedes what.
const BEFORE: Wording = Wording {
    tell: &["Before {who} comes {it}."],
    ask: &["What comes before {who}?", "What precedes {who}?"],
};

const CYCLES: &[&[&str]] = &[
    &[
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ],
    &[
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
    ],
    &["spring", "summer", "autumn", "winter"],
];

struct Everyday;

/// The same in every world.
pub(super) fn build(_seed: u64) -> Box<dyn Domain> {
    Box::new(Everyday)
}

/// A fact: its wording, what it is about and what is so.
fn fact(dice: &mut Dice) -> (&'static Wording, &'static str, &'static str) {
    match dice.below(7) {
        0..=3 => {
            let table = dice.pick(TABLES);
            let (who, it) = *dice.pick(table.pairs);
            let turned = table.both_ways && dice.one_in(2);
            let (who, it) = if turned { (it, who) } else { (who, it) };
            (&table.wording, who, it)
        }
        4 => {
            let (kind, members) = *dice.pick(KINDS);
            (&KIND, dice.word(members), kind)
        }
        other => {
            let cycle = *dice.pick(CYCLES);
            let at = dice.below(cycle.len());
            let next = cycle[(at + 1) % cycle.len()];
            if other == 5 {
                (&AFTER, cycle[at], next)
            } else {
                (&BEFORE, next, cycle[at])
            }
        }
    }
}

fn which_of_these(dice: &mut Dice) -> Question {
    let (kind, members) = *dice.pick(KINDS);
    let chosen = dice.word(members);
    let mut options = vec![chosen.to_owned()];
    while options.len() < 3 {
        let (other, strangers) = *dice.pick(KINDS);
        let stranger = dice.word(strangers).to_owned();
        // A bird is an animal too.
        let fits = other == kind || (kind, other) == ("animal", "bird");
        if !fits && !options.contains(&stranger) {
            options.push(stranger);
        }
    }
    dice.shuffle(&mut options);
    Question::plain(
        &format!("Which of these is a {kind}: {}?", listed(&options)),
        chosen,
    )
}

impl Domain for Everyday {
    fn passage(&self, dice: &mut Dice) -> String {
        let lines: Vec<String> = (0..dice.between(3, 6))
            .map(|_| {
                let (wording, who, it) = fact(dice);
                wording.told(dice, who, it)
            })
            .collect();
        format!("{}\n", lines.join(" "))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        if dice.one_in(8) {
            return which_of_these(dice);
        }
        let (wording, who, it) = fact(dice);
        wording.asked(dice, who, it)
    }
}
