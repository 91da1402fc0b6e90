//! The program on shipped models, from the command line.

use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// Runs it in the repository, on the repository's own data.
pub fn kinprobe(args: &[&str]) -> Output {
    Command::cargo_bin("kinprobe")
        .unwrap()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("KINPROBE_DATA")
        .args(args)
        .output()
        .unwrap()
}

/// What it says with `--json`, when it succeeds.
pub fn json(args: &[&str]) -> Value {
    let output = kinprobe(args);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one line with which it fails, and nothing else.
pub fn error(args: &[&str], code: i32) -> String {
    let output = kinprobe(args);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}
