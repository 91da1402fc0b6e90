//! A baseline after a person looked at what changed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Accepted;
use super::Baseline;
use super::Item;
use super::make::aggregate;

/// `before` with the items of `now` that were taken over; `open` are the others that changed.
///
/// Where nothing is left open the baseline is `now` with its conditions, as accepting writes it. Else it stays
/// bound to the model that gave most of its answers, so that a check goes on saying what changed.
#[must_use]
pub fn reviewed(
    before: &Baseline,
    now: &Baseline,
    taken: &BTreeSet<String>,
    open: &BTreeSet<String>,
    accepted: Accepted,
) -> Baseline {
    let mut after = match open.is_empty() {
        true => now.clone(),
        false => before.clone(),
    };
    after.head.accepted = accepted;
    if !open.is_empty() {
        let given: BTreeMap<&str, &Item> = now.items.iter().map(|i| (i.id.as_str(), i)).collect();
        for item in &mut after.items {
            if taken.contains(&item.id)
                && let Some(answer) = given.get(item.id.as_str())
            {
                *item = (*answer).clone();
            }
        }
        after.head.aggregate = aggregate(&after.items);
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::simulated;

    #[test]
    fn what_is_left_open_stays_as_it_was() {
        let mut world = simulated::world(40, 3);
        let before = simulated::of(&world);
        simulated::lose(&mut world, 0.3, 4);
        let mut now = simulated::of(&world);
        now.head.bound.model = "sha256:other".to_owned();
        let changed = before
            .items
            .iter()
            .zip(&now.items)
            .filter(|(a, b)| a.sha256 != b.sha256);
        let changed: Vec<String> = changed.map(|(a, _)| a.id.clone()).collect();
        assert!(changed.len() > 2, "{changed:?}");
        let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
        let accepted = Accepted {
            reason: "seen".to_owned(),
            ..before.head.accepted.clone()
        };
        let (one, rest) = changed.split_at(1);
        let some = reviewed(&before, &now, &set(one), &set(rest), accepted.clone());
        let differing = before.items.iter().zip(&some.items).filter(|(a, b)| a != b);
        assert_eq!(differing.count(), 1);
        assert_eq!(some.head.bound, before.head.bound);
        assert_eq!(some.head.accepted.reason, "seen");
        assert_eq!(some.head.aggregate, aggregate(&some.items));
        let all = reviewed(&before, &now, &set(&changed), &set(&[]), accepted);
        assert_eq!(all.items, now.items);
        assert_eq!(all.head.bound, now.head.bound);
    }
}
