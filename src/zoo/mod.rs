//! Ground truth: small models that this project trained, and what was done to them.

pub mod corpus;
mod dice;
