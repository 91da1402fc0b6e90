//! Numbers as a reader sees them.

use std::fmt;

/// A statistic: about four significant digits, and never rounded onto a whole number that it is not.
pub(super) fn statistic(x: f64) -> String {
    if !x.is_finite() {
        return "not a number".to_owned();
    }
    let size = x.abs();
    if x.fract() == 0.0 && size < 1e15 {
        return format!("{x:.0}");
    }
    if !(1e-4..1e15).contains(&size) {
        return format!("{x:.2e}");
    }
    let start = match size {
        s if s >= 1000.0 => 1,
        s if s >= 1.0 => 3,
        _ => 4,
    };
    (start..=12)
        .map(|digits| format!("{x:.digits$}"))
        .find(|text| text.parse::<f64>().is_ok_and(|read| read.fract() != 0.0))
        .unwrap_or_else(|| format!("{x:.4}"))
}

/// A base-10 logarithm.
pub(super) fn log10(x: f64) -> String {
    if !x.is_finite() {
        return "not a number".to_owned();
    }
    if x.abs() >= 10.0 {
        format!("{x:.1}")
    } else {
        format!("{x:.2}")
    }
}

/// A p-value as it is written: in full where that can be read, else as a power of ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PValue {
    /// `p = 0.050`, or `p = 10` when there is an exponent.
    pub text: String,
    /// Of ten.
    pub exponent: Option<String>,
}

impl fmt::Display for PValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.exponent {
            Some(exponent) => write!(f, "^{exponent}"),
            None => Ok(()),
        }
    }
}

/// A p-value from its logarithm.
pub(super) fn p_value(log10_p: f64) -> PValue {
    if log10_p > -3.0 {
        PValue {
            text: format!("p = {:.3}", libm::exp10(log10_p)),
            exponent: None,
        }
    } else {
        PValue {
            text: "p = 10".to_owned(),
            exponent: Some(log10(log10_p)),
        }
    }
}

/// A count with thousands separated by commas.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most seven characters, for narrow columns.
pub(super) fn short_count(n: u64) -> String {
    scaled(n, 10_000, &["", " k", " M", " G", " T", " P", " E"])
}

/// Bytes in decimal units.
pub(super) fn bytes(n: u64) -> String {
    scaled(n, 1000, &[" B", " kB", " MB", " GB", " TB", " PB", " EB"])
}

/// `n` in steps of a thousand once it reaches `from`.
fn scaled(n: u64, from: u64, units: &[&str]) -> String {
    if n < from {
        return format!("{n}{}", units[0]);
    }
    let mut value = n as f64;
    let mut step = 0;
    while value >= 999.95 && step + 1 < units.len() {
        value /= 1000.0;
        step += 1;
    }
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$}{}", units[step])
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, log10, p_value, short_count, statistic};

    #[test]
    fn statistics_keep_what_sets_them_apart_from_whole_numbers() {
        assert_eq!(statistic(1.0), "1");
        assert_eq!(statistic(0.999_996), "0.999996");
        assert_eq!(statistic(0.93), "0.9300");
        assert_eq!(statistic(-0.018_44), "-0.0184");
        assert_eq!(statistic(1.000_04), "1.00004");
        assert_eq!(statistic(2304.0), "2304");
        assert_eq!(statistic(3.2e-9), "3.20e-9");
        assert_eq!(statistic(f64::NAN), "not a number");
    }

    #[test]
    fn small_p_values_are_powers_and_never_zero() {
        assert_eq!(p_value(-84.2).to_string(), "p = 10^-84.2");
        assert_eq!(p_value(-400.0).to_string(), "p = 10^-400.0");
        assert_eq!(p_value(-1.3).to_string(), "p = 0.050");
        assert_eq!(log10(-9.134), "-9.13");
    }

    #[test]
    fn counts_and_sizes_fit_their_columns() {
        assert_eq!(count(1_443_456), "1,443,456");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(short_count(2304), "2304");
        assert_eq!(short_count(1_443_456), "1.4 M");
        assert_eq!(short_count(u64::MAX), "18.4 E");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(5_800_000), "5.8 MB");
        assert_eq!(bytes(999_999), "1.0 MB");
    }
}
