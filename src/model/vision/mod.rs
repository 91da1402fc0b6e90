//! Images for a language model: how they are cut, what a vision tower sees in them, and how that reaches
//! the one decoder.

mod error;
pub mod resize;
pub mod slices;

pub use error::Error;
pub use resize::Image;
pub use slices::{Area, Grid, Marks, Plan, Refined, Size, Slicing};
