//! Inputs that two models share, and what a site holds of them.

use crate::record::Activations;
use crate::record::SiteActivations;
use crate::stat::random;

/// Fewest inputs: with fewer, correlations between units are mostly chance.
const LEAST: usize = 16;

/// Rows of two recordings that belong to the same input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    ours: Vec<usize>,
    theirs: Vec<usize>,
}

impl Rows {
    /// Of the inputs that both read, or why there are too few.
    pub fn shared(a: &Activations, b: &Activations) -> Result<Self, String> {
        let (ours, theirs): (Vec<usize>, Vec<usize>) = a.shared_rows(b).into_iter().unzip();
        if ours.len() < LEAST {
            return Err(format!(
                "{} prompts were read by both models, and correlations of units need {LEAST}",
                ours.len()
            ));
        }
        Ok(Self { ours, theirs })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ours.len()
    }

    /// What `site` of the first model holds of them, `[rows, width]`.
    pub fn of_ours(&self, site: &SiteActivations) -> Vec<f32> {
        taken(site, &self.ours)
    }

    /// Likewise of the second.
    pub fn of_theirs(&self, site: &SiteActivations) -> Vec<f32> {
        taken(site, &self.theirs)
    }
}

/// Rows of a site; a row that is not there reads as zeros.
fn taken(site: &SiteActivations, rows: &[usize]) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows.len() * site.width);
    for row in rows {
        match site.values.get(row * site.width..(row + 1) * site.width) {
            Some(row) => values.extend_from_slice(row),
            None => values.resize(values.len() + site.width, 0.0),
        }
    }
    values
}

/// Some columns of row-major `values` with `width` columns.
pub(super) fn columns(values: &[f32], width: usize, chosen: &[usize]) -> Vec<f32> {
    let rows = values.chunks(width.max(1));
    rows.flat_map(|row| chosen.iter().map(|&column| row[column]))
        .collect()
}

/// All columns, or `most` of them, drawn without looking at them: of two models the same ones.
pub(super) fn drawn(width: usize, most: usize, seed: u64) -> Vec<usize> {
    random::subset(&mut random::stream(seed, "units"), width, most)
}

/// The `most` columns that vary most, in their own order.
pub(super) fn widest(values: &[f32], width: usize, most: usize) -> Vec<usize> {
    let rows = (values.len() / width.max(1)).max(1) as f64;
    let mut moments = vec![(0.0f64, 0.0f64); width];
    for row in values.chunks(width.max(1)) {
        for ((sum, square), &x) in moments.iter_mut().zip(row) {
            *sum += f64::from(x);
            *square += f64::from(x).powi(2);
        }
    }
    let spread = |at: usize| moments[at].1 - moments[at].0.powi(2) / rows;
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&i, &j| spread(j).total_cmp(&spread(i)).then(i.cmp(&j)));
    order.truncate(most);
    order.sort_unstable();
    order
}

/// Blocks of two models at equal relative depth: as many pairs as the deeper one has blocks.
pub(super) fn equal_depth(rows: usize, columns: usize) -> Vec<(usize, usize)> {
    let n = rows.max(columns);
    let place = |i: usize, len: usize| match n {
        0 | 1 => 0,
        n => (i * (len - 1) + (n - 1) / 2) / (n - 1),
    };
    (0..n)
        .map(|i| (place(i, rows), place(i, columns)))
        .collect()
}

/// The parts of two recordings that stand for toy models: `kin` of 0 is the same model, of 1 and more a child
/// with that much noise, `None` another model.
#[cfg(test)]
pub(super) mod toy {
    use super::*;
    use crate::model::Site;
    use crate::stat::random;

    /// Features of the inputs that all models have in common.
    const FEATURES: usize = 20;
    const INPUTS: usize = 48;

    /// Sites of a toy model: residual stream, values and both views of a gated MLP.
    pub(in crate::evidence::activation) fn model(
        blocks: usize,
        width: usize,
        own: u64,
        noise: f64,
    ) -> Activations {
        let mut shared = random::stream(7, "toy features");
        let features: Vec<f64> = (0..INPUTS * FEATURES)
            .map(|_| random::normal(&mut shared))
            .collect();
        let mut weights = random::stream(own, "toy weights");
        let mut extra = random::stream(own + 77, "toy noise");
        let mut site = |site: Site, width: usize| {
            let mixing: Vec<f64> = (0..FEATURES * width)
                .map(|_| random::normal(&mut weights))
                .collect();
            let bend: Vec<f64> = (0..width).map(|_| random::normal(&mut weights)).collect();
            let mut values = Vec::with_capacity(INPUTS * width);
            for input in features.chunks(FEATURES) {
                for unit in 0..width {
                    let sum: f64 = input
                        .iter()
                        .enumerate()
                        .map(|(k, x)| x * mixing[k * width + unit])
                        .sum();
                    let noise = noise * 4.0 * random::normal(&mut extra);
                    values.push((sum + 3.0 * (bend[unit] + sum).sin() + noise) as f32);
                }
            }
            SiteActivations {
                site,
                width,
                values,
            }
        };
        let mut sites = Vec::new();
        for block in 0..blocks {
            sites.push(site(Site::Value(block), width / 2));
            sites.push(site(Site::MlpPre(block), 2 * width));
            sites.push(site(Site::MlpPreLinear(block), 2 * width));
            sites.push(site(Site::ResidPost(block), width));
        }
        Activations {
            suite: "s".to_owned(),
            items: (0..INPUTS).map(|i| format!("item-{i}")).collect(),
            offsets: Vec::new(),
            tokens: None,
            key_value_heads: None,
            sites,
        }
    }

    /// With the second half of the columns of every site of `kind` before the first.
    pub(in crate::evidence::activation) fn halves_swapped(
        of: &Activations,
        kind: fn(usize) -> Site,
    ) -> Activations {
        let mut swapped = of.clone();
        for site in &mut swapped.sites {
            if site.site.layer().is_some_and(|at| kind(at) == site.site) {
                let half = site.width / 2;
                let rows = site.values.chunks_mut(site.width);
                rows.for_each(|row| row.rotate_left(half));
            }
        }
        swapped
    }

    /// A model whose MLPs are experts: those of `experts`, which are alike otherwise.
    pub(in crate::evidence::activation) fn mixture(experts: &[Activations]) -> Activations {
        let mut mixture = experts[0].clone();
        for (at, site) in mixture.sites.iter_mut().enumerate() {
            let layer = site.site.layer().unwrap_or(0);
            site.site = match site.site {
                Site::MlpPre(_) => Site::ExpertsPre(layer),
                Site::MlpPreLinear(_) => Site::ExpertsPreLinear(layer),
                _ => continue,
            };
            let all: Vec<_> = experts.iter().map(|one| &one.sites[at]).collect();
            let row = |row: usize| {
                let one = move |of: &&SiteActivations| {
                    of.values[row * of.width..(row + 1) * of.width].to_vec()
                };
                all.iter().flat_map(one).collect::<Vec<f32>>()
            };
            site.values = (0..INPUTS).flat_map(row).collect();
            site.width *= experts.len();
        }
        let blocks = mixture.stack(Site::ExpertsPre).len();
        let router = |layer| SiteActivations {
            site: Site::RouterLogits(layer),
            width: experts.len(),
            values: vec![0.0; INPUTS * experts.len()],
        };
        mixture.sites.extend((0..blocks).map(router));
        mixture
    }

    /// With the columns of every site of `kind` in another order (the same for all of one block), and of those
    /// of `flipped` every second one negated.
    pub(in crate::evidence::activation) fn reordered(
        of: &Activations,
        kinds: &[fn(usize) -> Site],
        flipped: &[fn(usize) -> Site],
    ) -> Activations {
        let mut changed = of.clone();
        for site in &mut changed.sites {
            let layer = site.site.layer().unwrap_or(0);
            let is = |kinds: &[fn(usize) -> Site]| kinds.iter().any(|k| k(layer) == site.site);
            let width = site.width;
            if is(kinds) {
                let mut rng = random::stream(layer as u64, "toy order");
                let order = random::subset_in_any_order(&mut rng, width, width);
                site.values = columns(&site.values, width, &order);
            }
            if is(flipped) {
                for (at, x) in site.values.iter_mut().enumerate() {
                    *x = if (at % width) % 2 == 0 { -*x } else { *x };
                }
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Site;

    #[test]
    fn rows_are_those_of_shared_inputs() {
        let site = |width| SiteActivations {
            site: Site::ResidPost(0),
            width,
            values: (0..40 * width).map(|x| x as f32).collect(),
        };
        let of = |items: Vec<String>| Activations {
            suite: "s".to_owned(),
            items,
            offsets: Vec::new(),
            tokens: None,
            key_value_heads: None,
            sites: Vec::new(),
        };
        let a = of((0..40).map(|i| i.to_string()).collect());
        let b = of((0..40).rev().map(|i| (i + 10).to_string()).collect());
        let rows = Rows::shared(&a, &b).unwrap();
        assert_eq!(rows.len(), 30);
        // Item 10 is row 10 of the first and the last row of the second.
        assert_eq!(rows.of_ours(&site(2))[..2], [20.0, 21.0]);
        assert_eq!(rows.of_theirs(&site(1))[..2], [39.0, 38.0]);
        assert!(Rows::shared(&a, &of(vec!["1".to_owned()])).is_err());
    }

    #[test]
    fn columns_are_chosen() {
        let values = [1.0, 5.0, 0.0, 1.0, -5.0, 0.5, 1.0, 5.0, 1.0];
        assert_eq!(widest(&values, 3, 2), vec![1, 2]);
        assert_eq!(columns(&values, 3, &[2, 0])[..2], [0.0, 1.0]);
        assert_eq!(drawn(3, 9, 1), vec![0, 1, 2]);
        assert_eq!(drawn(100, 9, 1), drawn(100, 9, 1));
        assert_eq!(
            equal_depth(3, 5),
            vec![(0, 0), (1, 1), (1, 2), (2, 3), (2, 4)]
        );
        assert_eq!(equal_depth(1, 2), vec![(0, 0), (0, 1)]);
    }
}
