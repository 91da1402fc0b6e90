//! The order of coordinates in residual streams of unequal widths.

use candle_core::Tensor;

use crate::evidence::control::Controls;
use crate::evidence::{Error, Finding};
use crate::model::canonical::unit_rows;
use crate::model::{Canonical, Model};
use crate::stat::{index, random, tails};

use super::super::nearest::nearest;
use super::super::tokens;
use super::{CARD, MOST};

/// Shared tokens that coordinates are compared by at most.
const TOKENS: usize = 8192;

/// Coordinates of the narrower stream, taken in order, and how many of their counterparts in the wider one
/// come out in order.
pub(super) struct Order {
    pub queries: u64,
    pub increasing: u64,
    widths: [usize; 2],
    tokens: usize,
}

impl Order {
    /// Of two models with streams of unequal widths; in words why not.
    pub fn of(
        models: [&Model; 2],
        canonical: [&Canonical<'_>; 2],
        seed: u64,
    ) -> Result<Result<Self, String>, Error> {
        let widths = canonical.map(|model| model.spec.hidden_size);
        let streams = format!(
            "residual streams of {} and {} coordinates",
            widths[0], widths[1]
        );
        let shared = match tokens::shared(models[0], models[1], TOKENS, seed) {
            Ok(shared) => shared,
            Err(why) => {
                return Ok(Err(format!(
                    "{streams} are held against each other by shared tokens: {why}"
                )));
            }
        };
        let rows = (
            canonical[0].embedding(&shared.ours)?,
            canonical[1].embedding(&shared.theirs)?,
        );
        let (Some(x), Some(y)) = rows else {
            return Ok(Err(format!(
                "{streams}, and no embedding to compare them by"
            )));
        };
        let columns = |rows: &Tensor| -> candle_core::Result<Tensor> {
            unit_rows(
                &rows
                    .broadcast_sub(&rows.mean_keepdim(0)?)?
                    .t()?
                    .contiguous()?,
            )
        };
        let (x, y) = (columns(&x)?, columns(&y)?);
        // The narrower side asks, whichever model it is.
        let (narrow, wide) = if widths[0] < widths[1] {
            (x, y)
        } else {
            (y, x)
        };
        let (few, many) = (narrow.dim(0)?, wide.dim(0)?);
        let mut rng = random::stream(seed, &format!("{} order", CARD.id));
        let chosen = random::subset(&mut rng, few, MOST.min(few));
        let places: Vec<u32> = chosen.iter().map(|at| *at as u32).collect();
        let places = Tensor::new(places, narrow.device())?;
        let similar = narrow.index_select(&places, 0)?.matmul(&wide.t()?)?;
        let found = nearest(&similar.flatten_all()?.to_vec1::<f32>()?, many, &mut rng);
        let images: Vec<usize> = found.into_iter().map(|top| top.unit).collect();
        Ok(Ok(Self {
            queries: chosen.len() as u64,
            increasing: index::longest_increasing(&images) as u64,
            widths,
            tokens: shared.ours.len(),
        }))
    }

    pub fn share(&self) -> f64 {
        self.increasing as f64 / self.queries.max(1) as f64
    }

    pub fn finding(&self, controls: &Controls) -> Finding {
        let (statistic, queries) = (self.share(), self.queries);
        let chance = 2.0 * (queries as f64).sqrt();
        let mut details = controls.details(statistic);
        details.insert("increasing", self.increasing as f64);
        Finding {
            statistic,
            n: queries,
            null: format!(
                "exact: in a random order about {chance:.0} of {queries} coordinates come out increasing; beside it, {}",
                controls.words(statistic)
            ),
            log10_p: Some(tails::log10(index::order_ln_p(self.increasing, queries))),
            interval: None,
            details,
            explanation: format!(
                "By the embeddings of {} shared tokens, the counterparts of {} of {queries} coordinates of the narrower \
                 residual stream follow one another in the same order, where about {chance:.0} would by chance.",
                self.tokens, self.increasing
            ),
            caveats: vec![
                format!("residual streams of {} and {} coordinates", self.widths[0], self.widths[1]),
                "two models initialised from the same random stream may also keep an order".to_owned(),
                "new embeddings, or a permutation or rotation of the residual stream, hide kin from this test".to_owned(),
            ],
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: None,
        }
    }
}
