//! What was heard, as evidence takes it, without a folder between.

use super::Heard;
use super::Manifest;
use super::listener::Rows;
use crate::model::Site;
use crate::record::Activations;
use crate::record::SiteActivations;

/// Rows of all prompts at `sites`, which are in the order of a forward pass; sites that no pass came by are
/// left out.
pub(super) fn activations(
    manifest: Manifest,
    sites: &[Site],
    prompts: Vec<(Heard, Rows)>,
) -> Activations {
    let mut columns: Vec<Vec<f32>> = vec![Vec::new(); sites.len()];
    let (mut items, mut offsets) = (Vec::new(), Vec::new());
    for (heard, rows) in prompts {
        for (column, values) in columns.iter_mut().zip(rows.values) {
            column.extend(values);
        }
        items.extend(std::iter::repeat_n(heard.item.clone(), heard.rows()));
        offsets.extend(heard.offsets);
    }
    let rows = items.len();
    let columns = sites.iter().zip(columns);
    Activations {
        suite: manifest.suite,
        offsets,
        tokens: manifest.whole.map(|whole| whole.tokens),
        key_value_heads: manifest.key_value_heads,
        sites: columns
            .filter(|(_, values)| !values.is_empty())
            .map(|(site, values)| SiteActivations {
                site: *site,
                width: values.len() / rows,
                values,
            })
            .collect(),
        items,
    }
}
