//! The inner coordinates of queries and keys.

use crate::model::Param;
use crate::model::Part;
use crate::model::Role;
use crate::model::spec::QkNorm;

use super::super::checkpoint::Matrix;
use super::super::dice::Dice;
use super::draft::Draft;
use super::matrix::log_uniform;
use super::matrix::sign;
use super::matrix::uniform;
use super::square::Square;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Whatever leaves the products of queries and keys as they were.
pub(super) static ROTATE_QUERY_KEY: Laundering = Laundering {
    name: "rotate-query-key",
    does: "turns and scales queries and keys inversely: per rotary pair; without rotary positions by \
           any matrix; behind query-key norms only signs and gains",
    strength: Strength::Number {
        meaning: "factors lie between 1/x and x",
        default: Some(2.0),
        range: (1.0, 100.0),
        whole: false,
    },
    kind: Kind::Exact,
    apply,
};

/// Dimensions of one block's heads.
#[derive(Clone, Copy)]
struct Heads {
    head_dim: usize,
    /// Query heads per key head.
    share: usize,
    spread: f64,
}

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let spec = draft.spec.clone();
    let mut ropes = spec.layers.iter().filter_map(|layer| layer.rope.as_ref());
    if spec.latent.is_some() {
        return Err("keys of latent attention are not one matrix".into());
    }
    if spec.qk_norm == Some(QkNorm::Full) {
        return Err("a norm over all heads has gains for each of them".into());
    }
    if ropes.any(|rope| rope.interleaved || rope.partial_rotary_factor != 1.0) {
        return Err("its heads do not rotate as two halves".into());
    }
    let work = *work;
    let groups = spec.num_key_value_heads;
    let heads = Heads {
        head_dim: spec.head_dim,
        share: spec.num_attention_heads / groups,
        spread: work.number(),
    };
    draft.computes();
    draft.alter(move |role, weight| {
        let Some(layer) = role.layer else {
            return Ok(());
        };
        let rotary = spec
            .layers
            .get(layer as usize)
            .is_some_and(|l| l.rope.is_some());
        if matches!(role.part, Part::QueryNorm | Part::KeyNorm) {
            heads.scale_gains(
                role,
                weight,
                &mut work.dice(&format!("layer {layer} gains")),
                rotary,
            );
        }
        if !matches!(role.part, Part::Query | Part::Key) {
            return Ok(());
        }
        for group in 0..groups {
            let mut dice = work.dice(&format!("layer {layer} group {group}"));
            let square = match (spec.qk_norm.is_some(), rotary) {
                (true, _) => heads.flips(&mut dice, rotary),
                (false, true) => heads.turns(role.part, &mut dice),
                (false, false) => heads.any(role.part, &mut dice),
            };
            let blocks = match role.part {
                Part::Query => group * heads.share..(group + 1) * heads.share,
                _ => group..group + 1,
            };
            for head in blocks {
                weight.times_block_of_rows(&square, head * heads.head_dim)?;
            }
        }
        Ok(())
    });
    Ok(())
}

impl Heads {
    /// A rotation and a factor for each pair of dimensions that rotate together: turning by a fixed
    /// angle commutes with turning by the position's, and the factors cancel.
    fn turns(self, part: Part, dice: &mut Dice) -> Square {
        let half = self.head_dim / 2;
        let mut square = Square::identity(self.head_dim);
        for pair in 0..half {
            let angle = std::f64::consts::TAU * uniform(dice);
            let mut factor = log_uniform(self.spread, dice);
            if part == Part::Key {
                factor = factor.recip();
            }
            let (sin, cos) = (factor * libm::sin(angle), factor * libm::cos(angle));
            let (a, b) = (pair, pair + half);
            for (row, column, value) in [(a, a, cos), (a, b, -sin), (b, a, sin), (b, b, cos)] {
                square.values[row * self.head_dim + column] = value;
            }
        }
        square
    }

    /// Any matrix for the key and the transposed inverse for the query.
    fn any(self, part: Part, dice: &mut Dice) -> Square {
        let (matrix, inverse) = Square::invertible(self.head_dim, self.spread.max(1.001), dice);
        match part {
            Part::Key => matrix,
            _ => inverse.transposed(),
        }
    }

    /// Signs, the same for both dimensions of a rotary pair: behind a norm whose gains differ by
    /// dimension, nothing else commutes. Half of them are flipped, so that never none is.
    fn flips(self, dice: &mut Dice, rotary: bool) -> Square {
        let mut square = Square::identity(self.head_dim);
        let count = self.count(rotary);
        let mut signs: Vec<f64> = (0..count).map(|_| sign(dice)).collect();
        if let (true, Some(first)) = (signs.iter().all(|s| *s > 0.0), signs.first_mut()) {
            *first = -1.0;
        }
        for dimension in 0..self.head_dim {
            square.values[dimension * (self.head_dim + 1)] = signs[dimension % count];
        }
        square
    }

    /// The gain of the query norm by a factor, that of the key norm by its inverse; the same for both
    /// dimensions of a rotary pair.
    fn scale_gains(self, role: &Role, weight: &mut Matrix, dice: &mut Dice, rotary: bool) {
        if role.param == Param::Bias {
            return;
        }
        let count = self.count(rotary);
        let factors: Vec<f64> = (0..count).map(|_| log_uniform(self.spread, dice)).collect();
        let factors = (0..self.head_dim).map(|dimension| {
            let factor = factors[dimension % count];
            if role.part == Part::QueryNorm {
                factor
            } else {
                factor.recip()
            }
        });
        weight.scale_rows(&factors.collect::<Vec<_>>());
    }

    /// Numbers of independent signs or factors.
    fn count(self, rotary: bool) -> usize {
        if rotary {
            self.head_dim / 2
        } else {
            self.head_dim
        }
    }
}
