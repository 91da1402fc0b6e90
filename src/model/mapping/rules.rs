//! Tensors that find each other by name: equal names, a changed beginning or end, a changed pattern.

use std::collections::{BTreeMap, BTreeSet};

use super::board::{Board, Found, How, Piece, Support, natural};

/// Tensors that are called the same.
pub(super) fn equal_names(board: &mut Board<'_>) {
    let by_name: BTreeMap<&str, usize> = targets_by_name(board);
    for held in board.free_held.clone() {
        let target = by_name.get(board.held[held].name).copied();
        if let Some(target) = target
            && let Some(turned) = board.may_share_a_name(held, target)
        {
            board.pair(found(held, target, turned, How::Name));
        }
    }
}

/// Changes of a beginning or an end that several names share, the one that explains most first; each in
/// words. Where two that explain as much contradict each other, neither is one.
pub(super) fn affixes(board: &mut Board<'_>) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        let mut rules = changes(board, heads);
        rules.extend(changes(board, tails));
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.rank()));
        let agreed = |rule: &&Rule| {
            let mut rivals = rules.iter();
            !rivals.any(|other| other.pairs.len() >= rule.pairs.len() && other.contradicts(rule))
        };
        let Some(rule) = rules.iter().find(agreed) else {
            return words;
        };
        words.push(rule.words.clone());
        for (held, target, turned) in rule.pairs.clone() {
            board.pair(found(held, target, turned, How::Rule));
        }
    }
}

/// A name cut in two at a point, without digits in the part that may change: `(changing, staying)`.
type Cut = fn(&str) -> Vec<(&str, &str)>;

/// What one change of an affix explains.
struct Rule {
    words: String,
    changed: usize,
    pairs: Vec<(usize, usize, bool)>,
}

impl Rule {
    /// More tensors first; of equals the one that changes less.
    fn rank(&self) -> (usize, std::cmp::Reverse<usize>) {
        (self.pairs.len(), std::cmp::Reverse(self.changed))
    }

    /// Whether the two bring one tensor to different places.
    fn contradicts(&self, other: &Self) -> bool {
        let places: BTreeMap<usize, usize> = pairs_of(&self.pairs).collect();
        let origins: BTreeMap<usize, usize> = pairs_of(&self.pairs)
            .map(|(held, target)| (target, held))
            .collect();
        pairs_of(&other.pairs).any(|(held, target)| {
            places.get(&held).is_some_and(|place| *place != target)
                || origins.get(&target).is_some_and(|origin| *origin != held)
        })
    }
}

fn heads(name: &str) -> Vec<(&str, &str)> {
    let stops = name.match_indices(['.', '/']).map(|(at, _)| at + 1);
    let cuts = std::iter::once(0).chain(stops);
    cuts.map(|at| name.split_at(at))
        .take_while(|(head, _)| !head.contains(|c: char| c.is_ascii_digit()))
        .collect()
}

fn tails(name: &str) -> Vec<(&str, &str)> {
    let stops = name.match_indices(['.', '/']).map(|(at, _)| at);
    let cuts = stops.chain([name.len()]);
    let cut = cuts.map(|at| (&name[at..], &name[..at]));
    cut.filter(|(tail, _)| !tail.contains(|c: char| c.is_ascii_digit()))
        .collect()
}

fn pairs_of(pairs: &[(usize, usize, bool)]) -> impl Iterator<Item = (usize, usize)> {
    pairs.iter().map(|(held, target, _)| (*held, *target))
}

/// The changes of an affix that bring at least two tensors to a target of a fitting shape, and none to
/// one that does not fit.
fn changes(board: &Board<'_>, cut: Cut) -> Vec<Rule> {
    let by_name = targets_by_name(board);
    let mut theirs: BTreeSet<&str> = BTreeSet::new();
    for target in &board.free_targets {
        theirs.extend(
            cut(board.targets[*target].name)
                .iter()
                .map(|(part, _)| part),
        );
    }
    let mut ours: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    for held in &board.free_held {
        for (part, rest) in cut(board.held[*held].name) {
            ours.entry(part).or_default().push((*held, rest));
        }
    }
    let is_head = std::ptr::fn_addr_eq(cut, heads as Cut);
    let end = if is_head { "beginning" } else { "end" };
    let mut found = Vec::new();
    for (from, names) in &ours {
        for to in &theirs {
            let name = |rest: &str| match is_head {
                true => format!("{to}{rest}"),
                false => format!("{rest}{to}"),
            };
            let named = names.iter().filter_map(|(held, rest)| {
                let target = *by_name.get(name(rest).as_str())?;
                let turned = board.may_share_a_name(*held, target);
                Some(turned.map(|turned| (*held, target, turned)))
            });
            // One that does not fit speaks against the rule.
            let Some(pairs) = named.collect::<Option<Vec<_>>>() else {
                continue;
            };
            if pairs.len() > 1 {
                found.push(Rule {
                    words: format!("the {end} `{from}` for `{to}`"),
                    changed: from.len() + to.len(),
                    pairs,
                });
            }
        }
    }
    found
}

fn targets_by_name<'a>(board: &Board<'a>) -> BTreeMap<&'a str, usize> {
    let free = board.free_targets.iter();
    free.map(|&target| (board.targets[target].name, target))
        .collect()
}

fn found(held: usize, target: usize, turned: bool, how: How) -> Found {
    Found {
        held,
        target,
        turned,
        how,
        support: Support::default(),
    }
}

/// Tensors whose names differ in nothing but their numbers, by these numbers.
type Alike = BTreeMap<Vec<u64>, usize>;

/// Two patterns of names with the same numbers and shapes.
pub(super) struct Patterns {
    /// In words.
    pub words: String,
    /// Tensors of the two with the same numbers, and whether they are turned.
    pub pairs: Vec<(usize, usize, bool)>,
    pub ours: usize,
    pub theirs: usize,
    /// Whether both name the same part of a layer: their last two words are equal.
    pub same_part: bool,
}

/// All pairs of patterns that may be one renamed: `layers.#.ln1` and `layers.#.input_layernorm`, if
/// both occur with the same numbers (at least two) in the same shapes.
pub(super) fn patterns(board: &Board<'_>) -> Vec<Patterns> {
    let held = board.free_held.iter();
    let ours = by_pattern(held.map(|&at| (board.held[at].name, at)));
    let targets = board.free_targets.iter();
    let theirs = by_pattern(targets.map(|&at| (board.targets[at].name, at)));
    let mut found = Vec::new();
    for (our_place, (our_pattern, our_tensors)) in ours.iter().enumerate() {
        for (their_place, (their_pattern, their_tensors)) in theirs.iter().enumerate() {
            if our_tensors.len() < 2 || !our_tensors.keys().eq(their_tensors.keys()) {
                continue;
            }
            let both = our_tensors.values().zip(their_tensors.values());
            let pairs = both.map(|(&held, &target)| {
                let shape = board.held[held].shape;
                let turned = board.may_share_a_name(held, target)?;
                let same = shape == board.targets[target].shape;
                (same || turned).then_some((held, target, turned))
            });
            let Some(pairs) = pairs.collect::<Option<Vec<_>>>() else {
                continue;
            };
            found.push(Patterns {
                words: format!("`{our_pattern}` for `{their_pattern}`"),
                pairs,
                ours: our_place,
                theirs: their_place,
                same_part: last_words(our_pattern) == last_words(their_pattern),
            });
        }
    }
    found
}

/// `k_proj.weight` of `layers.#.attention.k_proj.weight`.
fn last_words(pattern: &str) -> &str {
    let mut stops = pattern.rmatch_indices('.').map(|(at, _)| at + 1);
    &pattern[stops.nth(1).unwrap_or(0)..]
}

fn by_pattern<'a>(names: impl Iterator<Item = (&'a str, usize)>) -> BTreeMap<String, Alike> {
    let mut found: BTreeMap<String, Alike> = BTreeMap::new();
    for (name, at) in names {
        let mut numbers = Vec::new();
        let mut pattern = String::new();
        for piece in natural(name) {
            match piece {
                Piece::Number(number) => {
                    numbers.push(number);
                    pattern.push('#');
                }
                Piece::Text(text) => pattern.push_str(&text),
            }
        }
        found.entry(pattern).or_default().insert(numbers, at);
    }
    found
}
