//! What several integration tests share.

pub mod browser;
pub mod few;
#[cfg(any(feature = "hub", feature = "endpoint"))]
pub mod http;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "hub")]
pub mod hub_model;
pub mod program;
pub mod report;
#[cfg(feature = "endpoint")]
pub mod served;
pub mod tiny;
