//! Which tensors a family stores, and how each is put together from roles.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::Binding;
use crate::model::Role;
use crate::model::spec::ShapedRole;
use crate::model::weights::Step;

use super::error::Error;

/// One tensor as it will be stored.
#[derive(Debug, Clone)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Its axes, slowest first.
    pub shape: Vec<usize>,
    made_of: Node,
}

/// How stored numbers come from those of roles: a view's steps, backwards.
#[derive(Debug, Clone)]
enum Node {
    /// A role as it is.
    Role(Role, Vec<usize>),
    /// One below the other along a new first axis.
    Stack(Vec<Node>),
    /// One below the other along the first axis there is.
    Below(Vec<Node>),
    /// Taking turns, the rows of each cut into so many runs.
    Woven(usize, Vec<Node>),
    /// So many slices along a new first axis.
    Sliced(usize, Box<Node>),
    /// Columns become rows.
    Transposed(Box<Node>),
    /// Columns become rows in each of so many parts.
    TransposedEach(usize, Box<Node>),
    /// Query or key rows in llama.cpp's order for this many heads.
    Permuted(usize, Box<Node>),
    /// Gains less one.
    LessOne(Box<Node>),
    /// Rows that must have norm one, because they are given it on reading.
    Unit(Box<Node>),
    /// Numbers that play no role, with their axes.
    Plain(Vec<f32>, Vec<usize>),
}

/// A role on its way into a tensor: its shape and the steps that read it.
struct Piece<'a> {
    role: Role,
    shape: Vec<usize>,
    steps: &'a [Step],
}

/// The tensors that hold `roles`, in name order; `names` says which tensor holds which role.
///
/// # Errors
/// [`Error::Unstorable`] for a role without a name, or views that leave gaps in a tensor.
pub fn plan(
    roles: &[ShapedRole],
    names: &BTreeMap<Role, Binding>,
) -> Result<Vec<StoredTensor>, Error> {
    let mut tensors: BTreeMap<&str, Vec<Piece<'_>>> = BTreeMap::new();
    for (role, (rows, columns)) in roles {
        let binding = names.get(role).ok_or_else(|| Error::Unstorable {
            what: role.to_string(),
            reason: "the family has no name for it".to_owned(),
        })?;
        tensors.entry(&binding.tensor).or_default().push(Piece {
            role: *role,
            shape: if role.is_vector() {
                vec![*rows]
            } else {
                vec![*rows, *columns]
            },
            steps: binding.view.steps(),
        });
    }
    let tensors = tensors.into_iter().map(|(name, pieces)| {
        let made_of = Node::of(&pieces).map_err(|reason| Error::Unstorable {
            what: format!("tensor `{name}`"),
            reason,
        })?;
        Ok(StoredTensor {
            name: name.to_owned(),
            shape: made_of.shape(),
            made_of,
        })
    });
    tensors.collect()
}

impl StoredTensor {
    /// A tensor that plays no role: its numbers, row-major.
    pub fn plain(name: String, shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self {
            made_of: Node::Plain(values, shape.clone()),
            name,
            shape,
        }
    }

    /// Numbers in it.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its numbers, row-major; `weight` is asked for each role it holds.
    ///
    /// # Errors
    /// What `weight` reports, [`Error::Unstorable`] where a weight has another size than planned or
    /// rows without the norm that reading gives them.
    pub fn values<E: From<Error>>(
        &self,
        weight: &mut dyn FnMut(&Role) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<f32>, E> {
        self.made_of.values(weight)
    }
}

impl Node {
    /// The tensor that all `pieces` share.
    fn of(pieces: &[Piece<'_>]) -> Result<Self, String> {
        let Some((step, _)) = pieces.first().and_then(|piece| piece.steps.split_first()) else {
            return match pieces {
                [piece] => Ok(Self::Role(piece.role, piece.shape.clone())),
                _ => Err(format!("{} roles would be the same numbers", pieces.len())),
            };
        };
        match step {
            Step::Slice(_) => Self::stack(pieces),
            Step::Rows(_) => Self::below(pieces),
            Step::RowsOfEach { groups, .. } => Self::woven(*groups, pieces),
            common => {
                let alike = |piece: &Piece<'_>| piece.steps.first() == Some(common);
                if !pieces.iter().all(alike) {
                    return Err("its roles are not seen alike".to_owned());
                }
                let rest: Vec<Piece<'_>> = pieces.iter().map(Piece::without_first).collect();
                let inner = Box::new(Self::of(&rest)?);
                match common {
                    Step::Stacked(slices) => Ok(Self::Sliced(*slices, inner)),
                    Step::Transposed => Ok(Self::Transposed(inner)),
                    Step::TransposedEach(parts) => Ok(Self::TransposedEach(*parts, inner)),
                    Step::PlusOne => Ok(Self::LessOne(inner)),
                    Step::NormalisedRows => Ok(Self::Unit(inner)),
                    Step::UnpermutedHeads(heads) => Ok(Self::Permuted(*heads, inner)),
                    other => Err(format!("{other:?} is not known here")),
                }
            }
        }
    }

    fn stack(pieces: &[Piece<'_>]) -> Result<Self, String> {
        let mut slices: BTreeMap<usize, Vec<Piece<'_>>> = BTreeMap::new();
        for piece in pieces {
            let Some(Step::Slice(index)) = piece.steps.first() else {
                return Err("a part of it is no slice".to_owned());
            };
            slices
                .entry(*index)
                .or_default()
                .push(piece.without_first());
        }
        if !slices.keys().copied().eq(0..slices.len()) {
            return Err("slices are missing".to_owned());
        }
        let slices = slices.values().map(|pieces| Self::of(pieces));
        Ok(Self::Stack(slices.collect::<Result<_, _>>()?))
    }

    fn below(pieces: &[Piece<'_>]) -> Result<Self, String> {
        let rows = |step: &Step| match step {
            Step::Rows(rows) => Some(rows.clone()),
            _ => None,
        };
        Self::in_order(pieces, 1, rows).map(Self::Below)
    }

    fn woven(count: usize, pieces: &[Piece<'_>]) -> Result<Self, String> {
        let rows = |step: &Step| match step {
            Step::RowsOfEach { groups, rows } if *groups == count => Some(rows.clone()),
            _ => None,
        };
        let parts = Self::in_order(pieces, count, rows)?;
        Ok(Self::Woven(count, parts))
    }

    /// What fills the rows one piece after the other, `count` times.
    fn in_order(
        pieces: &[Piece<'_>],
        count: usize,
        rows: impl Fn(&Step) -> Option<Range<usize>>,
    ) -> Result<Vec<Self>, String> {
        let mut parts = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let Some(rows) = piece.steps.first().and_then(&rows) else {
                return Err("a part of it has no rows of its own".to_owned());
            };
            parts.push((rows, Self::of(&[piece.without_first()])?));
        }
        parts.sort_by_key(|(rows, _)| rows.start);
        let mut end = 0;
        for (rows, node) in &parts {
            if rows.start != end || node.shape().first() != Some(&(count * rows.len())) {
                return Err(format!("rows {rows:?} do not follow row {end}"));
            }
            end = rows.end;
        }
        Ok(parts.into_iter().map(|(_, node)| node).collect())
    }

    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Role(_, shape) | Self::Plain(_, shape) => shape.clone(),
            Self::Permuted(_, node) | Self::LessOne(node) | Self::Unit(node) => node.shape(),
            Self::Transposed(node) => {
                let mut shape = node.shape();
                shape.reverse();
                shape
            }
            Self::Sliced(slices, node) => {
                let shape = node.shape();
                let rows = shape.first().copied().unwrap_or(1) / (*slices).max(1);
                let columns = shape.get(1).copied().unwrap_or(1);
                vec![*slices, rows, columns]
            }
            Self::TransposedEach(parts, node) => {
                let shape = node.shape();
                let rows = shape.first().copied().unwrap_or(1) / (*parts).max(1);
                vec![parts * shape.get(1).copied().unwrap_or(1), rows]
            }
            Self::Stack(nodes) => {
                let inner = nodes.first().map(Self::shape).unwrap_or_default();
                [vec![nodes.len()], inner].concat()
            }
            Self::Below(nodes) | Self::Woven(_, nodes) => {
                let mut shape = nodes.first().map(Self::shape).unwrap_or_default();
                let rows = nodes
                    .iter()
                    .filter_map(|node| node.shape().first().copied());
                if let Some(first) = shape.first_mut() {
                    *first = rows.sum();
                }
                shape
            }
        }
    }

    fn values<E: From<Error>>(
        &self,
        weight: &mut dyn FnMut(&Role) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<f32>, E> {
        match self {
            Self::Role(role, shape) => {
                let values = weight(role)?;
                let count: usize = shape.iter().product();
                if values.len() != count {
                    let reason = format!("it has {} numbers, not {count}", values.len());
                    return Err(unstorable(role, reason).into());
                }
                Ok(values)
            }
            Self::Stack(nodes) | Self::Below(nodes) => {
                let mut values = Vec::with_capacity(self.shape().iter().product());
                for node in nodes {
                    values.extend(node.values(weight)?);
                }
                Ok(values)
            }
            Self::Woven(count, nodes) => {
                let parts: Vec<Vec<f32>> = nodes
                    .iter()
                    .map(|node| node.values(weight))
                    .collect::<Result<_, E>>()?;
                let runs = (0..*count).flat_map(|turn| {
                    parts.iter().flat_map(move |values| {
                        let run = values.len() / count;
                        values[turn * run..(turn + 1) * run].iter().copied()
                    })
                });
                Ok(runs.collect())
            }
            Self::Plain(values, _) => Ok(values.clone()),
            Self::Sliced(_, node) => node.values(weight),
            Self::Transposed(node) => Ok(transposed(&node.values(weight)?, &node.shape())),
            Self::TransposedEach(parts, node) => {
                let values = node.values(weight)?;
                let rows = node.shape().first().copied().unwrap_or(1) / (*parts).max(1);
                let part = (values.len() / (*parts).max(1)).max(1);
                let turned = values.chunks(part).map(|part| transposed(part, &[rows]));
                Ok(turned.collect::<Vec<_>>().concat())
            }
            Self::Permuted(heads, node) => {
                let rows = node.shape().first().copied().unwrap_or(1);
                Ok(permuted(&node.values(weight)?, rows, *heads))
            }
            Self::LessOne(node) => {
                let mut values = node.values(weight)?;
                values.iter_mut().for_each(|value| *value -= 1.0);
                Ok(values)
            }
            Self::Unit(node) => {
                let values = node.values(weight)?;
                let width = node.shape().last().copied().unwrap_or(1).max(1);
                if values.chunks(width).all(is_unit) {
                    return Ok(values);
                }
                let reason = "rows of this head must have norm one".to_owned();
                Err(Error::Unstorable {
                    what: "the head".to_owned(),
                    reason,
                }
                .into())
            }
        }
    }
}

impl<'a> Piece<'a> {
    fn without_first(&self) -> Self {
        Self {
            role: self.role,
            shape: self.shape.clone(),
            steps: self.steps.get(1..).unwrap_or_default(),
        }
    }
}

fn unstorable(role: &Role, reason: String) -> Error {
    Error::Unstorable {
        what: role.to_string(),
        reason,
    }
}

fn transposed(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let rows = shape.first().copied().unwrap_or(1);
    let columns = values.len() / rows.max(1);
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| values[row * columns + column]));
    }
    turned
}

/// Row `i + j head_dim / 2` of each head becomes row `2 i + j`.
fn permuted(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let width = values.len() / rows.max(1);
    let head_dim = rows / heads.max(1);
    let mut stored = Vec::with_capacity(values.len());
    for row in 0..rows {
        let within = row % head_dim.max(1);
        let from = row - within + within / 2 + within % 2 * (head_dim / 2);
        stored.extend_from_slice(&values[from * width..(from + 1) * width]);
    }
    stored
}

/// Norm one, or zero, to the rounding of single precision.
fn is_unit(row: &[f32]) -> bool {
    let square: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
    square == 0.0 || (square.sqrt() - 1.0).abs() < 1e-5
}
