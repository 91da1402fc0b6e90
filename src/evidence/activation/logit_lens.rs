//! How the answer comes about behind every block, by the logit lens.

use std::collections::BTreeMap;

use super::inside::Inside;
use super::inside::Measured;
use super::layered;
use super::layered::row_of;
use super::rows;
use crate::evidence::Card;
use crate::evidence::Figure;
use crate::evidence::Needs;
use crate::model::Site;
use crate::record::Activations;
use crate::record::SiteActivations;

/// See [`CARD`].
pub(super) struct LogitLens;

static CARD: Card = Card {
    id: "activation.logit_lens",
    version: 1,
    family: "activation.trajectory",
    title: "how the answer comes about behind every block, by the logit lens",
    measures: "Both models read the same prompts. Behind every block the last norm and the head say what would be next if the \
               blocks still to come were skipped: the logarithm of the probability of the token that the model itself holds \
               most probable in the end. Blocks are paired by relative depth; each block loses its mean over prompts. The \
               statistic is the correlation of what is left, over all prompts and paired blocks but the last: whether the two \
               models know the same prompts early, or late. Beside it the same of the divergence from the last distribution.",
    null: "The same number for independent models that read the same prompts: an easy prompt is easy for all.",
    fooled_by: "Easy prompts make any two able models alike. Other tokenizers end prompts with other tokens. A model's lens may \
                be blind in early blocks (streams that turn late), whatever it knows.",
    cost: "The head once for every block and prompt while recording; nothing to compare.",
    reference: "nostalgebraist: interpreting GPT: the logit lens (2020). As a comparison of two models it is ours.",
    needs: Needs::Activations,
    symmetric: true,
    survives: &[],
};

/// Fewest prompts.
const LEAST: usize = 16;

impl Inside for LogitLens {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, _: u64) -> Result<Measured, String> {
        let (prompts, [answer, divergence]) = correlations(a, b)?;
        let statistic =
            answer.ok_or_else(|| "no block's answer varies from prompt to prompt".to_owned())?;
        let mut details = BTreeMap::new();
        details.extend(divergence.map(|r| ("divergence_correlation", r)));
        let [x, y] = [a, b].map(trajectory);
        let late =
            |curve: &[f64]| settled(curve).map_or_else(|| "?".to_owned(), |at| at.to_string());
        let explanation = format!(
            "On {prompts} prompts: correlation of what the two hold of their own answers behind paired blocks {statistic:.3}. \
             Half of what is known in the end is known behind block {} of {} and {} of {}.",
            late(&x),
            x.len(),
            late(&y),
            y.len()
        );
        Ok(Measured {
            statistic,
            n: prompts as u64,
            null: None,
            log10_p: None,
            details,
            explanation,
            caveats: layered::depths(x.len(), y.len()).into_iter().collect(),
            figures: vec![Figure::Curves {
                title: "log p of the model's own answer behind every block, mean over prompts"
                    .to_owned(),
                reference: x,
                suspect: y,
                band: Vec::new(),
                band_models: 0,
            }],
            table: None,
        })
    }

    fn curve(&self, of: &Activations) -> Option<Vec<f64>> {
        Some(trajectory(of)).filter(|curve| !curve.is_empty())
    }
}

/// Mean over prompts of the first number of every block.
fn trajectory(of: &Activations) -> Vec<f64> {
    let stack = of.stack(Site::Lens);
    let mean = |(_, site): &(usize, &SiteActivations)| {
        let values = site.values.chunks_exact(site.width.max(1));
        let values = values.filter_map(|row| row.first()).map(|x| f64::from(*x));
        let (sum, count) = values.fold((0.0, 0.0), |(sum, n), x| (sum + x, n + 1.0));
        sum / f64::max(count, 1.0)
    };
    stack.iter().map(mean).collect()
}

/// The first block, counted from 1, behind which half of the way from the lowest to the last value is done for
/// good.
fn settled(curve: &[f64]) -> Option<usize> {
    let last = *curve.last()?;
    let lowest = curve.iter().copied().fold(f64::INFINITY, f64::min);
    let half = (last + lowest) / 2.0;
    let below = curve.iter().rposition(|x| *x < half);
    Some(below.map_or(1, |at| at + 2))
}

/// How many prompts both read, and the correlation of each of the two numbers.
fn correlations(a: &Activations, b: &Activations) -> Result<(usize, [Option<f64>; 2]), String> {
    let (ours, theirs) = (a.stack(Site::Lens), b.stack(Site::Lens));
    if ours.is_empty() || theirs.is_empty() {
        return Err(
            "the logit lens of one of the models was not recorded: `run` of a suite that asks for next tokens, and \
             compare, record it"
                .to_owned(),
        );
    }
    let (rows_a, rows_b) = layered::rows(a, b)?;
    if rows_a.len() < LEAST {
        return Err(format!(
            "{} prompts were read by both models, and it needs {LEAST}",
            rows_a.len()
        ));
    }
    let pairs: Vec<(usize, usize)> = rows::equal_depth(ours.len(), theirs.len())
        .into_iter()
        .filter(|&(i, j)| i + 1 < ours.len() || j + 1 < theirs.len())
        .collect();
    let of = |number: usize| {
        let (mut both, mut left, mut right) = (0.0, 0.0, 0.0);
        for &(i, j) in &pairs {
            let x = centred(ours[i].1, &rows_a, number)?;
            let y = centred(theirs[j].1, &rows_b, number)?;
            for (x, y) in x.iter().zip(&y) {
                both += x * y;
                left += x * x;
                right += y * y;
            }
        }
        let lengths = f64::sqrt(left * right);
        (lengths > 0.0 && lengths.is_finite()).then(|| (both / lengths).clamp(-1.0, 1.0))
    };
    Ok((rows_a.len(), [of(0), of(1)]))
}

/// One number of a block on some prompts, less its mean over them.
fn centred(site: &SiteActivations, rows: &[usize], number: usize) -> Option<Vec<f64>> {
    let values = rows
        .iter()
        .map(|row| Some(f64::from(*row_of(site, *row)?.get(number)?)));
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Some(values.iter().map(|x| x - mean).collect())
}

#[cfg(test)]
mod tests {
    use super::super::toys::activations;
    use super::super::toys::gaussian;
    use super::*;

    const PROMPTS: usize = 60;

    /// Log probabilities that rise from block to block, `own` to the model but for how easy prompts are.
    fn model(blocks: usize, own: u64, easy: f32) -> Activations {
        let common = gaussian(PROMPTS, 1, 5);
        let sites = (0..blocks).map(|block| {
            let depth = (block + 1) as f32 / blocks as f32;
            let noise = gaussian(PROMPTS, 1, 100 * own + block as u64);
            let values = common.iter().zip(noise).flat_map(|(easiness, noise)| {
                let p = -8.0 * (1.0 - depth) + easy * easiness + noise;
                [p, -p]
            });
            (Site::Lens(block), values.collect())
        });
        activations(PROMPTS, sites.collect::<Vec<_>>())
    }

    #[test]
    fn itself_and_a_stranger() {
        let found = |x: &Activations, y: &Activations| LogitLens.measure(x, y, 0).unwrap();
        let a = model(4, 1, 0.5);
        let itself = found(&a, &a);
        assert!((itself.statistic - 1.0).abs() < 1e-12);
        assert!((itself.details["divergence_correlation"] - 1.0).abs() < 1e-12);
        let stranger = found(&a, &model(4, 2, 0.5)).statistic;
        let alike = found(&a, &model(6, 2, 3.0)).statistic;
        assert!(stranger < 0.45 && alike > stranger, "{stranger} {alike}");
    }

    #[test]
    fn what_is_settled_stays_so() {
        assert_eq!(settled(&[-8.0, -7.0, -3.0, -1.0]), Some(3));
        assert_eq!(settled(&[-8.0, -2.0, -7.0, -1.0]), Some(4));
        assert_eq!(settled(&[-1.0, -1.0]), Some(1));
        assert_eq!(settled(&[]), None);
    }

    #[test]
    fn what_was_not_recorded_has_a_name() {
        let mut bare = model(2, 1, 1.0);
        bare.sites.clear();
        let why = LogitLens.measure(&bare, &bare, 0).unwrap_err();
        assert!(why.contains("lens"), "{why}");
        assert_eq!(LogitLens.curve(&bare), None);
    }
}
