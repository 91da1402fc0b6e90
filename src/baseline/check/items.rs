//! Item by item: what both tiers of answers share.

use super::Differs;
use super::Gate;
use super::Judgement;
use super::Pair;
use super::Verdict;
use crate::baseline::margins::Close;
use crate::stat::tails;

/// Chance that a decision on the knife's edge falls to the other side at most, when nothing but noise moves it.
const COIN: f64 = 0.5;

/// Any change fails but those on the knife's edge, which fail together when more of them change than coins
/// would at level `alpha`.
pub(super) fn judge(pairs: &[Pair<'_>], gate: &Gate, differs: Differs) -> Judgement {
    let changed = pairs.iter().filter(|pair| differs(pair, gate).is_some());
    let (edge, sharp): (Vec<&Pair<'_>>, Vec<_>) = changed.partition(|pair| pair.knife_edge);
    let all = pairs.len();
    let say = |verdict, reason| Judgement { verdict, reason };
    if !sharp.is_empty() {
        let excused = match edge.len() {
            0 => String::new(),
            edge => format!(", {edge} of them on the knife's edge"),
        };
        let count = sharp.len() + edge.len();
        return say(
            Verdict::Fail,
            format!("{count} of {all} answers changed{excused}"),
        );
    }
    let chances: Vec<f64> = pairs.iter().filter_map(turns).collect();
    let turned = edge.iter().filter(|pair| turns(pair).is_some()).count();
    let tail = ln_tail(turned, &chances);
    if turned > 0 && tail < gate.alpha.ln() {
        let reason = format!(
            "{turned} of {} answers on the knife's edge changed, more than coins would (p {:.1e})",
            chances.len(),
            tail.exp()
        );
        return say(Verdict::Fail, reason);
    }
    let edge = edge.len();
    let is_blunt = pairs.iter().all(Pair::is_close);
    // Where every answer is close, none of them can tell a change from noise, and few not even together.
    if is_blunt && (edge > 0 || ln_tail(chances.len(), &chances) >= gate.alpha.ln()) {
        let reason = match all {
            0 => "no item is in both".to_owned(),
            _ => format!("all {all} answers are on the knife's edge"),
        };
        return say(Verdict::Inconclusive, reason);
    }
    let reason = match edge {
        0 => format!("all {all} answers are as accepted"),
        _ => format!("{edge} of {all} answers changed, each on the knife's edge"),
    };
    say(Verdict::Pass, reason)
}

/// Chance that noise changes the answer at most: that one of its coins falls. `None` for an answer that is not close,
/// and where it is not known how many coins there are, as such an answer may always change.
fn turns(pair: &Pair<'_>) -> Option<f64> {
    match pair.close {
        Close::Few(0) | Close::Unknown => None,
        Close::Few(coins) => Some(1.0 - (1.0 - COIN).powf(f64::from(coins))),
    }
}

/// Logarithm of the chance that `changed` answers or more change, at most; each has a chance of its own.
///
/// From one above its mean on, the tail of a sum of such draws is at most that of as many draws of their mean chance
/// (Hoeffding 1956, theorem 5).
fn ln_tail(changed: usize, chances: &[f64]) -> f64 {
    let sum: f64 = chances.iter().sum();
    match (changed as f64) < sum + 1.0 {
        true => 0.0,
        false => {
            let mean = sum / chances.len() as f64;
            tails::binomial_ln_tail(changed as u64, chances.len() as u64, mean)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random::stream;
    use crate::stat::random::unit;

    /// The exact tail, draw by draw.
    fn exact(changed: usize, chances: &[f64]) -> f64 {
        let mut law = vec![1.0];
        for chance in chances {
            law.push(0.0);
            for at in (0..law.len()).rev() {
                let below = if at > 0 { law[at - 1] } else { 0.0 };
                law[at] = law[at] * (1.0 - chance) + below * chance;
            }
        }
        law[changed..].iter().sum()
    }

    #[test]
    fn the_tail_is_never_below_the_exact_one() {
        let mut rng = stream(3, "coins");
        for answers in [1, 5, 40] {
            let coins: Vec<f64> = (0..answers)
                .map(|_| 1.0 - 0.5_f64.powf((4.0 * unit(&mut rng)).ceil()))
                .collect();
            let even = vec![COIN; answers];
            for chances in [coins, even] {
                for changed in 0..=answers {
                    let (bound, exact) =
                        (ln_tail(changed, &chances).exp(), exact(changed, &chances));
                    assert!(bound >= exact - 1e-12, "{changed} {bound} {exact}");
                }
            }
        }
        // And is that of coins where all are.
        let all = ln_tail(8, &[COIN; 8]);
        assert!((all - 8.0 * COIN.ln()).abs() < 1e-9, "{all}");
        assert_eq!(ln_tail(8, &[1.0; 8]), 0.0);
    }
}
