use super::*;
use crate::evidence;

fn by_runs(scores: &[(&str, f64)]) -> ByRuns {
    let owned = scores
        .iter()
        .map(|(runs, score)| ((*runs).to_owned(), *score));
    owned.collect()
}

/// Three runs: independent pairs score low, kin high.
fn table() -> Population {
    let card = evidence::methods()
        .map(evidence::Evidence::card)
        .find(|card| card.id == "weight.tensor_cosine")
        .unwrap();
    let none = BTreeMap::from([
        (
            INDEPENDENT.to_owned(),
            by_runs(&[("a b", 0.01), ("a c", 0.02), ("b c", 0.03)]),
        ),
        ("noised".to_owned(), by_runs(&[("a", 0.9), ("b", 0.8)])),
        ("siblings".to_owned(), by_runs(&[("a", 0.7)])),
        (SHARED_INITIALISATION.to_owned(), by_runs(&[("a d", 0.4)])),
    ]);
    let permuted = BTreeMap::from([
        (INDEPENDENT.to_owned(), by_runs(&[("a b", 0.05)])),
        ("noised".to_owned(), by_runs(&[("a", 0.015)])),
    ]);
    Population {
        schema: SCHEMA.to_owned(),
        method: card.id.to_owned(),
        version: card.version,
        family: card.family.to_owned(),
        tool: "kinprobe".to_owned(),
        seed: 0,
        score: Measure::Statistic,
        cost: Some(0.5),
        models: BTreeMap::from([("a".to_owned(), "sha256:00".to_owned())]),
        scores: BTreeMap::from([
            ("none".to_owned(), none),
            ("permute-units".to_owned(), permuted),
        ]),
    }
}

#[test]
fn units_are_runs_and_pairs_of_runs() {
    let scored = table().scored();
    let units = isotonic::units(&scored);
    // Runs a and b have kin; three pairs of runs are independent, whatever was done to them.
    assert!((units.related - 2.0).abs() < 1e-12);
    assert!((units.independent - 3.0).abs() < 1e-12);
    let highest = scored
        .iter()
        .filter(|one| !one.related)
        .map(|one| one.score);
    assert_eq!(highest.fold(0.0, f64::max), 0.05);
}

#[test]
fn ratios_rise_with_the_score_and_are_capped_by_the_units() {
    let scored = table().scored();
    let fit = Ratios::fit(&scored).unwrap();
    let units = isotonic::units(&scored);
    let values: Vec<f64> = (-100..200)
        .map(|i| capped(fit.at(f64::from(i) / 100.0), units))
        .collect();
    assert!(values.windows(2).all(|w| w[0] <= w[1]));
    assert!(
        values
            .iter()
            .all(|v| *v <= 3.0_f64.log10() && *v >= -2.0_f64.log10())
    );
    assert!(values[299] > 0.0 && values[0] < 0.0);
    assert_eq!(capped(9.0, units), 3.0_f64.log10());
}

#[test]
fn leaving_a_run_out_leaves_out_every_score_it_took_part_in() {
    let left = table().without(&BTreeSet::from(["a".to_owned()]));
    let kept: Vec<_> = left
        .cells()
        .flat_map(|(_, _, by_runs)| by_runs.keys().cloned())
        .collect();
    assert_eq!(kept, ["b c", "b"]);
    assert!(!left.runs().contains("a") && table().runs().contains("a"));
    assert!(
        table()
            .without(&BTreeSet::from(["b".to_owned(), "a".to_owned()]))
            .scored()
            .is_empty()
    );
}

#[test]
fn the_cost_of_a_method_that_separates_is_below_one() {
    let mut good = table();
    good.scores.remove("permute-units");
    // With three runs no pair of strangers is left once a pair's own runs are out.
    assert_eq!(good.cross_fitted_cost(), None);
    let none = good.scores.get_mut("none").unwrap();
    let strangers = [("a e", 0.0), ("b e", 0.01), ("c e", 0.02)];
    none.get_mut(INDEPENDENT)
        .unwrap()
        .extend(by_runs(&strangers));
    none.insert("pruned".to_owned(), by_runs(&[("c", 0.9), ("e", 0.95)]));
    let cost = good.cross_fitted_cost().unwrap();
    assert!(cost < 1.0, "{cost}");
    let mut bad = good.clone();
    let none = bad.scores.get_mut("none").unwrap();
    none.insert(
        "pruned".to_owned(),
        by_runs(&[("a", 0.0), ("b", 0.0), ("c", 0.0), ("e", 0.0)]),
    );
    assert!(bad.cross_fitted_cost().unwrap() > cost);
}

#[test]
fn tables_are_written_line_by_line_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(FOLDER);
    std::fs::create_dir_all(&place).unwrap();
    let table = table();
    let text = table.to_text().unwrap();
    assert!(
        text.lines()
            .any(|line| line.contains("\"siblings\": {\"a\":0.7}")),
        "{text}"
    );
    std::fs::write(place.join(table.file_name()), &text).unwrap();
    std::fs::write(place.join("verdict.json"), "{}").unwrap();
    assert_eq!(
        Population::load_all(folder.path()).unwrap(),
        vec![table.clone()]
    );
    std::fs::write(place.join("weight.other@1.json"), &text).unwrap();
    let error = Population::load_all(folder.path()).unwrap_err().to_string();
    assert!(error.contains("weight.other@1.json"), "{error}");
}
