//! Layer-by-layer matrices on a fixed scale from 0 to 1.

use std::collections::BTreeMap;

use crate::evidence::Figure;
use crate::report::data::{EvidenceRow, Report};
use crate::report::number;

use super::Limits;
use super::page::{anchor, sentence, shown};

/// Anchors of cividis (Nuñez, Anderton, Renslow 2018, PLOS ONE 13(7)): even steps of lightness that
/// readers with any colour vision see alike.
const CIVIDIS: [[f64; 3]; 9] = [
    [0.0, 34.0, 78.0],
    [18.0, 53.0, 112.0],
    [59.0, 73.0, 108.0],
    [87.0, 93.0, 109.0],
    [112.0, 113.0, 115.0],
    [138.0, 134.0, 120.0],
    [165.0, 156.0, 116.0],
    [195.0, 179.0, 105.0],
    [254.0, 232.0, 56.0],
];
/// Colours on the page; finer steps cannot be told apart.
const STEPS: usize = 64;
/// Up to this many rows, each row's best column is marked.
const MOST_MARKS: usize = 48;

/// One picture.
pub(super) struct Heatmap {
    pub anchor: String,
    pub key: String,
    pub method: String,
    pub title: String,
    pub explanation: String,
    pub description: String,
    pub rows: usize,
    pub columns: usize,
    pub scale_note: String,
    /// Colour and the cells that have it.
    pub cells: Vec<(String, String)>,
    /// Cells without a value.
    pub empty: String,
    /// Centre of each row's highest cell.
    pub best: Vec<(String, String)>,
    /// Radii that make a round mark in cells that are not square.
    pub ring: (String, String),
    pub row_ticks: Vec<(String, usize)>,
    pub column_ticks: Vec<(String, usize)>,
    pub legend: Vec<(String, String)>,
    pub table: Vec<Vec<String>>,
    pub table_note: &'static str,
}

/// The heatmaps of `report`, in registry order.
pub(super) fn heatmaps(report: &Report, limits: Limits) -> Vec<Heatmap> {
    let of_row = |row: &EvidenceRow| -> Vec<Heatmap> {
        row.figures
            .iter()
            .enumerate()
            .filter_map(|(i, figure)| Heatmap::new(row, i, figure, limits))
            .collect()
    };
    report.evidence.iter().flat_map(of_row).collect()
}

impl Heatmap {
    fn new(row: &EvidenceRow, index: usize, figure: &Figure, limits: Limits) -> Option<Self> {
        let Figure::Heatmap {
            title,
            rows,
            columns,
            values,
        } = figure
        else {
            return None;
        };
        let full = Grid::new(*rows, *columns, values)?;
        let drawn = full.at_most(limits.side);
        let (table, table_note) = table(&full, limits.cells);
        let (cells, empty) = paint(&drawn);
        Some(Self {
            anchor: anchor("e", &row.id),
            key: anchor(&format!("h{index}"), &row.id),
            method: shown(&row.id),
            title: shown(title),
            explanation: sentence(&row.explanation),
            description: describe(&full),
            rows: drawn.rows,
            columns: drawn.columns,
            scale_note: scale_note(&full, &drawn),
            cells,
            empty,
            best: if drawn.rows <= MOST_MARKS {
                best(&drawn)
            } else {
                Vec::new()
            },
            ring: ring(&drawn),
            row_ticks: ticks(full.rows),
            column_ticks: ticks(full.columns),
            legend: legend(),
            table,
            table_note,
        })
    }
}

/// A row-major matrix whose size is right.
struct Grid {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Grid {
    fn new(rows: usize, columns: usize, values: &[f64]) -> Option<Self> {
        let fits = rows.checked_mul(columns) == Some(values.len()) && !values.is_empty();
        fits.then(|| Self {
            rows,
            columns,
            values: values.to_vec(),
        })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.columns..(i + 1) * self.columns]
    }

    /// Averaged in blocks until no side is longer than `side`.
    fn at_most(&self, side: usize) -> Self {
        let (by_row, by_column) = (self.rows.div_ceil(side), self.columns.div_ceil(side));
        let (rows, columns) = (self.rows.div_ceil(by_row), self.columns.div_ceil(by_column));
        let mut values = Vec::with_capacity(rows * columns);
        for i in 0..rows {
            for j in 0..columns {
                let block = (i * by_row..((i + 1) * by_row).min(self.rows)).flat_map(|r| {
                    &self.row(r)[j * by_column..((j + 1) * by_column).min(self.columns)]
                });
                let (sum, n) = block
                    .filter(|x| x.is_finite())
                    .fold((0.0, 0_u32), |(sum, n), x| (sum + x, n + 1));
                values.push(if n == 0 { f64::NAN } else { sum / f64::from(n) });
            }
        }
        Self {
            rows,
            columns,
            values,
        }
    }
}

/// One path per colour, so that a large matrix stays small on disk.
fn paint(grid: &Grid) -> (Vec<(String, String)>, String) {
    let mut by_color: BTreeMap<usize, String> = BTreeMap::new();
    let mut empty = String::new();
    for (at, &value) in grid.values.iter().enumerate() {
        let cell = format!("M{} {}h1v1h-1z", at % grid.columns, at / grid.columns);
        if value.is_finite() {
            let step = (value.clamp(0.0, 1.0) * (STEPS - 1) as f64).round() as usize;
            by_color.entry(step).or_default().push_str(&cell);
        } else {
            empty.push_str(&cell);
        }
    }
    let cells = by_color
        .into_iter()
        .map(|(step, path)| (color(step as f64 / (STEPS - 1) as f64), path))
        .collect();
    (cells, empty)
}

/// Cividis at `share` in `[0, 1]`.
fn color(share: f64) -> String {
    let at = share * (CIVIDIS.len() - 1) as f64;
    let low = (at.floor() as usize).min(CIVIDIS.len() - 2);
    let part = at - low as f64;
    let mix = |i: usize| CIVIDIS[low][i] + part * (CIVIDIS[low + 1][i] - CIVIDIS[low][i]);
    format!(
        "#{:02x}{:02x}{:02x}",
        mix(0) as u8,
        mix(1) as u8,
        mix(2) as u8
    )
}

fn legend() -> Vec<(String, String)> {
    (0..CIVIDIS.len())
        .map(|i| i as f64 / (CIVIDIS.len() - 1) as f64)
        .map(|share| (format!("{share}"), color(share)))
        .collect()
}

fn best(grid: &Grid) -> Vec<(String, String)> {
    (0..grid.rows)
        .filter_map(|i| {
            let (column, _) = highest(grid.row(i))?;
            Some((format!("{column}.5"), format!("{i}.5")))
        })
        .collect()
}

/// The picture is square, so a cell is as wide as high only in square matrices.
fn ring(grid: &Grid) -> (String, String) {
    let longest = grid.rows.max(grid.columns) as f64;
    let radius = |side: usize| format!("{:.3}", 0.28 * side as f64 / longest);
    (radius(grid.columns), radius(grid.rows))
}

/// Position and value of the highest finite value; the first of equals.
fn highest(values: &[f64]) -> Option<(usize, f64)> {
    values
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, x)| x.is_finite())
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// At most six layer numbers, as percentages of the side.
fn ticks(count: usize) -> Vec<(String, usize)> {
    let step = count.div_ceil(6).max(1);
    (0..count)
        .step_by(step)
        .map(|i| (format!("{:.2}", (i as f64 + 0.5) / count as f64 * 100.0), i))
        .collect()
}

fn scale_note(full: &Grid, drawn: &Grid) -> String {
    let outside = full
        .values
        .iter()
        .filter(|x| x.is_finite() && !(0.0..=1.0).contains(*x))
        .count();
    let mut note = "Colour is fixed from 0 to 1.".to_owned();
    if outside > 0 {
        note.push_str(&format!(
            " {outside} values outside that range have the colour of its nearer end."
        ));
    }
    if drawn.values.len() < full.values.len() {
        note.push_str(&format!(
            " Drawn as {} by {} averages of {} by {} layers.",
            drawn.rows, drawn.columns, full.rows, full.columns
        ));
    }
    note
}

fn describe(grid: &Grid) -> String {
    let finite: Vec<f64> = grid
        .values
        .iter()
        .copied()
        .filter(|x| x.is_finite())
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut text = format!(
        "Heatmap of {} reference layers by {} suspect layers.",
        grid.rows, grid.columns
    );
    if finite.is_empty() {
        text.push_str(" No cell has a value.");
        return text;
    }
    text.push_str(&format!(
        " Mean of all cells {}.",
        number::statistic(mean(&finite))
    ));
    if grid.rows == grid.columns {
        let diagonal: Vec<f64> = (0..grid.rows)
            .map(|i| grid.row(i)[i])
            .filter(|x| x.is_finite())
            .collect();
        if !diagonal.is_empty() {
            text.push_str(&format!(
                " Mean of the diagonal {}.",
                number::statistic(mean(&diagonal))
            ));
        }
    }
    text
}

/// Every cell where that fits, else each row's best match.
fn table(grid: &Grid, most: usize) -> (Vec<Vec<String>>, &'static str) {
    if grid.values.len() <= most {
        let head = std::iter::once("reference \\ suspect".to_owned())
            .chain((0..grid.columns).map(|j| j.to_string()))
            .collect();
        let rows = (0..grid.rows).map(|i| {
            std::iter::once(i.to_string())
                .chain(grid.row(i).iter().map(|&x| cell(x)))
                .collect()
        });
        return (std::iter::once(head).chain(rows).collect(), "All values.");
    }
    let head = ["reference layer", "closest suspect layer", "value"];
    let rows = (0..grid.rows.min(most / 3)).map(|i| match highest(grid.row(i)) {
        Some((j, x)) => vec![i.to_string(), j.to_string(), cell(x)],
        None => vec![i.to_string(), "none".to_owned(), cell(f64::NAN)],
    });
    (
        std::iter::once(head.map(str::to_owned).to_vec())
            .chain(rows)
            .collect(),
        "The closest suspect layer of each reference layer; all values are in result.json.",
    )
}

fn cell(x: f64) -> String {
    if x.is_finite() {
        format!("{x:.3}")
    } else {
        "no value".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{CIVIDIS, Grid, color, highest};

    #[test]
    fn the_scale_is_fixed_and_grows_lighter() {
        assert_eq!(color(0.0), "#00224e");
        assert_eq!(color(1.0), "#fee838");
        let light: Vec<f64> = CIVIDIS
            .iter()
            .map(|[r, g, b]| 0.2126 * r + 0.7152 * g + 0.0722 * b)
            .collect();
        assert!(light.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn large_matrices_are_averaged_and_gaps_stay_gaps() {
        let grid = Grid::new(2, 4, &[1.0, 3.0, f64::NAN, f64::NAN, 5.0, 7.0, 0.0, 2.0]).unwrap();
        let small = grid.at_most(2);
        assert_eq!((small.rows, small.columns), (2, 2));
        assert_eq!(small.values[0], 2.0);
        assert!(small.values[1].is_nan());
        assert_eq!(highest(grid.row(0)), Some((1, 3.0)));
        assert!(Grid::new(2, 2, &[0.0]).is_none());
        assert!(Grid::new(usize::MAX, 2, &[0.0]).is_none());
    }
}
