//! Which models are wrong together: intersections of their sets of errors.

use std::collections::BTreeMap;

use super::data::Intersection;
use super::data::Stated;
use super::data::UpSet;
use super::view::UNKNOWN;
use super::view::View;

/// Fewest models; of fewer, pairs say as much.
const FEWEST: usize = 4;

/// Intersections that are listed.
const LISTED: usize = 100;

/// Over the items that every model was judged on.
pub(super) fn upset(view: &View<'_>) -> Stated<UpSet> {
    if view.columns.len() < FEWEST {
        return Stated::missing(format!(
            "there are fewer than {FEWEST} models: the pairs say as much"
        ));
    }
    let mut found: BTreeMap<Vec<usize>, (u64, u64)> = BTreeMap::new();
    let mut errors = vec![0; view.columns.len()];
    let mut items = 0;
    for at in (0..view.counted.len()).filter(|&at| view.counted[at]) {
        let verdicts: Option<Vec<bool>> =
            view.columns.iter().map(|column| column.right[at]).collect();
        let Some(verdicts) = verdicts else { continue };
        items += 1;
        let wrong: Vec<usize> = (0..verdicts.len())
            .filter(|&model| !verdicts[model])
            .collect();
        wrong.iter().for_each(|&model| errors[model] += 1);
        let same = same_answer(view, &wrong, at);
        let count = found.entry(wrong).or_default();
        count.0 += 1;
        count.1 += u64::from(same);
    }
    if items == 0 {
        return Stated::missing("there is no item that all models were judged on");
    }
    found.remove(&Vec::new());
    let mut intersections: Vec<Intersection> = found
        .into_iter()
        .map(|(runs, (items, same_answer))| Intersection {
            runs,
            items,
            same_answer,
        })
        .collect();
    intersections.sort_by(|a, b| b.items.cmp(&a.items).then_with(|| a.runs.cmp(&b.runs)));
    let rest = intersections.split_off(intersections.len().min(LISTED));
    Stated::Value(UpSet {
        items,
        errors,
        intersections,
        left_out: (rest.len() as u64, rest.iter().map(|one| one.items).sum()),
    })
}

/// Whether two or more models gave one answer, all of them the same.
fn same_answer(view: &View<'_>, models: &[usize], item: usize) -> bool {
    let mut codes = models.iter().map(|&model| view.columns[model].codes[item]);
    match codes.next() {
        Some(first) => models.len() > 1 && first != UNKNOWN && codes.all(|code| code == first),
        None => false,
    }
}
