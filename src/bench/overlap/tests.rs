use std::path::Path;

use super::*;
use crate::bench::settings::Settings;
use crate::source::Silent;

/// The shipped worlds, smaller: `items` and pairs are cut.
fn work(items: usize, pairs: usize, seed: u64) -> Work {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut settings = Settings::load(root).unwrap().overlap.unwrap();
    settings.items = items;
    for cell in &mut settings.worlds {
        cell.pairs = pairs;
        cell.panel = cell.panel.min(10);
    }
    Work {
        settings,
        seed,
        jobs: None,
        progress: Arc::new(Silent),
    }
}

/// The shipped settings name the bars that the README prints, and all bars hold on a cut of them.
#[test]
fn the_panel_is_quiet_among_strangers_where_the_usual_tests_are_not() {
    let work = work(600, 60, 1);
    assert!((work.settings.level - 1e-3).abs() < 1e-12);
    assert!(work.settings.bars.false_positive_rate <= 0.002 && work.settings.bars.power >= 0.99);
    let (summary, rows) = run(&work, "test".to_owned()).unwrap();
    let panel_p = |world: &World| {
        world
            .tests
            .iter()
            .find(|one| one.test.is_panel_p())
            .cloned()
    };
    let (mut strangers, mut false_positives, mut peeked) = (0, 0, 0);
    for world in &summary.worlds {
        assert_eq!((world.pairs, world.tests.len()), (60, TESTS.len()));
        let panel = panel_p(world).unwrap();
        strangers += world.pairs;
        false_positives += panel.false_positives;
        assert!(panel.power > 0.7, "{}: {}", world.name, panel.power);
        let at_any_time = world.at_any_time().unwrap();
        peeked += at_any_time.false_positives;
        assert!(world.copies_stop_after.is_none_or(|at| at <= 600));
    }
    assert!(peeked <= 2, "{peeked} of {strangers}");
    // 0.1 % of some 500 pairs; three or more would be rarer than 2 %.
    assert!(
        strangers >= 400 && false_positives <= 2,
        "{false_positives} of {strangers}"
    );
    let hard = summary
        .worlds
        .iter()
        .find(|world| world.name == "hard, tempting")
        .unwrap();
    for naive in &hard.tests[..2] {
        assert!(naive.false_positive_rate > 0.9, "{}", naive.test.id);
    }
    let csv = to_csv(&rows).unwrap();
    assert_eq!(csv.lines().count(), rows.len() + 1);
    assert!(
        rows.iter()
            .all(|row| row.log10_p.iter().all(|p| p.is_finite() && *p <= 0.0))
    );
}

#[test]
fn a_seed_repeats_all_and_another_changes_all() {
    let of = |seed| run(&work(80, 7, seed), "test".to_owned()).unwrap().1;
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
}

#[test]
fn settings_that_cannot_be_followed_are_named() {
    let good = work(10, 10, 0).settings;
    assert_eq!(good.fault(), None);
    let spoilt: [fn(&mut Overlap); 5] = [
        |one| one.level = 0.0,
        |one| one.items = 0,
        |one| one.copies_per_panel = one.pairs_per_panel + 1,
        |one| one.worlds[0].panel = 2,
        |one| one.worlds[0].name = one.worlds[1].name.clone(),
    ];
    for spoil in spoilt {
        let mut settings = good.clone();
        spoil(&mut settings);
        assert!(settings.fault().unwrap().starts_with("overlap: "));
    }
}
