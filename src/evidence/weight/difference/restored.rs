//! The difference of two models whose weights were rewritten: in one basis, each hidden unit beside its
//! counterpart, at its size.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor};

use super::grid::Grid;
use super::spectrum::Spectrum;
use super::{Change, common, median, numbers, table, words};
use crate::evidence::control::Controls;
use crate::evidence::weight::alignment::{self, Alignment, Reading, Units};
use crate::evidence::weight::head_index::axes::{COORDINATES, View};
use crate::evidence::weight::nearest::nearest;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair};
use crate::model::{Canonical, Model, Part, Role, Weights};
use crate::stat::random;

/// See [`CARD`].
pub(in crate::evidence::weight) struct Restored;

static CARD: Card = Card {
    id: "weight.restored_difference",
    version: 1,
    family: "weight.difference",
    title: "what the difference looks like once rewritings that keep the function are undone",
    measures: "Hidden units of corresponding layers after the residual streams were brought into one basis: each sampled unit \
               of the suspect beside the reference's most similar one, the scale that up and down can exchange taken out, \
               and then the same numbers as weight.difference. Heads are compared by their query-key and value-output \
               products. The statistic is how much of both MLPs is common, 2 <A,B> / (|A|^2 + |B|^2).",
    null: "None: it says how two related models differ, not whether they are related. Independent models have nothing in \
           common but what picking the most similar unit gives.",
    fooled_by: "A rounding that was done before a rotation leaves no grid, zeros do not survive a rotation either. Basis and \
                counterparts are estimates: what is not found again counts as a difference.",
    cost: "As weight.unit_agreement, for up to 4 layers.",
    reference: "Undoing the exact symmetries of the decoder, as in the canonical form; the rest as weight.difference.",
    needs: Needs::Weights,
    symmetric: false,
    survives: &[
        "permute-units",
        "permute-heads",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "scale-residual",
        "shift-head",
    ],
};

/// Layers looked at, evenly chosen.
const LAYERS: usize = 4;

/// Hidden units per layer.
const UNITS: usize = 512;

/// Residual coordinates of which singular values are taken, at most.
const COLUMNS: usize = 1024;

impl Evidence for Restored {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        alignment::assess(pair, &|alignment, a, b| run(alignment, a, b, pair.seed))
    }
}

/// What two models in one basis have in common and what not.
struct Restoration {
    changes: Vec<Change>,
    spectra: Vec<Spectrum>,
    grids: [Grid; 2],
    /// Shares in common of query-key and of value-output products.
    heads: [Option<f64>; 2],
    /// By how much more the suspect writes to its residual stream, by layer.
    scales: Vec<f64>,
}

fn run(
    alignment: &Alignment,
    a: &Model,
    b: &Model,
    seed: u64,
) -> Result<Option<Restoration>, Error> {
    let (Ok(ours), Ok(theirs)) = (Canonical::of(a), Canonical::of(b)) else {
        return Ok(None);
    };
    let rotation = snapped(&alignment.rotation)?;
    let matched: Vec<(usize, usize)> = alignment.counterparts().collect();
    let step = matched.len().div_ceil(LAYERS).max(1);
    let (mut changes, mut spectra, mut scales) = (Vec::new(), Vec::new(), Vec::new());
    let mut heads = [Products::default(); 2];
    for (layer, counterpart) in matched.iter().step_by(step) {
        let sides = [(&ours, *counterpart), (&theirs, *layer)];
        let mut pairs = units(sides, &rotation, seed)?;
        scales.push(f64::from(rescale(&mut pairs)?));
        for (role, x, y) in pairs {
            let (rows, columns) = y.dims2()?;
            let mut change = Change::nothing(role, (rows, columns));
            let [x, y] = [x, y].map(|matrix| matrix.flatten_all()?.to_vec1::<f32>());
            let (x, y) = (x?, y?);
            change.add(&x, &y);
            changes.push(change);
            spectra.extend(spectrum(&x, &y, columns));
        }
        for (sum, layer) in heads.iter_mut().zip(products(sides, &rotation, seed)?) {
            sum.add(&layer);
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(Restoration {
        changes,
        spectra,
        grids: [grid(&a.weights)?, grid(&b.weights)?],
        heads: heads.map(|sums| sums.common()),
        scales,
    }))
}

/// Gate, up and down rows of sampled units of the suspect, `[units, width]` each, with the reference's in
/// their basis and order.
fn units(
    [(ours, counterpart), (theirs, layer)]: [(&Canonical<'_>, usize); 2],
    rotation: &Tensor,
    seed: u64,
) -> Result<Vec<(Role, Tensor, Tensor)>, Error> {
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
fn rescale(pairs: &mut [(Role, Tensor, Tensor)]) -> Result<f32, Error> {
    let at = |part| pairs.iter().position(|(role, ..)| role.part == part);
    let (Some(up), Some(down)) = (at(Part::Up), at(Part::Down)) else {
        return Ok(1.0);
    };
    // Units that are not gated cannot exchange any.
    let gated = at(Part::Gate).is_some();
    let slopes = |(_, x, y): &(Role, Tensor, Tensor)| -> Result<Vec<f32>, Error> {
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

/// A rotation that is nearly a permutation with signs, as exactly that: then equal numbers are equal.
fn snapped(rotation: &Tensor) -> Result<Tensor, Error> {
    let (rows, columns) = rotation.dims2()?;
    let mut values = rotation.flatten_all()?.to_vec1::<f32>()?;
    let mut taken = vec![false; columns];
    for row in values.chunks_exact_mut(columns) {
        let largest = (0..columns).max_by(|a, b| row[*a].abs().total_cmp(&row[*b].abs()));
        let Some(at) = largest.filter(|at| !taken[*at] && row[*at].abs().round() == 1.0) else {
            return Ok(rotation.clone());
        };
        taken[at] = true;
        let sign = row[at].signum();
        row.fill(0.0);
        row[at] = sign;
    }
    Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
}

fn spectrum(x: &[f32], y: &[f32], columns: usize) -> Option<Spectrum> {
    let kept = columns.min(COLUMNS);
    let rows = x.chunks_exact(columns).zip(y.chunks_exact(columns));
    let difference: Vec<f64> = rows
        .flat_map(|(x, y)| x[..kept].iter().zip(&y[..kept]))
        .map(|(x, y)| f64::from(*y) - f64::from(*x))
        .collect();
    Spectrum::of_values(&difference, x.len() / columns, kept)
}

/// Sums over products of heads: `x` of the reference, `y` of the suspect.
#[derive(Debug, Clone, Copy, Default)]
struct Products {
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Products {
    fn add(&mut self, other: &Self) {
        self.xx += other.xx;
        self.yy += other.yy;
        self.xy += other.xy;
    }

    /// With a scale of the whole residual stream, by which all that is written to it grows, taken out.
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

    fn common(&self) -> Option<f64> {
        let all = self.xx + self.yy;
        (all > 0.0).then(|| 2.0 * self.xy / all)
    }
}

/// Query-key and value-output products of one layer's heads, each of the suspect's beside the most similar
/// of the reference's.
fn products(
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

/// Of the matrices of all blocks as they are stored.
fn grid(weights: &Weights) -> Result<Grid, Error> {
    let matrices = weights
        .roles()
        .filter(|role| role.param == crate::model::Param::Weight && !role.part.is_norm());
    Grid::of(weights, matrices.copied())
}

impl Reading for Restoration {
    const NOTHING: &'static str = "no layer of the suspect has an MLP and a counterpart with one";

    fn statistic(&self) -> f64 {
        common(&self.changes).unwrap_or(0.0)
    }

    fn finding(&self, alignment: &Alignment, controls: &Controls) -> Finding {
        let statistic = self.statistic();
        let mut details: BTreeMap<&'static str, f64> = controls.details(statistic);
        details.extend(alignment.details());
        details.extend(numbers(&self.changes, &self.spectra, &self.grids));
        details.insert("residual_scale", median(self.scales.clone()));
        let heads = ["common_query_key", "common_value_output"];
        details.extend(
            heads
                .into_iter()
                .zip(self.heads)
                .filter_map(|(name, share)| Some((name, share?))),
        );
        let mut explanation = format!(
            "In one basis, unit beside unit, {} matrices have {statistic:.4} in common (1 is all, 0 is nothing).",
            self.changes.len()
        );
        let story = words(&details);
        if !story.is_empty() {
            explanation += &format!(" {}.", story.join("; "));
        }
        if let [Some(query_key), Some(value_output)] = self.heads {
            explanation += &format!(
                " Of the heads' products, query with key has {query_key:.4} in common, value with output {value_output:.4}."
            );
        }
        Finding {
            statistic,
            n: self
                .changes
                .iter()
                .map(|change| change.shape.0 as u64)
                .sum(),
            null: format!("none; {}", controls.words(statistic)),
            log10_p: None,
            interval: None,
            details,
            explanation,
            caveats: vec![
                "it describes how related models differ and is no evidence of kinship".to_owned(),
            ],
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: Some(table(&self.changes)),
        }
    }
}

#[cfg(test)]
mod tests;
