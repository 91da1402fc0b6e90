//! Dependencies point one way; `lib.rs` says which, this keeps it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with those it may use. `cli` may use all, `stat` and `text` are leaves any may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("stat", &[]),
    ("source", &[]),
    ("probe", &["source"]),
    ("model", &["source"]),
    ("record", &["model", "probe", "source"]),
    ("baseline", &["model", "probe", "record"]),
    ("evidence", &["model", "record"]),
    ("verdict", &["evidence", "model", "record"]),
    ("report", &["baseline", "bench", "evidence", "verdict"]),
    (
        "zoo",
        &["evidence", "model", "probe", "record", "source", "verdict"],
    ),
    (
        "bench",
        &[
            "evidence", "model", "probe", "record", "source", "verdict", "zoo",
        ],
    ),
];

const LEAVES: &[&str] = &["stat", "text"];

/// Paths that must not be named inside a module, with the reason.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("evidence", "std::fs", "evidence does no file I/O"),
    ("evidence", "File::", "evidence does no file I/O"),
    ("report", "candle", "the report is plain data"),
    ("stat", "candle", "stat is pure numbers"),
    ("stat", "std::fs", "stat is pure numbers"),
];

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_USE {
        for (file, text) in sources(module) {
            for used in crate_modules(&text) {
                let fine = used == *module
                    || LEAVES.contains(&used.as_str())
                    || allowed.contains(&used.as_str());
                if !fine {
                    wrong.push(format!("{}: {module} uses {used}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_place_in_the_order() {
    let listed: BTreeSet<&str> = MAY_USE.iter().map(|(module, _)| *module).collect();
    for entry in fs::read_dir(root()).expect("src") {
        let name = entry
            .expect("entry")
            .file_name()
            .into_string()
            .expect("utf-8");
        let module = name.trim_end_matches(".rs");
        assert!(
            matches!(module, "lib" | "main" | "cli") || listed.contains(module),
            "src/{name} is in no row of MAY_USE"
        );
    }
}

#[test]
fn forbidden_paths_are_not_named() {
    let mut wrong = Vec::new();
    for (module, path, reason) in FORBIDDEN {
        for (file, text) in sources(module) {
            if code(&text).contains(path) {
                wrong.push(format!("{} names {path}: {reason}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_cli_knows_clap_and_anyhow() {
    for (module, _) in MAY_USE {
        for (file, text) in sources(module) {
            let code = code(&text);
            for word in ["clap::", "anyhow::", "indicatif::"] {
                assert!(!code.contains(word), "{} names {word}", file.display());
            }
        }
    }
}

#[test]
fn every_method_file_is_registered() {
    for area in ["weight", "tokenizer", "config", "activation", "behaviour"] {
        let folder = root().join("evidence").join(area);
        for (file, text) in rust_files(&folder) {
            let name = file
                .file_stem()
                .and_then(|stem| stem.to_str())
                .expect("name");
            let method = ["impl Evidence for", "impl Inside for"];
            if name != "mod" && method.iter().any(|words| text.contains(words)) {
                // Each folder lists its own.
                let beside = file.with_file_name("mod.rs");
                let registry = fs::read_to_string(&beside).expect("registry");
                assert!(
                    registry.contains(&format!("&{name}::")),
                    "{} is not in its METHODS slice",
                    file.display()
                );
            }
        }
    }
}

/// The rule sees what it should: a planted violation in each form that Rust allows.
#[test]
fn the_reader_of_paths_sees_every_form() {
    let found =
        crate_modules("use crate::model::Model;\nfn f() { crate::report::x(); }\n//! crate::zoo");
    assert_eq!(found, ["model", "report"].map(str::to_owned).into());
    let grouped = std::panic::catch_unwind(|| crate_modules("use crate::{model, report};"));
    assert!(
        grouped.is_err(),
        "grouped imports hide modules and are refused"
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let file = root().join(format!("{module}.rs"));
    if file.exists() {
        let text = fs::read_to_string(&file).expect("source");
        return vec![(file, text)];
    }
    rust_files(&root().join(module))
}

fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source");
            found.push((path, text));
        }
    }
    found.sort();
    found
}

/// Source without comments and without its tests, which may use what they like.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    body.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn crate_modules(text: &str) -> BTreeSet<String> {
    let code = code(text);
    assert!(!code.contains("use crate::{"), "one module per `use`");
    code.match_indices("crate::")
        .map(|(at, prefix)| {
            code[at + prefix.len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}
