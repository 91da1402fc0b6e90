//! The most probable tokens, and what their logits sum to; where an answer stops.

use super::Candidate;
use super::runner::TOP;
use crate::model::Tokenizer;

/// The [`TOP`] most probable tokens, best first.
pub(super) fn candidates(tokenizer: &Tokenizer, logits: &[f32]) -> Vec<Candidate> {
    let total = log_sum_exp(logits);
    top(logits, TOP)
        .into_iter()
        .map(|token| Candidate {
            token: Some(token),
            text: tokenizer.token_text(token).unwrap_or_default(),
            logprob: f64::from(logits[token as usize]) - total,
        })
        .collect()
}

/// Where the first stop string begins, those in leading white space skipped.
pub(super) fn stopped(text: &str, stop: &[String]) -> Option<usize> {
    let lead = text.len() - text.trim_start().len();
    stop.iter()
        .filter_map(|end| text[lead..].find(end.as_str()))
        .min()
        .map(|at| lead + at)
}

/// The `count` tokens of highest logit, best first; of equal ones the lower id first.
pub(super) fn top(logits: &[f32], count: usize) -> Vec<u32> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    for (token, &logit) in (0_u32..).zip(logits) {
        if best.len() == count && best.last().is_some_and(|(worst, _)| logit <= *worst) {
            continue;
        }
        let at = best.partition_point(|(other, _)| *other >= logit);
        best.insert(at, (logit, token));
        best.truncate(count);
    }
    best.into_iter().map(|(_, token)| token).collect()
}

/// The most probable token, and by how much it was decided: the logarithm of its odds against the best other one,
/// in nats. One that ends the text is held against the best that does not: which of several ends it makes no other
/// answer. There is no margin where there is no other token, and nothing where there are no logits.
pub(super) fn decided(logits: &[f32], ends: impl Fn(u32) -> bool) -> Option<(u32, Option<f64>)> {
    let best = *top(logits, 1).first()?;
    let is_end = ends(best);
    let other = |token: u32| token != best && !(is_end && ends(token));
    let others = (0_u32..).zip(logits).filter(|(token, _)| other(*token));
    let second = others.map(|(_, logit)| *logit).max_by(f32::total_cmp);
    let first = f64::from(logits[best as usize]);
    Some((best, second.map(|second| first - f64::from(second))))
}

pub(super) fn log_sum_exp(logits: &[f32]) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let highest = f64::from(highest);
    let sum: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - highest).exp())
        .sum();
    highest + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::decided;
    use super::log_sum_exp;
    use super::stopped;
    use super::top;

    #[test]
    fn stop_strings_count_after_text_only() {
        let stop = ["\n".to_owned(), "END".to_owned()];
        for (text, end) in [
            (" 42\nmore", Some(3)),
            ("\n\n 42", None),
            ("\n42\n", Some(3)),
            ("a END\n", Some(2)),
            ("END", Some(0)),
            ("", None),
        ] {
            assert_eq!(stopped(text, &stop), end, "{text:?}");
        }
        assert_eq!(stopped("a\n", &[]), None);
    }

    #[test]
    fn the_best_tokens_come_first_and_ties_by_id() {
        assert_eq!(top(&[1.0, 3.0, 2.0, 3.0, -1.0], 3), [1, 3, 2]);
        assert_eq!(top(&[0.5, 0.5, 0.5], 2), [0, 1]);
        assert_eq!(top(&[0.0], 8), [0]);
    }

    #[test]
    fn a_decision_is_held_against_what_would_make_another_answer() {
        let logits = [1.0, 3.0, 2.5, 2.75];
        assert_eq!(decided(&logits, |_| false), Some((1, Some(0.25))));
        // Of two ends of the text either ends it.
        let ends = |token| token == 1 || token == 3;
        assert_eq!(decided(&logits, ends), Some((1, Some(0.5))));
        assert_eq!(decided(&logits, |token| token == 3), Some((1, Some(0.25))));
        assert_eq!(decided(&[2.0, 2.0], |_| false), Some((0, Some(0.0))));
        assert_eq!(decided(&[1.0], |_| false), Some((0, None)));
        assert_eq!(decided(&[1.0, 0.0], |_| true), Some((0, None)));
        assert_eq!(decided(&[], |_| false), None);
    }

    #[test]
    fn probabilities_sum_to_one_far_from_zero() {
        let total = log_sum_exp(&[1000.0, 1000.0 + std::f32::consts::LN_2]);
        assert!((total - (1000.0 + 3.0_f64.ln())).abs() < 1e-4);
    }
}
