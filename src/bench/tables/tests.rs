use std::collections::BTreeSet;

use super::*;
use crate::bench::change::Change;
use crate::bench::measure::Bench;
use crate::bench::plan::Member;
use crate::bench::plan::Task;
use crate::bench::score::Status;
use crate::bench::verdicts;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::verdict::Calibration;

const METHOD: &str = "weight.tensor_cosine";

/// Four runs with a child each, no models behind them; `score` gives the statistic of a pair.
fn bench(score: impl Fn(&str, &str) -> f64) -> (Plan, Bench) {
    let names = ["a", "b", "c", "d", "a1", "b1", "c1", "d1"];
    let members: Vec<Member> = names
        .iter()
        .map(|name| Member {
            name: (*name).to_owned(),
            place: ModelRef {
                label: None,
                locator: Locator::Zoo((*name).to_owned()),
            },
            runs: BTreeSet::from([name[..1].to_owned()]),
            base: name.len() == 1,
            zoo: true,
            kind: None,
            lesson: None,
        })
        .collect();
    let mut measured = Vec::new();
    for (reference, one) in names.iter().enumerate() {
        for (suspect, other) in names.iter().enumerate().skip(reference + 1) {
            let kin = one[..1] == other[..1];
            let statistic = score(one, other);
            let mut row = Score::absent(card(METHOD).unwrap(), Status::Measured, String::new());
            row.statistic = Some(statistic);
            measured.push(Measured {
                task: Task {
                    reference,
                    suspect,
                    change: 0,
                    relation: if kin { "noised" } else { INDEPENDENT }.to_owned(),
                },
                scores: vec![row],
            });
        }
    }
    let plan = Plan {
        members,
        changes: vec![Change::none()],
        tasks: measured.iter().map(|one| one.task.clone()).collect(),
        strangers: Vec::new(),
        family: Vec::new(),
    };
    let bench = Bench {
        measured,
        digests: BTreeMap::new(),
        memory: BTreeMap::new(),
        merges: Vec::new(),
        peak: None,
        resumed: 0,
    };
    (plan, bench)
}

fn usual(a: &str, b: &str) -> f64 {
    if a[..1] == b[..1] {
        0.9
    } else {
        0.01 * (a.len() + b.len()) as f64
    }
}

fn ratios(score: impl Fn(&str, &str) -> f64) -> BTreeMap<(String, String), f64> {
    let (plan, bench) = bench(score);
    let tables = to_calibrate(&plan, &bench, "test", 0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let calibration = Calibration::load(root).unwrap().with(tables);
    let judged = verdicts::judge(&plan, &bench.measured, &calibration);
    let name = |at: usize| plan.members[at].name.clone();
    bench
        .measured
        .iter()
        .zip(judged)
        .map(|(one, judged)| {
            let pair = (name(one.task.reference), name(one.task.suspect));
            (pair, judged.log10_lr.unwrap())
        })
        .collect()
}

#[test]
fn tables_keep_the_weakest_kin_and_the_most_alike_strangers_of_each_run() {
    let (plan, bench) = bench(usual);
    let table = to_calibrate(&plan, &bench, "test", 0).remove(0);
    let none = &table.scores["none"];
    assert_eq!(none[INDEPENDENT].len(), 6);
    assert_eq!(none[INDEPENDENT]["a b"], 0.04);
    assert_eq!(none["noised"]["c"], 0.9);
    assert!(table.cost.unwrap() < 1.0);
}

#[test]
fn other_networks_are_in_the_tables_as_strangers_of_each_other() {
    let (mut plan, bench) = bench(usual);
    // c, d and c1 come from elsewhere.
    for member in &mut plan.members {
        member.zoo = !["c", "d", "c1"].contains(&member.name.as_str());
    }
    let none = to_calibrate(&plan, &bench, "test", 0).remove(0).scores["none"].clone();
    let pairs: Vec<&str> = none[INDEPENDENT].keys().map(String::as_str).collect();
    // c with d outside the zoo; d1 is a run of its own name among the zoo's.
    assert_eq!(pairs, ["a b", "a d", "b d", "c d"]);
    assert_eq!(none[INDEPENDENT]["c d"], usual("c1", "d"));
    assert_eq!(none[INDEPENDENT]["a d"], usual("a1", "d1"));
    let kin: Vec<&str> = none["noised"].keys().map(String::as_str).collect();
    assert_eq!(kin, ["a", "b"]);
}

/// What happens among a pair's own runs does not move its verdict; what happens elsewhere does.
#[test]
fn no_pair_calibrates_its_own_verdict() {
    let honest = ratios(usual);
    let runs = |a: &str, b: &str| BTreeSet::from([a[..1].to_owned(), b[..1].to_owned()]);
    // Strangers a1 and b1 suddenly score like kin, and kin of a like strangers; a against b stays.
    let odd = |a: &str, b: &str| match (a, b) {
        ("a1", "b1") => 0.95,
        ("a", "a1") => 0.0,
        _ => usual(a, b),
    };
    let moved = ratios(odd);
    let pair = ("a".to_owned(), "b".to_owned());
    assert_eq!(honest[&pair], moved[&pair]);
    let elsewhere = ("c".to_owned(), "c1".to_owned());
    assert!(moved[&elsewhere] < honest[&elsewhere], "{moved:?}");
    // The cap is the number of pairs of runs that are left when the pair's own are taken out.
    for ((a, b), ratio) in &honest {
        let left = 4 - runs(a, b).len();
        let pairs = (left * (left - 1) / 2) as f64;
        assert!(*ratio <= pairs.log10() + 1e-12, "{a} {b} {ratio}");
    }
}

#[test]
fn written_tables_replace_older_versions_of_the_same_methods() {
    let (plan, bench) = bench(usual);
    let tables = to_calibrate(&plan, &bench, "test", 0);
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(population::FOLDER);
    std::fs::create_dir_all(&folder).unwrap();
    for name in [
        format!("{METHOD}@0.json"),
        "verdict.json".to_owned(),
        "weight.other@1.json".to_owned(),
    ] {
        std::fs::write(folder.join(name), "{}").unwrap();
    }
    write(root.path(), &tables).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "verdict.json",
            "weight.other@1.json",
            &tables[0].file_name()
        ]
    );
}
