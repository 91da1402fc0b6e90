//! Whether one model's answers repeat another's, beside what independent models share.
//!
//! Hard items are hard for all and some wrong answers tempt everyone, so that shared errors of
//! independent models are no rarity. What a pair shares is therefore held against a panel of other
//! models on the same items: [`law`] learns from it how likely each answer is for a model of a given
//! ability, the indices of exam forensics ([`gbt`], [`shared_wrong`], [`omega`], [`m4`], [`k_index`])
//! count how much more than that a pair agrees, [`calibration`] takes off what the panel's own pairs
//! show beyond the law, [`anytime`] may be looked at while answers still come in, and [`rank`] stands
//! beside it without any law.

pub mod answers;
pub mod anytime;
pub mod calibration;
pub mod claim;
pub mod count;
mod difficulty;
mod distractor;
pub mod fraction;
pub mod gbt;
pub mod k_index;
pub mod law;
mod leaning;
pub mod m4;
pub mod matrix;
pub mod omega;
pub mod plan;
pub mod rank;
pub mod scaled;
pub mod sequential;
pub mod shared_wrong;
pub mod twin;
pub mod world;

#[cfg(test)]
mod tests;
