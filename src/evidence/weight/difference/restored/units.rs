//! Hidden units of two layers, each beside its counterpart.

use candle_core::{Device, Tensor};

use super::CARD;
use crate::evidence::Error;
use crate::evidence::weight::alignment::Units;
use crate::evidence::weight::nearest::nearest;
use crate::model::{Canonical, Part, Role};
use crate::stat::random;

/// Hidden units per layer.
const UNITS: usize = 512;

/// A matrix of the reference in the suspect's basis and order, and the suspect's.
pub(super) struct Beside {
    pub role: Role,
    /// `[units, width]`, the reference's.
    pub x: Tensor,
    /// `[units, width]`, the suspect's.
    pub y: Tensor,
    /// The gain of the reference that is multiplied into it, by coordinate of the reference's stream.
    pub gain: Option<Tensor>,
}

/// Gate, up and down rows of sampled units of the suspect, `[units, width]` each, with the reference's in
/// their basis and order.
pub(super) fn beside(
    [(reference, counterpart), (suspect, layer)]: [(&Canonical<'_>, usize); 2],
    rotation: &Tensor,
    seed: u64,
) -> Result<Vec<Beside>, Error> {
    let found = (
        Units::of(reference, counterpart)?,
        Units::of(suspect, layer)?,
        stored(reference, counterpart)?,
        stored(suspect, layer)?,
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
        pairs.push(Beside {
            role: Role::layer(layer, part),
            x,
            y: y.index_select(&chosen, 0)?,
            gain: reference.gain_before(&Role::layer(counterpart, part))?,
        });
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
