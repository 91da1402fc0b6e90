//! Answers chosen from a list: how many options, which is right, how probable each.

use std::borrow::Cow;

/// How far probabilities may be from a sum of 1; they are then divided by their sum.
const SLACK: f64 = 1e-3;

/// Probabilities that sum to 1, from probabilities or from logarithms (of any base-e scale).
pub(super) fn probabilities(
    given: Option<Vec<f64>>,
    logs: Option<Vec<f64>>,
) -> Result<Option<Vec<f64>>, &'static str> {
    match (given, logs) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err("there are both `probabilities` and `logprobs`; keep one of them")
        }
        (None, Some(logs)) => softmax(&logs).map(Some),
        (Some(given), None) => {
            let sum: f64 = given.iter().sum();
            let fine = |p: &f64| (0.0..=1.0 + SLACK).contains(p);
            if given.len() < 2 || !given.iter().all(fine) || (sum - 1.0).abs() > SLACK {
                return Err(
                    "`probabilities` must be two or more numbers from 0 to 1 that sum to 1",
                );
            }
            Ok(Some(given.iter().map(|p| p / sum).collect()))
        }
    }
}

/// Probabilities proportional to `exp(log)`.
pub(super) fn softmax(logs: &[f64]) -> Result<Vec<f64>, &'static str> {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if logs.len() < 2 || !top.is_finite() || logs.iter().any(|x| x.is_nan()) {
        return Err("`logprobs` must be two or more numbers, not all of them minus infinity");
    }
    let weights: Vec<f64> = logs.iter().map(|x| (x - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    Ok(weights.iter().map(|weight| weight / sum).collect())
}

/// Number of options: of the list, or the number that stands in its place.
pub(super) fn count(
    listed: &[Cow<'_, str>],
    probabilities: Option<&[f64]>,
) -> Result<Option<u32>, &'static str> {
    let stated = match listed {
        [] => None,
        [one] => Some(
            one.trim()
                .parse()
                .ok()
                .filter(|&n: &usize| n >= 2)
                .ok_or("`options` is a list of two or more, or their number")?,
        ),
        many => Some(many.len()),
    };
    match (stated, probabilities.map(<[f64]>::len)) {
        (Some(n), Some(m)) if n != m => Err("there are more or fewer probabilities than options"),
        (n, m) => Ok(n.or(m).and_then(|n| u32::try_from(n).ok())),
    }
}

/// Which option a target names: one of the list, a letter from A, or a number from 0.
pub(super) fn place(target: &str, listed: &[Cow<'_, str>], options: usize) -> Option<u32> {
    let target = target.trim();
    let by_text = listed.iter().position(|option| option.trim() == target);
    let by_letter = || match target.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
        _ => None,
    };
    by_text
        .or_else(by_letter)
        .or_else(|| target.parse().ok())
        .filter(|&at| at < options)
        .and_then(|at| u32::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_counted_and_found() {
        let list = ["x", "y", "B"].map(Cow::from);
        assert_eq!(count(&list, None), Ok(Some(3)));
        assert_eq!(count(&["4".into()], None), Ok(Some(4)));
        assert_eq!(count(&[], Some(&[0.5, 0.5])), Ok(Some(2)));
        assert!(count(&list, Some(&[0.5, 0.5])).is_err());
        assert!(count(&["x".into()], None).is_err());
        assert_eq!(place("B", &list, 3), Some(2));
        assert_eq!(place("B", &[], 3), Some(1));
        assert_eq!(place("2", &[], 3), Some(2));
        assert_eq!(place("3", &[], 3), None);
        assert_eq!(place("D", &[], 3), None);
    }

    #[test]
    fn probabilities_sum_to_one_or_are_refused() {
        let p = probabilities(None, Some(vec![-1000.0, -1001.0, f64::NEG_INFINITY])).unwrap();
        let e = 1.0_f64.exp();
        let p = p.unwrap();
        assert!((p[0] - e / (1.0 + e)).abs() < 1e-15 && p[2] == 0.0);
        assert!(probabilities(Some(vec![0.5, 0.4]), None).is_err());
        assert!(probabilities(Some(vec![1.5, -0.5]), None).is_err());
        assert!(probabilities(Some(vec![1.0]), None).is_err());
        assert!(probabilities(None, Some(vec![f64::NEG_INFINITY; 2])).is_err());
    }
}
