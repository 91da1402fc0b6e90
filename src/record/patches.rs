//! What the parts of a model that see make of random patches: no picture is needed, and nothing that the two
//! models were shown before.

use candle_core::DType;
use candle_core::Device;
use candle_core::Tensor;

use super::Activations;
use super::Error;
use super::SiteActivations;
use crate::model::Model;
use crate::model::Site;
use crate::model::Tap;
use crate::model::vision::Vision;

/// Grids of patches, each drawn anew.
const DRAWS: u64 = 8;

/// Most patches in a grid.
const PATCHES: usize = 64;

/// One model's.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// Of the tower, a row for each patch: hidden units and residual stream of its blocks.
    pub tower: Activations,
    /// What the resampler makes of random features, a row for each query.
    pub resampler: Activations,
}

/// Runs tower and resampler of `model` on random patches, the same ones for every model that takes such.
///
/// # Errors
/// A model that sees nothing, or whose tensors cannot be read.
pub fn patches(model: &Model) -> Result<Patches, Error> {
    let not_run = |error: crate::model::vision::Error| Error::NotRunnable(error.to_string());
    let vision = Vision::open(model, &Device::Cpu).map_err(not_run)?;
    let spec = vision.spec();
    let count = PATCHES.min(spec.tower.side * spec.tower.side);
    let blocks = 0..spec.tower.num_hidden_layers;
    let sites: Vec<Site> = blocks
        .flat_map(|block| [Site::MlpPre(block), Site::ResidPost(block)])
        .collect();
    let mut tower = Rows::of(sites);
    let mut resampler = Rows::of(vec![Site::ResidPost(0)]);
    for seed in 0..DRAWS {
        let made = vision.on_random_patches(count, seed, &mut tower);
        let made = made.map_err(not_run)?;
        resampler.visit(Site::ResidPost(0), &made.resampler)?;
    }
    let (patch, width) = (spec.tower.patch_size, spec.resampler.kv_dim);
    let queries = spec.resampler.query_num;
    Ok(Patches {
        tower: tower.named(format!("{count} random patches of {patch} pixels"), count),
        resampler: resampler.named(
            format!("{count} random features of width {width}, {queries} queries"),
            queries,
        ),
    })
}

/// All rows at some sites.
struct Rows(Vec<SiteActivations>);

impl Rows {
    fn of(sites: Vec<Site>) -> Self {
        let empty = |site| SiteActivations {
            site,
            width: 0,
            values: Vec::new(),
        };
        Self(sites.into_iter().map(empty).collect())
    }

    /// With `each` rows of every draw.
    fn named(self, suite: String, each: usize) -> Activations {
        let draw = |draw| (0..each).map(move |row| format!("{draw}-{row}"));
        Activations {
            suite,
            items: (0..DRAWS).flat_map(draw).collect(),
            offsets: Vec::new(),
            tokens: None,
            key_value_heads: None,
            sites: self.0,
        }
    }
}

impl Tap for Rows {
    fn wants(&self, site: Site) -> bool {
        self.0.iter().any(|one| one.site == site)
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        if let Some(one) = self.0.iter_mut().find(|one| one.site == site) {
            one.width = value.dims().last().copied().unwrap_or(0);
            let values = value.to_dtype(DType::F32)?.flatten_all()?;
            one.values.extend(values.to_vec1::<f32>()?);
        }
        Ok(())
    }
}
