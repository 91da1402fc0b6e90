//! Attention matrices in a common basis: two methods that read different matrices.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::alignment::{self, Alignment, Reading};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Table};
use crate::model::{Canonical, Model, Part, Role};
use crate::stat::cka::CentredGram;
use crate::stat::random;

/// Similarity of two matrices of attention after alignment.
pub(super) struct AlignedAttention {
    card: &'static Card,
    parts: [Part; 2],
}

/// Queries and keys.
pub(super) static QUERY_KEY: AlignedAttention = AlignedAttention {
    card: &QUERY_KEY_CARD,
    parts: [Part::Query, Part::Key],
};

/// Values and outputs.
pub(super) static VALUE_OUTPUT: AlignedAttention = AlignedAttention {
    card: &VALUE_OUTPUT_CARD,
    parts: [Part::Value, Part::Output],
};

static QUERY_KEY_CARD: Card = Card {
    id: "weight.aligned_query_key",
    version: 1,
    family: "weight.query_key",
    title: "unbiased centred kernel alignment of queries and keys in one basis",
    ..TEMPLATE
};

static VALUE_OUTPUT_CARD: Card = Card {
    id: "weight.aligned_value_output",
    version: 1,
    family: "weight.value_output",
    title: "unbiased centred kernel alignment of values and outputs in one basis",
    ..TEMPLATE
};

const TEMPLATE: Card = Card {
    id: "",
    version: 1,
    family: "",
    title: "",
    measures: "After the residual streams were brought into one basis: what each matrix does to pairs of residual \
               coordinates (its Gram matrix over them, gains folded in), compared between corresponding layers by the \
               unbiased centred kernel alignment, minus the same between layers that do not correspond. The \
               statistic is the mean over the two kinds of matrix and over layers. Attention takes no part in the fit, \
               and its heads may stand in any order and basis.",
    null: "The same number for pairs of independent runs. Subtracting other layers takes away what a model's \
           layers, and models of one vocabulary, have in common.",
    fooled_by: "Two honest models from one random seed and shapes look related. A general change of basis inside the heads \
                (not an orthogonal one) lowers it for kin.",
    cost: "Two passes over the attention matrices of both models; Gram matrices over at most 1024 coordinates.",
    reference: "After AWM (Zeng, Chen, He, Wang, Lin: Accurate Weight-Matrix Fingerprint, ICLR 2026), with folded gains and \
                orthogonal Procrustes in place of a signed permutation, which a rotation defeats.",
    needs: Needs::Weights,
    symmetric: false,
    survives: &[
        "permute-units",
        "permute-heads",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "rescale-up-down",
        "scale-residual",
        "shift-head",
    ],
};

/// Residual coordinates compared at most.
const COORDINATES: usize = 1024;

impl Evidence for AlignedAttention {
    fn card(&self) -> &'static Card {
        self.card
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        alignment::assess(pair, &|alignment, a, b| {
            self.measure(alignment, a, b, pair.seed)
        })
    }
}

/// Mean alignment of corresponding and of other layers, by layer of the suspect.
struct Measured {
    /// `(suspect's layer, reference's, own, others)`.
    layers: Vec<(usize, usize, f64, f64)>,
}

impl AlignedAttention {
    fn measure(
        &self,
        alignment: &Alignment,
        a: &Model,
        b: &Model,
        seed: u64,
    ) -> Result<Option<Measured>, Error> {
        let (Ok(ours), Ok(theirs)) = (Canonical::of(a), Canonical::of(b)) else {
            return Ok(None);
        };
        let matched: Vec<(usize, usize)> = alignment.counterparts().collect();
        let mut rng = random::stream(seed, self.card.id);
        let width = theirs.spec.hidden_size;
        let chosen = random::subset(&mut rng, width, COORDINATES.min(width));
        let chosen: Vec<u32> = chosen.iter().map(|at| *at as u32).collect();
        let chosen = Tensor::new(chosen, &Device::Cpu)?;
        let mut sums: BTreeMap<(usize, usize), (f64, f64, u32)> = BTreeMap::new();
        for part in self.parts {
            let gram = |model: &Canonical<'_>, layer, rotation: Option<&Tensor>| {
                gram(model, Role::layer(layer, part), rotation, &chosen)
            };
            let mut before: Option<CentredGram> = None;
            for (layer, counterpart) in &matched {
                let x = gram(&ours, *counterpart, Some(&alignment.rotation))?;
                let y = gram(&theirs, *layer, None)?;
                if let (Some(x), Some(y), Some(other)) = (&x, &y, &before)
                    && let (Some(own), Some(other)) = (x.cka(y), other.cka(x))
                {
                    let sum = sums.entry((*layer, *counterpart)).or_default();
                    *sum = (sum.0 + own, sum.1 + other, sum.2 + 1);
                }
                before = y.or(before);
            }
        }
        let layers: Vec<(usize, usize, f64, f64)> = sums
            .into_iter()
            .map(|((layer, counterpart), (own, other, n))| {
                (layer, counterpart, own / f64::from(n), other / f64::from(n))
            })
            .collect();
        Ok((!layers.is_empty()).then_some(Measured { layers }))
    }
}

/// Of `role` over the chosen residual coordinates, in the basis that `rotation` leads to.
fn gram(
    model: &Canonical<'_>,
    role: Role,
    rotation: Option<&Tensor>,
    chosen: &Tensor,
) -> Result<Option<CentredGram>, Error> {
    let Some(matrix) = model.matrix(&role)? else {
        return Ok(None);
    };
    let rows = match role.part {
        Part::Output => matrix.t()?.contiguous()?,
        _ => matrix,
    };
    let turned = match rotation {
        Some(rotation) => rows.matmul(rotation)?,
        None => rows,
    };
    let columns = turned.index_select(chosen, 1)?.to_dtype(DType::F64)?;
    // Coordinates are the items here, rows of the matrix their features: centred over the items.
    let centred = columns.broadcast_sub(&columns.mean_keepdim(1)?)?;
    let gram = centred.t()?.contiguous()?.matmul(&centred)?;
    let size = gram.dim(0)?;
    Ok(CentredGram::of_gram(gram.flatten_all()?.to_vec1()?, size))
}

impl Measured {
    fn means(&self) -> (f64, f64) {
        let n = self.layers.len().max(1) as f64;
        let own = self.layers.iter().map(|layer| layer.2).sum::<f64>() / n;
        (
            own,
            self.layers.iter().map(|layer| layer.3).sum::<f64>() / n,
        )
    }
}

impl Reading for Measured {
    const NOTHING: &'static str =
        "no two layers correspond, with other layers to hold them against";

    /// 1 when corresponding layers are equal, 0 when they are as alike as others.
    fn statistic(&self) -> f64 {
        let (own, other) = self.means();
        (own - other) / (1.0 - other).max(f64::MIN_POSITIVE)
    }

    fn finding(&self, alignment: &Alignment, controls: &Controls) -> Finding {
        let statistic = self.statistic();
        let (own, other) = self.means();
        let mut details = controls.details(statistic);
        details.extend(alignment.details());
        details.extend([("corresponding_layers", own), ("other_layers", other)]);
        Finding {
            statistic,
            n: self.layers.len() as u64,
            null: controls.words(statistic),
            log10_p: None,
            interval: None,
            details,
            explanation: format!(
                "In one basis (found from {}), corresponding layers agree to {own:.3}, others to {other:.3}. {}",
                alignment.from.words(),
                alignment.words()
            ),
            caveats: vec![
                "two models initialised from the same random seed and shapes also agree".to_owned(),
            ],
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: Some(Table {
                columns: ["suspect's layer", "reference's", "corresponding", "other"]
                    .map(str::to_owned)
                    .to_vec(),
                rows: self
                    .layers
                    .iter()
                    .map(|(layer, counterpart, own, other)| {
                        vec![
                            layer.to_string(),
                            counterpart.to_string(),
                            format!("{own:.3}"),
                            format!("{other:.3}"),
                        ]
                    })
                    .collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
