//! The residual streams of two models after every block, on the prompts that both read, and what a measure
//! says of every block with every block.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::evidence::Figure;
use crate::model::Site;
use crate::record::Activations;
use crate::record::SiteActivations;
use crate::stat::alignment;
use crate::stat::cka;
use crate::stat::outlying;

/// Launderings that leave the residual stream as it is but for a rotation and a scale.
pub(super) const ROTATED_AT_MOST: &[&str] = &[
    "permute-units",
    "permute-heads",
    "permute-residual",
    "fold-gains",
    "rotate-residual",
    "rescale-up-down",
    "rescale-value-output",
    "rotate-query-key",
    "scale-residual",
    "shift-head",
];

/// One of the two models, in the order of prompts that both share.
pub(super) struct Stream<'a> {
    pub of: &'a Activations,
    blocks: Vec<(usize, &'a SiteActivations)>,
    rows: Vec<usize>,
    /// Whether every prompt has one row.
    pub one_row_each: bool,
}

/// What is done to the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    AsRecorded,
    /// Each dimension at unit spread.
    Standardised,
    /// Without the few dimensions of outlying variance.
    WithoutOutlying,
}

impl View {
    /// Row-major values, and how wide they are.
    fn of(self, values: Vec<f32>, width: usize) -> (Vec<f32>, usize) {
        match self {
            Self::AsRecorded => (values, width),
            Self::Standardised => (cka::standardise_columns(&values, width), width),
            Self::WithoutOutlying => {
                let columns = outlying::outlying_columns(&values, width);
                let kept = outlying::without_columns(&values, width, &columns);
                (kept, width - columns.len())
            }
        }
    }
}

/// Both models, whose rows are of the same prompts in an order of the prompts' own.
///
/// # Errors
/// Fewer than `least` prompts that both read, and a model without blocks.
pub(super) fn streams<'a>(
    a: &'a Activations,
    b: &'a Activations,
    least: usize,
) -> Result<[Stream<'a>; 2], String> {
    let mut shared = a.shared_rows(b);
    shared.sort_by_key(|(row, _)| (&a.items[*row], a.offsets.get(*row)));
    if shared.len() < least {
        return Err(format!(
            "{} prompts were read by both models, and the estimator needs {least}",
            shared.len(),
        ));
    }
    let (ours, theirs) = shared.into_iter().unzip();
    let [a, b] = [(a, ours), (b, theirs)].map(|(of, rows)| Stream::new(of, rows));
    if a.blocks.is_empty() || b.blocks.is_empty() {
        return Err("no block of one of the models was recorded".to_owned());
    }
    Ok([a, b])
}

impl<'a> Stream<'a> {
    fn new(of: &'a Activations, rows: Vec<usize>) -> Self {
        Self {
            of,
            blocks: of.stack(Site::ResidPost),
            one_row_each: rows
                .windows(2)
                .all(|two| of.items[two[0]] != of.items[two[1]]),
            rows,
        }
    }

    /// Another model on the rows of this one; `None` if it did not read all of them.
    pub fn beside<'b>(&self, other: &'b Activations) -> Option<Stream<'b>> {
        if self.of.suite != other.suite {
            return None;
        }
        let theirs: BTreeMap<usize, usize> = self.of.shared_rows(other).into_iter().collect();
        let rows: Option<Vec<usize>> = self
            .rows
            .iter()
            .map(|row| theirs.get(row).copied())
            .collect();
        Some(Stream::new(other, rows?)).filter(|stream| !stream.blocks.is_empty())
    }
}

impl<'a> Stream<'a> {
    /// Rows of either model.
    pub fn items(&self) -> usize {
        self.rows.len()
    }

    /// The item of each row.
    pub fn read(&self) -> Vec<&'a str> {
        let items = self.rows.iter();
        items.map(|row| self.of.items[*row].as_str()).collect()
    }

    /// Blocks that were recorded.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The number of each recorded block in its model.
    pub fn layers(&self) -> Vec<usize> {
        self.blocks.iter().map(|(layer, _)| *layer).collect()
    }

    /// What `make` makes of each block's row-major values and their width; `None` also for a block whose
    /// rows are not there.
    pub fn each<T: Send>(
        &self,
        view: View,
        make: impl Fn(&[f32], usize) -> Option<T> + Sync,
    ) -> Vec<Option<T>> {
        let block = |(_, site): &(usize, &SiteActivations)| {
            let width = site.width;
            let mut values = Vec::with_capacity(self.rows.len() * width);
            for &row in &self.rows {
                values.extend_from_slice(site.values.get(row * width..(row + 1) * width)?);
            }
            let (values, width) = view.of(values, width);
            make(&values, width)
        };
        self.blocks.par_iter().map(block).collect()
    }
}

/// A measure of every block of one model with every block of another, and which blocks belong together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Map {
    pub rows: usize,
    pub columns: usize,
    /// Row-major, at most 1; `None` where a block does not vary.
    pub values: Vec<Option<f64>>,
    /// Blocks that are paired, in order.
    pub path: Vec<(usize, usize)>,
}

impl Map {
    /// Of row-major values.
    pub fn new(values: Vec<Option<f64>>, rows: usize, columns: usize) -> Self {
        let known: Vec<f64> = values.iter().map(|value| value.unwrap_or(0.0)).collect();
        Self {
            path: path(&known, rows, columns),
            rows,
            columns,
            values,
        }
    }

    /// `measure` of every block of `a` with every block of `b`.
    pub fn of<T: Sync>(
        a: &[Option<T>],
        b: &[Option<T>],
        measure: impl Fn(&T, &T) -> Option<f64> + Sync,
    ) -> Self {
        let row = |x: &Option<T>| -> Vec<Option<f64>> {
            let cell = |y: &Option<T>| measure(x.as_ref()?, y.as_ref()?);
            b.iter().map(cell).collect()
        };
        let values = a.par_iter().flat_map_iter(row).collect();
        Self::new(values, a.len(), b.len())
    }

    /// The mean on the path of [`Map::of`], without the other cells where the path is known beforehand.
    pub fn mean_of<T: Sync>(
        a: &[Option<T>],
        b: &[Option<T>],
        measure: impl Fn(&T, &T) -> Option<f64> + Sync,
    ) -> Option<f64> {
        if a.len() != b.len() {
            return Self::of(a, b, measure).on_path();
        }
        let pairs = a.iter().zip(b);
        mean(pairs.map(|(x, y)| measure(x.as_ref()?, y.as_ref()?)))
    }

    fn at(&self, row: usize, column: usize) -> Option<f64> {
        self.values
            .get(row * self.columns + column)
            .copied()
            .flatten()
    }

    /// Mean over the blocks that are paired.
    pub fn on_path(&self) -> Option<f64> {
        mean(self.path.iter().map(|&(i, j)| self.at(i, j)))
    }

    /// Mean over all other pairs of blocks.
    pub fn off_path(&self) -> Option<f64> {
        let all = (0..self.rows).flat_map(|i| (0..self.columns).map(move |j| (i, j)));
        let others = all.filter(|place| !self.path.contains(place));
        mean(others.map(|(i, j)| self.at(i, j)))
    }

    /// Drawn from 0 to 1.
    pub fn figure(&self, title: &str) -> Figure {
        let drawn = |value: &Option<f64>| value.unwrap_or(0.0).clamp(0.0, 1.0);
        Figure::Heatmap {
            title: title.to_owned(),
            rows: self.rows,
            columns: self.columns,
            values: self.values.iter().map(drawn).collect(),
            path: self.path.clone(),
            controls: Vec::new(),
        }
    }

    /// What a reader should know of blocks that do not match one to one.
    pub fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        if self.rows != self.columns {
            caveats.push(format!(
                "{} and {} blocks: every block of the shallower model is paired, in order, with the block of the deeper \
                 one that makes the sum highest, so that independent models of different depth are higher than of equal \
                 depth",
                self.rows, self.columns
            ));
        }
        let unknown = self.values.iter().filter(|value| value.is_none()).count();
        if unknown > 0 {
            caveats.push(format!(
                "{unknown} pairs of blocks without variation count as nothing and are drawn as 0"
            ));
        }
        caveats
    }
}

/// Blocks in order, each of the shallower model with one of the deeper, so that the sum of `values`
/// (row-major, at most 1) is highest; a skipped block costs a tenth of the mean distance to 1.
pub(super) fn path(values: &[f64], rows: usize, columns: usize) -> Vec<(usize, usize)> {
    let distance: Vec<f64> = values.iter().map(|value| 1.0 - value).collect();
    let penalty = distance.iter().sum::<f64>() / distance.len().max(1) as f64 / 10.0;
    alignment::in_order(&distance, rows, columns, penalty).unwrap_or_default()
}

/// Mean of the known values; `None` when none is.
pub(super) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
pub(super) mod toy {
    use super::*;
    use crate::evidence::Evidence;
    use crate::evidence::Finding;
    use crate::evidence::Outcome;
    use crate::evidence::toy::Open;
    use crate::evidence::toy::pair;
    use crate::model::toy::Dims;
    use crate::model::toy::Toy;
    use crate::stat::random;

    /// Prompts that toys read.
    pub const PROMPTS: usize = 60;

    /// Blocks that each add noise to the one before; `own` makes the model, `noise` a child of it.
    pub fn activations(layers: usize, width: usize, own: u64, noise: f64) -> Activations {
        let n = PROMPTS;
        let mut rng = random::stream(own, "toy activations");
        let mut extra = random::stream(own + 1000, "toy activations noise");
        let mut stream = vec![0.0f32; n * width];
        let sites = (0..layers)
            .map(|layer| {
                for x in &mut stream {
                    *x += random::normal(&mut rng) as f32;
                }
                let noisy = |x: &f32, rng: &mut _| *x + (noise * random::normal(rng)) as f32;
                SiteActivations {
                    site: Site::ResidPost(layer),
                    width,
                    values: stream.iter().map(|x| noisy(x, &mut extra)).collect(),
                }
            })
            .collect();
        Activations {
            suite: "s".to_owned(),
            items: (0..n).map(|i| format!("item-{i:02}")).collect(),
            offsets: Vec::new(),
            tokens: None,
            key_value_heads: None,
            sites,
        }
    }

    /// `activations` without some of its blocks, renumbered.
    pub fn without(activations: &Activations, blocks: &[usize]) -> Activations {
        let mut fewer = activations.clone();
        let mut at = 0;
        fewer.sites.retain(|_| {
            at += 1;
            !blocks.contains(&(at - 1))
        });
        for (layer, site) in fewer.sites.iter_mut().enumerate() {
            site.site = Site::ResidPost(layer);
        }
        fewer
    }

    /// Every block turned in the plane of its first two columns, scaled and shifted.
    pub fn turned(activations: &Activations) -> Activations {
        let mut turned = activations.clone();
        for site in &mut turned.sites {
            for row in site.values.chunks_mut(site.width) {
                (row[0], row[1]) = (0.6 * row[0] - 0.8 * row[1], 0.8 * row[0] + 0.6 * row[1]);
                row.iter_mut().for_each(|x| *x = 3.0 * *x + 5.0);
            }
        }
        turned
    }

    pub fn open(seed: u64, activations: Activations) -> Open {
        let mut open = Open::new(&Toy::new(seed, Dims::default()));
        open.activations = Some(activations);
        open
    }

    /// What a method says of two of them.
    pub fn measured(method: &dyn Evidence, a: &Activations, b: &Activations) -> Finding {
        let (a, b) = (open(1, a.clone()), open(2, b.clone()));
        match method.assess(&pair(&a, &b)).unwrap() {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    /// What every measure of geometry says of itself, a child, a child with fewer blocks and a stranger.
    pub fn tells_kin_from_strangers(method: &dyn Evidence) {
        let parent = activations(5, 30, 1, 0.0);
        let value = |other: &Activations| measured(method, &parent, other).statistic;
        let (itself, turned) = (value(&parent), value(&turned(&parent)));
        assert!((itself - 1.0).abs() < 1e-9, "{itself}");
        assert!((turned - 1.0).abs() < 0.02, "{turned}");
        let child = activations(5, 30, 1, 0.2);
        let stranger = value(&activations(5, 30, 9, 0.0));
        for kin in [value(&child), value(&without(&child, &[1, 3]))] {
            assert!(kin > stranger + 0.3, "{kin} {stranger}");
        }
        let wider = value(&activations(7, 41, 8, 0.0));
        assert!((wider - stranger).abs() < 0.2, "{wider} {stranger}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_were_dropped_leave_a_gap_in_the_path() {
        let full = toy::activations(6, 20, 1, 0.0);
        let fewer = toy::without(&full, &[2, 3]);
        let [a, b] = streams(&full, &fewer, 4).unwrap();
        assert_eq!(
            (a.items(), a.blocks(), b.layers()),
            (toy::PROMPTS, 6, vec![0, 1, 2, 3])
        );
        let gram = |values: &[f32], _| cka::CentredGram::new(values, toy::PROMPTS);
        let [x, y] = [&a, &b].map(|one| one.each(View::AsRecorded, gram));
        let map = Map::of(&x, &y, cka::CentredGram::cka);
        assert_eq!(map.path, [(0, 0), (1, 1), (4, 2), (5, 3)]);
        assert!((map.on_path().unwrap() - 1.0).abs() < 1e-9);
        assert!(map.off_path().unwrap() < 0.95);
        assert_eq!(map.caveats().len(), 1);
    }

    #[test]
    fn prompts_meet_by_id_in_an_order_of_their_own() {
        let a = toy::activations(1, 2, 1, 0.0);
        let mut b = a.clone();
        b.items.reverse();
        b.items[0] = "unknown".to_owned();
        let [x, y] = streams(&a, &b, 4).unwrap();
        let [z, w] = streams(&b, &a, 4).unwrap();
        assert_eq!((&x.rows, &y.rows), (&w.rows, &z.rows));
        assert_eq!((x.items(), x.rows[0], y.rows[0]), (59, 0, 59));
        assert!(streams(&a, &b, 60).is_err());
    }
}
