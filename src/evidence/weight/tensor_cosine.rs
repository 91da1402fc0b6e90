//! Element-wise cosine of tensors with the same role and shape.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::{Param, Part, Role, Weights};

/// See [`CARD`].
pub(super) struct TensorCosine;

static CARD: Card = Card {
    id: "weight.tensor_cosine",
    version: 1,
    family: "weight.elements",
    title: "element-wise cosine of tensors with the same role",
    measures: "The cosine of the angle between two models' tensors of the same role and shape, number by number. The \
               statistic is the mean over matrices weighted by their size; norm gains and biases are centred and \
               listed apart, since they do not start at zero.",
    null: "Independent matrices of n numbers give 0 plus or minus 1/sqrt(n), whatever they were trained on, unless \
           some of their coordinates are anchored (a shared vocabulary alone does not anchor them); the same \
           number for independent models.",
    fooled_by: "Two honest models from one random seed and shapes are aligned. Permuted hidden units or heads, a rotated \
                residual stream and inserted layers bring kin down to 0.",
    cost: "One pass over all shared tensors of both models; 16 MiB per thread.",
    reference: "Parameter cosine similarity, as in Zeng et al.: HuRef (NeurIPS 2024), section on direct comparison.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

/// Numbers of each model decoded at a time.
const BLOCK_ELEMENTS: usize = 1 << 20;

impl Evidence for TensorCosine {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn reads_samples(&self) -> bool {
        true
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (a, b) = (&pair.reference.model.weights, &pair.suspect.model.weights);
        let tensors = compare(a, b)?;
        let Some(statistic) = weighted(&tensors, Kind::Matrix) else {
            return Ok(Outcome::NotApplicable(why_not(a, b)));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(weighted(
                &compare(&a.model.weights, &b.model.weights)?,
                Kind::Matrix,
            ))
        })?;
        let unshared = unshared(a, b);
        Ok(Outcome::Measured(Box::new(finding(
            statistic, &tensors, &controls, unshared,
        ))))
    }
}

/// What is compared together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Matrix,
    Gain,
    Bias,
}

impl Kind {
    fn of(role: &Role) -> Self {
        match role.param {
            Param::Bias => Self::Bias,
            Param::Weight if role.part.is_norm() => Self::Gain,
            Param::Weight => Self::Matrix,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Gain => "gain, centred",
            Self::Bias => "bias, centred",
        }
    }
}

/// One role of both models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Compared {
    role: Role,
    elements: u64,
    /// `None` when one side has no length (or, centred, no spread).
    cosine: Option<f64>,
}

pub(super) fn compare(a: &Weights, b: &Weights) -> Result<Vec<Compared>, Error> {
    let compared = |(role, sums): (Role, Sums)| Compared {
        role,
        elements: sums.n as u64,
        cosine: sums.cosine(Kind::of(&role) != Kind::Matrix),
    };
    Ok(sums(a, b)?.into_iter().map(compared).collect())
}

/// What a cosine needs of every role of one shape in both models, in the order of roles.
pub(super) fn sums(a: &Weights, b: &Weights) -> Result<Vec<(Role, Sums)>, Error> {
    let shared: Vec<Role> = a
        .roles()
        .filter(|role| a.shape(role).is_some() && a.shape(role) == b.shape(role))
        .copied()
        .collect();
    shared
        .par_iter()
        .map(|role| Ok((*role, sums_of_one(a, b, *role)?)))
        .collect()
}

fn sums_of_one(a: &Weights, b: &Weights, role: Role) -> Result<Sums, Error> {
    let mut sums = Sums::default();
    for (ours, theirs) in a
        .chunks(&role, BLOCK_ELEMENTS)
        .zip(b.chunks(&role, BLOCK_ELEMENTS))
    {
        sums.add(&ours?.1, &theirs?.1);
    }
    Ok(sums)
}

/// What a cosine or a correlation needs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Sums {
    fn add(&mut self, a: &[f32], b: &[f32]) {
        self.n += a.len().min(b.len()) as f64;
        for (x, y) in a.iter().zip(b) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            self.x += x;
            self.y += y;
            self.xx += x * x;
            self.yy += y * y;
            self.xy += x * y;
        }
    }

    /// Of the two together.
    pub fn and(self, other: &Self) -> Self {
        Self {
            n: self.n + other.n,
            x: self.x + other.x,
            y: self.y + other.y,
            xx: self.xx + other.xx,
            yy: self.yy + other.yy,
            xy: self.xy + other.xy,
        }
    }

    /// Squared length of both sides, half of each.
    pub fn square(&self) -> f64 {
        (self.xx + self.yy) / 2.0
    }

    /// The cosine, or centred Pearson's correlation; `None` without length (or spread).
    pub fn cosine(&self, centred: bool) -> Option<f64> {
        let centre = |square: f64, a: f64, b: f64| {
            if centred {
                square - a * b / self.n
            } else {
                square
            }
        };
        let xx = centre(self.xx, self.x, self.x);
        let yy = centre(self.yy, self.y, self.y);
        let xy = centre(self.xy, self.x, self.y);
        // Centring cancels digits: what is left of a constant vector is rounding, not spread.
        let dust = self.n * f64::EPSILON * 16.0;
        let spread = xx > dust * self.xx / self.n && yy > dust * self.yy / self.n;
        let cosine = xy / (xx.sqrt() * yy.sqrt());
        (spread && cosine.is_finite()).then(|| cosine.clamp(-1.0, 1.0))
    }
}

/// Mean cosine of one kind, weighted by size.
pub(super) fn weighted(tensors: &[Compared], kind: Kind) -> Option<f64> {
    let of_kind = tensors
        .iter()
        .filter(|tensor| Kind::of(&tensor.role) == kind);
    let known = of_kind.filter_map(|tensor| Some((tensor.elements as f64, tensor.cosine?)));
    let (size, sum) = known.fold((0.0, 0.0), |(n, sum), (size, cos)| {
        (n + size, sum + size * cos)
    });
    (size > 0.0).then(|| sum / size)
}

pub(super) fn why_not(a: &Weights, b: &Weights) -> String {
    if a.roles().next().is_none() || b.roles().next().is_none() {
        "the tensors of one of the models are not known by role".to_owned()
    } else {
        "no matrix has the same role and shape in both models".to_owned()
    }
}

/// Roles that only one model has or that differ in shape.
fn unshared(a: &Weights, b: &Weights) -> usize {
    let ours = a
        .roles()
        .filter(|role| a.shape(role) != b.shape(role))
        .count();
    ours + b.roles().filter(|role| !a.has(role)).count()
}

fn finding(statistic: f64, tensors: &[Compared], controls: &Controls, unshared: usize) -> Finding {
    let kinds = [Kind::Gain, Kind::Bias];
    let names = ["centred_gains", "centred_biases"];
    let mut details = controls.details(statistic);
    let apart = kinds
        .iter()
        .zip(names)
        .filter_map(|(kind, name)| Some((name, weighted(tensors, *kind)?)));
    details.extend(apart);
    let matrices: Vec<&Compared> = tensors
        .iter()
        .filter(|tensor| Kind::of(&tensor.role) == Kind::Matrix)
        .collect();
    let elements: u64 = matrices.iter().map(|tensor| tensor.elements).sum();
    details.insert("elements", elements as f64);
    details.insert("unshared_roles", unshared as f64);
    let mut caveats = vec![
        "kin whose units, heads or residual dimensions were permuted or rotated fall to 0: a low value excludes \
         nothing"
            .to_owned(),
    ];
    if unshared > 0 {
        caveats.push(format!(
            "{unshared} roles are in one model only or differ in shape: left out"
        ));
    }
    caveats.extend(controls.caveats());
    Finding {
        statistic,
        n: matrices.len() as u64,
        null: format!(
            "unaligned matrices of this size give 0 with a spread of about {:.0e}; {}",
            1.0 / (elements.max(1) as f64).sqrt(),
            controls.words(statistic)
        ),
        log10_p: None,
        interval: None,
        explanation: format!(
            "Mean cosine of {} matrices with the same role and shape: {statistic:.4}.",
            matrices.len()
        ),
        details,
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(table(tensors)),
    }
}

/// One row per part.
fn table(tensors: &[Compared]) -> Table {
    let mut parts: BTreeMap<(Kind, Part), Vec<&Compared>> = BTreeMap::new();
    for tensor in tensors {
        parts
            .entry((Kind::of(&tensor.role), tensor.role.part))
            .or_default()
            .push(tensor);
    }
    let row = |((kind, part), list): (&(Kind, Part), &Vec<&Compared>)| {
        let cosines: Vec<f64> = list.iter().filter_map(|tensor| tensor.cosine).collect();
        let words = |value: f64| {
            if cosines.is_empty() {
                "none".to_owned()
            } else {
                format!("{value:.4}")
            }
        };
        vec![
            part.name().to_owned(),
            kind.name().to_owned(),
            list.len().to_string(),
            words(cosines.iter().sum::<f64>() / cosines.len() as f64),
            words(cosines.iter().copied().fold(f64::INFINITY, f64::min)),
        ]
    };
    Table {
        columns: ["part", "kind", "tensors", "mean cosine", "lowest"]
            .map(str::to_owned)
            .to_vec(),
        rows: parts.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, pair};
    use crate::model::toy::{Dims, Toy};
    use crate::stat::correlation;

    fn measured(reference: &Toy, suspect: &Toy) -> Finding {
        let (a, b) = (Open::new(reference), Open::new(suspect));
        match TensorCosine.assess(&pair(&a, &b)).unwrap() {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn kin_and_strangers() {
        let toy = Toy::new(1, Dims::default());
        assert!((measured(&toy, &toy).statistic - 1.0).abs() < 1e-12);
        let child = measured(&toy, &toy.noised(1.0, 4));
        assert!(
            (child.statistic - 0.5f64.sqrt()).abs() < 0.03,
            "{}",
            child.statistic
        );
        let other = measured(&toy, &Toy::new(2, Dims::default()));
        assert!(other.statistic.abs() < 0.03, "{}", other.statistic);
        // Centred: gains near one do not look alike.
        assert!(other.details["centred_gains"].abs() < 0.3);
        assert_eq!(other.n, 4 * 7 + 1);
    }

    #[test]
    fn sums_give_pearson() {
        let a: Vec<f32> = (0..50u16)
            .map(|i| 1.0 + f32::from(i * 7 % 13) / 64.0)
            .collect();
        let b: Vec<f32> = (0..50u16)
            .map(|i| 1.0 + f32::from(i * 5 % 11) / 64.0)
            .collect();
        let mut sums = Sums::default();
        sums.add(&a[..20], &b[..20]);
        sums.add(&a[20..], &b[20..]);
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let r = correlation::pearson(&wide(&a), &wide(&b)).unwrap();
        assert!((sums.cosine(true).unwrap() - r).abs() < 1e-10);
        let cos = correlation::cosine(&wide(&a), &wide(&b)).unwrap();
        assert!((sums.cosine(false).unwrap() - cos).abs() < 1e-12);
        let mut flat = Sums::default();
        flat.add(&[0.1; 50], &b);
        assert_eq!(flat.cosine(true), None);
    }
}
