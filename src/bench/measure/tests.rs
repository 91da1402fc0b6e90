use std::fs;
use std::path::Path;

use super::*;
use crate::bench::score::Status;
use crate::bench::score::to_csv;
use crate::bench::settings::Settings;
use crate::bench::settings::Tier;
use crate::bench::verdicts;
use crate::source::Silent;
use crate::verdict::Calibration;

/// A data root whose zoo has only some of the shipped members.
fn small_zoo(keep: &[&str]) -> tempfile::TempDir {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
    let root = tempfile::tempdir().unwrap();
    let zoo = root.path().join("datasets/zoo");
    let list: serde_json::Value =
        serde_json::from_slice(&fs::read(shipped.join("zoo/zoo.json")).unwrap()).unwrap();
    let mut members = list["members"].as_array().unwrap().clone();
    members.retain(|member| keep.contains(&member["name"].as_str().unwrap()));
    for member in &members {
        let name = member["name"].as_str().unwrap();
        fs::create_dir_all(zoo.join(name)).unwrap();
        for file in fs::read_dir(shipped.join("zoo").join(name)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), zoo.join(name).join(file.file_name())).unwrap();
        }
    }
    let list = serde_json::json!({"schema": list["schema"], "members": members});
    fs::write(zoo.join("zoo.json"), list.to_string()).unwrap();
    fs::create_dir_all(root.path().join("datasets/calibration")).unwrap();
    fs::create_dir_all(root.path().join("probes")).unwrap();
    for file in ["bench.yaml", "calibration/verdict.json"] {
        fs::copy(shipped.join(file), root.path().join("datasets").join(file)).unwrap();
    }
    root
}

fn work(root: &Path, folder: &Path, jobs: usize) -> Work {
    let ids = ["weight.tensor_cosine", "weight.std_profile", "config.diff"];
    Work {
        options: OpenOptions {
            data_root: Some(root.to_path_buf()),
            ..OpenOptions::default()
        },
        folder: folder.to_path_buf(),
        methods: Work::methods(&ids.map(str::to_owned)).unwrap(),
        suites: Vec::new(),
        taps: Vec::new(),
        seed: 0,
        jobs: Some(jobs),
        keep_models: false,
        progress: Arc::new(Silent),
    }
}

/// `scores.csv` without its last column, which is wall time.
fn untimed(plan: &Plan, bench: &Bench, root: &Path) -> String {
    let calibration = Calibration::load(root).unwrap();
    let judged = verdicts::judge(plan, &bench.measured, &calibration);
    let csv = to_csv(plan, &bench.measured, &judged).unwrap();
    let line = |line: &str| line.rsplit_once(',').unwrap().0.to_owned() + "\n";
    csv.lines().map(line).collect()
}

#[test]
fn a_run_that_was_cut_off_ends_in_the_same_table_whatever_the_threads() {
    let root = small_zoo(&["base-a", "base-b", "base-a-noised"]);
    let settings = Settings::load(root.path()).unwrap();
    let tier = Tier {
        pairs_of_each_relation: Some(2),
        changes_of_each_kind: Some(1),
        ..Tier::default()
    };
    let plan = Plan::new(root.path(), &settings, &tier, &[]).unwrap();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = measure(&plan, &work(root.path(), one.path(), 1)).unwrap();
    assert_eq!((whole.resumed, whole.measured.len()), (0, plan.tasks.len()));

    let other = work(root.path(), two.path(), 3);
    measure(&plan, &other).unwrap();
    let journal = two.path().join("scores.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    // The head, three pairs and half of the fourth.
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    fs::write(&journal, &text[..ends[3] + 40]).unwrap();
    let resumed = measure(&plan, &other).unwrap();
    assert_eq!(resumed.resumed, 3);

    let table = untimed(&plan, &whole, root.path());
    assert_eq!(table, untimed(&plan, &resumed, root.path()));
    assert!(
        table.contains("base-a,base-a-noised,none,noised"),
        "{table}"
    );
    // Changed models are made, compared and removed.
    assert_eq!(fs::read_dir(two.path().join("models")).unwrap().count(), 0);
}

#[test]
fn an_unknown_method_is_named_with_all_there_are() {
    let error = Work::methods(&["weight.magic".to_owned()]).err().unwrap();
    let line = error.to_string();
    assert!(
        line.contains("weight.magic") && line.contains("weight.row_matching"),
        "{line}"
    );
}

#[test]
fn a_method_hears_what_was_recorded_for_it_alone() {
    let root = small_zoo(&["base-a", "base-b", "base-a-noised"]);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = Settings::load(root.path()).unwrap();
    let mut plan = Plan::new(root.path(), &settings, &Tier::default(), &[]).unwrap();
    plan.tasks.retain(|task| task.change == 0);
    let folder = tempfile::tempdir().unwrap();
    let ids = ["activation.linear_cka", "activation.attention_difference"];
    let methods = Work::methods(&ids.map(str::to_owned)).unwrap();
    let work = Work {
        taps: settings.tiers["activations"]
            .load_taps(shipped, &methods)
            .unwrap(),
        methods,
        ..work(root.path(), folder.path(), 2)
    };
    assert_eq!(work.taps.len(), 1);
    let bench = measure(&plan, &work).unwrap();
    let values = bench.measured.iter().map(|one| {
        let [unasked, heard] = &one.scores[..] else {
            panic!("two methods");
        };
        assert_eq!(
            (&*unasked.method, unasked.status),
            (ids[0], Status::NotApplicable)
        );
        (&*one.task.relation, heard.statistic.unwrap())
    });
    let mut values: Vec<(&str, f64)> = values.collect();
    values.sort_by(|a, b| b.1.total_cmp(&a.1));
    assert_eq!(values[0].0, "noised", "{values:?}");
    assert!(values[0].1 > 0.8 && values[1].1 < 0.2, "{values:?}");
}

#[test]
fn a_suspect_without_names_is_run_as_each_reference_lets_it_be_read() {
    let root = small_zoo(&["base-a", "base-b", "base-a-noised"]);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = Settings::load(root.path()).unwrap();
    let mut plan = Plan::new(root.path(), &settings, &Tier::default(), &[]).unwrap();
    let name = |change: usize| plan.changes[change].name().to_owned();
    let names: Vec<String> = (0..plan.changes.len()).map(name).collect();
    let wanted = ["none", "rename=anonymous"];
    plan.tasks
        .retain(|task| wanted.contains(&&*names[task.change]));
    let folder = tempfile::tempdir().unwrap();
    let ids = ["activation.unit_signs", "activation.attention_difference"];
    let methods = Work::methods(&ids.map(str::to_owned)).unwrap();
    let asked = Tier {
        suites: [("next-token".to_owned(), 24)].into(),
        ..Tier::default()
    };
    let work = Work {
        taps: settings.tiers["activations"]
            .load_taps(shipped, &methods)
            .unwrap(),
        suites: asked.load_suites(shipped).unwrap(),
        methods,
        ..work(root.path(), folder.path(), 2)
    };
    let bench = measure(&plan, &work).unwrap();
    let statistics = |change: &str, relation: &str| {
        let one =
            |one: &&Measured| names[one.task.change] == change && one.task.relation == relation;
        let found = bench.measured.iter().find(one).unwrap();
        [0, 1].map(|method| found.scores[method].statistic)
    };
    let own = statistics("none", "noised");
    assert!(own[0].unwrap() > 0.5 && own[1].unwrap() > 0.8, "{own:?}");
    assert_eq!(statistics("rename=anonymous", "noised"), own);
    let strangers = statistics("rename=anonymous", "independent");
    assert!(
        strangers[0].unwrap() < 0.1 && strangers[1].unwrap() < 0.3,
        "{strangers:?}"
    );
}

#[test]
fn a_reference_without_names_is_read_as_its_suspect_lets_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = Settings::load(root).unwrap();
    let mut plan = Plan::new(root, &settings, &settings.tiers["sight"], &[]).unwrap();
    let member = |place: usize| plan.members[place].name.clone();
    let names: Vec<String> = (0..plan.members.len()).map(member).collect();
    let renamed = |task: &Task| names[task.reference] == "script-suspect";
    plan.tasks.retain(renamed);
    let folder = tempfile::tempdir().unwrap();
    let methods = Work::methods(&["activation.vision_patches".to_owned()]).unwrap();
    let work = Work {
        methods,
        ..work(root, folder.path(), 2)
    };
    let bench = measure(&plan, &work).unwrap();
    let (kin, strangers): (Vec<_>, Vec<_>) = bench
        .measured
        .iter()
        .map(|one| (&*one.task.relation, one.scores[0].statistic))
        .partition(|(relation, _)| *relation != "independent");
    assert!(!kin.is_empty() && !strangers.is_empty());
    assert!(kin.iter().all(|(_, found)| found.unwrap() > 0.9), "{kin:?}");
    assert!(
        strangers.iter().all(|(_, found)| found.unwrap() < 0.1),
        "{strangers:?}"
    );
}
