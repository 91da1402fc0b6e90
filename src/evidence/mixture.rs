//! One model's weights as a sum of others': the shares of a merge, layer by layer.
//!
//! Role by role and number by number, `y = sum a_i x_i + residual` by least squares, the sums of products
//! added up over the matrices of a layer and over all. It presumes one basis and one order of units, as
//! merging does.

use rayon::prelude::*;

use super::Error;
use crate::model::{Model, Param, Role, Weights};
use crate::stat::least_squares::{Fit, Products};

/// Numbers of each model decoded at a time.
const BLOCK_ELEMENTS: usize = 1 << 20;

/// A model beside those that it may be mixed from, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// Everything together.
    pub whole: Share,
    /// What is outside the blocks, then block by block.
    pub parts: Vec<Share>,
}

/// What one part of a model is mixed from.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Block; `None` for what lies outside of blocks, and for the whole.
    pub layer: Option<u32>,
    /// Sums over all of its numbers.
    pub products: Products,
    /// Share of the arc from the first of two parents to the second: the mean over matrices, by their
    /// size. Only of two.
    pub angle: Option<f64>,
}

/// Sums over the matrices that all of `parents` and `suspect` have in one shape; `None` when there is no
/// such matrix.
///
/// # Errors
/// Tensors that cannot be read.
pub fn mixture(parents: &[&Model], suspect: &Model) -> Result<Option<Mixture>, Error> {
    let theirs = &suspect.weights;
    let shared: Vec<Role> = theirs
        .roles()
        .filter(|role| role.param == Param::Weight && !role.part.is_norm())
        .filter(|role| {
            let shape = theirs.shape(role);
            let fits = |parent: &&Model| parent.weights.shape(role) == shape;
            shape.is_some() && parents.iter().all(fits)
        })
        .copied()
        .collect();
    if shared.is_empty() || parents.is_empty() {
        return Ok(None);
    }
    let ours: Vec<&Weights> = parents.iter().map(|parent| &parent.weights).collect();
    let each: Result<Vec<(Role, Products)>, Error> = shared
        .par_iter()
        .map(|role| Ok((*role, products(&ours, theirs, role)?)))
        .collect();
    let each = each?;
    let mut layers: Vec<Option<u32>> = each.iter().map(|(role, _)| role.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let of = |layer| {
        let matrices = each.iter().filter(|(role, _)| role.layer == layer);
        Share::of(layer, matrices.map(|(_, products)| products))
    };
    Ok(Some(Mixture {
        whole: Share::of(None, each.iter().map(|(_, products)| products)),
        parts: layers.into_iter().map(of).collect(),
    }))
}

fn products(ours: &[&Weights], theirs: &Weights, role: &Role) -> Result<Products, Error> {
    let mut sums = Products::new(ours.len());
    let mut readers: Vec<_> = ours
        .iter()
        .map(|weights| weights.chunks(role, BLOCK_ELEMENTS))
        .collect();
    for block in theirs.chunks(role, BLOCK_ELEMENTS) {
        let (_, y) = block?;
        let mut columns = Vec::with_capacity(readers.len());
        for reader in &mut readers {
            columns.push(
                reader
                    .next()
                    .transpose()?
                    .map(|(_, x)| x)
                    .unwrap_or_default(),
            );
        }
        let mut row = vec![0.0; columns.len()];
        for (at, y) in y.iter().enumerate() {
            for (to, column) in row.iter_mut().zip(&columns) {
                *to = column.get(at).copied().map_or(f64::NAN, f64::from);
            }
            sums.add(&row, f64::from(*y));
        }
    }
    Ok(sums)
}

impl Share {
    fn of<'a>(layer: Option<u32>, matrices: impl Iterator<Item = &'a Products> + Clone) -> Self {
        let regressors = matrices.clone().next().map_or(0, Products::len);
        let mut products = Products::new(regressors);
        let (mut turned, mut size) = (0.0, 0.0);
        for matrix in matrices {
            products.merge(matrix);
            if let Some(angle) = angle(matrix) {
                turned += matrix.yy * angle;
                size += matrix.yy;
            }
        }
        Self {
            layer,
            products,
            angle: (size > 0.0).then(|| turned / size),
        }
    }

    /// As a sum of the parents `chosen` alone.
    pub fn fit(&self, chosen: &[usize]) -> Option<Fit> {
        self.products.only(chosen).fit()
    }

    /// The share of what the nearest of `chosen` leaves unexplained that the best sum of all of them
    /// explains: 0 when a sum is no better than one of them, 1 when nothing is left.
    pub fn gain(&self, chosen: &[usize]) -> Option<f64> {
        let nearest = chosen.iter().map(|i| self.products.distance(*i));
        let nearest = nearest.fold(f64::INFINITY, f64::min);
        let fit = self.fit(chosen)?;
        (nearest > 0.0).then(|| (1.0 - fit.residual / nearest).max(0.0))
    }
}

/// The share `t` of an arc that `y = a x + b z` stands at: 0 at the first of two regressors, 1 at the second.
///
/// A spherical merge adds `sin((1 - t) w) / sin w` of the one to `sin(t w) / sin w` of the other, with `w` the
/// angle between them (Shoemake 1985; lengths are left as they are), so that
/// `tan(t w) = b sin w / (a + b cos w)`.
fn angle(products: &Products) -> Option<f64> {
    let [xx, xz, _, zz] = products.xx[..] else {
        return None;
    };
    let fit = products.fit()?;
    let (a, b) = (fit.coefficients[0], fit.coefficients[1]);
    let cosine = (xz / (xx * zz).sqrt()).clamp(-1.0, 1.0);
    let between = cosine.acos();
    let turned = (b * between.sin()).atan2(a + b * cosine);
    (between > 0.0 && turned.is_finite()).then(|| turned / between)
}

#[cfg(test)]
mod tests;
