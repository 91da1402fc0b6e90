//! Item by item: what both tiers of answers share.

use super::Differs;
use super::Gate;
use super::Judgement;
use super::Pair;
use super::Verdict;
use crate::stat::tails;

/// Chance that an item on the knife's edge falls to the other side at most, when nothing but noise moves it.
const COIN: f64 = 0.5;

/// Any change fails but those on the knife's edge, which fail together when more of them change than coins
/// would at level `alpha`.
pub(super) fn judge(pairs: &[Pair<'_>], gate: &Gate, differs: Differs) -> Judgement {
    let changed = |edge: bool| {
        let these = pairs.iter().filter(|pair| pair.knife_edge == edge);
        these.filter(|pair| differs(pair, gate).is_some()).count()
    };
    let (sharp, edge) = (changed(false), changed(true));
    let edges = pairs.iter().filter(|pair| pair.knife_edge).count();
    let tail = tails::binomial_ln_tail(edge as u64, edges as u64, COIN);
    let say = |verdict, reason| Judgement { verdict, reason };
    let all = pairs.len();
    if sharp > 0 {
        return say(
            Verdict::Fail,
            format!("{} of {all} answers changed", sharp + edge),
        );
    }
    if edge > 0 && tail < gate.alpha.ln() {
        let reason = format!(
            "{edge} of {edges} answers on the knife's edge changed, more than coins would (p {:.1e})",
            tail.exp()
        );
        return say(Verdict::Fail, reason);
    }
    if edges == all {
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
