//! Aligned query and key matrices (AWM).

use candle_core::Tensor;
use rayon::prelude::*;

use super::frame::{self, Found, Score};
use crate::evidence::weight::tokens;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};
use crate::model::canonical::unit_rows;
use crate::model::{Model, Part, Role};
use crate::stat::cka::CentredGram;
use crate::stat::{assignment, random};

/// See [`CARD`].
pub(super) struct Awm;

static CARD: Card = Card {
    id: "weight.awm",
    version: 1,
    family: "published.residual",
    title: "accurate weight-matrix fingerprint (AWM): unbiased CKA of aligned query and key matrices",
    measures: "Columns of the two embeddings over shared tokens are paired by the absolute cosine (linear assignment) and \
               given its sign: residual coordinates of the wider model are put in the order of the other's. Per layer \
               unbiased linear centred kernel alignment of the query matrices, residual coordinates as items, and \
               of the key matrices, as stored; mean of both. The statistic is the mean over layers; of models of \
               different depth, over layers paired so that it is largest (linear assignment).",
    null: "None published: a score against 90 negative pairs with a spread fixed in the code. Independent models are \
           reported near 0.004.",
    fooled_by: "A rotated residual stream brings kin to 0, as do new embeddings and a disjoint vocabulary; layers of different \
                depth need not be paired in order.",
    cost: "Embeddings, queries and keys of both models; 4,096 shared tokens and 1,024 residual coordinates (512 for different \
           depths), both seeded, where there are more: about 2 s per layer.",
    reference: "Zeng, Chen, He, Wang, Lin: AWM, Accurate Weight-Matrix Fingerprint for Large Language Models (ICLR 2026), and its \
                code. The samples are ours.",
    needs: Needs::Weights,
    // Residual coordinates are sampled on one side.
    symmetric: false,
    survives: &[],
};

/// Shared tokens over which columns are compared.
const TOKENS: usize = 4096;

/// Residual coordinates that are items of the alignment.
const COORDINATES: usize = 1024;

/// The same where all layers' Gram matrices are held.
const COORDINATES_PER_PAIR: usize = 512;

impl Evidence for Awm {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        frame::assess(pair, "none published", |a, b| {
            compare(a.model, b.model, pair.seed)
        })
    }
}

/// Residual coordinates of one model, with signs.
struct Coordinates {
    columns: Tensor,
    signs: Tensor,
}

fn compare(a: &Model, b: &Model, seed: u64) -> Found {
    let depths = [a, b].map(|model| frame::depth(&model.weights));
    if depths.contains(&0) {
        return Ok(Err(
            "the tensors of one of the models are not known by role".to_owned(),
        ));
    }
    let most = if depths[0] == depths[1] {
        COORDINATES
    } else {
        COORDINATES_PER_PAIR
    };
    let (coordinates, tokens) = match align(a, b, most, seed)? {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    let sides = [(a, &coordinates[0]), (b, &coordinates[1])];
    let found = if depths[0] == depths[1] {
        layer_by_layer(sides, depths[0])?
    } else {
        all_layers(sides, depths)?
    };
    let Some(statistic) = frame::mean(&found) else {
        return Ok(Err(
            "no layer has query and key matrices of the embedding's width in both models"
                .to_owned(),
        ));
    };
    let mut caveats =
        vec!["a rotated residual stream brings kin to 0: a low value excludes nothing".to_owned()];
    if depths[0] != depths[1] {
        caveats.push(format!(
            "{} and {} layers: {} were paired so that the statistic is largest, not in order",
            depths[0],
            depths[1],
            found.len()
        ));
    }
    Ok(Ok(Score {
        statistic,
        n: found.len() as u64,
        details: [("tokens", tokens as f64)].into(),
        explanation: format!(
            "Residual coordinates aligned over {tokens} shared tokens, query and key matrices agree to {statistic:.3} \
             (unbiased CKA, mean of {} layers).",
            found.len()
        ),
        caveats,
        ..Score::default()
    }))
}

/// The coordinates of both models in one order, and the tokens used.
fn align(
    a: &Model,
    b: &Model,
    most: usize,
    seed: u64,
) -> Result<Result<([Coordinates; 2], usize), String>, Error> {
    let shared = match tokens::shared(a, b, TOKENS, seed) {
        Ok(shared) => shared,
        Err(reason) => return Ok(Err(reason)),
    };
    let columns = |model: &Model, ids: &[u32]| -> Result<Option<Tensor>, Error> {
        let ids: Vec<usize> = ids.iter().map(|id| *id as usize).collect();
        let rows = frame::rows(&model.weights, &Role::model(Part::Embed), &ids)?;
        rows.map(|rows| Ok(unit_rows(&rows.t()?.contiguous()?)?))
            .transpose()
    };
    let (Some(ours), Some(theirs)) = (columns(a, &shared.ours)?, columns(b, &shared.theirs)?)
    else {
        return Ok(Err("one of the models has no embedding".to_owned()));
    };
    // The narrower model's coordinates each get one of the wider one's.
    let ours_is_wider = ours.dim(0)? >= theirs.dim(0)?;
    let (wide, narrow) = if ours_is_wider {
        (&ours, &theirs)
    } else {
        (&theirs, &ours)
    };
    let mut rng = random::stream(seed, CARD.id);
    let chosen = random::subset(&mut rng, narrow.dim(0)?, most);
    let chosen: Vec<u32> = chosen.into_iter().map(|at| at as u32).collect();
    let chosen = Tensor::new(chosen, narrow.device())?;
    let cosines = frame::doubles(&narrow.index_select(&chosen, 0)?.matmul(&wide.t()?)?)?;
    let (m, d) = (chosen.dim(0)?, wide.dim(0)?);
    let sizes: Vec<f64> = cosines.iter().map(|cosine| cosine.abs()).collect();
    let Some(found) = assignment::maximise(&sizes, m, d) else {
        return Ok(Err("embeddings that are not finite".to_owned()));
    };
    let partners: Vec<usize> = found.into_iter().flatten().collect();
    let sign = |(row, column): (usize, &usize)| {
        if cosines[row * d + column] < 0.0 {
            -1f32
        } else {
            1.0
        }
    };
    let signs: Vec<f32> = partners.iter().enumerate().map(sign).collect();
    let partners: Vec<u32> = partners.iter().map(|at| *at as u32).collect();
    let device = narrow.device();
    let of_wide = Coordinates {
        columns: Tensor::new(partners, device)?,
        signs: Tensor::new(signs, device)?,
    };
    let of_narrow = Coordinates {
        signs: chosen.ones_like()?.to_dtype(candle_core::DType::F32)?,
        columns: chosen,
    };
    let both = if ours_is_wider {
        [of_wide, of_narrow]
    } else {
        [of_narrow, of_wide]
    };
    Ok(Ok((both, shared.ours.len())))
}

type Side<'a> = (&'a Model, &'a Coordinates);

/// Gram matrices of the queries and the keys of a layer; `None` where one is missing or does not vary.
fn grams((model, coordinates): Side<'_>, layer: usize) -> Result<Option<[CentredGram; 2]>, Error> {
    let gram = |part| -> Result<Option<CentredGram>, Error> {
        let role = Role::layer(layer, part);
        let embedding = model.weights.shape(&Role::model(Part::Embed));
        if model.weights.shape(&role).map(|shape| shape.1) != embedding.map(|shape| shape.1) {
            return Ok(None);
        }
        let Some(matrix) = frame::matrix(&model.weights, &role)? else {
            return Ok(None);
        };
        let items = matrix
            .index_select(&coordinates.columns, 1)?
            .broadcast_mul(&coordinates.signs.unsqueeze(0)?)?
            .t()?;
        let rows = items.dim(0)?;
        Ok(CentredGram::new(
            &items.flatten_all()?.to_vec1::<f32>()?,
            rows,
        ))
    };
    Ok(match (gram(Part::Query)?, gram(Part::Key)?) {
        (Some(query), Some(key)) => Some([query, key]),
        _ => None,
    })
}

fn agreement(a: &[CentredGram; 2], b: &[CentredGram; 2]) -> Option<f64> {
    Some((a[0].cka(&b[0])? + a[1].cka(&b[1])?) / 2.0)
}

fn layer_by_layer(sides: [Side<'_>; 2], depth: usize) -> Result<Vec<f64>, Error> {
    let one = |layer| -> Result<Option<f64>, Error> {
        let (a, b) = (grams(sides[0], layer)?, grams(sides[1], layer)?);
        Ok(a.zip(b).and_then(|(a, b)| agreement(&a, &b)))
    };
    let found: Result<Vec<Option<f64>>, Error> = (0..depth).into_par_iter().map(one).collect();
    Ok(found?.into_iter().flatten().collect())
}

fn all_layers(sides: [Side<'_>; 2], depths: [usize; 2]) -> Result<Vec<f64>, Error> {
    let read = |side: usize| -> Result<Vec<[CentredGram; 2]>, Error> {
        let layers = (0..depths[side]).into_par_iter();
        let found: Result<Vec<_>, Error> = layers.map(|layer| grams(sides[side], layer)).collect();
        Ok(found?.into_iter().flatten().collect())
    };
    let (ours, theirs) = (read(0)?, read(1)?);
    let cells = ours
        .iter()
        .flat_map(|a| theirs.iter().map(move |b| agreement(a, b)));
    let Some(cells) = cells.collect::<Option<Vec<f64>>>() else {
        return Ok(Vec::new());
    };
    let found = assignment::maximise(&cells, ours.len(), theirs.len()).unwrap_or_default();
    let pairs = found.into_iter().enumerate();
    Ok(pairs
        .filter_map(|(row, column)| Some(cells[row * theirs.len() + column?]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::super::toys;
    use super::*;
    use crate::model::toy::{Dims, Toy};

    const DIMS: Dims = Dims {
        layers: 4,
        width: 32,
        units: 24,
        vocab: 120,
    };

    fn of(reference: &Toy, suspect: &Toy) -> f64 {
        finding(&Awm, reference, suspect).statistic
    }

    #[test]
    fn kin_are_above_strangers_in_any_order_of_coordinates() {
        let toy = Toy::new(1, DIMS);
        let stranger = of(&toy, &Toy::new(2, DIMS));
        assert!(stranger.abs() < 0.15, "{stranger}");
        assert!(of(&toy, &toy.noised(0.2, 2)) > 0.8);
        assert!(of(&toy, &toy.permuted(3)) > 0.999);
        assert!(of(&toy, &toys::residual_permuted(&toy, 4)) > 0.999);
    }

    /// The literature's break: gains folded and the residual stream rotated, the same function.
    #[test]
    fn a_rotated_residual_stream_hides_kin() {
        let toy = Toy::new(1, DIMS);
        let rotated = of(&toy, &toys::residual_rotated(&toy, 5));
        assert!(rotated < 0.3, "{rotated}");
    }

    #[test]
    fn other_depths_are_paired_and_missing_matrices_are_said() {
        let toy = Toy::new(1, DIMS);
        let dropped = finding(&Awm, &toy, &toys::without_layer(&toy, 1));
        assert!(
            dropped.statistic > 0.999 && dropped.n == 3,
            "{}",
            dropped.statistic
        );
        assert!(reason(&Awm, &toy, &toys::without_attention(&toy)).contains("query and key"));
        let wide = Toy::new(3, Dims { width: 40, ..DIMS });
        assert!(of(&toy, &wide).abs() < 0.15);
    }
}
