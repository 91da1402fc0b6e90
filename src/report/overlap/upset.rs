//! Sets of errors as a picture: a bar per intersection over the dots that say whose it is (Lex et al. 2014).

use crate::evidence::overlap::UpSet;
use crate::report::number;

/// Intersections that are drawn, and models.
const COLUMNS: usize = 30;
const ROWS: usize = 40;
/// Units of the picture.
const LEFT: f64 = 150.0;
const STEP: f64 = 20.0;
const BARS: f64 = 120.0;
const TOP: f64 = 18.0;

/// One picture.
pub(super) struct Picture {
    pub width: String,
    pub height: String,
    pub description: String,
    pub columns: Vec<Bar>,
    pub rows: Vec<(String, String)>,
    /// Every place for a dot, as one path.
    pub places: String,
    pub note: String,
}

/// One intersection.
pub(super) struct Bar {
    pub x: String,
    pub middle: String,
    pub y: String,
    pub height: String,
    /// The part of one common wrong answer.
    pub same_y: String,
    pub same_height: String,
    pub items: String,
    pub title: String,
    /// Dots, and the line that joins them.
    pub dots: Vec<String>,
    pub line: Option<(String, String)>,
}

impl Picture {
    pub fn new(upset: &UpSet, names: &[String]) -> Self {
        let shown = upset.intersections.iter().take(COLUMNS);
        let rows = names.len().min(ROWS);
        let most = upset
            .intersections
            .first()
            .map_or(1, |one| one.items.max(1)) as f64;
        let dot_y = |row: usize| TOP + BARS + STEP * (row as f64 + 0.75);
        let columns: Vec<Bar> = shown
            .enumerate()
            .map(|(at, one)| {
                let x = LEFT + STEP * at as f64;
                let size = |items: u64| BARS * items as f64 / most;
                let dots: Vec<f64> = one
                    .runs
                    .iter()
                    .filter(|&&run| run < rows)
                    .map(|&run| dot_y(run))
                    .collect();
                let ends = dots
                    .first()
                    .zip(dots.last())
                    .filter(|(first, last)| first < last);
                let of: Vec<&str> = one.runs.iter().map(|&run| names[run].as_str()).collect();
                Bar {
                    x: place(x + 3.0),
                    middle: place(x + STEP / 2.0),
                    y: place(TOP + BARS - size(one.items)),
                    height: place(size(one.items)),
                    same_y: place(TOP + BARS - size(one.same_answer)),
                    same_height: place(size(one.same_answer)),
                    items: number::short_count(one.items),
                    title: format!(
                        "{} items wrong only in {}; {} with the same answer",
                        one.items,
                        of.join(", "),
                        one.same_answer
                    ),
                    line: ends.map(|(first, last)| (place(*first), place(*last))),
                    dots: dots.into_iter().map(place).collect(),
                }
            })
            .collect();
        let mut places = String::new();
        for at in 0..columns.len() {
            for row in 0..rows {
                let (x, y) = (LEFT + STEP * (at as f64 + 0.5), dot_y(row));
                places.push_str(&format!("M{} {}h0", place(x), place(y)));
            }
        }
        Self {
            width: place(LEFT + STEP * columns.len() as f64 + 10.0),
            height: place(TOP + BARS + STEP * (rows as f64 + 0.75)),
            description: description(upset, names),
            rows: (0..rows)
                .map(|row| (place(dot_y(row) + 4.0), short(&names[row])))
                .collect(),
            note: note(upset, columns.len(), rows, names.len()),
            columns,
            places,
        }
    }
}

fn place(x: f64) -> String {
    format!("{x:.1}")
}

fn short(name: &str) -> String {
    let mut short: String = name.chars().take(22).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}

fn description(upset: &UpSet, names: &[String]) -> String {
    let of = |runs: &[usize]| {
        let names: Vec<&str> = runs.iter().map(|&run| names[run].as_str()).collect();
        names.join(", ")
    };
    let first = upset.intersections.iter().take(5);
    let words: Vec<String> = first
        .map(|one| format!("{}: {}", of(&one.runs), one.items))
        .collect();
    format!(
        "Items wrong in exactly these models, out of {} that all were judged on: {}.",
        upset.items,
        words.join("; ")
    )
}

fn note(upset: &UpSet, columns: usize, rows: usize, models: usize) -> String {
    let drawn: u64 = upset
        .intersections
        .iter()
        .take(columns)
        .map(|one| one.items)
        .sum();
    let (sets, items) = upset.left_out;
    let all = upset.intersections.len() as u64 + sets;
    let listed: u64 = upset.intersections.iter().map(|one| one.items).sum();
    let mut note = format!(
        "{columns} of {all} intersections are drawn, with {drawn} of {} items that at least one model got wrong; \
         result.json has {}.",
        listed + items,
        if sets == 0 {
            "all of them".to_owned()
        } else {
            format!("the {} largest", all - sets)
        },
    );
    if rows < models {
        note.push_str(&format!(" Rows are the first {rows} of {models} models."));
    }
    note
}
