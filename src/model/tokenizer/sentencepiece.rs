//! BPE merges of a SentencePiece vocabulary, which keeps scores instead.

use std::collections::HashMap;

/// Longest token whose splits are looked for; the longest real ones are runs of some 100 spaces.
const MAX_CHARS: usize = 1024;

/// Every way to put a token together from two others, best score first; ties by the lengths of the
/// parts, longer first, then by id: the order of Hugging Face's converter, which SentencePiece's own
/// greedy merging agrees with.
///
/// # Errors
/// In words, for tokens longer than any real one and for scores that are not numbers.
pub(super) fn merges(tokens: &[String], scores: &[f32]) -> Result<Vec<(String, String)>, String> {
    if scores.iter().any(|score| score.is_nan()) {
        return Err("one of its token scores is not a number; fetch it again".to_owned());
    }
    let ids: HashMap<&str, usize> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| (token.as_str(), id))
        .collect();
    let mut found = Vec::new();
    for (token, score) in tokens.iter().zip(scores) {
        let length = token.chars().count();
        if length > MAX_CHARS {
            return Err(format!(
                "one of its tokens has {length} characters, at most {MAX_CHARS} are read"
            ));
        }
        let first = found.len();
        for (cut, (at, _)) in token.char_indices().enumerate().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(left_id), Some(right_id)) = (ids.get(left), ids.get(right)) {
                found.push(Merge {
                    score: *score,
                    lengths: (cut, length - cut),
                    ids: (*left_id, *right_id),
                    parts: (left, right),
                });
            }
        }
        found[first..].sort_by_key(|merge| merge.ids);
    }
    // Stable, so that equal keys keep the order of the vocabulary.
    found.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| b.lengths.cmp(&a.lengths))
    });
    Ok(found
        .into_iter()
        .map(|merge| (merge.parts.0.to_owned(), merge.parts.1.to_owned()))
        .collect())
}

struct Merge<'a> {
    score: f32,
    /// Characters of the two parts.
    lengths: (usize, usize),
    ids: (usize, usize),
    parts: (&'a str, &'a str),
}

#[cfg(test)]
mod tests {
    use super::merges;

    #[test]
    fn best_scores_come_first() {
        let tokens = ["a", "b", "c", "ab", "bc", "abc"].map(String::from);
        let scores = [0.0, 0.0, 0.0, -2.0, -1.0, -3.0];
        let merges = merges(&tokens, &scores).expect("plain vocabulary");
        let shown: Vec<String> = merges.iter().map(|(l, r)| format!("{l}+{r}")).collect();
        assert_eq!(shown, ["b+c", "a+b", "ab+c", "a+bc"]);
    }

    #[test]
    fn hostile_vocabularies_are_refused() {
        assert!(merges(&["x".repeat(5000)], &[0.0]).is_err());
        assert!(merges(&["x".to_owned()], &[f32::NAN]).is_err());
    }
}
