//! Ground truth: small models that this project trained, and what was done to them.

pub mod checkpoint;
pub mod corpus;
mod dice;
mod error;
pub mod exam;
#[cfg(test)]
mod fixtures;
pub mod launder;
pub mod list;
mod loss;
pub mod make;
mod optimiser;
pub mod pairs;
mod pupil;
pub mod random;
pub mod recipe;
pub mod sight;
pub mod train;
pub mod transform;
pub mod vocabulary;

pub use error::Error;
