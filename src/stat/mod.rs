//! Numbers: tails in log space, intervals, correlations, curves, CKA, index tests, power.
//!
//! No I/O and no knowledge of models. Sums run in f64; tails stay in log space, so that no p-value
//! becomes zero; every random draw comes from a seed.

pub mod additive;
pub mod alignment;
pub mod assignment;
pub mod calibrated;
pub mod capa;
pub mod cka;
pub mod consistency;
pub mod copying;
pub mod correlation;
pub mod curve;
pub mod edit;
pub mod equality;
#[cfg(test)]
pub mod every;
pub mod gram;
pub mod index;
pub mod interval;
pub mod isotonic;
pub mod law;
pub mod least_squares;
pub mod massive;
pub mod moments;
pub mod multiple;
pub mod neighbours;
pub mod neuron_index;
pub mod order;
pub mod outlying;
pub mod panel;
pub mod path;
pub mod procrustes;
pub mod provenance;
pub mod random;
pub mod ranking;
pub mod relations;
pub mod roc;
pub mod signs;
pub mod span;
pub mod spectral;
pub mod tails;
pub mod topology;
pub mod uniform;
