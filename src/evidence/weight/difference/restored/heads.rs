//! What the heads of two layers compute, whatever the basis inside them.

use candle_core::{D, DType, Device, Tensor};

use super::CARD;
use crate::evidence::Error;
use crate::evidence::weight::head_index::axes::{COORDINATES, View};
use crate::evidence::weight::nearest::nearest;
use crate::model::Canonical;
use crate::stat::random;

/// Sums over products of heads: `x` of the reference, `y` of the suspect.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Products {
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Products {
    pub fn add(&mut self, other: &Self) {
        self.xx += other.xx;
        self.yy += other.yy;
        self.xy += other.xy;
    }

    /// With one scale taken out, as all that is written to a residual stream may have.
    fn rescaled(self) -> Self {
        let scale = self.xy / self.xx;
        if !(scale > 0.0 && scale.is_finite()) {
            return self;
        }
        Self {
            xx: self.xx * scale * scale,
            xy: self.xy * scale,
            ..self
        }
    }

    pub fn common(&self) -> Option<f64> {
        let all = self.xx + self.yy;
        (all > 0.0).then(|| 2.0 * self.xy / all)
    }
}

/// Query-key and value-output products of one layer's heads, each of the suspect's beside the most similar
/// of the reference's.
pub(super) fn products(
    [(ours, counterpart), (theirs, layer)]: [(&Canonical<'_>, usize); 2],
    rotation: &Tensor,
    seed: u64,
) -> Result<[Products; 2], Error> {
    let width = theirs.spec.hidden_size;
    let mut rng = random::stream(seed, &format!("{} heads {layer}", CARD.id));
    let seen = random::subset(&mut rng, width, COORDINATES.min(width));
    let seen: Vec<u32> = seen.into_iter().map(|at| at as u32).collect();
    let seen = Tensor::new(seen, &Device::Cpu)?;
    let own = Tensor::eye(width, DType::F32, &Device::Cpu)?.index_select(&seen, 1)?;
    let turned = rotation.index_select(&seen, 1)?;
    let view = |model, layer, lens| View { model, layer, lens };
    let found = (
        view(ours, counterpart, &turned).head_products()?,
        view(theirs, layer, &own).head_products()?,
    );
    let mut sums = [Products::default(); 2];
    let (Some(x), Some(y)) = found else {
        return Ok(sums);
    };
    let crossed = [Crossed::of(&x[0], &y[0])?, Crossed::of(&x[1], &y[1])?];
    let similar: Vec<f32> = crossed[0]
        .cosine
        .iter()
        .zip(&crossed[1].cosine)
        .map(|(query_key, value_output)| query_key + value_output)
        .collect();
    let heads = crossed[0].xx.len();
    for (at, top) in nearest(&similar, heads, &mut rng).iter().enumerate() {
        for (sum, crossed) in sums.iter_mut().zip(&crossed) {
            sum.add(&Products {
                xx: crossed.xx[top.unit].into(),
                yy: crossed.yy[at].into(),
                xy: crossed.xy[at * heads + top.unit].into(),
            });
        }
    }
    let [query_key, value_output] = sums;
    // Norms behind queries and keys leave them no size of their own.
    let query_key = match theirs.spec.qk_norm.is_some() {
        true => query_key.rescaled(),
        false => query_key,
    };
    Ok([query_key, value_output.rescaled()])
}

/// One product of all heads against all: `[suspect's heads, reference's heads]`.
struct Crossed {
    xx: Vec<f32>,
    yy: Vec<f32>,
    xy: Vec<f32>,
    cosine: Vec<f32>,
}

impl Crossed {
    /// Of `[heads, numbers]` each.
    fn of(x: &Tensor, y: &Tensor) -> Result<Self, Error> {
        let square = |heads: &Tensor| heads.sqr()?.sum(D::Minus1);
        let (xx, yy) = (square(x)?, square(y)?);
        let xy = y.matmul(&x.t()?)?;
        let lengths = yy.sqrt()?.unsqueeze(1)?.matmul(&xx.sqrt()?.unsqueeze(0)?)?;
        Ok(Self {
            cosine: (&xy / &lengths)?.flatten_all()?.to_vec1()?,
            xx: xx.to_vec1()?,
            yy: yy.to_vec1()?,
            xy: xy.flatten_all()?.to_vec1()?,
        })
    }
}
