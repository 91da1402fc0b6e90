//! Integration tests: one binary, one module per stage.
#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod architecture;
mod recording;
mod sources;
mod suites;
