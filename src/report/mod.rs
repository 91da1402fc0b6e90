//! Plain data -> terminal, JSON, HTML. Nothing here knows candle.

pub mod data;

pub use data::Report;
