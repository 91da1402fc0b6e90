//! Hidden units of two layers, each beside its counterpart.

use candle_core::{D, Device, Tensor};

use super::CARD;
use crate::evidence::Error;
use crate::evidence::weight::alignment::Units;
use crate::evidence::weight::nearest::nearest;
use crate::model::{Canonical, Part, Role};
use crate::stat::random;

/// Hidden units per layer.
const UNITS: usize = 512;

/// A matrix of the reference and the suspect's, `[units, width]` each.
pub(super) type Beside = (Role, Tensor, Tensor);

/// Gate, up and down rows of sampled units of the suspect, `[units, width]` each, with the reference's in
/// their basis and order.
pub(super) fn beside(
    [(ours, counterpart), (theirs, layer)]: [(&Canonical<'_>, usize); 2],
    rotation: &Tensor,
    seed: u64,
) -> Result<Vec<Beside>, Error> {
    let found = (
        Units::of(ours, counterpart)?,
        Units::of(theirs, layer)?,
        stored(ours, counterpart)?,
        stored(theirs, layer)?,
    );
    let (Some(x), Some(y), Some(ours), Some(theirs)) = found else {
        return Ok(Vec::new());
    };
    let mut rng = random::stream(seed, &format!("{} {layer}", CARD.id));
    let chosen = random::subset(&mut rng, y.len(), UNITS.min(y.len()));
    let (similar, sign) = y.at(&chosen)?.similarities(&x.turned(rotation)?)?;
    let similar = similar.flatten_all()?.to_vec1::<f32>()?;
    let partners: Vec<u32> = nearest(&similar, x.len(), &mut rng)
        .iter()
        .map(|top| top.unit as u32)
        .collect();
    let partners = Tensor::new(partners, &Device::Cpu)?;
    let chosen: Vec<u32> = chosen.into_iter().map(|at| at as u32).collect();
    let chosen = Tensor::new(chosen, &Device::Cpu)?;
    let sign = sign.gather(&partners.unsqueeze(1)?, 1)?;
    let mut pairs = Vec::new();
    for (part, ours, theirs) in [
        (Part::Gate, &ours[0], &theirs[0]),
        (Part::Up, &ours[1], &theirs[1]),
        (Part::Down, &ours[2], &theirs[2]),
    ] {
        let (Some(x), Some(y)) = (ours, theirs) else {
            continue;
        };
        let x = x.index_select(&partners, 0)?.matmul(rotation)?;
        let x = match part {
            Part::Gate => x,
            _ => x.broadcast_mul(&sign)?,
        };
        pairs.push((Role::layer(layer, part), x, y.index_select(&chosen, 0)?));
    }
    Ok(pairs)
}

/// Gate, up and down of all experts together as they are stored, rows by unit.
fn stored(model: &Canonical<'_>, layer: usize) -> Result<Option<[Option<Tensor>; 3]>, Error> {
    let mut parts: [Vec<Tensor>; 3] = Default::default();
    for expert in model.experts(layer) {
        let Some(mlp) = model.mlp(layer, expert)? else {
            return Ok(None);
        };
        parts[0].extend(mlp.gate);
        parts[1].push(mlp.up);
        parts[2].push(mlp.down.t()?.contiguous()?);
    }
    let experts = parts[1].len();
    let join = |parts: &Vec<Tensor>| -> Result<Option<Tensor>, Error> {
        let whole = experts > 0 && parts.len() == experts;
        Ok(whole.then(|| Tensor::cat(parts, 0)).transpose()?)
    };
    Ok(Some([join(&parts[0])?, join(&parts[1])?, join(&parts[2])?]))
}

/// Takes out of `x` what every unit's up row may give its down row, and a scale of the whole residual
/// stream, by which every down row grows: both fitted by least squares, which noise leaves alone. The latter is
/// returned.
pub(super) fn rescale(pairs: &mut [Beside]) -> Result<f32, Error> {
    let at = |part| pairs.iter().position(|(role, ..)| role.part == part);
    let (Some(up), Some(down)) = (at(Part::Up), at(Part::Down)) else {
        return Ok(1.0);
    };
    // Units that are not gated cannot exchange any.
    let gated = at(Part::Gate).is_some();
    let slopes = |(_, x, y): &Beside| -> Result<Vec<f32>, Error> {
        let (xy, xx) = ((x * y)?.sum(D::Minus1)?, x.sqr()?.sum(D::Minus1)?);
        Ok((xy / xx)?.to_vec1()?)
    };
    let (ups, downs) = (slopes(&pairs[up])?, slopes(&pairs[down])?);
    let through: Vec<f32> = ups.iter().zip(&downs).map(|(up, down)| up * down).collect();
    let mut sorted = through.clone();
    sorted.sort_by(f32::total_cmp);
    let whole = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0);
    let whole = if whole > 0.0 && whole.is_finite() {
        whole
    } else {
        1.0
    };
    let exchanged: Vec<f32> = ups
        .iter()
        .zip(&downs)
        .map(|(up, down)| (up * whole / down).sqrt())
        .map(|scale| {
            if gated && scale.is_normal() {
                scale
            } else {
                1.0
            }
        })
        .collect();
    let n = exchanged.len();
    let column = |values: Vec<f32>| Tensor::from_vec(values, (n, 1), &Device::Cpu);
    let back = exchanged.iter().map(|scale| whole / scale).collect();
    pairs[up].1 = pairs[up].1.broadcast_mul(&column(exchanged)?)?;
    pairs[down].1 = pairs[down].1.broadcast_mul(&column(back)?)?;
    Ok(whole)
}
