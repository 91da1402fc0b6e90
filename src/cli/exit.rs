//! Errors to exit codes.
//!
//! Ctrl-C is left to the system: the shell sees 130, and nothing is lost because recordings are
//! appended line by line and reports are renamed into place.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::baseline;
use crate::bench;
use crate::model;
use crate::probe;
use crate::record;
use crate::record::import;
use crate::source;
use crate::text::ModelText;

/// A gate that was asked for failed.
pub const GATE_FAILED: u8 = 1;
/// Wrong words on the command line, in a config or in a suite.
pub const USAGE: u8 = 2;
/// A gate could not be decided.
pub const INCONCLUSIVE: u8 = 3;
/// Nothing was selected.
pub const NOTHING_TO_DO: u8 = 4;
/// More item errors than allowed; what was answered is saved.
pub const ITEM_ERRORS: u8 = 5;
/// A file is not what it was pinned as, or a recording belongs to something else.
pub const INTEGRITY: u8 = 6;
/// A model or backend cannot be loaded.
pub const MODEL: u8 = 7;

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Coded {
    /// One of the constants of this module.
    pub code: u8,
    /// One line: what, why, way out.
    pub message: String,
}

/// An error of the user's words.
pub fn usage(message: impl Display) -> anyhow::Error {
    coded(USAGE, message)
}

/// An error with an exit code.
pub fn coded(code: u8, message: impl Display) -> anyhow::Error {
    Coded {
        code,
        message: message.to_string(),
    }
    .into()
}

/// Prints `error` as one line and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let mut line = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    let _ = writeln!(std::io::stderr(), "error: {}", ModelText::new(line));
    ExitCode::from(code(error))
}

/// Prints the one line of a value that clap refused.
pub fn bad_value(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    // The value is quoted as it was typed, keys and all.
    let line = source::without_secrets(line);
    let _ = writeln!(std::io::stderr(), "{}", ModelText::new(line));
    ExitCode::from(USAGE)
}

fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(coded) = cause.downcast_ref::<Coded>() {
            return coded.code;
        }
        if let Some(error) = cause.downcast_ref::<source::Error>() {
            return of_source(error);
        }
        if let Some(model::Error::Source(error)) = cause.downcast_ref::<model::Error>() {
            return of_source(error);
        }
        if cause.is::<probe::Error>() {
            return USAGE;
        }
        if let Some(error) = cause.downcast_ref::<bench::Error>() {
            return of_bench(error);
        }
        if let Some(error) = cause.downcast_ref::<baseline::Error>() {
            return of_baseline(error);
        }
        if let Some(error) = cause.downcast_ref::<import::Error>() {
            return of_import(error);
        }
        if let Some(error) = cause.downcast_ref::<record::Error>() {
            return if error.is_integrity() {
                INTEGRITY
            } else {
                MODEL
            };
        }
    }
    MODEL
}

fn of_source(error: &source::Error) -> u8 {
    match error {
        source::Error::Reference { .. } | source::Error::UnknownMember { .. } => USAGE,
        source::Error::CacheMismatch { .. } => INTEGRITY,
        _ => MODEL,
    }
}

fn of_import(error: &import::Error) -> u8 {
    match error {
        import::Error::Reference { .. } | import::Error::Io { .. } => USAGE,
        import::Error::Nothing(_) => NOTHING_TO_DO,
        _ => INTEGRITY,
    }
}

fn of_baseline(error: &baseline::Error) -> u8 {
    match error {
        baseline::Error::Missing { .. } => GATE_FAILED,
        baseline::Error::Io { .. } => USAGE,
        _ => INTEGRITY,
    }
}

fn of_bench(error: &bench::Error) -> u8 {
    match error {
        bench::Error::UnknownMethod { .. }
        | bench::Error::Settings { .. }
        | bench::Error::Real { .. }
        | bench::Error::Probe(_) => USAGE,
        bench::Error::Nothing { .. } => NOTHING_TO_DO,
        bench::Error::Source(error) => of_source(error),
        bench::Error::Member { source, .. } => of_bench(source),
        bench::Error::Record(error) if error.is_integrity() => INTEGRITY,
        _ => MODEL,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
