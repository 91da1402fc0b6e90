//! Data -> coordinates.

/// A linear map from a range of values to a range of pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// Covers the finite ones of `values`, with room on either side; `None` without any.
    pub fn covering(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Option<Self> {
        let (low, high) = values
            .filter(|x| x.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
                (low.min(x), high.max(x))
            });
        if low > high {
            return None;
        }
        // A constant curve lies in the middle.
        let room = match (high - low) * 0.06 {
            r if r > 0.0 && r.is_finite() => r,
            _ => low.abs().max(1e-6) * 0.5,
        };
        Some(Self {
            low: low - room,
            high: high + room,
            start,
            end,
        })
    }

    /// Where `value` lies.
    pub fn at(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }

    /// Two to five round values inside, in ascending order, as they are written.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let step = round_step((self.high - self.low) / 5.0);
        if !(step.is_finite() && step > 0.0) {
            return Vec::new();
        }
        let first = (self.low / step).ceil();
        (0..8)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|value| *value <= self.high)
            .map(|value| (self.at(value), label(value, step)))
            .collect()
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let lead = raw / power;
    power
        * match lead {
            x if x <= 1.0 => 1.0,
            x if x <= 2.0 => 2.0,
            x if x <= 5.0 => 5.0,
            _ => 10.0,
        }
}

/// A tick's value with the digits that its step needs.
fn label(value: f64, step: f64) -> String {
    let digits = -step.log10().floor();
    if value.abs() >= 1e6 || digits > 6.0 {
        return format!("{value:.1e}");
    }
    let digits = digits.max(0.0) as usize;
    let text = format!("{value:.digits$}");
    if text.parse() == Ok(0.0) {
        format!("{:.digits$}", 0.0)
    } else {
        text
    }
}

/// Path data through `points`, lifted where a value is missing.
pub(super) fn path(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut data = String::new();
    let mut pen_down = false;
    for point in points {
        if let Some((x, y)) = point {
            let command = if pen_down { 'L' } else { 'M' };
            data.push_str(&format!("{command}{x:.1} {y:.1}"));
        }
        pen_down = point.is_some();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::{Scale, path};

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::covering([0.011, 0.038].into_iter(), 100.0, 0.0).unwrap();
        let labels: Vec<_> = scale.ticks().into_iter().map(|(_, l)| l).collect();
        assert_eq!(labels, ["0.01", "0.02", "0.03"]);
        assert!(scale.at(0.038) < scale.at(0.011));
    }

    #[test]
    fn odd_data_still_have_a_scale() {
        for values in [[0.0, 0.0], [7.0, 7.0], [-1e300, 1e300], [1e-300, 2e-300]] {
            let scale = Scale::covering(values.into_iter(), 0.0, 1.0).unwrap();
            assert!(scale.at(values[0]).is_finite(), "{values:?}");
            assert!(scale.ticks().len() < 9);
        }
        assert!(Scale::covering([f64::NAN].into_iter(), 0.0, 1.0).is_none());
    }

    #[test]
    fn a_missing_value_lifts_the_pen() {
        let points = [Some((0.0, 1.0)), None, Some((2.0, 3.0)), Some((4.0, 5.0))];
        assert_eq!(path(points.into_iter()), "M0.0 1.0M2.0 3.0L4.0 5.0");
    }
}
