//! Tail probabilities as natural logarithms, down to any size.

use libm::lgamma;

/// `ln n!`.
pub fn ln_factorial(n: u64) -> f64 {
    lgamma(n as f64 + 1.0)
}

/// `ln C(n, k)`; minus infinity when `k > n`.
pub fn ln_choose(n: u64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    // Exactly zero at both ends, where the difference of three logarithms would leave dust.
    if k == 0 || k == n {
        return 0.0;
    }
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// `ln sum exp(x)`; minus infinity for no terms.
pub fn log_sum_exp(terms: impl IntoIterator<Item = f64>) -> f64 {
    let terms: Vec<f64> = terms.into_iter().collect();
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + terms.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
}

/// `ln P(X >= k)` for `X` binomial with `n` trials of success probability `p`.
///
/// `p` outside `[0, 1]` is taken as the nearer end.
pub fn binomial_ln_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        return 0.0;
    }
    let p = p.clamp(0.0, 1.0);
    // `0 * ln 0` is 0 here: no trial of that kind takes place.
    let power = |count: u64, ln: f64| if count == 0 { 0.0 } else { count as f64 * ln };
    let (hit, miss) = (p.ln(), (-p).ln_1p());
    log_sum_exp((k..=n).map(|x| ln_choose(n, x) + power(x, hit) + power(n - x, miss))).min(0.0)
}

/// `ln P(X >= k)` for `X` hypergeometric: marked items among `drawn` of `total`, `marked` of which are
/// marked.
///
/// Minus infinity where the draw is impossible (`marked` or `drawn` above `total`, or `k` out of
/// reach).
pub fn hypergeometric_ln_tail(k: u64, total: u64, marked: u64, drawn: u64) -> f64 {
    if marked > total || drawn > total {
        return f64::NEG_INFINITY;
    }
    let least = (marked + drawn).saturating_sub(total);
    if k <= least {
        return 0.0;
    }
    let all = ln_choose(total, drawn);
    let most = marked.min(drawn);
    log_sum_exp(
        (k..=most).map(|x| ln_choose(marked, x) + ln_choose(total - marked, drawn - x) - all),
    )
    .min(0.0)
}

/// Fisher's combination of independent p-values, all as natural logarithms.
///
/// `-2 sum ln p` is chi-squared with `2L` degrees of freedom, whose upper tail at `x` is
/// `exp(-x/2) sum_{j<L} (x/2)^j / j!`. P-values that are larger than uniform in distribution
/// (conservative ones) keep it valid. No p-values give `ln 1`.
pub fn fisher_ln(ln_p: &[f64]) -> f64 {
    let half: f64 = -ln_p.iter().map(|p| p.min(0.0)).sum::<f64>();
    if ln_p.is_empty() || half == 0.0 {
        return 0.0;
    }
    let terms = (0..ln_p.len() as u64).map(|j| j as f64 * half.ln() - ln_factorial(j));
    (log_sum_exp(terms) - half).min(0.0)
}

/// A natural logarithm of a probability as base 10, at most 0.
pub fn log10(ln: f64) -> f64 {
    // `+ 0.0` turns a negative zero into a plain one.
    (ln * std::f64::consts::LOG10_E).min(0.0) + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `C(n, k)` in exact integers.
    fn choose(n: u64, k: u64) -> u128 {
        (0..k).fold(1u128, |c, i| c * u128::from(n - i) / u128::from(i + 1))
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-10 * b.abs().max(1.0), "{a} against {b}");
    }

    #[test]
    fn binomials_equal_integers() {
        for n in 0..60 {
            for k in 0..=n {
                close(ln_choose(n, k), (choose(n, k) as f64).ln());
            }
        }
        assert_eq!(ln_choose(3, 4), f64::NEG_INFINITY);
    }

    #[test]
    fn hypergeometric_tail_equals_exact_rationals() {
        for (total, marked, drawn) in [(12, 5, 7), (30, 11, 9), (40, 3, 39), (9, 9, 4), (8, 0, 3)] {
            let all = choose(total, drawn);
            let most = marked.min(drawn);
            for k in 0..=most {
                let hits: u128 = (k..=most)
                    .filter(|x| drawn - x <= total - marked)
                    .map(|x| choose(marked, x) * choose(total - marked, drawn - x))
                    .sum();
                let tail = hypergeometric_ln_tail(k, total, marked, drawn);
                close(tail, (hits as f64 / all as f64).ln());
            }
            let beyond = hypergeometric_ln_tail(most + 1, total, marked, drawn);
            assert_eq!(beyond, f64::NEG_INFINITY);
        }
    }

    /// The 2024 rare-script case: 236 and 194 errors in 1,000 items, 182 shared (log10 p = -132.4
    /// against independent errors, published in the case's re-analyses).
    #[test]
    fn rare_script_case() {
        let log10_p = log10(hypergeometric_ln_tail(182, 1000, 236, 194));
        assert!((log10_p + 132.4).abs() < 0.05, "{log10_p}");
    }

    #[test]
    fn binomial_tail_equals_exact_rationals() {
        // p = 3/8: P(X >= k) = sum C(n, x) 3^x 5^(n-x) / 8^n.
        for n in [1u64, 5, 14] {
            let all = 8f64.powi(n as i32);
            for k in 0..=n {
                let hits: u128 = (k..=n)
                    .map(|x| choose(n, x) * 3u128.pow(x as u32) * 5u128.pow((n - x) as u32))
                    .sum();
                close(binomial_ln_tail(k, n, 0.375), (hits as f64 / all).ln());
            }
        }
        assert_eq!(binomial_ln_tail(3, 5, 0.0), f64::NEG_INFINITY);
        close(binomial_ln_tail(5, 5, 1.0), 0.0);
        // 65 % same wrong answers out of 182 against 1/9: log10 p = -65.8.
        let published = log10(binomial_ln_tail(118, 182, 1.0 / 9.0));
        assert!((published + 65.8).abs() < 0.05, "{published}");
    }

    #[test]
    fn fisher_equals_the_two_term_closed_form() {
        // L = 2: p (1 - ln p) with p the product.
        for (a, b) in [(0.3f64, 0.7f64), (1e-4, 0.9), (1e-200, 1e-150)] {
            let ln = a.ln() + b.ln();
            close(fisher_ln(&[a.ln(), b.ln()]), ln + (1.0 - ln).ln());
        }
        close(fisher_ln(&[0.05f64.ln()]), 0.05f64.ln());
        assert_eq!(fisher_ln(&[]), 0.0);
        assert_eq!(fisher_ln(&[0.0, 0.0]), 0.0);
    }

    #[test]
    fn logarithms_are_never_positive_or_negative_zero() {
        assert!(log10(0.0).is_sign_positive());
        assert_eq!(log10(1e-12), 0.0);
        close(log10(-100.0 * std::f64::consts::LN_10), -100.0);
    }
}
