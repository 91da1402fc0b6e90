//! Exact test on the order of attention heads and experts.

pub(super) mod axes;

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};

use super::alignment::{self, Alignment, Reading};
use super::exact;
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Table};
use crate::model::{Canonical, Model};
use crate::stat::law::Law;
use crate::stat::{random, tails};
use axes::{Axis, COORDINATES, Kind, View};

/// See [`CARD`].
pub(super) struct HeadIndex;

static CARD: Card = Card {
    id: "weight.head_index",
    version: 1,
    family: "weight.head_index",
    title: "fixed points of the best assignment between attention heads and between experts",
    measures: "After the residual streams were brought into one basis, and for each layer of the suspect the \
               corresponding layer of the reference was found: every query head by its query-key and value-output \
               products, every routed expert by its up-down product and its router row (gains folded in, at \
               unit length, over at most 256 coordinates). Key-value groups are assigned one to one so that the \
               summed cosines are largest, query heads inside assigned groups and experts likewise. The statistic is \
               the share of groups, heads and experts assigned to their own index, or, between unequal \
               numbers, in increasing order.",
    null: "The order of groups in a layer, of query heads in a group and of experts in a layer is arbitrary, each \
           apart from the others, and neither the basis nor the layers' correspondence looks at it: had the two \
           models been initialised independently, any order of the suspect's would be equally likely. Fixed \
           points then follow the rencontres numbers, increasing runs the law of Robinson and Schensted, and \
           their sum over layers, groups and experts the convolution of these. Exact, without simulation or \
           population; ties are broken at random.",
    fooled_by: "Two honest models from one random seed and shapes look related. Permuted heads or experts hide kin (power, \
                not validity), and a few heads cannot reach a small p-value. Heads that the code itself tells apart \
                (position slopes by head, windows by head) break the exchangeability.",
    cost: "One pass over attention and experts of both models; products of 256 coordinates per head, an assignment \
           per layer.",
    reference: "Ours. The symmetry is the one of Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for Language Models \
                (ICML 2025); the laws are those of de Montmort (1713) and Schensted (1961).",
    needs: Needs::Weights,
    symmetric: false,
    survives: &[
        "permute-units",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "scale-residual",
        "shift-head",
    ],
};

impl Evidence for HeadIndex {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        alignment::assess(pair, &|alignment, a, b| {
            let layers = run(alignment, a, b, pair.seed)?;
            let count = Count { layers };
            Ok((count.places(None) > 0).then_some(count))
        })
    }
}

/// What one layer of the suspect gave.
struct Layer {
    ours: usize,
    theirs: usize,
    axes: Vec<Axis>,
}

/// One layer of the suspect per layer of the reference: heads of a layer that occurs twice would be
/// counted twice.
fn run(alignment: &Alignment, a: &Model, b: &Model, seed: u64) -> Result<Vec<Layer>, Error> {
    let (Ok(ours), Ok(theirs)) = (Canonical::of(a), Canonical::of(b)) else {
        return Ok(Vec::new());
    };
    let width = theirs.spec.hidden_size;
    let mut rng = random::stream(seed, CARD.id);
    let chosen = random::subset(&mut rng, width, COORDINATES.min(width));
    let chosen: Vec<u32> = chosen.iter().map(|at| *at as u32).collect();
    let chosen = Tensor::new(chosen, &Device::Cpu)?;
    let picked = Tensor::eye(width, alignment.rotation.dtype(), &Device::Cpu)?;
    let picked = picked.index_select(&chosen, 1)?.contiguous()?;
    let turned = alignment.rotation.index_select(&chosen, 1)?.contiguous()?;
    let mut seen = BTreeSet::new();
    let mut layers = Vec::new();
    for (suspect, reference) in alignment.counterparts() {
        if !seen.insert(reference) {
            continue;
        }
        let view = |model, layer, lens| View { model, layer, lens };
        let axes = axes::compared(
            &view(&ours, reference, &turned),
            &view(&theirs, suspect, &picked),
            &mut rng,
        )?;
        layers.push(Layer {
            ours: reference,
            theirs: suspect,
            axes,
        });
    }
    Ok(layers)
}

/// All layers.
struct Count {
    layers: Vec<Layer>,
}

impl Reading for Count {
    const NOTHING: &'static str = "no layer has two or more key-value groups, query heads in a group or experts in both \
                                   models, and one alone has no order";

    fn statistic(&self) -> f64 {
        self.kept(None) as f64 / self.places(None).max(1) as f64
    }

    fn finding(&self, alignment: &Alignment, controls: &Controls) -> Finding {
        let statistic = self.statistic();
        let (kept, places, law) = (self.kept(None), self.places(None), self.law());
        let expected = law.mean();
        let least = tails::log10(law.ln_tail(places));
        let mut details = controls.details(statistic);
        details.extend(alignment.details());
        details.extend(self.details());
        details.extend([
            ("fixed_points", kept as f64),
            ("expected_fixed_points", expected),
            ("least_log10_p", least),
        ]);
        details.extend(exact::tail(&law, kept));
        Finding {
            statistic,
            n: places,
            null: format!(
                "exact: in random orders {expected:.1} of {places} groups, heads and experts keep their place on \
                 average, and all of them with p = 10^{least:.1}; beside it, {}",
                controls.words(statistic)
            ),
            log10_p: Some(tails::log10(law.ln_tail(kept))),
            interval: None,
            details,
            explanation: self.explanation(expected),
            caveats: vec![
                "two models initialised from the same random seed and shapes also keep the order: the test cannot \
                 tell a shared start from shared weights"
                    .to_owned(),
                "a permutation of heads, or of experts with their router rows, leaves a model's function as it is \
                 and hides it from this test"
                    .to_owned(),
            ],
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: Some(self.table()),
        }
    }
}

impl Count {
    /// Of one kind, or of all.
    fn axes(&self, kind: Option<Kind>) -> impl Iterator<Item = &Axis> {
        let axes = self.layers.iter().flat_map(|layer| &layer.axes);
        axes.filter(move |axis| kind.is_none_or(|kind| axis.kind == kind))
    }

    fn places(&self, kind: Option<Kind>) -> u64 {
        self.axes(kind).map(Axis::places).sum()
    }

    fn kept(&self, kind: Option<Kind>) -> u64 {
        self.axes(kind).map(|axis| axis.kept).sum()
    }

    /// Of what is kept in all when every order is random.
    fn law(&self) -> Law {
        let mut kinds: Vec<([usize; 2], usize)> = Vec::new();
        for axis in self.axes(None) {
            match kinds.iter_mut().find(|(counts, _)| *counts == axis.counts) {
                Some((_, times)) => *times += 1,
                None => kinds.push((axis.counts, 1)),
            }
        }
        let law = |counts: [usize; 2]| {
            let one = self.axes(None).find(|axis| axis.counts == counts);
            one.map_or_else(Law::zero, Axis::law)
        };
        let sums = kinds
            .iter()
            .map(|(counts, times)| law(*counts).times(*times));
        sums.fold(Law::zero(), |sum, law| sum.plus(&law))
    }

    /// Shares of heads and experts that have a partner, and that have it at another index.
    fn details(&self) -> Vec<(&'static str, f64)> {
        let share = |kinds: &[Kind], of: &dyn Fn(&Axis) -> f64| {
            let chosen = || self.axes(None).filter(|axis| kinds.contains(&axis.kind));
            let places: u64 = chosen().map(Axis::places).sum();
            (places > 0).then(|| chosen().map(of).sum::<f64>() / places as f64)
        };
        let (heads, experts) = (&[Kind::Groups, Kind::Heads][..], &[Kind::Experts][..]);
        let partners = |axis: &Axis| axis.partners as f64;
        let moved = |axis: &Axis| axis.moved as f64;
        let alike = |axis: &Axis| axis.similarity;
        let named = [
            ("heads_partner", share(heads, &partners)),
            ("heads_moved", share(heads, &moved)),
            ("heads_similarity", share(heads, &alike)),
            ("experts_partner", share(experts, &partners)),
            ("experts_moved", share(experts, &moved)),
            ("experts_similarity", share(experts, &alike)),
        ];
        let known = named.into_iter();
        known
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    fn explanation(&self, expected: f64) -> String {
        let kinds = [
            (Kind::Groups, "key-value groups"),
            (Kind::Heads, "query heads inside a group"),
            (Kind::Experts, "experts"),
        ];
        let counted: Vec<String> = kinds
            .into_iter()
            .filter(|(kind, _)| self.places(Some(*kind)) > 0)
            .map(|(kind, name)| {
                let (kept, places) = (self.kept(Some(kind)), self.places(Some(kind)));
                format!("{kept} of {places} {name}")
            })
            .collect();
        format!(
            "The best assignment leaves {} at their own index, where {expected:.1} in all would be by chance.",
            counted.join(", ")
        )
    }

    fn table(&self) -> Table {
        let columns = [
            "suspect's layer",
            "reference's",
            "groups kept",
            "heads kept",
            "experts kept",
            "mean cosine",
        ];
        let row = |layer: &Layer| {
            let of = |kind: Kind| {
                let chosen = || layer.axes.iter().filter(|axis| axis.kind == kind);
                let places: u64 = chosen().map(Axis::places).sum();
                let kept: u64 = chosen().map(|axis| axis.kept).sum();
                match places {
                    0 => "no order".to_owned(),
                    _ => format!("{kept} of {places}"),
                }
            };
            let places: u64 = layer.axes.iter().map(Axis::places).sum();
            let sum: f64 = layer.axes.iter().map(|axis| axis.similarity).sum();
            vec![
                layer.theirs.to_string(),
                layer.ours.to_string(),
                of(Kind::Groups),
                of(Kind::Heads),
                of(Kind::Experts),
                format!("{:.3}", sum / places.max(1) as f64),
            ]
        };
        Table {
            columns: columns.map(str::to_owned).to_vec(),
            rows: self.layers.iter().map(row).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
