//! Made-up activations.

use crate::model::Site;
use crate::record::Activations;
use crate::record::SiteActivations;
use crate::stat::random;

/// Standard normal numbers.
pub(super) fn gaussian(rows: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut rng = random::stream(seed, "toy activations of one site");
    let draw = (0..rows * width).map(|_| random::normal(&mut rng) as f32);
    draw.collect()
}

/// Items `item-<i>`, one row each.
pub(super) fn activations(
    items: usize,
    sites: impl IntoIterator<Item = (Site, Vec<f32>)>,
) -> Activations {
    let site = |(site, values): (Site, Vec<f32>)| SiteActivations {
        site,
        width: values.len() / items,
        values,
    };
    Activations {
        suite: "toys".to_owned(),
        items: (0..items).map(|i| format!("item-{i}")).collect(),
        offsets: Vec::new(),
        tokens: None,
        key_value_heads: None,
        sites: sites.into_iter().map(site).collect(),
    }
}
