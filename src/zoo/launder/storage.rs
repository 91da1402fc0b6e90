//! Other files for the same numbers.

use super::step::Kind;
use super::step::Laundering;
use super::step::Strength;
use crate::model::store::NumberFormat;

/// More or fewer files.
pub(super) static RESHARD: Laundering = Laundering {
    name: "reshard",
    does: "spreads the weights over this many files",
    strength: Strength::Number {
        meaning: "files",
        default: Some(2.0),
        range: (1.0, 10_000.0),
        whole: true,
    },
    kind: Kind::Exact,
    apply: |draft, work| {
        draft.shards = work.number() as usize;
        Ok(())
    },
};

/// Another number format.
pub(super) static DTYPE: Laundering = Laundering {
    name: "dtype",
    does: "stores the result in this number format, whatever its place in the chain; only f32 holds \
           everything",
    strength: Strength::Word {
        meaning: "the format",
        words: &["f32", "bf16", "f16"],
    },
    kind: Kind::ByFormat,
    apply: |draft, work| {
        draft.format = Some(match work.word() {
            "bf16" => NumberFormat::Bf16,
            "f16" => NumberFormat::F16,
            _ => NumberFormat::F32,
        });
        Ok(())
    },
};
