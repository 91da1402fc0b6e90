//! Suites: what loads, what does not and with which words, and what the shipped ones hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use kinprobe::probe;
use kinprobe::probe::Readout;
use kinprobe::probe::Score;
use kinprobe::probe::render::Kind;
use kinprobe::probe::render::SHIPPED_SEED;
use kinprobe::record::score;
use sha2::Digest;
use sha2::Sha256;
use tempfile::TempDir;

const SUITE: &str = r#"schema: kinprobe/suite/v1
suite: tiny
version: 1
description: Three questions
license: CC0-1.0
dataset: {path: datasets/tiny.jsonl, sha256: "HASH"}
prompt: "Question: {{question}}\nAnswer:"
target: answer
readout: {kind: generate, max_tokens: 4, stop: ["\n"]}
score: {kind: exact}
tags: [domain]
"#;

const ROWS: &str = r#"{"id":"a","question":"One and one?","answer":["2","two"],"domain":"sum"}
{"id":"b","question":"Two and two?","answer":"4|four","domain":"sum"}
{"id":"c","question":"Colour of snow?","answer":"white","domain":"facts"}
"#;

/// A project folder with one suite.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new(yaml: &str, rows: &[u8]) -> Self {
        Self::with_data(yaml, "tiny.jsonl", rows)
    }

    fn with_data(yaml: &str, name: &str, rows: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["probes", "datasets"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let hash: String = Sha256::digest(rows)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let yaml = yaml.replace("HASH", &hash);
        fs::write(folder.path().join("probes/tiny.yaml"), yaml).unwrap();
        fs::write(folder.path().join("datasets").join(name), rows).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("probes/tiny.yaml")
    }

    fn load(&self) -> Result<probe::Suite, probe::Error> {
        probe::load(&self.path())
    }

    /// The error, which must be one line that names a file.
    fn refused(&self) -> String {
        let message = self.load().expect_err("must be refused").to_string();
        assert!(!message.contains('\n'), "one line: {message}");
        let folder = self.folder.path().to_string_lossy().into_owned();
        assert!(message.contains(&folder), "names the file: {message}");
        assert!(!message.contains('\u{1b}'), "no raw escape: {message}");
        assert!(message.len() < 600, "short: {message}");
        message
    }
}

#[test]
fn a_suite_loads_with_everything_it_says() {
    let suite = Project::new(SUITE, ROWS.as_bytes()).load().unwrap();
    assert_eq!((suite.id.as_str(), suite.version), ("tiny", 1));
    assert_eq!(suite.score, Score::Exact);
    let stop = vec!["\n".to_owned()];
    let generate = Readout::Generate {
        max_tokens: 4,
        stop,
    };
    assert_eq!(suite.readout, generate);
    assert_eq!(suite.items.len(), 3);
    assert_eq!(suite.items[0].prompt, "Question: One and one?\nAnswer:");
    assert_eq!(suite.items[0].targets, ["2", "two"]);
    assert_eq!(suite.items[1].targets, ["4", "four"]);
    assert_eq!(suite.items[2].tags, ["facts"]);
}

#[test]
fn csv_rows_are_the_same_questions() {
    let csv = "id,question,answer,domain\na,One and one?,2|two,sum\nb,Two and two?,4|four,sum\n\
               c,Colour of snow?,white,facts\n";
    let yaml = SUITE.replace("tiny.jsonl", "tiny.csv");
    let from_csv = Project::with_data(&yaml, "tiny.csv", csv.as_bytes())
        .load()
        .unwrap();
    let from_json = Project::new(SUITE, ROWS.as_bytes()).load().unwrap();
    assert_eq!(from_csv.sha256, from_json.sha256);
    let quoted = csv.replace("One and one?", "\"One, \"\"and\"\"\none?\"");
    let quoted = Project::with_data(&yaml, "tiny.csv", quoted.as_bytes())
        .load()
        .unwrap();
    assert!(quoted.items[0].prompt.contains("One, \"and\"\none?"));
}

#[test]
fn the_hash_covers_what_answers_depend_on_and_no_more() {
    let hash = |yaml: &str, rows: &str| Project::new(yaml, rows.as_bytes()).load().unwrap().sha256;
    let base = hash(SUITE, ROWS);
    assert_eq!(base, hash(&SUITE.replace("Three questions", "3 q"), ROWS));
    assert_eq!(base, hash(&SUITE.replace("tags: [domain]\n", ""), ROWS));
    let changes = [
        (SUITE.replace("version: 1", "version: 2"), ROWS.to_owned()),
        (
            SUITE.replace("max_tokens: 4", "max_tokens: 5"),
            ROWS.to_owned(),
        ),
        (SUITE.replace("\"\\n\"]", "\".\"]"), ROWS.to_owned()),
        (SUITE.replace("Answer:", "A:"), ROWS.to_owned()),
        (
            SUITE.replace("exact", "prefix"),
            ROWS.replace("4|four", "4"),
        ),
        (SUITE.to_owned(), ROWS.replace("snow", "coal")),
        (SUITE.to_owned(), ROWS.replace("white", "grey")),
        (SUITE.to_owned(), ROWS.replace("\"c\"", "\"d\"")),
    ];
    let mut hashes: Vec<String> = changes.iter().map(|(y, r)| hash(y, r)).collect();
    hashes.push(base);
    let count = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn hostile_suite_files_are_refused_with_the_way_out() {
    let long = format!("description: {}", "x".repeat(300_000));
    let cases: &[(&str, &str, &str)] = &[
        ("target: answer", "targt: answer", "did you mean `target`?"),
        (
            "max_tokens: 4",
            "max_token: 4",
            "did you mean `max_tokens`?",
        ),
        ("kind: exact", "kind: exakt", "did you mean `exact`?"),
        ("version: 1", "version: 1\nversion: 2", "twice"),
        ("version: 1", "version: one", "tiny.yaml:3"),
        ("version: 1", "version: -1", "tiny.yaml:3"),
        ("license: CC0-1.0\n", "", "`license` is missing"),
        ("CC0-1.0", "\"\"", "`license` must be one line"),
        ("suite/v1", "suite/v9", "this program reads"),
        ("suite: tiny", "suite: Tiny!", "suite id `Tiny!`"),
        ("suite: tiny", "suite: \"../tiny\"", "suite id"),
        ("suite: tiny", "suite: other", "rename it to other.yaml"),
        ("max_tokens: 4", "max_tokens: 0", "needs `max_tokens`"),
        (
            "max_tokens: 4",
            "max_tokens: 99999999",
            "needs `max_tokens`",
        ),
        ("[\"\\n\"]", "[\"\"]", "no empty `stop`"),
        ("kind: generate", "kind: next_token", "drop them"),
        ("{kind: exact}", "{kind: fields}", "needs `fields`"),
        (
            "{kind: exact}",
            "{kind: fields, fields: [a, a]}",
            "needs `fields`",
        ),
        ("{kind: exact}", "{kind: exact, fields: [a]}", "drop it"),
        (
            "{kind: exact}",
            "{kind: fields, fields: [a]}",
            "must be a JSON object",
        ),
        ("{{question}}", "{{qestion}}", "did you mean `question`?"),
        ("{{question}}", "{{question", "close it"),
        ("{{question}}", "{{ question | upper }}", "only `{{field}}`"),
        ("{{question}}\\n", "{{question}}\\\\n", "double quotes"),
        ("target: answer", "target: reply", "the row lacks a field"),
        ("tags: [domain]", "tags: [subject]", "the row lacks a field"),
        (
            "datasets/tiny.jsonl",
            "../tiny.jsonl",
            "leaves the project folder",
        ),
        (
            "datasets/tiny.jsonl",
            "/etc/passwd",
            "leaves the project folder",
        ),
        (
            "datasets/tiny.jsonl",
            "datasets/../../x",
            "leaves the project folder",
        ),
        (
            "datasets/tiny.jsonl",
            "'..\\tiny.jsonl'",
            "leaves the project folder",
        ),
        ("datasets/tiny.jsonl", "datasets", "regular file"),
        ("datasets/tiny.jsonl", "datasets/none.jsonl", "none.jsonl"),
        ("\"HASH\"", "\"00ff\"", "raise `version`"),
        ("description: Three questions", &long, "larger than"),
        (
            "description: Three questions",
            "description: &a x\nx: *a",
            "tiny.yaml",
        ),
        (
            "description: Three questions",
            "description: !!binary AAAA",
            "tiny.yaml",
        ),
        (
            "description: Three questions",
            "description: [",
            "tiny.yaml",
        ),
        (
            "target: answer",
            "\"\\e]52;c;x\\a\": answer",
            "\\u{1b}]52;c;x",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(SUITE.contains(from), "the case applies: {from}");
        let message = Project::new(&SUITE.replace(from, to), ROWS.as_bytes()).refused();
        assert!(message.contains(expected), "{to}\n  -> {message}");
    }
    let deep = format!("{SUITE}x: {}", "[".repeat(10_000));
    Project::new(&deep, ROWS.as_bytes()).refused();
    let message = Project::new("", ROWS.as_bytes()).refused();
    assert!(message.contains("tiny.yaml"), "{message}");
}

#[test]
fn a_dataset_beside_its_suite_is_named_as_it_has_to_be_written() {
    let yaml = SUITE.replace("datasets/tiny.jsonl", "beside.jsonl");
    let project = Project::new(&yaml, ROWS.as_bytes());
    let message = project.refused();
    assert!(message.contains("put it there, or correct"), "{message}");
    fs::write(project.folder.path().join("probes/beside.jsonl"), ROWS).unwrap();
    let message = project.refused();
    assert!(
        message.contains("write `path: probes/beside.jsonl`"),
        "{message}"
    );
}

#[test]
fn hostile_datasets_are_refused_with_their_line() {
    let long = format!("{{\"id\":\"a\",\"question\":\"{}\"}}", "x".repeat(70_000));
    let id = "x".repeat(65);
    let row = |json: &str| format!("{ROWS}{json}\n");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            row(r#"{"id":"a","question":"?","answer":"1","domain":"x"}"#).into(),
            "tiny.jsonl:4: id `a` of line 1",
        ),
        (
            row(r#"{"id":"d","question":"One and one?","answer":"1","domain":"x"}"#).into(),
            "tiny.jsonl:4: the prompt of line 1",
        ),
        (
            row(r#"{"id":"d","id":"e","question":"?","answer":"1","domain":"x"}"#).into(),
            "tiny.jsonl:4: not one JSON object: key `id` is there twice",
        ),
        (
            row(r#"{"id":7,"question":"?","answer":"1","domain":"x"}"#).into(),
            "must be a string",
        ),
        (
            row(r#"{"id":"a b","question":"?","answer":"1","domain":"x"}"#).into(),
            "id `a b`",
        ),
        (
            row(r#"{"id":"","question":"?","answer":"1","domain":"x"}"#).into(),
            "tiny.jsonl:4: id ``",
        ),
        (
            row(&format!(
                r#"{{"id":"{id}","question":"?","answer":"1","domain":"x"}}"#
            ))
            .into(),
            "must be 1-64",
        ),
        (
            row(r#"{"question":"?","answer":"1","domain":"x"}"#).into(),
            "the row lacks a field: `id`",
        ),
        (
            row(r#"{"id":"d","question":["?"],"answer":"1","domain":"x"}"#).into(),
            "neither text nor a number",
        ),
        (
            row(r#"{"id":"d","question":"?","answer":"","domain":"x"}"#).into(),
            "empty answer",
        ),
        (
            row(r#"{"id":"d","question":"?","answer":[],"domain":"x"}"#).into(),
            "empty answer",
        ),
        (
            row(r#"{"id":"d","question":"?","answer":[1],"domain":"x"}"#).into(),
            "must be a string",
        ),
        (
            row(r#"{"id":"d","question":"?","answer":NaN,"domain":"x"}"#).into(),
            "tiny.jsonl:4",
        ),
        (row("[1,2]").into(), "tiny.jsonl:4: not one JSON object"),
        (row(r#"{"id":"d"} {"id":"e"}"#).into(), "tiny.jsonl:4"),
        (row("\u{1b}]0;x\u{7}").into(), "tiny.jsonl:4"),
        (
            format!("{ROWS}\n{ROWS}").into(),
            "tiny.jsonl:4: an empty line",
        ),
        (row(&long).into(), "tiny.jsonl:4: the row has"),
        (Vec::new(), "no rows"),
        (
            [ROWS.as_bytes(), b"\xff\xfe{}\n"].concat(),
            "tiny.jsonl:4: not UTF-8",
        ),
    ];
    for (rows, expected) in cases {
        let message = Project::new(SUITE, &rows).refused();
        assert!(message.contains(expected), "{expected}\n  -> {message}");
    }
    let blank = SUITE.replace("Question: {{question}}\\nAnswer:", "{{question}}");
    let row = r#"{"id":"d","question":"  ","answer":"1","domain":"x"}"#;
    let message = Project::new(&blank, row.as_bytes()).refused();
    assert!(message.contains("the prompt is empty"), "{message}");
}

#[test]
fn hostile_csv_is_refused_with_its_line() {
    let yaml = SUITE.replace("tiny.jsonl", "tiny.csv");
    let head = "id,question,answer,domain\n";
    let cases = [
        (format!("{head}a,b,c\n"), "tiny.csv:2"),
        (format!("{head}a,b,c,d,e\n"), "tiny.csv:2"),
        ("id,id,answer,domain\na,b,c,d\n".to_owned(), "rename it"),
        ("id,,answer,domain\na,b,c,d\n".to_owned(), "rename it"),
        (head.to_owned(), "no rows"),
        (
            format!("{head}a,{},c,d\n", "x".repeat(70_000)),
            "tiny.csv:2",
        ),
        (format!("{head}a,b,c,d\n\"e\nf\",g,h,i\n"), "tiny.csv:3: id"),
    ];
    for (rows, expected) in cases {
        let message = Project::with_data(&yaml, "tiny.csv", rows.as_bytes()).refused();
        assert!(message.contains(expected), "{expected}\n  -> {message}");
    }
    let yaml = SUITE.replace("tiny.jsonl", "tiny.txt");
    let message = Project::with_data(&yaml, "tiny.txt", b"x").refused();
    assert!(message.contains(".jsonl or .csv"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_project_is_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("tiny.jsonl"), ROWS).unwrap();
    let project = Project::new(SUITE, ROWS.as_bytes());
    let data = project.folder.path().join("datasets/tiny.jsonl");
    fs::remove_file(&data).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("tiny.jsonl"), &data).unwrap();
    assert!(project.refused().contains("leaves the project folder"));
}

#[test]
fn a_suite_of_ones_own_may_lie_anywhere() {
    let project = Project::new(SUITE, ROWS.as_bytes());
    let own = tempfile::tempdir().unwrap();
    let yaml = fs::read_to_string(project.path())
        .unwrap()
        .replace("datasets/tiny.jsonl", "tiny.jsonl");
    fs::write(own.path().join("tiny.yaml"), yaml).unwrap();
    fs::write(own.path().join("tiny.jsonl"), ROWS).unwrap();
    let suite = probe::load(&own.path().join("tiny.yaml")).unwrap();
    assert_eq!(suite.sha256, project.load().unwrap().sha256);
}

fn shipped() -> Vec<probe::Suite> {
    probe::shipped(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_shipped_suites_are_whole() {
    let suites = shipped();
    let facts: Vec<(&str, usize)> = suites
        .iter()
        .map(|suite| (suite.id.as_str(), suite.items.len()))
        .collect();
    let wanted = [
        ("agent-actions", 300),
        ("next-token", 200),
        ("short-answer", 200),
    ];
    assert_eq!(facts, wanted);
    for item in &suites[0].items {
        // The shortest context of a shipped model is 256 tokens, of two bytes or more each.
        assert!(item.prompt.len() <= 420, "{}", item.id);
    }
    for item in &suites[1].items {
        assert!((40..=250).contains(&item.prompt.len()), "{}", item.id);
        assert!(!item.prompt.ends_with(char::is_whitespace), "{}", item.id);
    }
    for item in &suites[2].items {
        assert!(item.prompt.ends_with("\nAnswer:"), "{}", item.id);
    }
}

/// Nobody edits it by hand: the shipped suite is what its seed gives.
#[test]
fn the_agent_suite_is_a_function_of_its_seed() {
    let kind = Kind::find("agent-actions").unwrap();
    let rendered = kind.render(SHIPPED_SEED, kind.items);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert!(rendered.dataset == read("datasets/agent-actions.jsonl"));
    let manifest = rendered.manifest.replace("path: ", "path: datasets/");
    assert_eq!(manifest, read("probes/agent-actions.yaml"));
    let shorter = kind.render(SHIPPED_SEED, 40);
    assert!(rendered.dataset.starts_with(&shorter.dataset));
    assert_eq!(shorter.id, "agent-actions-0-40");
    let other = kind.render(5, kind.items);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert!(lines(&other.dataset).is_disjoint(&lines(&rendered.dataset)));
}

#[test]
fn rendered_suites_of_any_seed_are_valid() {
    let kind = Kind::find("agent-actions").unwrap();
    for seed in [1, 2, u64::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let rendered = kind.render(seed, 600);
        for (ending, text) in [("jsonl", &rendered.dataset), ("yaml", &rendered.manifest)] {
            fs::write(
                folder.path().join(format!("{}.{ending}", rendered.id)),
                text,
            )
            .unwrap();
        }
        let suite = probe::load(&folder.path().join(format!("{}.yaml", rendered.id))).unwrap();
        assert_eq!(suite.items.len(), 600);
        let Score::Fields(fields) = &suite.score else {
            panic!()
        };
        let mut schemas = BTreeSet::new();
        for item in &suite.items {
            let target = &item.targets[0];
            let scored = score(&suite.score, item, target);
            assert_eq!(scored.correct, Some(true), "{} {target}", item.id);
            // A right answer has no slip; its keys stand in the prompt unless no schema was given.
            let form = scored.form.unwrap();
            assert!(
                form.signatures.is_empty() && form.leaked.is_empty(),
                "{}",
                item.id
            );
            let usual = ["action", "element", "value", "tool", "args"];
            match item.tags[0].as_str() {
                "free" => assert!(
                    form.unprompted
                        .iter()
                        .any(|key| usual.contains(&key.as_str()))
                ),
                _ => assert!(form.unprompted.is_empty(), "{}", item.id),
            }
            if item.tags[0] == "schema" {
                let named = |name: &&String| target.contains(&format!("\"{name}\":"));
                schemas.extend(fields.iter().filter(named).cloned());
            }
        }
        assert_eq!(schemas.len(), 12, "four schemas of three keys");
    }
}

/// A target that its own scoring refuses could never be answered rightly.
#[test]
fn every_shipped_target_is_right_by_its_own_score() {
    for suite in shipped() {
        for item in &suite.items {
            assert!(!item.targets.is_empty(), "{}", item.id);
            for target in &item.targets {
                let scored = score(&suite.score, item, target);
                assert_eq!(scored.correct, Some(true), "{} {target}", item.id);
            }
            let wrong = score(&suite.score, item, "qzx");
            assert_eq!(wrong.correct, Some(false), "{}", item.id);
        }
    }
}

#[test]
fn suites_are_chosen_by_id_or_path_and_each_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ids = |wanted: &[&str]| -> Vec<String> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let suites = probe::select(root, &wanted).unwrap();
        suites.into_iter().map(|suite| suite.id).collect()
    };
    assert_eq!(ids(&[]).len(), 3);
    let project = Project::new(SUITE, ROWS.as_bytes());
    let own = project.path().to_string_lossy().into_owned();
    assert_eq!(
        ids(&["short-answer", &own, "next-token", "short-answer"]),
        ["short-answer", "tiny", "next-token"]
    );
    let refused = |name: &str| {
        probe::select(root, &[name.to_owned()])
            .unwrap_err()
            .to_string()
    };
    assert!(refused("short-anser").contains("did you mean `short-answer`?"));
    assert!(refused("x\u{1b}[2J").contains("agent-actions, next-token, short-answer"));
    assert!(refused("none.yaml").contains("none.yaml"));
}
