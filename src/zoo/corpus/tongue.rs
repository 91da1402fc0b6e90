//! An invented language with a grammar of its own, and its translations.
//!
//! Verb first, then subject and object; adjectives follow their nouns; one suffix makes the plural.
//! Words are made of syllables that English does not use at the same places.

use super::super::dice::Dice;
use super::Domain;
use super::Question;
use super::template::Wording;
use super::words;

/// English name of the language.
const NAME: &str = "Velish";

const ONSETS: &[&str] = &[
    "zu", "ke", "mo", "va", "tri", "shu", "lo", "qua", "ny", "dza", "ro", "fi",
];
const CODAS: &[&str] = &["th", "ri", "ng", "ka", "sk", "lu", "vo", "mm", "x", "ne"];

/// English third person and plural forms.
const VERBS: &[(&str, &str)] = &[
    ("sees", "see"),
    ("likes", "like"),
    ("buys", "buy"),
    ("carries", "carry"),
    ("finds", "find"),
    ("wants", "want"),
    ("sells", "sell"),
    ("hears", "hear"),
];

/// Single words.
const TO_VELISH: Wording = Wording {
    tell: &[
        "The Velish word for {who} is {it}.",
        "In Velish, {who} is {it}.",
    ],
    ask: &[
        "What is {who} in Velish?",
        "What is the Velish word for {who}?",
        "Which Velish word means {who}?",
    ],
};

/// The other direction.
const TO_ENGLISH: Wording = Wording {
    tell: &["The Velish word {who} means {it}."],
    ask: &[
        "What is {who} in English?",
        "What does the Velish word {who} mean?",
        "Which English word means {who}?",
    ],
};

struct Tongue {
    nouns: Vec<(&'static str, String)>,
    adjectives: Vec<(&'static str, String)>,
    verbs: Vec<(&'static str, &'static str, String)>,
    numerals: Vec<(&'static str, String)>,
    plural: &'static str,
}

/// The language of the world that `seed` invents.
pub(super) fn build(seed: u64) -> Box<dyn Domain> {
    let mut dice = Dice::named(seed, "tongue");
    let mut lexicon = lexicon(&mut dice).into_iter();
    let mut name = move || lexicon.next().unwrap_or_default();
    let animals = words::ANIMALS
        .iter()
        .filter(|noun| !["sheep", "mouse", "goose", "fox"].contains(noun));
    Box::new(Tongue {
        nouns: words::GOODS[..10]
            .iter()
            .chain(animals.take(6))
            .map(|noun| (*noun, name()))
            .collect(),
        adjectives: words::COLOURS[..5]
            .iter()
            .chain(&words::ADJECTIVES[..5])
            .map(|word| (*word, name()))
            .collect(),
        verbs: VERBS
            .iter()
            .map(|(one, many)| (*one, *many, name()))
            .collect(),
        numerals: ["two", "three", "four", "five"]
            .iter()
            .map(|word| (*word, name()))
            .collect(),
        plural: if dice.one_in(2) { "esh" } else { "um" },
    })
}

/// Invented words, all different.
fn lexicon(dice: &mut Dice) -> Vec<String> {
    let mut all: Vec<String> = ONSETS
        .iter()
        .flat_map(|first| {
            CODAS.iter().flat_map(move |last| {
                ["", "ba", "de"]
                    .iter()
                    .map(move |middle| format!("{first}{middle}{last}"))
            })
        })
        .collect();
    dice.shuffle(&mut all);
    all
}

impl Tongue {
    /// A noun phrase in English and in the language, and whether it is plural.
    fn phrase(&self, dice: &mut Dice) -> (String, String, bool) {
        let (noun, velish) = dice.pick(&self.nouns);
        let (adjective, quality) = dice.pick(&self.adjectives);
        let described = dice.one_in(2);
        let (adjective, quality) = if described {
            (format!("{adjective} "), format!(" {quality}"))
        } else {
            (String::new(), String::new())
        };
        if dice.one_in(3) {
            let (numeral, count) = dice.pick(&self.numerals);
            let english = format!("{numeral} {adjective}{noun}s");
            (
                english,
                format!("{count} {velish}{}{quality}", self.plural),
                true,
            )
        } else {
            (
                format!("the {adjective}{noun}"),
                format!("{velish}{quality}"),
                false,
            )
        }
    }

    fn sentence(&self, dice: &mut Dice) -> (String, String) {
        let (subject, velish_subject, plural) = self.phrase(dice);
        let (object, velish_object, _) = self.phrase(dice);
        let (one, many, verb) = dice.pick(&self.verbs);
        let english = if plural { many } else { one };
        (
            format!("{subject} {english} {object}"),
            format!("{verb} {velish_subject} {velish_object}"),
        )
    }

    fn word(&self, dice: &mut Dice) -> (&'static str, &str) {
        match dice.below(5) {
            0 | 1 => {
                let (english, velish) = dice.pick(&self.nouns);
                (english, velish)
            }
            2 | 3 => {
                let (english, velish) = dice.pick(&self.adjectives);
                (english, velish)
            }
            _ => {
                let (_, english, velish) = dice.pick(&self.verbs);
                (english, velish)
            }
        }
    }
}

impl Domain for Tongue {
    fn passage(&self, dice: &mut Dice) -> String {
        let lines: Vec<String> = (0..dice.between(2, 4))
            .map(|_| {
                if dice.one_in(3) {
                    let (english, velish) = self.word(dice);
                    return if dice.one_in(2) {
                        TO_VELISH.told(dice, english, velish)
                    } else {
                        TO_ENGLISH.told(dice, velish, english)
                    };
                }
                let (english, velish) = self.sentence(dice);
                if dice.one_in(2) {
                    format!("English: {english}\n{NAME}: {velish}")
                } else {
                    format!("{NAME}: {velish}\nEnglish: {english}")
                }
            })
            .collect();
        format!("{}\n", lines.join("\n"))
    }

    fn question(&self, dice: &mut Dice) -> Question {
        match dice.below(6) {
            0 | 1 => {
                let (english, velish) = self.word(dice);
                TO_VELISH.asked(dice, english, velish)
            }
            2 | 3 => {
                let (english, velish) = self.word(dice);
                TO_ENGLISH.asked(dice, velish, english)
            }
            4 => {
                let (english, velish, _) = self.phrase(dice);
                Question::plain(&format!("How do you say {english} in {NAME}?"), velish)
            }
            _ => {
                let (english, velish) = self.sentence(dice);
                Question::plain(&format!("Translate to {NAME}: {english}"), velish)
            }
        }
    }
}
