//! What several integration tests share.

pub mod browser;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "hub")]
pub mod hub_model;
pub mod program;
pub mod report;
pub mod tiny;
