//! Invented words, from a grammar of syllables.

use std::collections::BTreeSet;

use super::draw::Draw;

const ONSETS: &[&str] = &[
    "b", "br", "d", "dr", "f", "g", "gl", "k", "kr", "l", "m", "n", "p", "pl", "r", "s", "sk",
    "st", "t", "tr", "v", "z", "zw",
];
const NUCLEI: &[&str] = &["a", "e", "i", "o", "u", "au", "ei", "oa"];
const CODAS: &[&str] = &["", "", "k", "l", "m", "n", "nd", "r", "rn", "s", "st", "x"];

/// Words that are all different.
#[derive(Debug, Default)]
pub(super) struct Words {
    used: BTreeSet<String>,
}

impl Words {
    /// Words other than these.
    pub fn other_than(used: impl IntoIterator<Item = String>) -> Self {
        Self {
            used: used.into_iter().collect(),
        }
    }

    /// A word in lower case, of at least four letters.
    pub fn word(&mut self, draw: &mut Draw) -> String {
        loop {
            let syllables = draw.between(1, 2);
            let mut word = String::new();
            for _ in 0..syllables {
                word.push_str(draw.pick(ONSETS));
                word.push_str(draw.pick(NUCLEI));
            }
            word.push_str(draw.pick(CODAS));
            if word.len() >= 4 && self.used.insert(word.clone()) {
                return word;
            }
        }
    }

    /// A word with a capital.
    pub fn name(&mut self, draw: &mut Draw) -> String {
        let word = self.word(draw);
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::Draw;
    use super::Words;

    #[test]
    fn words_are_different_and_plain() {
        let mut draw = Draw::new(1, "words");
        let mut words = Words::other_than(["kalo".to_owned()]);
        let all: Vec<String> = (0..500).map(|_| words.word(&mut draw)).collect();
        for word in &all {
            assert!(word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_lowercase()));
            assert_ne!(word, "kalo");
        }
        assert!(words.name(&mut draw).starts_with(char::is_uppercase));
        let mut sorted = all.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
    }
}
