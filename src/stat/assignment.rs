//! Rectangular linear assignment.

/// The one-to-one assignment of rows to columns with the largest sum of `scores` (row-major `[rows,
/// columns]`): the column of every row, `None` for the rows left over when there are more rows than
/// columns.
///
/// `None` for scores that do not fill the shape or are not finite. Among assignments of equal sum
/// the same one is always taken, which one depends on the order of rows and columns: shuffle them
/// where no rule about indices may enter.
///
/// Shortest augmenting paths, at most cubic time. Reference: Jonker and Volgenant, "A shortest
/// augmenting path algorithm for dense and sparse linear assignment problems" (Computing 38, 1987);
/// rectangular as in Crouse, "On implementing 2D rectangular assignment algorithms" (IEEE
/// Transactions on Aerospace and Electronic Systems 52, 2016).
pub fn maximise(scores: &[f64], rows: usize, columns: usize) -> Option<Vec<Option<usize>>> {
    if scores.len() != rows * columns || !scores.iter().all(|score| score.is_finite()) {
        return None;
    }
    if rows <= columns {
        let found = Paths::solve(scores, rows, columns);
        return Some(found.into_iter().map(Some).collect());
    }
    let turned: Vec<f64> = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| scores[row * columns + column]))
        .collect();
    let mut of_row = vec![None; rows];
    for (column, row) in Paths::solve(&turned, columns, rows).into_iter().enumerate() {
        of_row[row] = Some(column);
    }
    Some(of_row)
}

/// No row or column yet.
const FREE: usize = usize::MAX;

/// A growing assignment with its dual prices; no more rows than columns. Costs are negative scores.
struct Paths<'a> {
    scores: &'a [f64],
    columns: usize,
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    of_row: Vec<usize>,
    of_column: Vec<usize>,
}

/// The shortest path from one row to a free column.
struct Path {
    /// Length of the path.
    length: f64,
    /// The free column.
    end: usize,
    /// The row before each column.
    before: Vec<usize>,
    /// Distance of every column seen.
    distance: Vec<f64>,
    /// Columns scanned, in order; the last is `end`.
    scanned: Vec<usize>,
}

impl<'a> Paths<'a> {
    /// The column of every row.
    fn solve(scores: &'a [f64], rows: usize, columns: usize) -> Vec<usize> {
        let mut paths = Self {
            scores,
            columns,
            row_price: vec![0.0; rows],
            column_price: vec![0.0; columns],
            of_row: vec![FREE; rows],
            of_column: vec![FREE; columns],
        };
        for row in 0..rows {
            let path = paths.shortest(row);
            paths.price(row, &path);
            paths.augment(row, &path);
        }
        paths.of_row
    }

    /// Dijkstra over reduced costs from `start`.
    fn shortest(&self, start: usize) -> Path {
        let mut path = Path {
            length: 0.0,
            end: FREE,
            before: vec![FREE; self.columns],
            distance: vec![f64::INFINITY; self.columns],
            scanned: Vec::new(),
        };
        let mut open: Vec<usize> = (0..self.columns).collect();
        let mut row = start;
        while path.end == FREE {
            let line = &self.scores[row * self.columns..(row + 1) * self.columns];
            let base = path.length - self.row_price[row];
            let (mut nearest, mut at) = (f64::INFINITY, 0);
            for (place, &column) in open.iter().enumerate() {
                let through = base - line[column] - self.column_price[column];
                if through < path.distance[column] {
                    path.distance[column] = through;
                    path.before[column] = row;
                }
                let distance = path.distance[column];
                // A free column ends the path: of equally near ones it saves the detour.
                if distance < nearest || (distance == nearest && self.of_column[column] == FREE) {
                    (nearest, at) = (distance, place);
                }
            }
            path.length = nearest;
            let column = open.swap_remove(at);
            path.scanned.push(column);
            match self.of_column[column] {
                FREE => path.end = column,
                taken => row = taken,
            }
        }
        path
    }

    /// Keeps reduced costs of all rows so far from falling below zero, and at zero where assigned.
    fn price(&mut self, start: usize, path: &Path) {
        self.row_price[start] += path.length;
        for &column in &path.scanned {
            let slack = path.length - path.distance[column];
            self.column_price[column] -= slack;
            if column != path.end {
                self.row_price[self.of_column[column]] += slack;
            }
        }
    }

    /// Moves every row along the path to the next column.
    fn augment(&mut self, start: usize, path: &Path) {
        let mut column = path.end;
        loop {
            let row = path.before[column];
            self.of_column[column] = row;
            let left = std::mem::replace(&mut self.of_row[row], column);
            if row == start {
                return;
            }
            column = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random;

    fn sum(scores: &[f64], columns: usize, of_row: &[Option<usize>]) -> f64 {
        let pairs = of_row.iter().enumerate();
        pairs
            .filter_map(|(row, column)| Some(scores[row * columns + (*column)?]))
            .sum()
    }

    /// The largest sum over all ways to give each of the first rows (or nobody) a free column.
    fn brute(scores: &[f64], rows: usize, columns: usize, row: usize, taken: u32) -> f64 {
        if row == rows {
            let wanted = rows.min(columns) as u32;
            return if taken.count_ones() == wanted {
                0.0
            } else {
                f64::NEG_INFINITY
            };
        }
        let skip = if rows > columns {
            brute(scores, rows, columns, row + 1, taken)
        } else {
            f64::NEG_INFINITY
        };
        (0..columns)
            .filter(|column| taken & (1 << column) == 0)
            .map(|column| {
                let rest = brute(scores, rows, columns, row + 1, taken | (1 << column));
                scores[row * columns + column] + rest
            })
            .fold(skip, f64::max)
    }

    fn check(scores: &[f64], rows: usize, columns: usize) {
        let found = maximise(scores, rows, columns).unwrap();
        let mut taken: Vec<usize> = found.iter().flatten().copied().collect();
        assert_eq!((found.len(), taken.len()), (rows, rows.min(columns)));
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), rows.min(columns), "a column twice");
        let best = brute(scores, rows, columns, 0, 0);
        let got = sum(scores, columns, &found);
        assert!(
            (got - best).abs() < 1e-9,
            "{rows} x {columns}: {got} against {best}"
        );
    }

    #[test]
    fn equals_brute_force() {
        let mut rng = random::stream(1, "assignment");
        for rows in 1..=6 {
            for columns in 1..=6 {
                for _ in 0..8 {
                    let real: Vec<f64> = (0..rows * columns)
                        .map(|_| random::normal(&mut rng))
                        .collect();
                    check(&real, rows, columns);
                    // Few different values: ties everywhere.
                    let coarse: Vec<f64> = real.iter().map(|score| score.round()).collect();
                    check(&coarse, rows, columns);
                }
            }
        }
        check(&[0.0; 25], 5, 5);
    }

    /// A planted assignment under noise that hides no entry of it, at a size where cubic time shows.
    #[test]
    fn finds_what_was_planted() {
        let (rows, columns) = (300, 420);
        let mut rng = random::stream(2, "assignment");
        let mut planted: Vec<usize> = (0..columns).collect();
        for i in (1..columns).rev() {
            planted.swap(i, random::below(&mut rng, i + 1));
        }
        planted.truncate(rows);
        let mut scores: Vec<f64> = (0..rows * columns)
            .map(|_| random::unit(&mut rng))
            .collect();
        for (row, column) in planted.iter().enumerate() {
            scores[row * columns + column] += 1.0;
        }
        let found = maximise(&scores, rows, columns).unwrap();
        assert_eq!(found, planted.into_iter().map(Some).collect::<Vec<_>>());
        assert_eq!(maximise(&scores, rows, columns).unwrap(), found);
    }

    #[test]
    fn what_is_no_matrix_has_no_assignment() {
        assert_eq!(maximise(&[1.0, f64::NAN], 1, 2), None);
        assert_eq!(maximise(&[1.0; 5], 2, 3), None);
        assert_eq!(maximise(&[], 0, 3), Some(Vec::new()));
        assert_eq!(maximise(&[], 2, 0), Some(vec![None, None]));
    }
}
