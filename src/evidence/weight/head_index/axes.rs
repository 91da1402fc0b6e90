//! Attention heads and experts of one layer: what each does, and which of two models' is which.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

use crate::evidence::Error;
use crate::model::canonical::{Attention, unit_rows};
use crate::model::{Canonical, Expert, Part, Role};
use crate::stat::index::longest_increasing;
use crate::stat::law::Law;
use crate::stat::{assignment, random};

/// Residual coordinates that products are taken between at most.
pub(in crate::evidence::weight) const COORDINATES: usize = 256;

/// Similarities are rounded to this grid, coarser than the rounding of a matrix product, so that equal
/// heads tie wherever they stand.
const TIE_GRID: f64 = (1 << 16) as f64;

/// What stands in an order that training gives no meaning to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Key-value groups of a layer.
    Groups,
    /// Query heads of a group.
    Heads,
    /// Routed experts of a layer.
    Experts,
}

/// The order of one set of heads or experts in both models.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub kind: Kind,
    /// How many each model has.
    pub counts: [usize; 2],
    /// At their own index or, between unequal numbers, in increasing order.
    pub kept: u64,
    /// Of the assigned pairs, those that are each other's most alike, by a margin.
    pub partners: u64,
    /// Of those, the ones that stand at different indices; none between unequal numbers.
    pub moved: u64,
    /// Similarity of the assigned pairs, summed.
    pub similarity: f64,
}

impl Axis {
    /// Places looked at.
    pub fn places(&self) -> u64 {
        self.counts[0].min(self.counts[1]) as u64
    }

    /// What independent models keep.
    pub fn law(&self) -> Law {
        if self.counts[0] == self.counts[1] {
            Law::fixed_points(self.places())
        } else {
            Law::increasing(self.places())
        }
    }
}

/// One model's layer, seen through a few residual coordinates of the common basis.
pub(in crate::evidence::weight) struct View<'a> {
    pub model: &'a Canonical<'a>,
    pub layer: usize,
    /// `[hidden_size, coordinates]`: from this model's residual stream to the chosen coordinates.
    pub lens: &'a Tensor,
}

/// What heads or experts compute, `[count, numbers]` each of unit rows: one matrix per product.
type Features = Vec<Tensor>;

impl View<'_> {
    /// Query-key and value-output product of every query head, as [`Features`].
    fn heads(&self) -> Result<Option<Features>, Error> {
        let Some(products) = self.head_products()? else {
            return Ok(None);
        };
        let unit = |product: &Tensor| Ok(unit_rows(product)?);
        Ok(Some(
            products.iter().map(unit).collect::<Result<_, Error>>()?,
        ))
    }

    /// Query-key and output-value product of every query head, `[heads, coordinates^2]` each: what no
    /// change of basis inside the head alters.
    pub(in crate::evidence::weight) fn head_products(&self) -> Result<Option<[Tensor; 2]>, Error> {
        let Some(attention) = self.model.attention(self.layer)? else {
            return Ok(None);
        };
        let Attention {
            query,
            key,
            value,
            output,
        } = attention;
        let spec = self.model.spec;
        let (heads, groups, size) = (
            spec.num_attention_heads,
            spec.num_key_value_heads.max(1),
            spec.head_dim,
        );
        let fits = |matrix: &Tensor, count: usize| matrix.dims()[0] == count * size;
        let whole = heads.is_multiple_of(groups)
            && fits(&query, heads)
            && fits(&key, groups)
            && fits(&value, groups)
            && output.dims()[1] == heads * size;
        if !whole {
            return Ok(None);
        }
        let split = |rows: &Tensor, count: usize| -> Result<Tensor, Error> {
            let seen = rows.contiguous()?.matmul(self.lens)?;
            Ok(seen.reshape((count, size, self.lens.dim(1)?))?)
        };
        let (query, output) = (split(&query, heads)?, split(&output.t()?, heads)?);
        let (key, value) = (split(&key, groups)?, split(&value, groups)?);
        let product = |heads: &Tensor, groups: &Tensor, at: usize, per: usize| {
            let head = heads.get(at)?.t()?.contiguous()?;
            head.matmul(&groups.get(at / per)?)?.flatten_all()
        };
        let per = heads / groups;
        let stack = |x: &Tensor, y: &Tensor| -> Result<Tensor, Error> {
            let rows: candle_core::Result<Vec<Tensor>> =
                (0..heads).map(|at| product(x, y, at, per)).collect();
            Ok(Tensor::stack(&rows?, 0)?)
        };
        Ok(Some([stack(&query, &key)?, stack(&output, &value)?]))
    }

    /// Up-down product of every routed expert, and its row of the router.
    fn experts(&self) -> Result<Option<Features>, Error> {
        let mut products = Vec::new();
        for expert in self.model.experts(self.layer) {
            if !matches!(expert, Some(Expert::Routed(_))) {
                continue;
            }
            let Some(mlp) = self.model.mlp(self.layer, expert)? else {
                return Ok(None);
            };
            let written = mlp.down.t()?.contiguous()?.matmul(self.lens)?;
            let read = mlp.up.matmul(self.lens)?;
            products.push(written.t()?.contiguous()?.matmul(&read)?.flatten_all()?);
        }
        let router = self.model.matrix(&Role::layer(self.layer, Part::Router))?;
        let (Some(router), false) = (router, products.is_empty()) else {
            return Ok(None);
        };
        let rows = unit_rows(&router.matmul(self.lens)?)?;
        if rows.dim(0)? != products.len() {
            return Ok(None);
        }
        Ok(Some(vec![unit_rows(&Tensor::stack(&products, 0)?)?, rows]))
    }

    /// Query heads of one group.
    fn per_group(&self) -> usize {
        self.model.spec.num_attention_heads / self.model.spec.num_key_value_heads.max(1)
    }
}

/// Every order of two layers that can be tested.
pub(super) fn compared(
    ours: &View<'_>,
    theirs: &View<'_>,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Axis>, Error> {
    let mut axes = Vec::new();
    if let (Some(x), Some(y)) = (ours.heads()?, theirs.heads()?) {
        let similar = Similarity::of(&x, &y)?;
        axes.extend(attention(
            &similar,
            [ours.per_group(), theirs.per_group()],
            rng,
        ));
    }
    if let (Some(x), Some(y)) = (ours.experts()?, theirs.experts()?) {
        axes.extend(
            Similarity::of(&x, &y)?
                .axis(Kind::Experts, rng)
                .map(|found| found.0),
        );
    }
    // One alone has no order.
    axes.retain(|axis| axis.places() > 1);
    Ok(axes)
}

/// Groups against groups, each by the best assignment of its heads, then the heads of assigned groups.
fn attention(similar: &Similarity, per: [usize; 2], rng: &mut ChaCha8Rng) -> Vec<Axis> {
    let groups = [
        similar.rows / per[0].max(1),
        similar.columns / per[1].max(1),
    ];
    let block = |a: usize, b: usize| similar.block([a * per[0], b * per[1]], per);
    let mut inner = Vec::with_capacity(groups[0] * groups[1]);
    for a in 0..groups[0] {
        for b in 0..groups[1] {
            inner.push(block(a, b).axis(Kind::Heads, rng).map(|found| found.0));
        }
    }
    let mean = |axis: &Option<Axis>| {
        let found = axis.as_ref();
        found.map_or(0.0, |axis| axis.similarity / axis.places().max(1) as f64)
    };
    let outer = Similarity {
        values: inner.iter().map(mean).collect(),
        rows: groups[0],
        columns: groups[1],
    };
    let Some((axis, of_row)) = outer.axis(Kind::Groups, rng) else {
        return Vec::new();
    };
    let matched = of_row.into_iter().enumerate();
    let heads = matched.filter_map(|(a, b)| inner[a * groups[1] + b?].take());
    let mut axes: Vec<Axis> = heads.collect();
    axes.insert(0, axis);
    axes
}

/// Mean cosine over products, row-major `[rows, columns]`.
struct Similarity {
    values: Vec<f64>,
    rows: usize,
    columns: usize,
}

impl Similarity {
    fn of(ours: &Features, theirs: &Features) -> Result<Self, Error> {
        let mut sum: Option<Tensor> = None;
        for (x, y) in ours.iter().zip(theirs) {
            let cosines = x.matmul(&y.t()?)?;
            sum = Some(match sum {
                Some(sum) => (sum + cosines)?,
                None => cosines,
            });
        }
        let none = Tensor::zeros((0, 0), candle_core::DType::F32, &Device::Cpu)?;
        let sum = sum.unwrap_or(none);
        let (rows, columns) = sum.dims2()?;
        let values = sum.flatten_all()?.to_vec1::<f32>()?;
        let mean = |value: f32| f64::from(value) / ours.len().max(1) as f64;
        Ok(Self {
            values: values.into_iter().map(mean).collect(),
            rows,
            columns,
        })
    }

    fn block(&self, from: [usize; 2], size: [usize; 2]) -> Self {
        let rows = from[0]..from[0] + size[0];
        let cells = rows.flat_map(|row| {
            let start = row * self.columns + from[1];
            self.values[start..start + size[1]].iter().copied()
        });
        Self {
            values: cells.collect(),
            rows: size[0],
            columns: size[1],
        }
    }

    /// The best assignment and what it keeps; `None` for similarities that are no numbers.
    ///
    /// Rows and columns are shuffled before: between equally good assignments no index decides.
    fn axis(&self, kind: Kind, rng: &mut ChaCha8Rng) -> Option<(Axis, Vec<Option<usize>>)> {
        let (rows, columns) = (self.rows, self.columns);
        let row_order = random::subset_in_any_order(rng, rows, rows);
        let column_order = random::subset_in_any_order(rng, columns, columns);
        let mut shuffled = Vec::with_capacity(self.values.len());
        for row in &row_order {
            for column in &column_order {
                let value = self.values[row * columns + column];
                shuffled.push((value * TIE_GRID).round() / TIE_GRID);
            }
        }
        let found = assignment::maximise(&shuffled, rows, columns)?;
        let mut of_row = vec![None; rows];
        for (place, column) in found.into_iter().enumerate() {
            of_row[row_order[place]] = column.map(|column| column_order[column]);
        }
        let pairs: Vec<(usize, usize)> = of_row
            .iter()
            .enumerate()
            .filter_map(|(row, column)| Some((row, (*column)?)))
            .collect();
        let at = |row: usize, column: usize| self.values[row * columns + column];
        let partner = |&&(row, column): &&(usize, usize)| {
            let others = (0..columns)
                .filter(|other| *other != column)
                .map(|other| at(row, other));
            let above = (0..rows)
                .filter(|other| *other != row)
                .map(|other| at(other, column));
            others
                .chain(above)
                .all(|other| other < at(row, column) / 2.0)
        };
        let partners: Vec<&(usize, usize)> = pairs.iter().filter(partner).collect();
        let moved = partners.iter().filter(|(row, column)| row != column);
        let axis = Axis {
            kind,
            counts: [rows, columns],
            kept: kept(&pairs, rows, columns),
            partners: partners.len() as u64,
            moved: if rows == columns {
                moved.count() as u64
            } else {
                0
            },
            similarity: pairs.iter().map(|&(row, column)| at(row, column)).sum(),
        };
        Some((axis, of_row))
    }
}

/// Pairs at one index, or, between unequal numbers, the longest run of pairs in increasing order.
fn kept(pairs: &[(usize, usize)], rows: usize, columns: usize) -> u64 {
    if rows == columns {
        return pairs.iter().filter(|(row, column)| row == column).count() as u64;
    }
    let images: Vec<usize> = pairs.iter().map(|(_, column)| *column).collect();
    longest_increasing(&images) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Experts of one content, as upcycling leaves them: every assignment is as good, and no index may
    /// decide between them.
    #[test]
    fn equal_things_meet_their_own_index_as_often_as_chance_says() {
        let similar = Similarity {
            values: vec![1.0; 9],
            rows: 3,
            columns: 3,
        };
        let mut rng = random::stream(1, "ties");
        let mut counts = [0f64; 4];
        for _ in 0..6000 {
            let (axis, _) = similar.axis(Kind::Experts, &mut rng).unwrap();
            counts[axis.kept as usize] += 1.0 / 6000.0;
        }
        for (count, p) in counts.iter().zip([1.0 / 3.0, 0.5, 0.0, 1.0 / 6.0]) {
            assert!((count - p).abs() < 0.03, "{counts:?}");
        }
    }

    #[test]
    fn between_unequal_numbers_the_order_is_counted() {
        // Rows 0, 1, 2 are columns 1, 3, 4 of five.
        let mut values = vec![0.0; 15];
        for (row, column) in [1, 3, 4].into_iter().enumerate() {
            values[row * 5 + column] = 1.0;
        }
        let similar = Similarity {
            values,
            rows: 3,
            columns: 5,
        };
        let mut rng = random::stream(1, "unequal");
        let (axis, of_row) = similar.axis(Kind::Experts, &mut rng).unwrap();
        assert_eq!((axis.kept, axis.places(), axis.partners), (3, 3, 3));
        assert_eq!(of_row, [Some(1), Some(3), Some(4)]);
        assert!((axis.law().ln_tail(3).exp() - 1.0 / 6.0).abs() < 1e-12);
    }
}
