//! One-to-one assignment at small total cost.

/// Pairs whose costs are held at once; with more, each row considers only its nearest columns.
const MOST_PAIRS: usize = 1 << 21;

/// Assigns rows to columns, each at most once, nearest pair first: as many pairs as the smaller side
/// has, unless `cost` forbids some (`None`). Equal costs fall to the earlier row, then column.
///
/// Where every right pair is nearer than every wrong one this is the least total cost. Sides so large
/// that not all costs can be held are sorted by `level` and each row sees its neighbours there first.
pub(super) fn nearest_first(
    rows: &[usize],
    columns: &[usize],
    cost: impl Fn(usize, usize) -> Option<f64>,
    level: impl Fn(usize, bool) -> f64,
) -> Vec<(usize, usize)> {
    let mut costs: Vec<(f64, usize, usize)> = Vec::new();
    let reach = MOST_PAIRS / rows.len().max(1);
    let mut by_level: Vec<usize> = (0..columns.len()).collect();
    if reach < columns.len() {
        by_level.sort_by(|a, b| level(columns[*a], true).total_cmp(&level(columns[*b], true)));
    }
    for (place, &row) in rows.iter().enumerate() {
        let seen = if reach < columns.len() {
            let own = level(row, false);
            let at = by_level.partition_point(|c| level(columns[*c], true) < own);
            let start = at
                .saturating_sub(reach / 2)
                .min(columns.len() - reach.max(1));
            &by_level[start..start + reach.max(1)]
        } else {
            &by_level[..]
        };
        for &column in seen {
            if let Some(cost) = cost(row, columns[column]) {
                costs.push((cost, place, column));
            }
        }
    }
    costs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut row_taken = vec![false; rows.len()];
    let mut column_taken = vec![false; columns.len()];
    let mut pairs = Vec::new();
    for (_, row, column) in costs {
        if !row_taken[row] && !column_taken[column] {
            row_taken[row] = true;
            column_taken[column] = true;
            pairs.push((rows[row], columns[column]));
        }
    }
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::nearest_first;

    #[test]
    fn each_goes_to_its_own_and_none_twice() {
        let (rows, columns) = ([3, 4, 5], [0, 1, 2, 3]);
        let cost = |row: usize, column: usize| {
            (column != 3).then(|| (row as f64 - 3.1 - column as f64).abs())
        };
        let pairs = nearest_first(&rows, &columns, cost, |_, _| 0.0);
        assert_eq!(pairs, [(3, 0), (4, 1), (5, 2)]);
        let same = nearest_first(&rows, &columns, |_, _| Some(0.0), |_, _| 0.0);
        assert_eq!(same, [(3, 0), (4, 1), (5, 2)]);
        assert!(nearest_first(&rows, &[], cost, |_, _| 0.0).is_empty());
    }

    #[test]
    fn large_sides_are_matched_among_neighbours() {
        let rows: Vec<usize> = (0..2000).collect();
        let columns: Vec<usize> = (0..2000).rev().collect();
        let cost = |row: usize, column: usize| Some((row as f64 - column as f64).abs());
        let pairs = nearest_first(&rows, &columns, cost, |at, _| at as f64);
        assert!(pairs.iter().all(|(row, column)| row == column));
        assert_eq!(pairs.len(), 2000);
    }
}
