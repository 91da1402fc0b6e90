//! Bringing two models' residual streams into one basis, and finding which layer became which.
//!
//! A model computes the same when its residual stream is permuted or rotated and its hidden units are
//! put in another order. Before two such models can be compared number by number the rotation must be
//! found: from the tokens that both vocabularies share (orthogonal Procrustes), or, when vocabulary and
//! embedding were replaced, from hidden units, which can be matched by what no rotation changes.
//!
//! The order of hidden units is never looked at, so that an exact test on it stays exact in the basis
//! that was found. Layers of the suspect that took part in the fit are named, so that other statistics can
//! be read off those that did not.

mod built;
mod fit;
mod partners;
mod reading;
mod units;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};

use super::tokens;
use crate::evidence::Error;
use crate::model::{Canonical, Model};
use crate::stat::{path, random};
use built::Built;
use fit::Fit;
use partners::{Partners, mean_nearest};
pub(super) use reading::{Reading, assess};
pub(super) use units::Units;

/// Layers of the suspect whose units are fitted at most; half of the layers at most.
const FITTED_LAYERS: usize = 3;

/// Units of a fitted layer at least and, beyond that, in shares of the residual stream's width: three
/// directions of each of three layers' units then outnumber the coordinates.
const FITTED_UNITS: (usize, usize) = (256, 4);

/// A fit whose matched directions agree more than this is not bettered by another start: strangers stay
/// near a third. It saves time and decides nothing.
const GOOD_FIT: f64 = 0.6;

/// Units per layer that layers are compared by.
const COMPARED_UNITS: usize = 64;

/// Shared tokens that the rotation is read off at most.
const TOKENS: usize = 8192;

/// Residual streams whose widths differ by more than this factor are left alone: nobody cuts so much away
/// and keeps a model.
const WIDEST: usize = 4;

/// Two models in one basis.
#[derive(Debug)]
pub(super) struct Alignment {
    /// `[width, other width]`, f32: rows of the reference times this are in the suspect's basis.
    pub rotation: Tensor,
    /// The rotation that the embeddings of shared tokens say, where they were asked.
    pub by_vocabulary: Option<Tensor>,
    /// Mean size of the rotation's diagonal, and of the largest entry of each of its rows: `(1, 1)` when
    /// the bases agree, `(0, 1)` when coordinates changed places, both small after a rotation.
    pub basis: (f64, f64),
    /// Where the rotation was first read off.
    pub from: Start,
    /// Mean cosine of the fitted units' directions with their partners'; unmatched ones count as 0.
    pub similarity: f64,
    /// How reference and suspect are built.
    pub built: [Built; 2],
    /// Layers of the suspect that the rotation was fitted on.
    pub fitted: Vec<usize>,
    /// For each layer of the suspect the layer of the reference that it corresponds to.
    pub layers: Vec<Option<usize>>,
    /// Mean cosine of the nearest units, row-major `[layers of the reference, layers of the suspect]`.
    pub likeness: Vec<f64>,
}

/// Where a rotation was first read off, before it was refined on hidden units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Nowhere: the bases agree as they are.
    AsStored,
    /// Embeddings of shared tokens.
    Vocabulary,
    /// Hidden units, matched by what no rotation changes.
    Units,
}

impl Start {
    /// For a reader.
    pub const fn words(self) -> &'static str {
        match self {
            Self::AsStored => "the bases as they are stored",
            Self::Vocabulary => "the embeddings of shared tokens",
            Self::Units => "hidden units matched by what no rotation changes",
        }
    }
}

/// Alignments of a pair and its controls, each found once.
///
/// Keyed by where the models lie in memory: it belongs to one [`crate::evidence::Pair`], whose models
/// outlive it.
#[derive(Debug, Default)]
pub struct Memo(Mutex<BTreeMap<(usize, usize), Found>>);

/// An alignment, or in words why there is none.
pub(super) type Found = Arc<Result<Alignment, String>>;

impl Memo {
    /// The alignment of `a` onto `b`.
    pub(super) fn of(&self, a: &Model, b: &Model, seed: u64) -> Result<Found, Error> {
        let place = |model: &Model| std::ptr::from_ref(model) as usize;
        let key = (place(a), place(b));
        let lock = || {
            self.0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        };
        if let Some(found) = lock().get(&key) {
            return Ok(found.clone());
        }
        let found = Arc::new(align(a, b, seed)?);
        lock().insert(key, found.clone());
        Ok(found)
    }
}

/// Brings `a` into the basis of `b`.
pub(super) fn align(a: &Model, b: &Model, seed: u64) -> Result<Result<Alignment, String>, Error> {
    let (ours, theirs) = match (Canonical::of(a), Canonical::of(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(why), _) => return Ok(Err(format!("reference: {why}"))),
        (_, Err(why)) => return Ok(Err(format!("suspect: {why}"))),
    };
    let fitted = spread(theirs.spec.num_hidden_layers);
    let mut targets = Vec::with_capacity(fitted.len());
    for layer in &fitted {
        let Some(units) = Units::of(&theirs, *layer)? else {
            return Ok(Err(format!("suspect: layer {layer} has no complete MLP")));
        };
        let mut rng = random::stream(seed, &format!("fitted units {layer}"));
        let wanted = FITTED_UNITS.0.max(theirs.spec.hidden_size / FITTED_UNITS.1);
        let chosen = random::subset(&mut rng, units.len(), wanted.min(units.len()));
        targets.push(units.at(&chosen)?);
    }
    if targets.is_empty() {
        return Ok(Err("suspect: no layers".to_owned()));
    }
    let starts = starts(a, b, &ours, &theirs, seed)?;
    let by_vocabulary = starts
        .iter()
        .find(|(start, _)| *start == Start::Vocabulary)
        .and_then(|(_, rotation)| rotation.clone());
    let Some(partners) = Partners::find(&ours, &targets, &starts)? else {
        return Ok(Err("reference: a layer has no complete MLP".to_owned()));
    };
    let mut best: Option<(Start, Fit)> = None;
    for (start, fit) in partners.fits(&ours, &targets, starts)? {
        if best
            .as_ref()
            .is_none_or(|(_, best)| fit.similarity > best.similarity)
        {
            best = Some((start, fit));
        }
    }
    let Some((from, fit)) = best else {
        return Ok(Err(format!(
            "residual streams of {} and {} coordinates cannot be brought into one basis",
            ours.spec.hidden_size, theirs.spec.hidden_size
        )));
    };
    let likeness = likeness(&ours, &theirs, &fit.rotation, seed)?;
    let (rows, columns) = (ours.spec.num_hidden_layers, theirs.spec.num_hidden_layers);
    Ok(Ok(Alignment {
        basis: basis(&fit.rotation)?,
        built: [Built::of(&ours)?, Built::of(&theirs)?],
        rotation: fit.rotation,
        by_vocabulary,
        from,
        similarity: fit.similarity,
        fitted,
        layers: path::align(
            &standing_out(&likeness, columns),
            rows,
            columns,
            &path::COSTS,
        ),
        likeness,
    }))
}

/// Mean of the diagonal, and of the largest size in each row.
fn basis(rotation: &Tensor) -> Result<(f64, f64), Error> {
    let (rows, columns) = rotation.dims2()?;
    let values = rotation.flatten_all()?.to_vec1::<f32>()?;
    let n = rows.max(1) as f64;
    let diagonal = (0..rows.min(columns)).map(|at| f64::from(values[at * columns + at]));
    let largest = |row: &[f32]| f64::from(row.iter().fold(0.0f32, |max, x| max.max(x.abs())));
    let peak: f64 = values.chunks_exact(columns.max(1)).map(largest).sum();
    Ok((diagonal.sum::<f64>() / n, peak / n))
}

/// Up to [`FITTED_LAYERS`] of `layers`, evenly spread, at most every other one.
fn spread(layers: usize) -> Vec<usize> {
    let count = FITTED_LAYERS.min(layers.div_ceil(2));
    (0..count)
        .map(|k| (2 * k + 1) * layers / (2 * count))
        .collect()
}

/// Rotations to start from; `None` stands for matching units by what no rotation changes.
fn starts(
    a: &Model,
    b: &Model,
    ours: &Canonical<'_>,
    theirs: &Canonical<'_>,
    seed: u64,
) -> Result<Vec<(Start, Option<Tensor>)>, Error> {
    let width = ours.spec.hidden_size;
    let mut starts = Vec::new();
    if width == theirs.spec.hidden_size {
        let identity = Tensor::eye(width, DType::F32, &Device::Cpu)?;
        starts.push((Start::AsStored, Some(identity)));
    }
    let (narrow, wide) = (
        width.min(theirs.spec.hidden_size),
        width.max(theirs.spec.hidden_size),
    );
    if wide > WIDEST * narrow {
        return Ok(starts);
    }
    if let Ok(shared) = tokens::shared(a, b, TOKENS, seed) {
        let rows = (
            ours.embedding(&shared.ours)?,
            theirs.embedding(&shared.theirs)?,
        );
        if let (Some(x), Some(y)) = rows {
            let centred = |rows: &Tensor| rows.broadcast_sub(&rows.mean_keepdim(0)?);
            let cross = centred(&x)?.t()?.matmul(&centred(&y)?)?;
            if let Some(rotation) = fit::polar(&cross)? {
                starts.push((Start::Vocabulary, Some(rotation)));
            }
        }
    }
    if narrow == wide {
        starts.push((Start::Units, None));
    }
    Ok(starts)
}

/// Mean similarity of the nearest units between any two layers, `[ours, theirs]`.
fn likeness(
    ours: &Canonical<'_>,
    theirs: &Canonical<'_>,
    rotation: &Tensor,
    seed: u64,
) -> Result<Vec<f64>, Error> {
    let (rows, columns) = (ours.spec.num_hidden_layers, theirs.spec.num_hidden_layers);
    let mut probes = Vec::with_capacity(columns);
    for layer in 0..columns {
        let mut rng = random::stream(seed, &format!("compared units {layer}"));
        probes.push(match Units::of(theirs, layer)? {
            Some(units) => {
                let chosen = random::subset(&mut rng, units.len(), COMPARED_UNITS.min(units.len()));
                Some(units.at(&chosen)?)
            }
            None => None,
        });
    }
    let mut values = Vec::with_capacity(rows * columns);
    for layer in 0..rows {
        let turned = match Units::of(ours, layer)? {
            Some(units) => Some(units.turned(rotation)?),
            None => None,
        };
        for probe in &probes {
            values.push(match (probe, &turned) {
                (Some(probe), Some(turned)) => mean_nearest(probe, turned)?,
                _ => 0.0,
            });
        }
    }
    Ok(values)
}

/// Similarities from 0 (the middle one: layers that do not correspond) to 1 (the mean of each layer's
/// best).
fn standing_out(likeness: &[f64], columns: usize) -> Vec<f64> {
    let mut sorted = likeness.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let mut tops = vec![middle; columns];
    for row in likeness.chunks_exact(columns.max(1)) {
        for (top, value) in tops.iter_mut().zip(row) {
            *top = top.max(*value);
        }
    }
    let top = tops.iter().sum::<f64>() / columns.max(1) as f64;
    let height = (top - middle).max(f64::MIN_POSITIVE);
    likeness
        .iter()
        .map(|value| (value - middle) / height)
        .collect()
}

impl Alignment {
    /// Numbers for a finding's details.
    pub fn details(&self) -> BTreeMap<&'static str, f64> {
        let matched = self.layers.iter().flatten().count();
        let (diagonal, peak) = self.basis;
        BTreeMap::from([
            ("experts_reference", self.built[0].experts as f64),
            ("experts_suspect", self.built[1].experts as f64),
            ("units_reference", self.built[0].units as f64),
            ("units_suspect", self.built[1].units as f64),
            ("constant_gains_reference", self.built[0].constant_gains),
            ("constant_gains_suspect", self.built[1].constant_gains),
            ("up_spread_reference", self.built[0].up_spread),
            ("up_spread_suspect", self.built[1].up_spread),
            ("basis_kept", diagonal),
            ("basis_peak", peak),
            ("repeated_layers", self.repeated() as f64),
            ("reference_layers", self.rows() as f64),
            ("fit_similarity", self.similarity),
            ("suspect_layers", self.layers.len() as f64),
            ("matched_layers", matched as f64),
            ("in_order", f64::from(u8::from(self.in_order()))),
        ])
    }

    /// For each layer of the suspect its counterpart or, where it has none, the layer most like it: what
    /// a statistic is read off, whether or not the models have anything in common.
    pub fn counterparts(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (rows, columns) = (self.rows(), self.layers.len());
        self.layers.iter().enumerate().map(move |(column, layer)| {
            let like = |row: &usize| self.likeness[row * columns + column];
            let most = (0..rows).max_by(|a, b| like(a).total_cmp(&like(b)));
            (column, layer.or(most).unwrap_or(0))
        })
    }

    /// Layers of the reference.
    fn rows(&self) -> usize {
        self.likeness.len() / self.layers.len().max(1)
    }

    /// Layers of the suspect whose counterpart another one has as well.
    fn repeated(&self) -> usize {
        let matched: Vec<usize> = self.layers.iter().flatten().copied().collect();
        let mut distinct = matched.clone();
        distinct.sort_unstable();
        distinct.dedup();
        matched.len() - distinct.len()
    }

    /// Whether layer `i` corresponds to layer `i` throughout, none missing.
    fn in_order(&self) -> bool {
        self.rows() == self.layers.len()
            && self
                .layers
                .iter()
                .enumerate()
                .all(|(at, layer)| *layer == Some(at))
    }

    /// Which layer became which, in words.
    pub fn words(&self) -> String {
        layers_in_words(&self.layers, self.rows())
    }
}

/// Which of `rows` layers of the reference became which of the suspect's, in words.
pub fn layers_in_words(layers: &[Option<usize>], rows: usize) -> String {
    let own = |(at, layer): (usize, &Option<usize>)| *layer == Some(at);
    if rows == layers.len() && layers.iter().enumerate().all(own) {
        return "Layers correspond one to one.".to_owned();
    }
    let names: Vec<String> = layers
        .iter()
        .map(|layer| layer.map_or_else(|| "-".to_owned(), |layer| layer.to_string()))
        .collect();
    format!(
        "The suspect's layers correspond to the reference's {}.",
        names.join(" ")
    )
}
