//! Suites, and those in which right and wrong say nothing.

use super::data::SuiteRow;
use crate::record::import::Sheet;

/// One row per suite.
pub(super) fn suites(sheet: &Sheet) -> Vec<SuiteRow> {
    let mut rows: Vec<SuiteRow> = sheet
        .suites
        .iter()
        .map(|suite| SuiteRow {
            suite: suite.id.clone(),
            version: suite.version.clone(),
            items: 0,
            shared: 0,
            vacuous: None,
        })
        .collect();
    // By suite and model: judged, right.
    let mut scores = vec![vec![(0_u64, 0_u64); sheet.columns.len()]; rows.len()];
    for (at, item) in sheet.items.iter().enumerate() {
        let suite = item.suite as usize;
        let mut all = true;
        for (column, score) in scores[suite].iter_mut().enumerate() {
            let cell = sheet.cell(column, at);
            all &= cell.is_some();
            if let Some(right) = cell.and_then(|cell| cell.right) {
                score.0 += 1;
                score.1 += u64::from(right);
            }
        }
        rows[suite].items += 1;
        rows[suite].shared += u64::from(all);
    }
    for (row, scores) in rows.iter_mut().zip(&scores) {
        row.vacuous = vacuous(scores);
    }
    rows
}

/// Everyone right on all or wrong on all: no two sets of errors can differ by more than who they belong to.
fn vacuous(scores: &[(u64, u64)]) -> Option<String> {
    let judged: Vec<(u64, u64)> = scores.iter().copied().filter(|(n, _)| *n > 0).collect();
    if judged.is_empty() {
        return Some("no answer was judged: there is no truth".to_owned());
    }
    let at = |share: fn(u64) -> u64| {
        judged
            .iter()
            .filter(|(n, right)| *right == share(*n))
            .count()
    };
    let (none, all) = (at(|_| 0), at(|n| n));
    let of = judged.len();
    match (none, all) {
        (none, _) if none == of => Some("every model is wrong on every item".to_owned()),
        (_, all) if all == of => Some("every model is right on every item".to_owned()),
        (none, all) if none + all == of => Some(format!(
            "{none} models are wrong on every item and {all} right on every item"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::vacuous;

    #[test]
    fn everyone_at_0_or_100_is_vacuous() {
        assert!(vacuous(&[(9, 0), (8, 0)]).unwrap().contains("wrong"));
        assert!(vacuous(&[(9, 9), (8, 8)]).unwrap().contains("right"));
        assert!(vacuous(&[(9, 9), (9, 0)]).is_some());
        assert!(vacuous(&[(0, 0), (0, 0)]).unwrap().contains("truth"));
        assert_eq!(vacuous(&[(9, 0), (9, 1)]), None);
    }
}
