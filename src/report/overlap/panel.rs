//! Pairs beside a panel of other models: tables for the terminal and the page.

use super::MISSING;
use super::reason;
use crate::evidence::overlap::AgainstPanel;
use crate::evidence::overlap::AnytimeRow;
use crate::evidence::overlap::ClaimRow;
use crate::evidence::overlap::Copied;
use crate::evidence::overlap::IndexResult;
use crate::evidence::overlap::PanelPair;
use crate::evidence::overlap::Power;
use crate::evidence::overlap::Stated;
use crate::report::number;
use crate::report::terminal;
use crate::report::terminal::LABELS;
use crate::report::terminal::Labelled;
use crate::report::terminal::Style;
use crate::text::ModelText;

/// Pairs that a terminal lists.
const PAIRS: usize = 10;

/// An index's name as a reader sees it.
pub(super) fn title(index: &str) -> String {
    index
        .replace("shared_wrong", "same wrong answers")
        .replace("gbt", "same answers (GBT)")
        .replace("k_index", "K-index")
        .replace("m4", "M4")
}

/// Observed, expected, z, log10 p, calibrated.
pub(super) fn cells(result: &Stated<IndexResult>) -> [String; 5] {
    let Some(result) = result.value() else {
        return [MISSING, "", "", "", ""].map(str::to_owned);
    };
    let or_none = |value: Option<f64>, write: fn(f64) -> String| {
        value.map_or_else(|| "none".to_owned(), write)
    };
    [
        format!("{} of {}", result.observed, result.items),
        or_none(result.expected, |x| format!("{x:.1}")),
        or_none(result.z, |x| format!("{x:.2}")),
        number::log10(result.log10_p),
        or_none(result.log10_p_calibrated, number::log10),
    ]
}

/// `0.50 [0.48, 0.52]`.
pub(super) fn share(copied: &Copied) -> String {
    format!(
        "{:.3} [{:.3}, {:.3}]",
        copied.value, copied.low, copied.high
    )
}

/// The rank in words.
pub(super) fn rank(pair: &PanelPair) -> String {
    format!(
        "{}, of {} panel models",
        number::p_value(pair.rank.log10_p),
        pair.rank.members
    )
}

/// What may be said while answers still come in.
pub(super) fn at_any_time(stated: &Stated<AnytimeRow>) -> String {
    let Some(row) = stated.value() else {
        return format!("{MISSING}: {}", reason(stated).unwrap_or_default());
    };
    let stop = row
        .until
        .map_or_else(String::new, |until| match until.reached_after {
            Some(items) => format!(
                "; p {:e} was reached after {} items",
                until.p,
                number::count(items)
            ),
            None => format!("; p {:e} was not reached", until.p),
        });
    format!(
        "log10 e {:.2}, so far log10 p {}, {} of {} shared errors alike in {} items{stop}",
        row.log10_e,
        number::log10(row.log10_p),
        number::count(row.both_wrong_alike),
        number::count(row.both_wrong),
        number::count(row.items),
    )
}

/// What the answers at hand can show.
pub(super) fn power(power: &Power) -> String {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let shares = power.shares.iter().map(|seen| {
        let needed = seen.both_wrong_needed.map_or_else(
            || "no number is enough".to_owned(),
            |needed| format!("{} needed", number::count(needed)),
        );
        format!(
            "{} with power {} ({needed})",
            percent(seen.share),
            percent(seen.power)
        )
    });
    format!(
        "panel pairs give {} of shared errors the same answer; {} items, {} of them wrong in both, show at p {:e} a share of {};          needed: shared errors for power {}",
        percent(power.independent),
        number::count(power.items),
        percent(power.both_wrong_rate),
        power.level,
        shares.collect::<Vec<_>>().join(", "),
        percent(power.power_wanted),
    )
}

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

/// More like the first than other derivatives of the base?
pub(super) fn claim_words(row: &ClaimRow) -> String {
    let [first, suspect, base] = [&row.first, &row.suspect, &row.base]
        .map(|label| ModelText::new(label.as_str()).clipped(40));
    let theirs = row.derivatives_z.map_or_else(String::new, |(mean, sd)| {
        format!(" (mean {mean:.2}, sd {sd:.2})")
    });
    let of_base = row
        .base_z
        .map_or_else(String::new, |z| format!("; {base} itself has z {z:.2}"));
    let student = row.student_log10_p.map_or_else(String::new, |p| {
        format!(", beyond their spread log10 p {}", number::log10(p))
    });
    format!(
        "{suspect} gives {} of {} wrong answers of {first}, z {}, beside {} other derivatives of {base}{theirs}{of_base}: rank \
         {}{student}",
        row.repeats.observed,
        row.repeats.items,
        row.repeats
            .z
            .map_or_else(|| "none".to_owned(), |z| format!("{z:.2}")),
        row.derivatives,
        number::p_value(row.rank_log10_p),
    )
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
