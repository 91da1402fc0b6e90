//! Weights by role: the canonical view of what is stored.

mod layout;
mod view;

pub use view::{Binding, Step, View};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use candle_core::Device;
use candle_core::quantized::{QStorage, QTensor};

use layout::Layout;

use super::role::{Part, Role};
use super::sample::Sample;
use super::tensors::{Dtype, Error, TensorStore, with_alignment};
use crate::text::ModelText;

/// Stored tensors, and what each role is made of. A clone shares the open files.
#[derive(Debug, Clone)]
pub struct Weights {
    store: Arc<TensorStore>,
    roles: BTreeMap<Role, Layout>,
    /// Tensors that are read as a whole, where not all are read.
    sample: Option<BTreeSet<String>>,
}

/// A role that could not be bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{role}: tensor `{tensor}`: {reason}")]
pub struct Unbound {
    /// The role.
    pub role: Role,
    /// The tensor it should be made of.
    pub tensor: String,
    /// Why it cannot be.
    pub reason: String,
}

impl Weights {
    /// Binds roles to stored tensors. What does not fit is returned, the rest is bound.
    ///
    /// Vectors are seen as `(n, 1)`.
    pub fn new(
        store: impl Into<Arc<TensorStore>>,
        bindings: &BTreeMap<Role, Binding>,
    ) -> (Self, Vec<Unbound>) {
        let store = store.into();
        let mut roles = BTreeMap::new();
        let mut unbound = Vec::new();
        for (role, binding) in bindings {
            match Layout::resolve(binding, &store) {
                Ok(layout) => {
                    roles.insert(*role, layout);
                }
                Err(reason) => unbound.push(Unbound {
                    role: *role,
                    tensor: ModelText::new(&binding.tensor).clipped(120),
                    reason,
                }),
            }
        }
        let weights = Self {
            store,
            roles,
            sample: None,
        };
        (weights, unbound)
    }

    /// The same stored tensors with other roles; shares the open files.
    pub fn rebound(&self, bindings: &BTreeMap<Role, Binding>) -> (Self, Vec<Unbound>) {
        Self::new(Arc::clone(&self.store), bindings)
    }

    /// Only what `sample` has; a role of which some rows are read has these rows only.
    #[must_use]
    pub(super) fn sampled(&self, sample: &Sample) -> Self {
        let layout = |(role, rows): (&Role, &Option<Range<usize>>)| {
            let layout = self.roles.get(role)?;
            let layout = match rows {
                None => layout.clone(),
                Some(rows) => {
                    let Binding { tensor, view } = layout.binding.clone();
                    let binding = Binding::new(tensor, view.rows(rows.clone()));
                    Layout::resolve(&binding, &self.store).ok()?
                }
            };
            Some((*role, layout))
        };
        Self {
            store: Arc::clone(&self.store),
            roles: sample.roles.iter().filter_map(layout).collect(),
            sample: Some(sample.tensors.clone()),
        }
    }

    /// Whether only a sample of the weights is read: other roles are as if they were not there.
    pub fn is_sample(&self) -> bool {
        self.sample.is_some()
    }

    /// Whether the tensor is read as a whole.
    pub fn reads(&self, tensor: &str) -> bool {
        match &self.sample {
            None => true,
            Some(tensors) => tensors.contains(tensor),
        }
    }

    /// The tensor, and where in it the bytes of a role lie, or of some of its rows; `None` for a role that
    /// is not there or whose rows do not lie together.
    pub fn bytes_of(
        &self,
        role: &Role,
        rows: Option<&Range<usize>>,
    ) -> Option<(&str, Range<usize>)> {
        let layout = self.roles.get(role)?;
        let name = layout.binding.tensor.as_str();
        let elements = match rows {
            None => layout.all_elements(),
            Some(rows) => layout.row_elements(rows)?,
        };
        let dtype = self.store.info(name)?.dtype;
        let (block, bytes) = (dtype.block_elements, dtype.block_bytes);
        let range = elements.start / block * bytes..elements.end.div_ceil(block) * bytes;
        Some((name, range))
    }

    /// Where the numbers of a role lie within its tensor, in numbers, if they are a stretch of it: in any
    /// order, none left out and none changed.
    pub fn stretch(&self, role: &Role) -> Option<Range<usize>> {
        self.roles.get(role)?.stretch()
    }

    /// The stored tensors by their own names.
    pub fn store(&self) -> &TensorStore {
        &self.store
    }

    /// Every bound role, in order.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.keys()
    }

    /// Whether `role` is bound.
    pub fn has(&self, role: &Role) -> bool {
        self.roles.contains_key(role)
    }

    /// What `role` is made of.
    pub fn binding(&self, role: &Role) -> Option<&Binding> {
        self.roles.get(role).map(|layout| &layout.binding)
    }

    /// `(rows, columns)`: matrices as `(out, in)`, vectors as `(n, 1)`.
    pub fn shape(&self, role: &Role) -> Option<(usize, usize)> {
        self.roles.get(role).map(|layout| layout.shape)
    }

    /// Rows of a role as f32, row-major.
    ///
    /// # Errors
    /// A role that is not bound, rows it does not have, a file that cannot be read.
    pub fn rows(&self, role: &Role, rows: Range<usize>) -> Result<Vec<f32>, Error> {
        self.layout(role)?.rows(&self.store, rows)
    }

    /// The whole role. Large ones are better walked through by [`Weights::chunks`].
    ///
    /// # Errors
    /// As [`Weights::rows`].
    pub fn all(&self, role: &Role) -> Result<Vec<f32>, Error> {
        let layout = self.layout(role)?;
        layout.rows(&self.store, 0..layout.shape.0)
    }

    /// Whether all queries and keys are quantised matrices in llama.cpp's order of rows, in which a
    /// dimension rotates with the next one, and nothing else (a bias, a norm) is in another order.
    pub fn rotates_neighbours(&self) -> bool {
        let mut found = false;
        for (role, layout) in &self.roles {
            match role.part {
                Part::QueryNorm | Part::KeyNorm => return false,
                Part::Query | Part::Key => {
                    let info = self.store.info(&layout.binding.tensor);
                    let quantised = info.is_some_and(|info| info.dtype.is_quantised());
                    let steps = layout.binding.view.steps();
                    if !quantised || !matches!(steps, [Step::UnpermutedHeads(_)]) {
                        return false;
                    }
                    found = true;
                }
                _ => {}
            }
        }
        found
    }

    /// The role as quantised blocks, when it is stored in them and no step does more than move rows.
    /// Heads that llama.cpp permuted are left so if `permuted`.
    ///
    /// # Errors
    /// As [`Weights::rows`].
    pub fn quantised(&self, role: &Role, permuted: bool) -> Result<Option<QTensor>, Error> {
        let layout = self.layout(role)?;
        let dtype = self.store.info(&layout.binding.tensor).map(|i| i.dtype);
        let Some(block_type) = dtype.and_then(Dtype::block_type) else {
            return Ok(None);
        };
        let Some(rows) = layout.stored_rows(permuted) else {
            return Ok(None);
        };
        let Some((bytes, width)) = layout.stored_bytes(&self.store)? else {
            return Ok(None);
        };
        let mut moved = Vec::with_capacity(rows.len() * width);
        for row in rows {
            moved.extend_from_slice(&bytes[row * width..(row + 1) * width]);
        }
        let storage = with_alignment(&moved, |bytes| {
            QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, block_type)
        });
        let made = storage.map(|storage| QTensor::new(storage?, layout.shape));
        Ok(made.and_then(Result::ok))
    }

    /// The role in blocks of whole rows, in order, each of at most `max_elements` numbers (or one
    /// row, if that is longer). The blocks depend on the shape and `max_elements` alone.
    pub fn chunks<'a>(
        &'a self,
        role: &Role,
        max_elements: usize,
    ) -> impl Iterator<Item = Result<(Range<usize>, Vec<f32>), Error>> + 'a {
        let layout = self.layout(role);
        let (rows, columns) = layout.as_ref().map_or((0, 0), |layout| layout.shape);
        let step = (max_elements / columns.max(1)).max(1);
        let (missing, layout) = match layout {
            Ok(layout) => (None, Some(layout)),
            Err(error) => (Some(Err(error)), None),
        };
        let blocks = (0..rows).step_by(step).filter_map(move |start| {
            let range = start..rows.min(start + step);
            layout.map(|layout| Ok((range.clone(), layout.rows(&self.store, range)?)))
        });
        missing.into_iter().chain(blocks)
    }

    fn layout(&self, role: &Role) -> Result<&Layout, Error> {
        self.roles.get(role).ok_or_else(|| Error::NoSuchRole {
            role: role.to_string(),
        })
    }
}
