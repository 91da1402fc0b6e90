//! kinprobe decides, with its working shown, whether two neural-network models were made from one
//! another.
//!
//! # The map
//!
//! | module | does |
//! |---|---|
//! | [`source`] | reference string -> pinned files (revision, size, sha256) |
//! | [`model`] | canonical view: config, tokenizer, tensors addressed by role, one decoder with taps |
//! | [`probe`] | loads and validates probe suites |
//! | [`record`] | what one model did: weight profile, answers, activations; resumable |
//! | [`baseline`] | behaviour that was accepted once, and whether a model still has it |
//! | [`evidence`] | what two models share: one method per file, each with its card and null |
//! | [`verdict`] | evidence -> findings, under the rules of evidence |
//! | [`report`] | plain data -> terminal, JSON, HTML |
//! | [`mod@bench`] | every method against pairs of known relation; calibration tables |
//! | [`zoo`] | ground truth: seeded training and transformations of small models |
//! | [`stat`] | pure numbers: nulls, tails in log space, intervals, CKA |
//! | [`text`] | the one type through which foreign text reaches a reader |
//! | [`cli`] | one file per verb; the only home of clap and of anyhow |
//!
//! # Invariants
//!
//! - Dependencies point one way: `cli -> report -> verdict -> evidence -> record -> {probe, model} ->
//!   source`; `stat` and `text` are leaves that any may use (`tests/architecture.rs` keeps it).
//! - `evidence` does no I/O and `report` never sees candle.
//! - The same inputs and seed give the same result: fixed iteration order, seeded randomness, no
//!   wall-clock time in a statistic.
//! - A p-value is stored as `log10_p`, is never zero, and never stands without its null.
//! - No threshold lives in `evidence` or `verdict` code: they are read from `datasets/calibration/`.
//! - Text from a model, a file or a server is hostile until it went through [`text::ModelText`].

pub mod baseline;
pub mod bench;
pub mod cli;
pub mod evidence;
pub mod model;
pub mod probe;
pub mod record;
pub mod report;
pub mod source;
pub mod stat;
pub mod text;
pub mod verdict;
pub mod zoo;
