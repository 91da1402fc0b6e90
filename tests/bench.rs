//! The bench on the command line, on a small part of the shipped zoo.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A data root with two runs, one of which has a child.
fn small_zoo() -> TempDir {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
    let root = TempDir::new().unwrap();
    let zoo = root.path().join("datasets/zoo");
    let list = fs::read(shipped.join("zoo/zoo.json")).unwrap();
    let mut list: Value = serde_json::from_slice(&list).unwrap();
    let members = list["members"].as_array_mut().unwrap();
    let keep = ["base-a", "base-b", "base-c", "base-a-noised"];
    members.retain(|member| keep.contains(&member["name"].as_str().unwrap()));
    for name in keep {
        fs::create_dir_all(zoo.join(name)).unwrap();
        for file in fs::read_dir(shipped.join("zoo").join(name)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), zoo.join(name).join(file.file_name())).unwrap();
        }
    }
    fs::write(zoo.join("zoo.json"), list.to_string()).unwrap();
    fs::create_dir_all(root.path().join("datasets/calibration")).unwrap();
    fs::create_dir_all(root.path().join("probes")).unwrap();
    fs::copy(
        shipped.join("calibration/verdict.json"),
        root.path().join("datasets/calibration/verdict.json"),
    )
    .unwrap();
    let settings = "schema: kinprobe/bench/v1\nchanges: [noise=1, merge-linear=0.5]\n\
        tiers:\n  quick: {pairs_of_each_relation: 3}\n  full: {}\n";
    fs::write(root.path().join("datasets/bench.yaml"), settings).unwrap();
    root
}

fn run(root: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::cargo_bin("kinprobe").unwrap();
    command
        .env("KINPROBE_CACHE", root.path().join("cache"))
        .env("KINPROBE_DATA", root.path())
        .args(args);
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_bench_measures_goes_on_and_calibrates() {
    let root = small_zoo();
    let out = root.path().join("out");
    let out = out.to_str().unwrap();
    let full = [
        "bench",
        "--tier",
        "full",
        "--suites",
        "none",
        "--calibrate",
        "--json",
        "-o",
        out,
    ];
    let summary = json(&run(&root, &full));
    assert_eq!(summary["schema"], "kinprobe/bench-result/v1");
    assert_eq!(summary["runs"], 3);
    assert_eq!(summary["false_positives"]["pairs_called"], 0);
    assert_eq!(summary["false_positives"]["runs"], 3);
    let method = |id: &str| {
        let methods = summary["methods"].as_array().unwrap();
        methods
            .iter()
            .find(|method| method["id"] == id)
            .unwrap()
            .clone()
    };
    let exact = method("weight.row_matching");
    let unchanged = &exact["cells"][0];
    assert_eq!(
        (&unchanged["change"], &unchanged["relation"]),
        (&"none".into(), &"kin".into())
    );
    assert_eq!(unchanged["auc"], 1.0);
    assert_eq!(unchanged["power"][0]["resolved"], false);
    assert!(exact["null"]["too_small"][1].as_f64().unwrap() > 0.01);
    // No suite was asked: a method that needs answers says so, and finds nothing.
    assert_eq!(method("behaviour.exact_match")["cells"][0]["applicable"], 0);

    let page = fs::read_to_string(Path::new(out).join("index.html")).unwrap();
    assert!(page.contains("Content-Security-Policy") && !page.contains("<script"));
    let scores = fs::read_to_string(Path::new(out).join("scores.csv")).unwrap();
    let again = run(&root, &full);
    assert_eq!(json(&again)["methods"][0]["cells"], exact["cells"]);
    assert_eq!(
        fs::read_to_string(Path::new(out).join("scores.csv")).unwrap(),
        scores
    );

    // Base-b against base-c: the tables without both runs have no independent pair left.
    let compare = |reference: &str, suspect: &str| {
        let report = root.path().join("report");
        let report = report.to_str().unwrap();
        let args = [
            "compare", reference, suspect, "--depth", "standard", "--json", "-o", report,
        ];
        json(&run(&root, &args))["findings"]["lineage"].clone()
    };
    assert_eq!(compare("zoo:base-b", "zoo:base-c")["log10_lr"], Value::Null);
    // As folders their runs are not known to be in the tables; but of three runs no pair of strangers is
    // left once a pair's own are out, so that the tables' ratios were never tried and count for nothing.
    let folder = |name: &str| {
        let place = root.path().join("datasets/zoo").join(name);
        place.display().to_string()
    };
    let lineage = compare(&folder("base-b"), &folder("base-c"));
    assert_eq!(lineage["log10_lr"], Value::Null);
    assert_ne!(lineage["conclusion"], "related");
    let table = root
        .path()
        .join("datasets/calibration/weight.tensor_cosine@1.json");
    let table: Value = serde_json::from_slice(&fs::read(table).unwrap()).unwrap();
    assert_eq!(table["cost"], Value::Null);
    assert_eq!(
        table["scores"]["none"]["noised"].as_object().unwrap().len(),
        1
    );
}

#[test]
fn simulated_strangers_are_tabled() {
    let root = TempDir::new().unwrap();
    for folder in ["datasets/zoo", "probes"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let settings = "schema: kinprobe/bench/v1\nchanges: []\ntiers: {}\noverlap:\n  items: 200\n  level: 0.01\n  \
        copied: 0.5\n  ability: [0, 0.5]\n  pairs_per_panel: 5\n  copies_per_panel: 5\n  \
        bars: {false_positive_rate: 0.5, power: 0.5}\n  worlds:\n    \
        - {name: tempting, difficulty_sd: 2, distractor_sd: 2.5, options: 20, panel: 6, pairs: 12}\n";
    fs::write(root.path().join("datasets/bench.yaml"), settings).unwrap();
    let out = root.path().join("out");
    let args = [
        "bench",
        "--simulate",
        "overlap",
        "-o",
        out.to_str().unwrap(),
    ];
    let printed = run(&root, &args);
    assert!(printed.status.success(), "{printed:?}");
    let table = String::from_utf8(printed.stdout).unwrap();
    assert!(
        table.contains("tempting") && table.contains("hold in every world"),
        "{table}"
    );
    assert!(
        table
            .lines()
            .all(|line| line.chars().count() <= 80 || line.contains("every p-value")),
        "{table}"
    );
    let summary = json(&run(&root, &[&args[..], &["--json"]].concat()));
    assert_eq!(summary["schema"], "kinprobe/bench-overlap/v1");
    assert_eq!(summary["worlds"][0]["pairs"], 12);
    assert_eq!(summary["worlds"][0]["copies"], 12);
    let csv = fs::read_to_string(out.join("overlap.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 12 + 12);
    let broken = settings.replace("panel: 6", "panel: 2");
    fs::write(root.path().join("datasets/bench.yaml"), broken).unwrap();
    let refused = run(&root, &args);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        words.contains("tempting has no pairs, under 3 models"),
        "{words}"
    );
}

#[test]
fn wrong_words_are_refused_in_one_line() {
    let root = small_zoo();
    let out = root.path().join("out");
    let out = out.to_str().unwrap();
    for (args, words) in [
        (vec!["--tier", "huge"], vec!["huge", "full, quick"]),
        (
            vec!["--methods", "weight.magic"],
            vec!["weight.magic", "weight.row_matching"],
        ),
        (vec!["--calibrate"], vec!["--tier full"]),
        (
            vec!["--suites", "next-token=x"],
            vec!["next-token=x", "id=items"],
        ),
        (vec!["--real", "/nowhere/at/all"], vec!["/nowhere/at/all"]),
    ] {
        let mut all = vec!["bench", "-o", out];
        all.extend(args);
        let output = run(&root, &all);
        assert!(!output.status.success(), "{all:?}");
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert!(!Path::new(out).exists());
    }
}

/// The README shows what the bench printed when the shipped tables were made.
#[test]
fn the_readme_shows_the_bench_as_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let printed = root.join("datasets/calibration/bench.txt");
    let block = match fs::read_to_string(&printed) {
        Ok(printed) => format!("<!-- bench -->\n```text\n{printed}```\n<!-- /bench -->"),
        Err(_) => "<!-- bench -->\nNo tables are shipped yet.\n<!-- /bench -->".to_owned(),
    };
    assert!(
        readme.contains(&block),
        "README.md: put datasets/calibration/bench.txt between the bench markers, as ```text"
    );
}
