//! `kinprobe run` killed while it writes: what it goes on to is what it would have written at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The smallest shipped model: the test is about files.
const MODEL: &str = "m=zoo:base-a-dropped";
/// Longest wait for progress; a run takes a second.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_micros(500);

/// Starts recording answers to `suite` in `folder`.
fn start(suite: &str, folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kinprobe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("KINPROBE_DATA")
        .args(["run", suite, "--model", MODEL, "-o"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Every file by name, with what it holds.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder.join("m")) else {
        return BTreeMap::new();
    };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

/// Waits until `journal` has `bytes`, and a little longer; whether the run was then still going on.
fn killed_at(mut run: Child, journal: &Path, bytes: u64, longer: Duration) -> bool {
    let mut waited = Duration::ZERO;
    while fs::metadata(journal).map_or(0, |facts| facts.len()) < bytes && waited < PATIENCE {
        sleep(STEP);
        waited += STEP;
    }
    sleep(longer);
    let going_on = run.try_wait().unwrap().is_none();
    run.kill().unwrap();
    run.wait().unwrap();
    going_on
}

#[test]
fn a_run_killed_anywhere_goes_on_to_the_same_bytes() {
    let suites = ["next-token", "short-answer"];
    let whole: BTreeMap<&str, BTreeMap<String, Vec<u8>>> = suites
        .into_iter()
        .map(|suite| {
            let folder = tempfile::tempdir().unwrap();
            assert!(start(suite, folder.path()).wait().unwrap().success());
            (suite, files(folder.path()))
        })
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut in_the_middle = 0;
    for round in 0..10 {
        let suite = suites[usize::from(round % 5 == 4)];
        let name = format!("{suite}.jsonl");
        let wanted = &whole[suite];
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("m").join(&name);
        let bytes = rng.random_range(0..wanted[&name].len() as u64 * 9 / 10);
        // Items are written in groups, about every twentieth of a second.
        let longer = Duration::from_micros(rng.random_range(0..50_000));
        let killed = killed_at(start(suite, folder.path()), &journal, bytes, longer);
        let left = files(folder.path());
        let written = left.get(&name).map_or(&[][..], Vec::as_slice);
        assert!(
            wanted[&name].starts_with(written),
            "round {round}: {suite} at {bytes} bytes: not a beginning of the whole"
        );
        in_the_middle += usize::from(killed && left != *wanted);
        assert!(start(suite, folder.path()).wait().unwrap().success());
        let found = files(folder.path());
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            wanted.keys().collect::<Vec<_>>(),
            "round {round}: {suite} at {bytes} bytes"
        );
        assert!(
            found == *wanted,
            "round {round}: {suite} at {bytes} bytes: other contents"
        );
    }
    assert!(
        in_the_middle >= 8,
        "only {in_the_middle} of 10 were really cut"
    );
}
