use std::fs;
use std::path::Path;

use super::AnswersRef;
use super::Choice;
use super::Error;
use super::Sheet;
use super::import;

/// Files of a run by name, in a folder of their own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// `log:jsonl:a` with `a` a file here.
    fn read(&self, runs: &[&str]) -> Result<Sheet, Error> {
        self.choose(runs, &Choice::default())
    }

    fn choose(&self, runs: &[&str], choice: &Choice) -> Result<Sheet, Error> {
        let runs: Vec<AnswersRef> = runs
            .iter()
            .map(|run| {
                let (scheme, name) = run.rsplit_once(':').unwrap();
                format!("{scheme}:{}", self.path(name)).parse().unwrap()
            })
            .collect();
        import(&runs, choice, |_| ())
    }

    /// The one line with which a reading fails.
    fn refused(&self, runs: &[&str]) -> String {
        let line = self.read(runs).unwrap_err().to_string();
        assert!(!line.contains('\n') && line.len() < 700, "{line}");
        line
    }
}

/// The sheet of models `m0`, `m1`, … with these JSON lines.
pub(crate) fn sheet_of(logs: &[String]) -> Sheet {
    let names: Vec<String> = (0..logs.len()).map(|at| format!("m{at}")).collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .zip(logs)
        .map(|(name, log)| (name.as_str(), log.as_str()))
        .collect();
    let runs: Vec<String> = names
        .iter()
        .map(|name| format!("log:jsonl:{name}"))
        .collect();
    let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
    Folder::new(&files).read(&runs).unwrap()
}

/// `R`ight, `W`rong or `-` by item of the first suite's order, and the answers as shown.
fn column(sheet: &Sheet, at: usize) -> (String, Vec<String>) {
    let cells: Vec<_> = (0..sheet.items.len())
        .map(|item| sheet.cell(at, item))
        .collect();
    let verdict = |right: Option<bool>| match right {
        Some(true) => 'R',
        Some(false) => 'W',
        None => '-',
    };
    let verdicts = cells
        .iter()
        .map(|cell| verdict(cell.and_then(|cell| cell.right)))
        .collect();
    let shown = cells.iter().flatten().filter_map(|cell| cell.answer);
    (
        verdicts,
        shown.map(|id| sheet.texts.shown(id).to_owned()).collect(),
    )
}

#[test]
fn json_lines_are_joined_by_id_and_judged_by_target() {
    let folder = Folder::new(&[
        (
            "a",
            "\u{feff}{\"id\": 1, \"target\": \"x\", \"answer\": \" X.\"}\n\n{\"id\": \"2\", \"target\": [\"y\", \"z\"], \"answer\": \"z\"}\n",
        ),
        (
            "b",
            "{\"id\":\"2\",\"answer\":\"q\"}\n{\"id\":\"1\",\"answer\":7,\"correct\":true}\n{\"id\":3,\"target\":\"w\",\"answer\":\"\"}",
        ),
    ]);
    let sheet = folder.read(&["log:jsonl:a", "log:jsonl:b"]).unwrap();
    assert_eq!(sheet.items.len(), 3);
    assert_eq!(
        column(&sheet, 0),
        ("RR-".to_owned(), vec![" X.".to_owned(), "z".to_owned()])
    );
    assert_eq!(column(&sheet, 1).0, "RWW");
    assert_eq!(sheet.target(&sheet.items[1]).unwrap(), "y | z");
    assert_eq!(sheet.columns[0].label, "a");
}

#[test]
fn a_table_reads_like_json_lines() {
    let folder = Folder::new(&[
        (
            "a.csv",
            "id,target,answer,probabilities,note\n1,A,B,\"[0.2,0.8]\",x\n2,\"[\"\"A\"\",\"\"C\"\"]\",C,,\n",
        ),
        (
            "b.jsonl",
            "{\"id\":1,\"target\":\"A\",\"answer\":\"A\",\"logprobs\":[-1,-2]}\n{\"id\":2,\"target\":[\"C\",\"A\"],\"answer\":\"B\"}\n",
        ),
    ]);
    let sheet = folder
        .read(&["log:csv:a.csv", "log:jsonl:b.jsonl"])
        .unwrap();
    assert_eq!(column(&sheet, 0).0, "WR");
    assert_eq!(column(&sheet, 1).0, "RW");
    assert_eq!(sheet.items[0].gold, Some(0));
    assert_eq!(sheet.columns[0].options(0), Some(&[0.2, 0.8][..]));
    let logs = sheet.columns[1].options(0).unwrap();
    assert!((logs[0] / logs[1] - 1.0_f64.exp()).abs() < 1e-12);
}

#[test]
fn what_contradicts_is_refused_with_file_line_and_way_out() {
    let folder = Folder::new(&[
        (
            "plain",
            "{\"id\":1,\"target\":\"x\",\"answer\":\"x\",\"prompt\":\"p\",\"version\":1,\"suite\":\"s\"}\n",
        ),
        (
            "target",
            "{\"id\":2,\"suite\":\"s\",\"answer\":\"x\"}\n{\"id\":1,\"suite\":\"s\",\"target\":\"y\",\"answer\":\"x\"}\n",
        ),
        (
            "prompt",
            "{\"id\":1,\"suite\":\"s\",\"answer\":\"x\",\"prompt\":\"q\"}\n",
        ),
        (
            "version",
            "{\"id\":1,\"suite\":\"s\",\"answer\":\"x\",\"version\":\"2\"}\n",
        ),
        (
            "twice",
            "{\"id\":1,\"answer\":\"x\"}\n{\"id\":1,\"answer\":\"y\"}\n",
        ),
        (
            "same-repeat",
            "{\"id\":1,\"answer\":\"x\",\"repeat\":1}\n{\"id\":1,\"answer\":\"y\",\"repeat\":1}\n",
        ),
        ("broken", "{\"id\":1,\"answer\":\"x\"}\n{\"id\":2,\n"),
        ("nameless", "{\"answer\":\"x\"}\n"),
        ("empty", "\n"),
        ("elsewhere", "{\"id\":\"other\",\"answer\":\"x\"}\n"),
        ("head.csv", "name,answer\n1,2\n"),
    ]);
    for (runs, words) in [
        (
            &["log:jsonl:plain", "log:jsonl:target"][..],
            &[
                "target:2: item `1`",
                "`y` here",
                "`x` in plain",
                "leave one",
            ][..],
        ),
        (
            &["log:jsonl:plain", "log:jsonl:prompt"],
            &["prompt:1: item `1`", "prompt q here and p in plain"],
        ),
        (
            &["log:jsonl:plain", "log:jsonl:version"],
            &["suite s has version 2 here and 1 in plain", "leave one"],
        ),
        (
            &["log:jsonl:twice"],
            &["twice:2: item `1` is answered twice", "`repeat`"],
        ),
        (
            &["log:jsonl:same-repeat"],
            &["same-repeat:2: item `1` has repetition 1 twice"],
        ),
        (&["log:jsonl:broken"], &["broken:2: "]),
        (
            &["log:jsonl:nameless"],
            &["nameless:1: there is no `id`", "`target`"],
        ),
        (&["log:jsonl:empty"], &["there is no answer in it"]),
        (
            &["log:jsonl:plain", "log:jsonl:elsewhere"],
            &[
                "no two logs answer the same item",
                "item `1`",
                "item `other`",
            ],
        ),
        (
            &["log:jsonl:plain", "log:jsonl:plain"],
            &["would be called `plain`", "other="],
        ),
        (
            &["log:csv:head.csv"],
            &["head.csv:1: the first line names 0 columns `id`"],
        ),
        (&["log:jsonl:not-there"], &["not-there"]),
    ] {
        let line = folder.refused(runs);
        for word in words {
            assert!(line.contains(word), "no `{word}` in: {line}");
        }
    }
    let unknown = "log:xml:file"
        .parse::<AnswersRef>()
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("log:lm-eval:folder"), "{unknown}");
}

#[test]
fn repetitions_are_kept_beside_the_first() {
    let folder = Folder::new(&[(
        "a",
        "{\"id\":1,\"target\":\"x\",\"answer\":\"y\",\"repeat\":2}\n{\"id\":1,\"answer\":\"x\",\"repeat\":1}\n",
    )]);
    let sheet = folder.read(&["log:jsonl:a"]).unwrap();
    assert_eq!(column(&sheet, 0).0, "R");
    let repeats = &sheet.columns[0].repeats[&0];
    assert_eq!((repeats.len(), repeats[0].right), (1, Some(false)));
}

/// A line as lm-evaluation-harness writes it for a task of options: numbers as strings, responses as pairs.
fn options_sample(doc_id: usize, hash: &str, target: &str, logs: [f64; 3], acc: f64) -> String {
    let request = |at: usize, text: &str| {
        format!("\"gen_args_{at}\": {{\"arg_0\": \"Q {hash}\\nA:\", \"arg_1\": \" {text}\"}}")
    };
    let requests: Vec<String> = ["red", "blue", "green"]
        .iter()
        .enumerate()
        .map(|(at, text)| request(at, text))
        .collect();
    let pairs: Vec<String> = logs
        .iter()
        .map(|log| format!("[\"{log}\", \"False\"]"))
        .collect();
    format!(
        "{{\"doc_id\": {doc_id}, \"doc\": {{\"q\": [1, {{}}]}}, \"target\": \"{target}\", \"arguments\": {{{}}}, \
         \"resps\": [[{}]], \"filtered_resps\": [{}], \"filter\": \"none\", \"metrics\": [\"acc\", \"acc_norm\"], \
         \"doc_hash\": \"{hash}\", \"prompt_hash\": \"p\", \"target_hash\": \"t\", \"acc\": {acc:?}, \"acc_norm\": 1.0}}\n",
        requests.join(", "),
        pairs.join(", "),
        pairs.join(", ")
    )
}

fn harness(name: &str, version: &str, samples: &[String]) -> [(String, String); 2] {
    [
        (
            format!("{name}/samples_colours_2025-01-02T03-04-05.000006.jsonl"),
            samples.concat(),
        ),
        (
            format!("{name}/results_2025-01-02T03-04-05.000006.json"),
            format!(
                "{{\"results\": {{\"colours\": {{}}}}, \"versions\": {{\"colours\": {version}, \"other\": \"N/A\"}}}}"
            ),
        ),
    ]
}

fn folder_of(parts: &[[(String, String); 2]]) -> Folder {
    let files: Vec<(&str, &str)> = parts
        .iter()
        .flatten()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    Folder::new(&files)
}

#[test]
fn harness_samples_are_joined_by_document_and_answered_by_likelihood() {
    let folder = folder_of(&[
        harness(
            "a",
            "1.0",
            &[
                options_sample(0, "d0", "1", [-2.0, -1.0, -3.0], 1.0),
                options_sample(1, "d1", "0", [-2.0, -2.0, -0.5], 0.0),
                // The same document again is an item of its own.
                options_sample(2, "d1", "0", [-1.0, -2.0, -2.0], 1.0),
            ],
        ),
        // A run over part of the task: other numbers, the same documents.
        harness(
            "b",
            "1.0",
            &[
                options_sample(0, "d1", "0", [-9.0, -1.0, -0.5], 0.0),
                options_sample(7, "d0", "1", [-1.0, -1.5, -3.0], 0.0),
            ],
        ),
    ]);
    let sheet = folder.read(&["log:lm-eval:a", "log:lm-eval:b"]).unwrap();
    assert_eq!(sheet.suites[0].version.as_deref(), Some("1.0"));
    assert_eq!(
        column(&sheet, 0),
        (
            "RWR".to_owned(),
            ["blue", "green", "red"].map(str::to_owned).to_vec()
        )
    );
    assert_eq!(
        column(&sheet, 1),
        (
            "WW-".to_owned(),
            ["red", "green"].map(str::to_owned).to_vec()
        )
    );
    assert_eq!(
        (sheet.items[0].options, sheet.items[0].gold),
        (Some(3), Some(1))
    );
    assert_eq!(sheet.target(&sheet.items[0]).unwrap(), "blue");
    assert!(sheet.items[0].prompt.as_deref().unwrap().ends_with("A:"));
    let options = sheet.columns[0].options(0).unwrap();
    assert!((options.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!((options[1] / options[0] - 1.0_f64.exp()).abs() < 1e-12);
}

#[test]
fn other_versions_of_a_task_are_refused() {
    let sample = || [options_sample(0, "d0", "1", [-2.0, -1.0, -3.0], 1.0)];
    let folder = folder_of(&[
        harness("a", "1.0", &sample()),
        harness("b", "2.0", &sample()),
    ]);
    let line = folder.refused(&["log:lm-eval:a", "log:lm-eval:b"]);
    assert!(
        line.contains("results_")
            && line.contains("suite colours has version 2.0 here and 1.0 in a"),
        "{line}"
    );
    let line = folder.refused(&["log:lm-eval:."]);
    assert!(
        line.contains("2 models") && line.contains("log:lm-eval:"),
        "{line}"
    );
    fs::copy(
        Path::new(&folder.path("a")).join("samples_colours_2025-01-02T03-04-05.000006.jsonl"),
        Path::new(&folder.path("a")).join("samples_colours_2025-02-02T03-04-05.000006.jsonl"),
    )
    .unwrap();
    assert!(
        folder
            .refused(&["log:lm-eval:a"])
            .contains("task colours was run before")
    );
}

#[test]
fn generated_answers_of_the_harness_are_those_of_one_filter() {
    let line = |filter: &str, answer: &str, score: f64| {
        format!(
            "{{\"doc_id\": 0, \"target\": \"long\\n#### 18\", \"arguments\": [[\"Q\", {{\"until\": [\"x\"]}}]], \
             \"resps\": [[\"so 18\"]], \"filtered_resps\": [\"{answer}\"], \"filter\": \"{filter}\", \"exact_match\": {score:?}}}\n"
        )
    };
    let text = line("strict-match", "[invalid]", 0.0) + &line("flexible-extract", "18", 1.0);
    let folder = Folder::new(&[("a/samples_gsm8k.jsonl", &text)]);
    let sheet = folder.read(&["log:lm-eval:a"]).unwrap();
    assert_eq!(
        column(&sheet, 0),
        ("W".to_owned(), vec!["[invalid]".to_owned()])
    );
    assert!(
        sheet.notes.iter().any(|note| note.contains("--filter")),
        "{:?}",
        sheet.notes
    );
    assert!(
        sheet.notes.iter().any(|note| note.contains("versions")),
        "{:?}",
        sheet.notes
    );
    let choice = |name: &str| Choice {
        filter: Some(name.to_owned()),
        ..Choice::default()
    };
    let sheet = folder
        .choose(&["log:lm-eval:a"], &choice("flexible-extract"))
        .unwrap();
    assert_eq!(column(&sheet, 0), ("R".to_owned(), vec!["18".to_owned()]));
    let error = folder
        .choose(&["log:lm-eval:a"], &choice("none"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("flexible-extract, strict-match"), "{error}");
}

const INSPECT: &str = r#"{
  "version": 2, "status": "success",
  "eval": {"run_id": "r", "created": "2025", "task": "quiz", "task_version": 0, "model": "m", "dataset": {}, "config": {}},
  "plan": {"steps": []}, "results": {"scores": []}, "stats": {},
  "samples": [
    {"id": "q1", "epoch": 1, "input": "One?", "choices": ["x", "y"], "target": "A", "messages": [{"role": "user"}],
     "output": {"model": "m", "choices": [{"message": {"content": "ANSWER: A", "role": "assistant"}}], "completion": "ANSWER: A"},
     "scores": {"choice": {"value": "C", "answer": "A"}, "other": {"value": 0}}},
    {"id": "q1", "epoch": 2, "input": "One?", "choices": ["x", "y"], "target": "A", "output": {"completion": "ANSWER: B"},
     "scores": {"choice": {"value": "I", "answer": "B"}, "other": {"value": 1}}},
    {"id": 2, "epoch": 1, "input": [{"role": "user", "content": "Two?"}], "target": ["u", "v"],
     "output": {"choices": [{"message": {"content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "w"}]}}]},
     "scores": {"choice": {"value": "P"}, "other": {"value": 0.5}}},
    {"id": 3, "epoch": 1, "input": "Three?", "target": "t", "output": {}, "scores": null, "error": {"message": "timeout"}}
  ]
}"#;

#[test]
fn logs_of_inspect_give_scores_answers_and_epochs() {
    let folder = Folder::new(&[("a.json", INSPECT)]);
    let sheet = folder.read(&["log:inspect:a.json"]).unwrap();
    assert_eq!(
        column(&sheet, 0),
        ("RW".to_owned(), vec!["A".to_owned(), "w".to_owned()])
    );
    assert_eq!(
        (
            sheet.suites[0].id.as_str(),
            sheet.suites[0].version.as_deref()
        ),
        ("quiz", Some("0"))
    );
    assert_eq!(sheet.items[0].options, Some(2));
    assert_eq!(
        (sheet.columns[0].repeats[&0].len(), sheet.columns[0].failed),
        (1, 1)
    );
    let notes = sheet.notes.join("\n");
    assert!(
        notes.contains("partial credit") && notes.contains("--scorer"),
        "{notes}"
    );
    let other = Choice {
        scorer: Some("other".to_owned()),
        ..Choice::default()
    };
    assert_eq!(
        column(&folder.choose(&["log:inspect:a.json"], &other).unwrap(), 0).0,
        "WW"
    );
}

#[test]
fn broken_logs_of_inspect_name_the_place() {
    let folder = Folder::new(&[
        ("cut.json", &INSPECT[..INSPECT.len() - 40]),
        ("other.json", "{\"samples\": []}"),
        ("zip.json", "PK\u{3}\u{4}"),
        (
            "twice.json",
            &INSPECT.replace("\"epoch\": 2", "\"epoch\": 1"),
        ),
    ]);
    assert!(
        folder
            .refused(&["log:inspect:cut.json"])
            .contains("cut.json:1")
    );
    assert!(
        folder
            .refused(&["log:inspect:other.json"])
            .contains("`eval`")
    );
    assert!(
        folder
            .refused(&["log:inspect:zip.json"])
            .contains("inspect log convert")
    );
    let twice = folder.refused(&["log:inspect:twice.json"]);
    assert!(
        twice.contains("sample 2: item `q1` has repetition 1 twice"),
        "{twice}"
    );
}
