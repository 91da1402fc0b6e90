//! From roles to tensor names: tables, and the one walk over them.

use std::collections::BTreeMap;

use crate::model::role::{Expert, Param, Part, Role};
use crate::model::spec::DecoderSpec;
use crate::model::tensors::TensorStore;
use crate::model::weights::{Binding, View};

/// The tensor of one part. `{l}` stands for the block, `{e}` for the expert, `{p}` for `weight` or
/// `bias`, `{g}` for `gamma` or `beta`, `{m}` for the prefix of the whole model.
#[derive(Debug)]
pub(super) struct Name {
    part: Part,
    of: Of,
    tensor: &'static str,
    view: fn(&Seen<'_>) -> View,
    /// Of biases alone, whose names do not follow those of weights.
    bias_only: bool,
}

/// Whose part it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The block's or the model's.
    Block,
    /// A routed expert's.
    Routed,
    /// The shared expert's.
    Shared,
}

/// What a view may depend on.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) spec: &'a DecoderSpec,
    pub(super) role: &'a Role,
    /// Axes of the stored tensor; zero if there is none.
    pub(super) axes: usize,
}

/// The names of a family, in one or several tables. A part that occurs more than once is the first of
/// them that is stored.
#[derive(Debug)]
pub(super) struct Names {
    /// What `{m}` may be: the first with which `anchor` is stored, else the first.
    pub(super) prefixes: &'static [&'static str],
    /// A tensor that every model of the family has.
    pub(super) anchor: &'static str,
    /// Earlier tables win.
    pub(super) tables: &'static [&'static [Name]],
}

/// A tensor of a block or of the model, as it is stored.
pub(super) const fn name(part: Part, tensor: &'static str) -> Name {
    Name {
        part,
        of: Of::Block,
        tensor,
        view: whole,
        bias_only: false,
    }
}

impl Name {
    /// Of an expert.
    pub(super) const fn of(mut self, of: Of) -> Self {
        self.of = of;
        self
    }

    /// Seen through a view.
    pub(super) const fn seen(mut self, view: fn(&Seen<'_>) -> View) -> Self {
        self.view = view;
        self
    }

    /// Of a bias whose name does not follow that of its weight.
    pub(super) const fn bias_only(mut self) -> Self {
        self.bias_only = true;
        self
    }

    fn fits(&self, role: &Role) -> bool {
        let of = match role.expert {
            None => Of::Block,
            Some(Expert::Routed(_)) => Of::Routed,
            Some(Expert::Shared) => Of::Shared,
        };
        let param = !self.bias_only || role.param == Param::Bias;
        self.part == role.part && self.of == of && param
    }

    fn tensor(&self, role: &Role, prefix: &str) -> String {
        let mut tensor = self.tensor.replace("{m}", prefix);
        if let Some(layer) = role.layer {
            tensor = tensor.replace("{l}", &layer.to_string());
        }
        if let Some(Expert::Routed(expert)) = role.expert {
            tensor = tensor.replace("{e}", &expert.to_string());
        }
        let (param, greek) = match role.param {
            Param::Weight => ("weight", "gamma"),
            Param::Bias => ("bias", "beta"),
        };
        tensor.replace("{p}", param).replace("{g}", greek)
    }
}

impl Names {
    /// Binds every role of `spec` that the tables name.
    pub(super) fn bind(&self, spec: &DecoderSpec, store: &TensorStore) -> BTreeMap<Role, Binding> {
        let stored = |prefix: &&&str| store.info(&self.anchor.replace("{m}", prefix)).is_some();
        let prefix = self.prefixes.iter().find(stored);
        let prefix = prefix
            .or(self.prefixes.first())
            .copied()
            .unwrap_or_default();
        let roles = spec.roles().into_iter().map(|(role, _)| role);
        roles
            .filter_map(|role| Some((role, self.find(spec, store, &role, prefix)?)))
            .collect()
    }

    fn find(
        &self,
        spec: &DecoderSpec,
        store: &TensorStore,
        role: &Role,
        prefix: &str,
    ) -> Option<Binding> {
        let names = self.tables.iter().flat_map(|table| table.iter());
        let mut fitting: Vec<(&Name, String)> = names
            .filter(|name| name.fits(role))
            .map(|name| (name, name.tensor(role, prefix)))
            .collect();
        let stored = fitting
            .iter()
            .position(|(_, tensor)| store.info(tensor).is_some());
        if fitting.is_empty() {
            return None;
        }
        let (name, tensor) = fitting.swap_remove(stored.unwrap_or(0));
        let axes = store.info(&tensor).map_or(0, |info| info.shape.len());
        let view = (name.view)(&Seen { spec, role, axes });
        Some(Binding::new(tensor, view))
    }
}

/// As it is stored.
pub(super) fn whole(_: &Seen<'_>) -> View {
    View::whole()
}

/// Query rows of a matrix that holds queries, keys and values one below the other.
pub(super) fn fused_rows(seen: &Seen<'_>, view: View) -> View {
    let spec = seen.spec;
    let query = spec.num_attention_heads * spec.head_dim;
    let key = spec.num_key_value_heads * spec.head_dim;
    match seen.role.part {
        Part::Query => view.rows(0..query),
        Part::Key => view.rows(query..query + key),
        _ => view.rows(query + key..query + 2 * key),
    }
}

/// Gate or up rows of a matrix that holds both, the gate's first.
pub(super) fn fused_gate_up(seen: &Seen<'_>) -> View {
    let width = seen.spec.intermediate_size;
    match seen.role.part {
        Part::Gate => View::whole().rows(0..width),
        _ => View::whole().rows(width..2 * width),
    }
}

/// One expert of a stack `[num_experts, rows, columns]`.
pub(super) fn of_stack(seen: &Seen<'_>) -> View {
    match seen.role.expert {
        Some(Expert::Routed(expert)) => View::whole().slice(expert as usize),
        _ => View::whole(),
    }
}

/// One expert's gate or up rows of a stack `[num_experts, gate and up rows, columns]`.
pub(super) fn of_fused_stack(seen: &Seen<'_>) -> View {
    let width = seen.spec.moe.as_ref();
    let width = width.map_or(0, |moe| moe.moe_intermediate_size);
    let view = of_stack(seen);
    match seen.role.part {
        Part::Gate => view.rows(0..width),
        _ => view.rows(width..2 * width),
    }
}
