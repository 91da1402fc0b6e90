//! One panel of one world, with the pairs that are held against it.

use serde::Serialize;

use super::settings::{Cell, Overlap};
use crate::stat::copying::answers::Answers;
use crate::stat::copying::anytime::{Fair, anytime, bets};
use crate::stat::copying::calibration::Calibration;
use crate::stat::copying::k_index;
use crate::stat::copying::law::{PairLaw, PanelLaw};
use crate::stat::copying::world::{World, copy};
use crate::stat::copying::{gbt, omega, sequential, shared_wrong};
use crate::stat::random;
use crate::stat::tails;

/// A test that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Test {
    /// Id in the CSV.
    pub id: &'static str,
    /// What it holds the pair against.
    pub null: &'static str,
}

impl Test {
    /// Whether it is the p-value that the bars are about.
    pub fn is_panel_p(&self) -> bool {
        self.id == PANEL_P
    }
}

const PANEL_P: &str = "shared_wrong_calibrated";

/// The p-value of the test that was looked at after every item.
pub(super) const ANYTIME: &str = "anytime";

/// All tests, in the order of their p-values in a row: what is usual first.
pub const TESTS: [Test; 10] = [
    Test {
        id: "independent_errors",
        null: "errors that fall on items at random (hypergeometric)",
    },
    Test {
        id: "equal_options",
        null: "wrong answers drawn evenly from the wrong options (binomial, 1/(K-1))",
    },
    Test {
        id: "k_index",
        null: k_index::NULL,
    },
    Test {
        id: "omega",
        null: omega::NULL,
    },
    Test {
        id: "omega_calibrated",
        null: omega::NULL,
    },
    Test {
        id: "gbt",
        null: gbt::NULL,
    },
    Test {
        id: "gbt_calibrated",
        null: gbt::NULL,
    },
    Test {
        id: "shared_wrong",
        null: shared_wrong::NULL,
    },
    Test {
        id: PANEL_P,
        null: shared_wrong::NULL,
    },
    Test {
        id: ANYTIME,
        null: sequential::NULL,
    },
];

/// The p-values of one pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the world.
    pub world: String,
    /// Which of its panels.
    pub panel_number: usize,
    /// Which of the panel's pairs.
    pub pair: usize,
    /// Whether the second model is a copy of the first in part.
    pub copied: bool,
    /// In the order of [`TESTS`].
    pub log10_p: [f64; TESTS.len()],
    /// Items after which the test that may be looked at at any time reached the level.
    pub stopped_after: Option<usize>,
}

/// Draws a panel and its pairs and tests each pair.
pub(super) fn measure(settings: &Overlap, cell: &Cell, number: usize, seed: u64) -> Vec<Row> {
    let world = world(settings, cell);
    let mut rng = random::stream(seed, &format!("overlap {} {number}", cell.name));
    let items = world.items(&mut rng);
    let left = cell.pairs - (number * settings.pairs_per_panel).min(cell.pairs);
    let pairs = settings.pairs_per_panel.min(left);
    let copies = settings.copies_per_panel.min(pairs);
    let mut models: Vec<Vec<u32>> = (0..cell.panel + 2 * pairs)
        .map(|_| items.model(&mut rng))
        .collect();
    for pair in 0..copies {
        let first = cell.panel + 2 * pair;
        models.push(copy(
            &models[first],
            &models[first + 1],
            settings.copied,
            &mut rng,
        ));
    }
    let answers = items.answered(models);
    let members: Vec<usize> = (0..cell.panel).collect();
    let law = PanelLaw::fit(&answers, &members);
    let shown = Shown::of(&law);
    let row = |pair: usize, second: usize, copied: bool| {
        let first = cell.panel + 2 * pair;
        let of_pair = law.pair(first, second);
        let sequential = shown
            .fair
            .map(|fair| anytime(&of_pair, &fair, settings.level.ln()));
        let at_any_time = sequential.map_or(0.0, |found| found.ln_p);
        let models = (first, second);
        let ln_p = shown.test(&law, models, &of_pair, cell.options, at_any_time);
        Row {
            world: cell.name.clone(),
            panel_number: number,
            pair,
            copied,
            log10_p: ln_p.map(tails::log10),
            stopped_after: sequential.and_then(|found| found.reached),
        }
    };
    let strangers = (0..pairs).map(|pair| row(pair, cell.panel + 2 * pair + 1, false));
    let copied = (0..copies).map(|pair| row(pair, cell.panel + 2 * pairs + pair, true));
    strangers.chain(copied).collect()
}

fn world(settings: &Overlap, cell: &Cell) -> World {
    World {
        items: settings.items,
        options: cell.options,
        difficulty_sd: cell.difficulty_sd,
        distractor_sd: cell.distractor_sd,
        ability: settings.ability.0,
        ability_sd: settings.ability.1,
        subjects: cell.subjects,
        skill_sd: cell.skill_sd,
        own: cell.own,
        leaning: cell.leaning,
        options_known: cell.options_known,
    }
}

/// What the panel's own pairs show against its law.
struct Shown {
    omega: Option<Calibration>,
    gbt: Option<Calibration>,
    wrong: Option<Calibration>,
    fair: Option<Fair>,
}

impl Shown {
    fn of(law: &PanelLaw<'_>) -> Self {
        let pairs = Calibration::pairs(law, &[]);
        let laws: Vec<PairLaw> = pairs.into_iter().map(|(a, b)| law.pair(a, b)).collect();
        let of = |z: fn(&PairLaw) -> Option<f64>| Calibration::of(laws.iter().filter_map(z));
        Self {
            omega: of(omega::z),
            gbt: of(gbt::z),
            wrong: of(shared_wrong::z),
            fair: Fair::between(&laws.iter().map(bets).collect::<Vec<_>>()),
        }
    }

    /// `ln p` of every one of [`TESTS`].
    fn test(
        &self,
        law: &PanelLaw<'_>,
        (first, second): (usize, usize),
        pair: &PairLaw,
        options: u32,
        at_any_time: f64,
    ) -> [f64; TESTS.len()] {
        let naive = naive(law.answers(), pair, options);
        let k = k_index::k_index(law.answers(), first, second, law.members());
        let omega = omega::omega(pair, self.omega.as_ref()).repeated;
        let gbt = gbt::gbt(pair, self.gbt.as_ref());
        let wrong = shared_wrong::shared_wrong(pair, self.wrong.as_ref());
        [
            naive.0,
            naive.1,
            k.line_ln_p.unwrap_or(0.0),
            omega.ln_p,
            omega.calibrated_ln_p.unwrap_or(0.0),
            gbt.ln_p,
            gbt.calibrated_ln_p.unwrap_or(0.0),
            wrong.ln_p,
            wrong.calibrated_ln_p.unwrap_or(0.0),
            at_any_time,
        ]
    }
}

/// Independent errors; equally likely wrong options.
fn naive(answers: &Answers, pair: &PairLaw, options: u32) -> (f64, f64) {
    let count = |of: &dyn Fn(bool, bool) -> bool| {
        let items = pair.items.iter();
        items
            .filter(|item| of(item.first_right, item.second_right))
            .count() as u64
    };
    let both = count(&|first, second| !first && !second);
    let alike = pair
        .items
        .iter()
        .filter(|item| item.is_wrong_alike())
        .count() as u64;
    let errors = (count(&|first, _| !first), count(&|_, second| !second));
    (
        tails::hypergeometric_ln_tail(both, answers.items() as u64, errors.0, errors.1),
        tails::binomial_ln_tail(alike, both, 1.0 / f64::from(options - 1)),
    )
}
