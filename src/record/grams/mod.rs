//! How alike the prompts of a suite are to models of other runs: Gram matrices that are kept, so that what any
//! model sees in them can be taken off a pair without running those models.
//!
//! A Gram matrix holds neither weights nor activations, only of every two prompts how alike they are. A folder
//! has a list for each suite and choice of rows (`<suite>.<pool>.json`) and beside it a safetensors file for each
//! model, with a tensor `blocks.{i}.hook_resid_post` for some of its blocks: what stands above the diagonal of
//! the U-centred matrix, row by row, in F16.

mod list;
mod read;
mod write;

pub use list::Entry;
pub use list::List;
pub use list::SCHEMA;
pub use read::read;
pub use write::About;
pub use write::write;

use std::collections::BTreeMap;

use crate::stat::cka::CentredGram;

/// Where they lie under a data root.
pub const FOLDER: &str = "datasets/reference-grams";

/// One model's.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceGrams {
    /// What a report calls it.
    pub label: String,
    /// Pre-training run.
    pub run: String,
    /// `sha256:…` of its files.
    pub digest: Option<String>,
    /// How many blocks the model has, and how wide its residual stream is.
    pub shape: (usize, usize),
    /// Of every item its number.
    items: BTreeMap<String, usize>,
    /// Prompts.
    rows: usize,
    /// Of some blocks at equal steps, the first and the last among them.
    blocks: Vec<Vec<f32>>,
}

impl ReferenceGrams {
    /// Of all blocks of what a toy was shown.
    #[cfg(test)]
    pub(crate) fn of_test_model(label: &str, of: &super::Activations) -> Self {
        let stack = of.stack(crate::model::Site::ResidPost);
        let rows = of.items.len();
        let triangle = |values: &[f32]| CentredGram::new(values, rows).map(|gram| gram.triangle());
        let items = of.items.iter().cloned();
        Self {
            label: label.to_owned(),
            run: label.to_owned(),
            digest: None,
            shape: (stack.len(), stack.first().map_or(0, |one| one.1.width)),
            items: items.enumerate().map(|(at, item)| (item, at)).collect(),
            rows,
            blocks: stack
                .iter()
                .filter_map(|(_, site)| triangle(&site.values))
                .collect(),
        }
    }

    /// On `items`, in their order, block by block; `None` if it did not read all of them, and for a block to
    /// which they are all alike.
    pub fn on(&self, items: &[&str]) -> Option<Vec<Option<CentredGram>>> {
        let numbers = items.iter().map(|item| self.items.get(*item).copied());
        let numbers: Vec<usize> = numbers.collect::<Option<_>>()?;
        let block = |values: &Vec<f32>| CentredGram::of_triangle(values, self.rows, &numbers);
        Some(self.blocks.iter().map(block).collect())
    }
}
