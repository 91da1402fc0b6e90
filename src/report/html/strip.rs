//! A statistic beside the same statistic of known pairs.

use crate::evidence::Known;
use crate::report::data::EvidenceRow;
use crate::report::number;

use super::page::anchor;
use super::scale::Scale;

/// Left and right end of the axis, as percentages of the width.
const AXIS: (f64, f64) = (4.0, 96.0);

/// One axis with the pair and its controls. Positions are percentages of the width.
pub(super) struct Strip {
    pub key: String,
    pub description: String,
    pub independent: Vec<String>,
    pub derived: Vec<String>,
    pub pair: String,
    /// `start`, `middle` or `end`, so that the label stays inside.
    pub pair_side: &'static str,
    pub interval: Option<(String, String)>,
    pub ticks: Vec<(String, String)>,
}

impl Strip {
    /// `None` without a statistic or without controls.
    pub fn new(row: &EvidenceRow) -> Option<Self> {
        let statistic = row.statistic?;
        if row.controls.is_empty() {
            return None;
        }
        let ends = row.interval.iter().flat_map(|i| [i.low, i.high]);
        let values = row.controls.iter().map(|control| control.statistic);
        let scale = Scale::covering(values.chain(ends).chain([statistic]), AXIS.0, AXIS.1)?;
        let percent = |x: f64| format!("{:.2}%", scale.at(x));
        let of = |known: Known| -> Vec<f64> {
            row.controls
                .iter()
                .filter(|control| control.relation == known)
                .map(|control| control.statistic)
                .collect()
        };
        let place = |known| of(known).into_iter().map(percent).collect();
        let words = |known| {
            let all: Vec<_> = of(known).into_iter().map(number::statistic).collect();
            if all.is_empty() {
                "none".to_owned()
            } else {
                all.join(", ")
            }
        };
        let at = scale.at(statistic);
        Some(Self {
            key: anchor("s", &row.id),
            description: format!(
                "This pair: {}. Independent pairs: {}. Derived pairs: {}.",
                number::statistic(statistic),
                words(Known::Independent),
                words(Known::Derived)
            ),
            independent: place(Known::Independent),
            derived: place(Known::Derived),
            pair: percent(statistic),
            pair_side: match at {
                x if x < 25.0 => "start",
                x if x > 75.0 => "end",
                _ => "middle",
            },
            interval: row.interval.map(|i| (percent(i.low), percent(i.high))),
            ticks: scale
                .ticks()
                .into_iter()
                .map(|(at, text)| (format!("{at:.2}%"), text))
                .collect(),
        })
    }
}
