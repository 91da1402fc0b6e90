//! Pairs beside a panel of other models: tables for the terminal and the page.

use super::MISSING;
use super::panel_words::{at_any_time, cells, claim_words, confusion, power, rank, share, title};
use super::reason;
use crate::evidence::overlap::AgainstPanel;
use crate::evidence::overlap::ClaimRow;
use crate::evidence::overlap::PanelPair;
use crate::report::number;
use crate::report::terminal;
use crate::report::terminal::LABELS;
use crate::report::terminal::Labelled;
use crate::report::terminal::Style;
use crate::text::ModelText;

/// Pairs that a terminal lists.
const PAIRS: usize = 10;

/// What the panel says of every pair.
pub(super) fn screen(panel: &AgainstPanel, style: Style) -> Vec<String> {
    let head = format!(
        "against the panel: {} models, {} items",
        panel.members.len(),
        number::count(panel.items)
    );
    let mut lines = vec![style.bold(&head)];
    match &panel.pairs[..] {
        [pair] => lines.extend(one(pair, style)),
        pairs => lines.extend(several(pairs, style)),
    }
    if let Some(found) = panel.power.value() {
        let row = Labelled::new("power", &power(found), 4);
        lines.extend(terminal::block(&[row], LABELS, style));
    }
    if let Some(claims) = panel.claims.value() {
        let rows: Vec<Labelled> = claims.iter().take(PAIRS).map(claim).collect();
        lines.extend(terminal::block(&rows, LABELS, style));
    }
    lines
}

fn one(pair: &PanelPair, style: Style) -> Vec<String> {
    let columns = [
        ("index", 0),
        ("observed", 17),
        ("expected", 10),
        ("z", 8),
        ("log10 p", 9),
        ("calibrated", 12),
    ];
    let rows = pair.indices.iter().map(|row| {
        let mut line = vec![title(row.index)];
        line.extend(cells(&row.result));
        line
    });
    let mut lines = terminal::columns_table(&columns, 1..6, rows.collect(), style);
    let words = [
        Labelled::new("rank", &rank(pair), 1),
        Labelled::new("confusions", &confusion(&pair.confusion), 4),
        Labelled::new("at any time", &at_any_time(&pair.at_any_time), 3),
        Labelled::new(
            "copied share",
            &format!(
                "{} of the second from the first",
                share(&pair.copied_fraction)
            ),
            2,
        ),
        Labelled::new(
            "carried by",
            &format!(
                "{} items hold nine tenths of what speaks for copying",
                pair.carrying_nine_tenths
            ),
            2,
        ),
    ];
    lines.extend(terminal::block(&words, LABELS, style));
    lines
}

fn several(pairs: &[PanelPair], style: Style) -> Vec<String> {
    let first = |pair: &PanelPair| {
        pair.indices
            .first()
            .and_then(|row| row.result.value().copied())
    };
    let z = |pair: &PanelPair| {
        first(pair)
            .and_then(|one| one.z)
            .unwrap_or(f64::NEG_INFINITY)
    };
    let mut order: Vec<&PanelPair> = pairs.iter().collect();
    order.sort_by(|a, b| z(b).total_cmp(&z(a)));
    let columns = [
        ("pair", 0),
        ("z", 8),
        ("calibrated", 12),
        ("rank p", 9),
        ("copied share", 23),
    ];
    let rows = order.iter().take(PAIRS).map(|pair| {
        let [first_name, second_name] =
            [&pair.first, &pair.second].map(|label| ModelText::new(label.as_str()).clipped(12));
        let cells = pair
            .indices
            .first()
            .map(|row| cells(&row.result))
            .unwrap_or_default();
        vec![
            format!("{first_name} and {second_name}"),
            cells[2].clone(),
            cells[4].clone(),
            format!("{:.3}", libm::exp10(pair.rank.log10_p)),
            share(&pair.copied_fraction),
        ]
    });
    let mut lines = terminal::columns_table(&columns, 1..5, rows.collect(), style);
    if order.len() > PAIRS {
        lines.push(style.dim(&format!(
            "  … and {} more in the report",
            order.len() - PAIRS
        )));
    }
    let words = [Labelled::new(
        "",
        "z and calibrated log10 p of same wrong answers",
        1,
    )];
    lines.extend(terminal::block(&words, 2, style));
    lines
}

fn claim(row: &ClaimRow) -> Labelled {
    Labelled::new("from the base", &claim_words(row), 4)
}

/// What the page shows.
pub(super) struct Section {
    pub members: String,
    pub items: String,
    pub power: Option<String>,
    pub calibration: Vec<[String; 4]>,
    pub pairs: Vec<Pair>,
    pub pairs_left: usize,
    pub claims: Vec<String>,
}

/// One pair on the page.
pub(super) struct Pair {
    pub name: String,
    pub rank: String,
    pub confusion: String,
    pub at_any_time: String,
    pub copied: String,
    pub copied_other: String,
    pub carrying: u64,
    /// Index, what it would be the probability of, and its cells.
    pub indices: Vec<(String, &'static str, [String; 5])>,
    pub carriers: Vec<[String; 4]>,
}

impl Section {
    pub fn new(panel: &AgainstPanel, pairs: usize, rows: usize) -> Self {
        let members: Vec<String> = panel
            .members
            .iter()
            .map(|label| ModelText::new(label.as_str()).clipped(60))
            .collect();
        let z = |pair: &PanelPair| {
            let first = pair.indices.first().and_then(|row| row.result.value());
            first.and_then(|one| one.z).unwrap_or(f64::NEG_INFINITY)
        };
        let mut order: Vec<&PanelPair> = panel.pairs.iter().collect();
        order.sort_by(|a, b| z(b).total_cmp(&z(a)));
        Self {
            members: members.join(", "),
            items: number::count(panel.items),
            power: panel.power.value().map(power),
            calibration: panel
                .calibration
                .iter()
                .map(|row| {
                    [
                        title(row.index),
                        row.pairs.to_string(),
                        format!("{:.2}", row.mean),
                        format!("{:.2}", row.sd),
                    ]
                })
                .collect(),
            pairs: order
                .iter()
                .take(pairs)
                .map(|pair| Pair::new(pair, rows))
                .collect(),
            pairs_left: order.len().saturating_sub(pairs),
            claims: panel
                .claims
                .value()
                .into_iter()
                .flatten()
                .take(rows)
                .map(claim_words)
                .collect(),
        }
    }
}

impl Pair {
    fn new(pair: &PanelPair, rows: usize) -> Self {
        let word = |text: &str| ModelText::new(text).clipped(80);
        Self {
            name: format!("{} and {}", word(&pair.first), word(&pair.second)),
            rank: rank(pair),
            confusion: confusion(&pair.confusion),
            at_any_time: at_any_time(&pair.at_any_time),
            copied: share(&pair.copied_fraction),
            copied_other: share(&pair.copied_fraction_other_way),
            carrying: pair.carrying_nine_tenths,
            indices: pair
                .indices
                .iter()
                .map(|row| {
                    let mut cells = cells(&row.result);
                    if let Some(reason) = reason(&row.result) {
                        cells[0] = format!("{MISSING}: {reason}");
                    }
                    (title(row.index), row.null, cells)
                })
                .collect(),
            carriers: pair
                .carriers
                .iter()
                .take(rows)
                .map(|row| {
                    let target = row
                        .target
                        .as_deref()
                        .map_or_else(|| MISSING.to_owned(), word);
                    [
                        word(&row.item),
                        word(&row.answer),
                        target,
                        format!("{:.4}", row.repeats),
                    ]
                })
                .collect(),
        }
    }
}
