//! Integration tests: one binary, one module per stage.
#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod architecture;
mod baselines;
mod bench;
mod ci;
mod cli;
mod common;
#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod endpoint_faults;
mod equivalence;
mod evidence;
mod families;
mod gguf_words;
mod hostile;
mod inside;
mod invariance;
mod invariance_inside;
mod killed;
mod launder;
mod map;
mod not_run;
mod overlap;
mod parents;
mod parity;
mod pictures;
#[cfg(feature = "hub")]
mod quick;
mod reading;
mod recording;
mod recording_local;
mod report;
mod sources;
#[cfg(feature = "hub")]
mod sources_hub;
#[cfg(feature = "hub")]
mod sources_hub_faults;
mod streamed;
mod suites;
mod tapped;
mod tensor_files;
mod tensors;
mod tokenizers;
mod until;
mod vision;
mod zoo;
