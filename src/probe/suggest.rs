//! "Did you mean": the known word nearest to a mistyped one.

use crate::text::ModelText;

/// Longest foreign word shown in a message.
const SHOWN: usize = 40;

/// ``no such thing: `contxt` (did you mean `context`?)`` without the leading words: the wrong word,
/// then the nearest of `known` if one is near, otherwise all of them.
pub(super) fn instead_of<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let shown = ModelText::new(given).clipped(SHOWN);
    match nearest(given, &known) {
        Some(word) => format!(
            "`{shown}` (did you mean `{}`?)",
            ModelText::new(word).clipped(SHOWN)
        ),
        None => {
            let all: Vec<String> = known
                .iter()
                .map(|word| ModelText::new(*word).clipped(SHOWN))
                .collect();
            format!("`{shown}` (known: {})", all.join(", "))
        }
    }
}

/// The nearest word within a third of its length.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    // Distance is quadratic in length; nobody mistypes a word of this many bytes.
    if given.len() > 200 {
        return None;
    }
    let given = given.to_lowercase();
    known
        .iter()
        .map(|word| (distance(&given, &word.to_lowercase()), *word))
        .filter(|(edits, word)| *edits <= (word.chars().count() / 3).max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, word)| word)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, instead_of};

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, edits) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("", "ab", 2),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(
            instead_of("promt", ["prompt", "target"]),
            "`promt` (did you mean `prompt`?)"
        );
        assert_eq!(
            instead_of("zzzzzz", ["prompt", "target"]),
            "`zzzzzz` (known: prompt, target)"
        );
    }
}
