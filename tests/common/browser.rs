//! A headless Chromium, when the machine has one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set where a missing browser must fail the tests.
const REQUIRED: &str = "KINPROBE_REQUIRE_BROWSER";

/// Finds the browser: `CHROMIUM`, or its usual place.
///
/// Says so when there is none; panics then if `KINPROBE_REQUIRE_BROWSER` is set to `1`.
pub fn find() -> Option<PathBuf> {
    let found = std::env::var_os("CHROMIUM")
        .map(PathBuf::from)
        .into_iter()
        .chain(
            [
                "/usr/bin/chromium",
                "/usr/bin/chromium-browser",
                "/usr/bin/google-chrome",
            ]
            .map(PathBuf::from),
        )
        .find(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var_os(REQUIRED).is_some_and(|value| value == "1");
        assert!(
            !required,
            "{REQUIRED}=1, but no Chromium was found; set CHROMIUM to its path"
        );
        #[allow(
            clippy::print_stderr,
            reason = "a test that checks nothing must say so"
        )]
        {
            eprintln!(
                "SKIPPED: no Chromium found (set CHROMIUM to its path); the page was not loaded in a browser"
            );
        }
    }
    found
}

/// A page after loading.
pub struct Loaded {
    /// Its DOM.
    pub dom: String,
    /// What the browser wrote, console messages included.
    pub log: String,
}

/// Loads `page` with a window of `width` pixels.
pub fn load(browser: &Path, page: &Path, width: u32, extra: &[&str]) -> Loaded {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},900"))
        .args(extra)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "the browser ended with {}",
        output.status
    );
    Loaded {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
