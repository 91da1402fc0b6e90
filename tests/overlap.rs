//! `kinprobe overlap` on logs of other programs, from the command line.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use kinprobe::stat::copying::world::Items;
use kinprobe::stat::copying::world::World;
use kinprobe::stat::copying::world::copy;
use kinprobe::stat::random;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::program::error;
use crate::common::program::json;
use crate::common::program::kinprobe;

fn reference(format: &str, path: &Path) -> String {
    format!("{format}:{}", path.display())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// 1,000 items with 236 and 194 errors, 182 of them shared and 118 of these the same.
fn rare_script(folder: &TempDir) -> [String; 2] {
    let kinds = [
        (752, "right", "right"),
        (54, "own", "right"),
        (12, "right", "own"),
        (118, "slip", "slip"),
        (64, "own", "other"),
    ];
    let mut logs = [String::new(), String::new()];
    let mut item = 0;
    for (count, first, second) in kinds {
        for _ in 0..count {
            for (log, answer) in logs.iter_mut().zip([first, second]) {
                writeln!(
                    log,
                    "{{\"id\":{item},\"target\":\"right {item}\",\"answer\":\"{answer} {item}\"}}"
                )
                .unwrap();
            }
            item += 1;
        }
    }
    let paths = ["first.jsonl", "second.jsonl"].map(|name| folder.path().join(name));
    for (path, log) in paths.iter().zip(&logs) {
        fs::write(path, log).unwrap();
    }
    paths.map(|path| reference("log:jsonl", &path))
}

#[test]
fn the_rare_script_case_to_the_printed_digits() {
    let folder = TempDir::new().unwrap();
    let [first, second] = rare_script(&folder);
    let output = kinprobe(&["overlap", &first, &second]);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "descriptive only",
        "same answer 87.0 %",
        "errors 236 and 194 of 1000, 182 shared: overlap 0.734 [0.678, 0.788]",
        "same wrong answer 118 of 182 (64.8 % [57.7, 71.4])",
        "error consistency kappa 0.805 [0.758, 0.848], at most 0.876",
        "odds ratio 211 [111, 403]",
        "copy probability 0.871",
        "with itself",
        "missing",
    ] {
        assert!(flat.contains(words), "no `{words}` in:\n{text}");
    }
    let (evidence, not_evidence) = flat.split_once("not evidence").unwrap();
    assert!(
        not_evidence.contains("independent errors z 25.64, log10 p -132.4"),
        "{text}"
    );
    assert!(
        !evidence.contains("25.64") && !evidence.contains("132.4"),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn the_report_is_one_document_one_page_and_one_table() {
    let folder = TempDir::new().unwrap();
    let [first, second] = rare_script(&folder);
    let out = folder.path().join("report");
    let out_text = out.display().to_string();
    let result = json(&[
        "overlap",
        &first,
        &second,
        "--options",
        "31",
        "-o",
        &out_text,
        "--json",
    ]);
    assert_eq!(result["schema"], "kinprobe/overlap/v1");
    assert_eq!(result["conclusion"], "descriptive_only");
    assert_eq!(
        result["runs"][0]["self_agreement"]["missing"]
            .as_str()
            .unwrap()
            .split(' ')
            .next(),
        Some("every")
    );
    assert_eq!(result["pairs"][0]["counts"]["both_wrong_alike"], 118);
    let naive = &result["not_evidence"]["pairs"][0]["same_wrong"];
    assert!(number(&naive["log10_p"]) < -100.0);
    // Chance agreement of 31 options is (1 - a)(1 - b) / 30 more than that of answers out of no list.
    let chance = 0.764 * 0.806 + 0.236 * 0.194 / 30.0;
    assert!(
        (number(&result["pairs"][0]["capa"]["value"]) - (0.87 - chance) / (1.0 - chance)).abs()
            < 1e-12
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&fs::read(out.join("result.json")).unwrap()).unwrap(),
        result
    );
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(
        page.contains("Not evidence") && page.contains("slip 818") && !page.contains("<script")
    );
    let table = fs::read_to_string(out.join("items.csv")).unwrap();
    assert_eq!(table.lines().count(), 1001);
}

/// CAPA and error consistency as lm-sim has them, on random probabilities of 2 to 6 options.
#[test]
fn capa_is_that_of_lm_sim() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/overlap/capa.json");
    let fixture: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let folder = TempDir::new().unwrap();
    let runs = ["a", "b", "c"].map(|model| {
        let path = folder.path().join(model);
        let mut log = String::new();
        for item in fixture["items"].as_array().unwrap() {
            let options = &item["probabilities"][model];
            let values: Vec<f64> = options.as_array().unwrap().iter().map(number).collect();
            let best = (0..values.len())
                .max_by(|&i, &j| values[i].total_cmp(&values[j]))
                .unwrap();
            let row = serde_json::json!({
                "id": item["id"], "target": item["gold"], "answer": best, "probabilities": options,
            });
            writeln!(log, "{row}").unwrap();
        }
        fs::write(&path, log).unwrap();
        reference("log:jsonl", &path)
    });
    let result = json(&["overlap", &runs[0], &runs[1], &runs[2], "--json"]);
    for pair in result["pairs"].as_array().unwrap() {
        let name = format!(
            "{} {}",
            pair["first"].as_str().unwrap(),
            pair["second"].as_str().unwrap()
        );
        for measure in ["capa_probabilistic", "capa", "error_consistency"] {
            let wanted = number(&fixture["expected"][&name][measure]);
            let found = &pair[measure];
            assert!(
                (number(&found["value"]) - wanted).abs() < 1e-9,
                "{name} {measure}"
            );
            assert!(
                number(&found["low"]) < wanted && wanted < number(&found["high"]),
                "{name} {measure}"
            );
        }
    }
}

#[test]
fn what_cannot_be_compared_is_one_line() {
    let folder = TempDir::new().unwrap();
    let [first, second] = rare_script(&folder);
    assert!(error(&["overlap", &first], 2).contains("second"));
    assert!(error(&["overlap", &first, "zoo:base-a"], 2).contains("kinprobe run"));
    assert!(error(&["overlap", &first, "log:jsonl:./nowhere"], 2).contains("nowhere"));
    let text = fs::read_to_string(folder.path().join("second.jsonl")).unwrap();
    fs::write(
        folder.path().join("second.jsonl"),
        text.replace("\"right 7\"", "\"left 7\""),
    )
    .unwrap();
    let line = error(&["overlap", &first, &second], 6);
    assert!(
        line.contains("second.jsonl:8: item `7` has target `left 7` here and `right 7` in first"),
        "{line}"
    );
    let other = folder.path().join("other.jsonl");
    fs::write(&other, "{\"id\":\"x\",\"answer\":\"y\"}\n").unwrap();
    let line = error(&["overlap", &first, &reference("log:jsonl", &other)], 4);
    assert!(line.contains("no two logs answer the same item"), "{line}");
}

/// Models that share hard items and tempting wrong answers, and nothing else.
struct Strangers {
    folder: TempDir,
    items: Items,
    rng: rand_chacha::ChaCha8Rng,
}

impl Strangers {
    fn new() -> Self {
        let world = World {
            items: 1200,
            options: 5,
            difficulty_sd: 1.5,
            distractor_sd: 1.0,
            ability: 0.5,
            ability_sd: 0.3,
            subjects: 1,
            skill_sd: 0.0,
            own: 0.0,
            leaning: 0.0,
            options_known: true,
        };
        let mut rng = random::stream(11, "strangers");
        Self {
            folder: TempDir::new().unwrap(),
            items: world.items(&mut rng),
            rng,
        }
    }

    fn model(&mut self) -> Vec<u32> {
        self.items.model(&mut self.rng)
    }

    /// A fresh model that repeats `share` of another's answers.
    fn copy(&mut self, source: &[u32], share: f64) -> Vec<u32> {
        let own = self.model();
        copy(source, &own, share, &mut self.rng)
    }

    /// Writes a model's log; its reference.
    fn log(&self, name: &str, answers: &[u32]) -> String {
        let path = self.folder.path().join(name);
        let mut log = String::new();
        for (item, answer) in answers.iter().enumerate() {
            writeln!(log, "{{\"id\":{item},\"target\":\"option 0\",\"answer\":\"option {answer}\",\"options\":5}}").unwrap();
        }
        fs::write(&path, log).unwrap();
        reference("log:jsonl", &path)
    }
}

/// `log10_p_calibrated` of same wrong answers of one pair.
fn calibrated(pair: &Value) -> f64 {
    let index = &pair["indices"][0];
    assert_eq!(index["index"], "shared_wrong");
    number(&index["log10_p_calibrated"])
}

#[test]
fn a_panel_tells_a_copy_from_a_stranger() {
    let mut strangers = Strangers::new();
    let source = strangers.model();
    let stranger = strangers.model();
    let copied = strangers.copy(&source, 0.3);
    let mut args = vec!["overlap".to_owned()];
    for (name, answers) in [
        ("source", &source),
        ("stranger", &stranger),
        ("copied", &copied),
    ] {
        args.push(strangers.log(name, answers));
    }
    args.push("--panel".to_owned());
    for member in 0..9 {
        let answers = strangers.model();
        args.push(strangers.log(&format!("p{member}"), &answers));
    }
    let out = strangers.folder.path().join("report").display().to_string();
    args.extend(["-o".to_owned(), out.clone(), "--json".to_owned()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = json(&args);
    assert_eq!(result["conclusion"], "against_panel");
    let panel = &result["panel"];
    assert_eq!(panel["members"].as_array().unwrap().len(), 9);
    let pairs = panel["pairs"].as_array().unwrap();
    let pair = |first: &str, second: &str| {
        pairs
            .iter()
            .find(|pair| pair["first"] == first && pair["second"] == second)
            .unwrap()
    };
    let (kin, strange) = (pair("source", "copied"), pair("source", "stranger"));
    assert!(
        calibrated(kin) < -6.0 && calibrated(strange) > -3.0,
        "{kin} {strange}"
    );
    assert!((number(&kin["rank"]["log10_p"]) - 0.1_f64.log10()).abs() < 1e-9);
    let copied = &kin["copied_fraction"];
    assert!(
        number(&copied["low"]) < 0.3
            && 0.3 < number(&copied["high"])
            && number(&copied["low"]) > 0.1,
        "{copied}"
    );
    assert!(number(&strange["copied_fraction"]["low"]) < 0.05);
    let rarest: Vec<f64> = kin["carriers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| number(&row["repeats"]))
        .collect();
    assert!(!rarest.is_empty() && rarest.is_sorted());
    // The naive test calls strangers, too; the panel's own pairs say so.
    let naive = &result["not_evidence"]["panel_pairs_below_1e_6"];
    assert_eq!(
        (&naive["pairs"], &naive["by_error_overlap"]),
        (&Value::from(36), &Value::from(36))
    );
    let page = fs::read_to_string(Path::new(&out).join("index.html")).unwrap();
    assert!(page.contains("Held against a panel") && page.contains("source and copied"));
}

#[test]
fn a_claimed_base_explains_what_its_derivatives_share_and_no_more() {
    let mut strangers = Strangers::new();
    let base = strangers.model();
    let first = strangers.copy(&base, 0.5);
    let (own, more) = (strangers.copy(&base, 0.5), strangers.copy(&base, 0.5));
    let copied = copy(&first, &more, 0.4, &mut strangers.rng);
    let mut panel = Vec::new();
    for member in 0..12 {
        let answers = strangers.copy(&base, 0.5);
        panel.push(strangers.log(&format!("p{member}"), &answers));
    }
    let base = strangers.log("base", &base);
    let first = strangers.log("first", &first);
    let claim = |name: &str, suspect: &[u32]| {
        let suspect = strangers.log(name, suspect);
        let mut args = vec![
            "overlap", &first, &suspect, "--base", &base, "--json", "--panel",
        ];
        args.extend(panel.iter().map(String::as_str));
        json(&args)["panel"]["claims"][0].clone()
    };
    let honest = claim("honest", &own);
    let more = claim("copied", &copied);
    assert_eq!(
        (&more["base"], &more["derivatives"]),
        (&Value::from("base"), &Value::from(12))
    );
    assert!(number(&more["student_log10_p"]) < -3.0, "{more}");
    assert!(
        (number(&more["rank_log10_p"]) - (1.0_f64 / 13.0).log10()).abs() < 1e-9,
        "{more}"
    );
    assert!(number(&honest["student_log10_p"]) > -2.0, "{honest}");
}

#[test]
fn too_small_a_panel_leaves_the_report_descriptive() {
    let mut strangers = Strangers::new();
    let mut logs = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let answers = strangers.model();
        logs.push(strangers.log(name, &answers));
    }
    let output = kinprobe(&["overlap", &logs[0], &logs[1], "--panel", &logs[2], &logs[3]]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("descriptive only: the panel has 2 models; 3 or more"),
        "{text}"
    );
}
