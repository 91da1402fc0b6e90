//! How one sequence is edited into another: distance, and the edits of one canonical alignment.

/// One edit of the first sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edit<T> {
    /// The element at this place becomes another.
    Replaced(usize, T),
    /// The element at this place is left out.
    Removed(usize),
    /// An element is put in before this place, as the second number counts those put in there.
    Added(usize, usize, T),
}

/// Fewest replacements, removals and additions that turn `from` into `to` (Levenshtein 1966).
pub fn distance<T: PartialEq>(from: &[T], to: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let best = (diagonal + usize::from(a != b))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[to.len()]
}

/// The edits of the alignment that is met first from the ends when equal or replaced elements are preferred to
/// removals, and these to additions: of several alignments of the same length always the same one, so that the
/// edits of two answers can be compared. In the order of their places.
pub fn edits<T: PartialEq + Copy>(from: &[T], to: &[T]) -> Vec<Edit<T>> {
    let width = to.len() + 1;
    let mut table = vec![0_u32; (from.len() + 1) * width];
    (0..width).for_each(|j| table[j] = j as u32);
    for i in 1..=from.len() {
        table[i * width] = i as u32;
        for j in 1..width {
            let replaced = table[(i - 1) * width + j - 1] + u32::from(from[i - 1] != to[j - 1]);
            let other = table[(i - 1) * width + j].min(table[i * width + j - 1]) + 1;
            table[i * width + j] = replaced.min(other);
        }
    }
    let mut found = Vec::new();
    let (mut i, mut j) = (from.len(), to.len());
    while i > 0 || j > 0 {
        let here = table[i * width + j];
        let replaces = i > 0 && j > 0;
        let same = replaces && from[i - 1] == to[j - 1];
        if replaces && here == table[(i - 1) * width + j - 1] + u32::from(!same) {
            (i, j) = (i - 1, j - 1);
            if !same {
                found.push(Edit::Replaced(i, to[j]));
            }
        } else if i > 0 && here == table[(i - 1) * width + j] + 1 {
            i -= 1;
            found.push(Edit::Removed(i));
        } else {
            j -= 1;
            found.push(Edit::Added(i, j, to[j]));
        }
    }
    found.reverse();
    // Additions are counted from their place, not from the start.
    let mut last = (usize::MAX, 0);
    for edit in &mut found {
        if let Edit::Added(at, count, _) = edit {
            last = if last.0 == *at {
                (*at, last.1 + 1)
            } else {
                (*at, 0)
            };
            *count = last.1;
        }
    }
    found
}

/// Edits that two sorted lists have in common, and all that either has.
pub fn shared<T: Ord>(first: &[T], second: &[T]) -> (usize, usize) {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while let (Some(a), Some(b)) = (first.get(i), second.get(j)) {
        match a.cmp(b) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, both) = (i + 1, j + 1, both + 1),
        }
    }
    (both, first.len() + second.len() - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn distances_are_known() {
        for (a, b, edits) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "", 3),
            ("same", "same", 0),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(&chars(a), &chars(b)), edits);
            assert_eq!(super::edits(&chars(a), &chars(b)).len(), edits, "{a} {b}");
        }
    }

    #[test]
    fn edits_rebuild_the_second_sequence() {
        for (a, b) in [
            ("kitten", "sitting"),
            ("abcd", "xacdyz"),
            ("aaa", "aa"),
            ("", "zz"),
            ("ab", "ba"),
        ] {
            let from = chars(a);
            let mut built = Vec::new();
            let found = edits(&from, &chars(b));
            let mut next = found.iter().peekable();
            for at in 0..=from.len() {
                while let Some(Edit::Added(_, _, c)) =
                    next.next_if(|e| matches!(e, Edit::Added(p, _, _) if *p == at))
                {
                    built.push(*c);
                }
                match next
                    .next_if(|e| matches!(e, Edit::Replaced(p, _) | Edit::Removed(p) if *p == at))
                {
                    Some(Edit::Replaced(_, c)) => built.push(*c),
                    Some(_) => {}
                    None => built.extend(from.get(at)),
                }
            }
            assert_eq!(built, chars(b), "{a} -> {b}: {found:?}");
        }
    }

    #[test]
    fn the_same_slip_is_the_same_edit_beside_others() {
        let truth = chars("the quick fox");
        let mut first = edits(&truth, &chars("the qwick fox"));
        let mut second = edits(&truth, &chars("thee qwick fx"));
        first.sort_unstable();
        second.sort_unstable();
        assert_eq!(shared(&first, &second), (1, 3));
    }
}
