//! Which rows of a prompt are kept, and the tap that keeps them.

use candle_core::DType;
use candle_core::Tensor;
use serde::Deserialize;
use serde::Serialize;

use super::whole::Whole;
use crate::model::Site;
use crate::model::Tap;

/// Which rows of a prompt are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The last token that ends inside the prompt: both of two models have read the same bytes there.
    Last,
    /// The mean over the prompt's tokens but the first, on which attention rests whatever it is.
    Mean,
    /// Every token that ends between two characters, with the bytes up to its end.
    All,
    /// One row of what all tokens see in all before them, for attention patterns alone: [`Whole`].
    Whole,
}

impl Pool {
    /// The word of the command line and of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mean => "mean",
            Self::All => "all",
            Self::Whole => "whole",
        }
    }
}

/// Refuses sites of which `pool` makes no row of fixed width.
pub(super) fn stackable(sites: &[Site], pool: Pool) -> Result<(), String> {
    let refused = |site: &&Site| match pool {
        Pool::Last | Pool::Mean | Pool::All => grows(**site),
        Pool::Whole => !matches!(site, Site::Pattern(_)),
    };
    let Some(site) = sites.iter().find(refused) else {
        return Ok(());
    };
    Err(match (site, pool) {
        (Site::Pattern(_), _) => format!(
            "{site} is as wide as the prompt is long, so that prompts cannot be stacked: `--pool whole` fills \
             shorter prompts up"
        ),
        (site, _) if grows(*site) => format!(
            "{site} is as wide as the prompt is long, so that prompts cannot be stacked: `kinprobe probe \
             --tap {site} -o FILE` writes it for one"
        ),
        (site, _) => format!(
            "{site} has a row for every token, and `--pool whole` is for blocks.*.attn.hook_pattern alone: take \
             `--pool last`, `mean` or `all` and another folder"
        ),
    })
}

/// Whether a row is as wide as the prompt is long.
fn grows(site: Site) -> bool {
    matches!(site, Site::Pattern(_) | Site::AttnScores(_))
}

/// Tokens of a prompt whose rows are kept, with the bytes up to their ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Numbers of the tokens.
    pub tokens: Vec<u32>,
    /// One per row that is stored; empty where a row is of more than one token.
    pub offsets: Vec<u32>,
    pool: Pool,
}

impl Kept {
    /// Of a prompt whose tokens end at `ends`, `(token, bytes up to its end)` in order; `None` where none ends
    /// behind the prompt's start.
    pub fn new(ends: &[(usize, u32)], pool: Pool) -> Option<Self> {
        let places: Vec<(u32, u32)> = ends
            .iter()
            .filter(|(_, bytes)| *bytes > 0)
            .filter_map(|(token, bytes)| Some((u32::try_from(*token).ok()?, *bytes)))
            .collect();
        let last = places.last()?;
        let tokens = match pool {
            Pool::Last => vec![last.0],
            Pool::All | Pool::Whole => places.iter().map(|place| place.0).collect(),
            Pool::Mean => match &places[..] {
                [only] => vec![only.0],
                [_, rest @ ..] => rest.iter().map(|place| place.0).collect(),
                [] => return None,
            },
        };
        let offsets = match pool {
            Pool::Last => vec![last.1],
            Pool::All => places.iter().map(|place| place.1).collect(),
            Pool::Mean | Pool::Whole => Vec::new(),
        };
        Some(Self {
            tokens,
            offsets,
            pool,
        })
    }
}

/// Keeps rows at `sites`.
pub(super) struct PoolTap<'t> {
    sites: &'t [Site],
    kept: &'t Kept,
    whole: Option<Whole>,
    /// By site; `[rows, width]`, empty where the pass does not come by.
    pub values: Vec<Vec<f32>>,
}

impl<'t> PoolTap<'t> {
    /// Has seen nothing yet.
    pub fn new(sites: &'t [Site], kept: &'t Kept, whole: Option<Whole>) -> Self {
        Self {
            sites,
            kept,
            whole,
            values: vec![Vec::new(); sites.len()],
        }
    }
}

impl Tap for PoolTap<'_> {
    fn wants(&self, site: Site) -> bool {
        self.sites.contains(&site)
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        let Some(at) = self.sites.iter().position(|wanted| *wanted == site) else {
            return Ok(());
        };
        if let Some(whole) = self.whole {
            self.values[at] = whole.row(value)?;
            return Ok(());
        }
        let rows = value.squeeze(0)?.flatten_from(1)?;
        let rows = match &self.kept.tokens[..] {
            [one] => rows.narrow(0, *one as usize, 1)?,
            many => rows.index_select(&Tensor::new(many, value.device())?, 0)?,
        };
        let (count, width) = rows.dims2()?;
        let values: Vec<f32> = rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        self.values[at] = match self.kept.pool {
            Pool::Last | Pool::All | Pool::Whole => values,
            Pool::Mean => mean(&values, width, count),
        };
        Ok(())
    }
}

fn mean(values: &[f32], width: usize, count: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; width];
    for row in values.chunks_exact(width.max(1)) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let count = count.max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_its_rows() {
        let places = [(0, 0), (1, 1), (3, 4), (4, 6)];
        let kept = |pool| {
            let kept = Kept::new(&places, pool).unwrap();
            (kept.tokens, kept.offsets)
        };
        assert_eq!(kept(Pool::Last), (vec![4], vec![6]));
        assert_eq!(kept(Pool::Mean), (vec![3, 4], vec![]));
        assert_eq!(kept(Pool::All), (vec![1, 3, 4], vec![1, 4, 6]));
        assert!(kept(Pool::Whole).1.is_empty());
        assert_eq!(Kept::new(&[(0, 0)], Pool::Last), None);
    }

    #[test]
    fn means_are_over_rows() {
        assert_eq!(mean(&[1.0, 2.0, 3.0, 6.0], 2, 2), [2.0, 4.0]);
    }

    #[test]
    fn what_grows_with_the_prompt_is_kept_whole_or_refused() {
        let rows = [Site::ResidPost(0), Site::Key(1)];
        let refused = |sites: &[Site], pool, words: &str| {
            let reason = stackable(sites, pool).unwrap_err();
            assert!(reason.contains(words) && !reason.contains('\n'), "{reason}");
        };
        for pool in [Pool::Last, Pool::Mean, Pool::All] {
            assert!(stackable(&rows, pool).is_ok());
            refused(&[Site::Pattern(3)], pool, "blocks.3.attn.hook_pattern");
            refused(&[Site::Pattern(3)], pool, "--pool whole");
            refused(&[Site::AttnScores(3)], pool, "kinprobe probe");
        }
        assert!(stackable(&[Site::Pattern(0), Site::Pattern(1)], Pool::Whole).is_ok());
        let mixed = [Site::Pattern(0), Site::ResidPost(0)];
        refused(&mixed, Pool::Whole, "blocks.0.hook_resid_post");
        refused(&mixed, Pool::Whole, "--pool last");
        refused(&[Site::AttnScores(3)], Pool::Whole, "kinprobe probe");
    }
}
