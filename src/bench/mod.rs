//! The ground-truth bench: every method on pairs whose relation is known, with every change that a
//! suspect may have undergone.
//!
//! `plan` says what is measured, `measure` does it (parallel, resumable through `journal`), `tables`
//! makes the calibration tables, `verdicts` judges each pair by the tables without its own runs, and
//! `summary` says in numbers how well all of it tells kin from strangers.

pub mod change;
mod error;
mod journal;
mod listening;
mod measure;
mod memory;
pub mod merges;
pub mod null;
pub mod overlap;
pub mod plan;
pub mod recovery;
pub mod score;
pub mod settings;
mod subject;
pub mod summary;
pub mod tables;
pub mod verdicts;

pub use error::Error;
pub use listening::Listening;
pub use measure::Bench;
pub use measure::Work;
pub use measure::measure;
