//! A few questions that zoo models know something of, and the verbs that ask them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// Two dozen.
pub const ITEMS: usize = 24;

/// Answers of a dozen tokens.
pub const GENERATE: &str = "{kind: generate, max_tokens: 12, stop: [\"\\n\"]}";

/// A folder with a suite of a few questions, and with the baselines for it.
pub struct Few {
    pub folder: TempDir,
    pub suite: String,
    env: Vec<(String, String)>,
}

impl Few {
    pub fn new(readout: &str, score: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let suite = write_suite(folder.path(), readout, score, ITEMS);
        Self {
            folder,
            suite,
            env: Vec::new(),
        }
    }

    /// With a variable for every run of the program.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The folder of baselines.
    pub fn place(&self) -> String {
        self.path("baselines")
    }

    /// The baseline of `base-a`.
    pub fn file(&self) -> PathBuf {
        Path::new(&self.place()).join("few-questions/base-a.json")
    }

    /// The program with `args` and the further variables `env`.
    pub fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::cargo_bin("kinprobe").unwrap();
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_remove("KINPROBE_DATA")
            .env_remove("CI")
            .envs(self.env.iter().cloned())
            .envs(env.iter().copied())
            .args(args);
        command
    }

    pub fn program(&self, args: &[&str]) -> Output {
        self.command(args, &[]).output().unwrap()
    }

    pub fn accept(&self, model: &str, more: &[&str], env: &[(&str, &str)]) -> Output {
        let (suite, place) = (&self.suite, &self.place());
        let args = [
            "accept", model, "--suite", suite, "--reason", "first", "--to", place,
        ];
        self.command(&[&args, more].concat(), env).output().unwrap()
    }

    pub fn check(&self, model: &str, more: &[&str], env: &[(&str, &str)]) -> Output {
        let place = self.place();
        let args = ["check", model, "--suite", &self.suite, "--baseline", &place];
        self.command(&[&args, more].concat(), env).output().unwrap()
    }

    /// Exit code and document.
    pub fn checked(&self, model: &str, more: &[&str]) -> (i32, Value) {
        let output = self.check(model, &[more, &["--json"]].concat(), &[]);
        let document = serde_json::from_slice(&output.stdout);
        let document = document.unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code().unwrap(), document)
    }
}

/// The first questions of the zoo's world, as a suite of its own.
fn write_suite(folder: &Path, readout: &str, score: &str, items: usize) -> String {
    use sha2::Digest;
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/zoo/world-questions.jsonl");
    let all = fs::read_to_string(all).unwrap();
    let some: String = all
        .lines()
        .take(items)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(folder.join("few.jsonl"), &some).unwrap();
    let hash = sha2::Sha256::digest(some.as_bytes());
    let hash: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    let yaml = format!(
        "schema: kinprobe/suite/v1\nsuite: few-questions\nversion: 1\ndescription: A few\nlicense: MIT\n\
         dataset: {{path: few.jsonl, sha256: {hash}}}\nprompt: \"{{{{prompt}}}}\"\ntarget: answer\n\
         readout: {readout}\nscore: {{kind: {score}}}\n"
    );
    let path = folder.join("few-questions.yaml");
    fs::write(&path, yaml).unwrap();
    path.to_str().unwrap().to_owned()
}
