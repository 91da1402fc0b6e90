//! The words that several domains share.

use super::super::dice::Dice;

/// Towns of one world.
pub(super) const TOWNS: usize = 10;

/// People of one world.
pub(super) const PEOPLE: usize = 32;

const TOWN_STARTS: &[&str] = &[
    "Ash", "Bram", "Cold", "Dun", "Elm", "Fern", "Glen", "Harrow", "Iron", "Keld", "Lark", "Marsh",
    "North", "Oak", "Pen", "Quarry", "Rook", "Stone", "Thorn", "Under", "West", "Yar",
];

const TOWN_ENDS: &[&str] = &[
    "ford", "mere", "wick", "holm", "bury", "gate", "stead", "ness",
];

const NAME_STARTS: &[&str] = &[
    "Ta", "Mi", "Or", "Be", "Lu", "Ka", "Si", "Do", "We", "Fa", "Ni", "Ha", "Jo", "Pe", "Ri", "Ul",
];

const NAME_ENDS: &[&str] = &[
    "rin", "lla", "dek", "mo", "vis", "nna", "bert", "sa", "lon", "thy", "ric", "na", "gar", "lin",
];

/// Goods that can be counted, bought and put in a list.
pub(super) const GOODS: &[&str] = &[
    "lamp", "rope", "kettle", "chair", "basket", "candle", "mirror", "hammer", "blanket", "bell",
    "spoon", "wagon", "ladder", "drum", "bottle", "needle", "coat", "clock", "barrel", "saddle",
];

/// Things to eat.
pub(super) const FOODS: &[&str] = &[
    "bread",
    "honey",
    "plums",
    "soup",
    "cheese",
    "rice",
    "beans",
    "apples",
    "fish",
    "eggs",
    "mushrooms",
    "pears",
    "porridge",
    "nuts",
    "cabbage",
    "pie",
];

/// Animals kept at home.
pub(super) const ANIMALS: &[&str] = &[
    "dog", "cat", "goat", "horse", "parrot", "rabbit", "goose", "donkey", "turtle", "snake", "owl",
    "pig", "sheep", "crow", "mouse", "fox",
];

/// Trades.
pub(super) const JOBS: &[&str] = &[
    "baker", "miller", "teacher", "sailor", "weaver", "doctor", "painter", "farmer", "tailor",
    "smith", "judge", "gardener", "potter", "hunter", "clerk", "cook",
];

/// Instruments.
pub(super) const INSTRUMENTS: &[&str] = &[
    "flute", "violin", "harp", "trumpet", "piano", "guitar", "drum", "horn", "cello", "bagpipe",
];

/// Colours.
pub(super) const COLOURS: &[&str] = &[
    "red", "blue", "green", "yellow", "black", "white", "brown", "grey", "purple", "orange",
];

/// Adjectives that fit most things.
pub(super) const ADJECTIVES: &[&str] = &[
    "big", "small", "old", "new", "heavy", "quiet", "clean", "bright", "strange", "broken",
];

/// Names of this world's towns.
pub(super) fn towns(seed: u64) -> Vec<String> {
    let mut dice = Dice::named(seed, "towns");
    dice.some(TOWN_STARTS, TOWNS)
        .into_iter()
        .map(|start| format!("{start}{}", dice.word(TOWN_ENDS)))
        .collect()
}

/// First names of this world's people, all different.
pub(super) fn people(seed: u64) -> Vec<String> {
    let mut dice = Dice::named(seed, "names");
    let all: Vec<String> = NAME_STARTS
        .iter()
        .flat_map(|start| NAME_ENDS.iter().map(move |end| format!("{start}{end}")))
        .collect();
    dice.some(&all, PEOPLE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_different() {
        for seed in 0..4 {
            let people: BTreeSet<String> = super::people(seed).into_iter().collect();
            let towns: BTreeSet<String> = super::towns(seed).into_iter().collect();
            assert_eq!((people.len(), towns.len()), (super::PEOPLE, super::TOWNS));
        }
    }
}
