//! A panel's findings in words and cells, the same on the terminal and the page.

use super::MISSING;
use super::reason;
use crate::evidence::overlap::AnytimeRow;
use crate::evidence::overlap::ClaimRow;
use crate::evidence::overlap::Confusion;
use crate::evidence::overlap::Copied;
use crate::evidence::overlap::IndexResult;
use crate::evidence::overlap::PanelPair;
use crate::evidence::overlap::Power;
use crate::evidence::overlap::Stated;
use crate::report::number;
use crate::text::ModelText;

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

/// What both take for what, beside the panel.
pub(super) fn confusion(stated: &Stated<Confusion>) -> String {
    let Some(found) = stated.value() else {
        return format!("{MISSING}: {}", reason(stated).unwrap_or_default());
    };
    format!(
        "cosine {:.2} of what is taken for what, less what the panel takes for it ({} kinds of confusion among {} right \
         answers); {} pairs of the panel: median {:.2}, largest {:.2}; a description, no test",
        found.overlap,
        number::count(found.kinds),
        number::count(found.classes),
        number::count(found.panel_pairs),
        found.panel_median,
        found.panel_largest
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
