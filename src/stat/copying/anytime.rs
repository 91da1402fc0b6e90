//! Same wrong answers under a test that may be looked at after every item.

use super::calibration::Calibration;
use super::law::{PairItem, PairLaw, PanelLaw};
use super::sequential::EProcess;

/// Copied shares that are bet on, in equal parts: none of them need be guessed.
const SHARES: [f64; 5] = [0.05, 0.1, 0.2, 0.4, 0.8];

/// Beyond so much no tilt is looked for: odds of a million to one.
const MOST: f64 = 14.0;

/// The odds at which bets on a same wrong answer are fair among the panel itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fair {
    /// Pairs of panel members.
    pub pairs: usize,
    /// What is added to the logarithm of the law's odds, so that the panel's own pairs give as many same
    /// wrong answers as it makes likely; never less than 0.
    pub tilt: f64,
    /// Standard deviation of the panel pairs' `z` at those odds: 1 if nothing else connects them.
    pub spread: f64,
}

impl Fair {
    /// From every pair of members, each against the law that left both out; `None` for fewer than two
    /// pairs.
    pub fn of(law: &PanelLaw<'_>) -> Option<Self> {
        let pairs = Calibration::pairs(law, &[]).into_iter();
        let pairs: Vec<Vec<Bet>> = pairs.map(|(a, b)| bets(&law.pair(a, b))).collect();
        Self::between(&pairs)
    }

    /// From the bets of every pair of members.
    ///
    /// All of it is the panel's: nothing depends on the models that are looked at, so that the odds are
    /// known before their first answer.
    pub fn between(pairs: &[Vec<Bet>]) -> Option<Self> {
        let tilt = tilt(&pairs.concat());
        let z = pairs.iter().filter_map(|pair| z(pair, tilt));
        let spread = Calibration::of(z)?;
        Some(Self {
            pairs: pairs.len(),
            tilt,
            spread: spread.sd,
        })
    }
}

/// How far evidence has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anytime {
    /// Items that both answered.
    pub items: usize,
    /// Of them, those that both got wrong: what is bet on.
    pub both_wrong: usize,
    /// Of those, the same answers.
    pub alike: usize,
    /// `ln` of the e-value now.
    pub ln_e: f64,
    /// `ln` of the p-value that is valid whenever one stops.
    pub ln_p: f64,
    /// Items after which the p-value was first at most the level.
    pub reached: Option<usize>,
}

/// Bets, item by item, that two models which are both wrong give the same answer, at the panel's odds.
///
/// Right answers are no bets, so that neither model's ability, which is only known in the end, enters.
/// The order of the items is part of the p-value; the e-value is the same in every order.
pub fn anytime(pair: &PairLaw, fair: &Fair, ln_level: f64) -> Anytime {
    let mut process = EProcess::new(&SHARES, fair.spread);
    let (mut alike, mut reached) = (0, None);
    for (at, item) in pair.items.iter().enumerate() {
        if let Some((same, q)) = bet(item) {
            process.add(same, tilted(q, fair.tilt));
            alike += usize::from(same);
        }
        if reached.is_none() && process.ln_p() <= ln_level {
            reached = Some(at + 1);
        }
    }
    Anytime {
        items: pair.items.len(),
        both_wrong: process.items(),
        alike,
        ln_e: process.ln_e(),
        ln_p: process.ln_p(),
        reached,
    }
}

/// An item that both got wrong: whether the answers are the same, and the law's probability of that, given
/// that both are wrong.
pub type Bet = (bool, f64);

/// Every item of a pair that is bet on.
pub fn bets(pair: &PairLaw) -> Vec<Bet> {
    pair.items.iter().filter_map(bet).collect()
}

fn bet(item: &PairItem) -> Option<Bet> {
    (!item.first_right && !item.second_right).then_some((item.alike, item.alike_if_wrong))
}

fn tilted(q: f64, tilt: f64) -> f64 {
    let odds = q / (1.0 - q) * tilt.exp();
    if odds.is_finite() {
        odds / (1.0 + odds)
    } else {
        1.0
    }
}

/// The least tilt at which the mean number of same wrong answers is the one that was seen.
fn tilt(bets: &[Bet]) -> f64 {
    let seen = bets.iter().filter(|(same, _)| *same).count() as f64;
    let mean = |tilt: f64| -> f64 { bets.iter().map(|(_, q)| tilted(*q, tilt)).sum() };
    if mean(0.0) >= seen {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, MOST);
    // 50 halvings leave 1e-14.
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        match mean(middle) < seen {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

fn z(bets: &[Bet], tilt: f64) -> Option<f64> {
    let (mut excess, mut variance) = (0.0, 0.0);
    for (same, q) in bets {
        let q = tilted(*q, tilt);
        excess += f64::from(u8::from(*same)) - q;
        variance += q * (1.0 - q);
    }
    (variance > 0.0).then(|| excess / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::copying::world::{World, copy};
    use crate::stat::random::stream;

    const LEVEL: f64 = 1e-3;

    fn world(subjects: usize) -> World {
        World {
            items: 600,
            options: 30,
            difficulty_sd: 2.0,
            distractor_sd: 2.5,
            ability: 0.0,
            ability_sd: 0.5,
            subjects,
            skill_sd: if subjects > 1 { 0.7 } else { 0.0 },
            own: 0.0,
            leaning: 0.0,
            options_known: false,
        }
    }

    /// For each pair of models outside of a panel of eight: what the test says of the second as it is, and
    /// as a copy of a fifth of the first.
    fn pairs(subjects: usize, panels: u64) -> Vec<[Anytime; 2]> {
        let mut found = Vec::new();
        for seed in 0..panels {
            let mut rng = stream(seed, "anytime");
            let items = world(subjects).items(&mut rng);
            let mut models: Vec<Vec<u32>> = (0..28).map(|_| items.model(&mut rng)).collect();
            for at in (8..28).step_by(2) {
                models.push(copy(&models[at], &models[at + 1], 0.2, &mut rng));
            }
            let answers = items.answered(models);
            let law = PanelLaw::fit(&answers, &[0, 1, 2, 3, 4, 5, 6, 7]);
            let fair = Fair::of(&law).unwrap();
            for (number, first) in (8..28).step_by(2).enumerate() {
                let of = |second| anytime(&law.pair(first, second), &fair, LEVEL.ln());
                found.push([of(first + 1), of(28 + number)]);
            }
        }
        found
    }

    /// Peeking after every item calls strangers alike no more often than the level says, and copies are
    /// found before the end.
    #[test]
    fn strangers_stay_below_and_copies_stop_early() {
        for subjects in [1, 8] {
            let found = pairs(subjects, 12);
            let wrong = found
                .iter()
                .filter(|[stranger, _]| stranger.ln_p <= 0.05f64.ln());
            // 5 % of 120 are 6, with a standard deviation of 2.4.
            assert!(wrong.clone().count() <= 13, "{subjects}: {}", wrong.count());
            let stops = found.iter().filter_map(|[_, copy]| copy.reached);
            let stops: Vec<usize> = stops.collect();
            assert!(stops.len() >= 108, "{subjects}: {}", stops.len());
            assert!(stops.iter().all(|at| *at <= 600));
            assert!(stops.iter().sum::<usize>() / stops.len() < 450);
        }
    }

    #[test]
    fn the_tilt_makes_the_panel_fair_and_never_gives_odds_away() {
        let bets = [(true, 0.2), (true, 0.5), (false, 0.1), (false, 0.3)];
        let found = tilt(&bets);
        let mean: f64 = bets.iter().map(|(_, q)| tilted(*q, found)).sum();
        assert!((mean - 2.0).abs() < 1e-9, "{mean}");
        assert_eq!(tilt(&[(false, 0.4), (false, 0.9)]), 0.0);
        // All alike where the law leaves nothing open: there is nothing to bet on.
        assert_eq!(tilted(1.0, 0.5), 1.0);
        assert_eq!(tilted(0.0, 3.0), 0.0);
    }

    /// `reached` is the first item after which the capital is enough; right answers move nothing.
    #[test]
    fn right_answers_are_no_bets() {
        let item = |right: bool, alike: bool| PairItem {
            item: 0,
            first_right: right,
            second_right: right,
            alike,
            both_right: 0.1,
            wrong_alike: 0.1,
            alike_if_wrong: 0.1,
            repeats: 0.1,
        };
        let fair = Fair {
            pairs: 3,
            tilt: 0.0,
            spread: 1.0,
        };
        let of = |items: Vec<PairItem>| {
            anytime(
                &PairLaw {
                    items,
                    ..PairLaw::default()
                },
                &fair,
                0.05f64.ln(),
            )
        };
        let found = of(vec![item(true, true); 50]);
        assert_eq!(
            (found.both_wrong, found.ln_e, found.reached),
            (0, 0.0, None)
        );
        let mut items = vec![item(true, true), item(false, true), item(false, true)];
        // Mean over the shares of (c + (1 - c)/10)^2 / 0.01, of which 20 is the bar.
        let mean = SHARES
            .iter()
            .map(|c| ((c + (1.0 - c) * 0.1) / 0.1).powi(2))
            .sum::<f64>()
            / 5.0;
        let found = of(items.clone());
        assert!((found.ln_e - mean.ln()).abs() < 1e-12);
        assert_eq!(found.reached, Some(3));
        items.push(item(false, false));
        let found = of(items);
        assert_eq!((found.items, found.alike, found.reached), (4, 2, Some(3)));
        assert!(found.ln_p <= -mean.ln() + 1e-12 && found.ln_e < mean.ln());
    }
}
