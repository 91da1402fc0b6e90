//! Normalised difference of two construction plans.

use std::collections::BTreeMap;

use super::plan;
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::Model;
use crate::text::ModelText;

/// See [`CARD`].
pub(super) struct Diff;

static CARD: Card = Card {
    id: "config.diff",
    version: 1,
    family: "config",
    title: "normalised difference of construction plans",
    measures: "The share of axes of the construction plan (dimensions, norms, activation, positions, biases, experts) on \
               which both models agree, each read from the config by its family's rules; of config entries as written \
               where a family is not known. Beside it: whether the stored tensors have the same shapes and names.",
    null: "The same number for independent models. Architectures are public and chosen: independent models often share one \
           to the last number.",
    fooled_by: "Reuse of a public architecture, which is ordinary and says nothing of the weights; entries that differ and do \
                not matter.",
    cost: "None.",
    reference: "The 2023 dispute on Yi and Llama: one architecture with two tensors renamed is a finding of its own.",
    needs: Needs::Config,
    symmetric: true,
    survives: &[],
};

impl Evidence for Diff {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (a, b) = (pair.reference.model, pair.suspect.model);
        let Some(plans) = Plans::new(a, b) else {
            let reason = "one of the models has no config that says its construction".to_owned();
            return Ok(Outcome::NotApplicable(reason));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(Plans::new(a.model, b.model).map(|plans| plans.share()))
        })?;
        Ok(Outcome::Measured(Box::new(finding(
            &plans, a, b, &controls,
        ))))
    }
}

/// One axis or entry: its name, and its value in each model.
struct Line {
    name: String,
    values: [Option<String>; 2],
}

impl Line {
    fn agrees(&self) -> bool {
        self.values[0] == self.values[1]
    }
}

/// Two plans, line by line.
struct Plans {
    /// Axes of both specs, where both are known.
    axes: Option<Vec<Line>>,
    /// Config entries as written.
    entries: Vec<Line>,
}

impl Plans {
    fn new(a: &Model, b: &Model) -> Option<Self> {
        let entries = [a, b].map(|model| plan::entries(&model.config));
        let axes = match (&a.plan, &b.plan) {
            (Ok(x), Ok(y)) => Some(lines([plan::axes(x), plan::axes(y)])),
            _ => None,
        };
        if axes.is_none() && entries.iter().any(BTreeMap::is_empty) {
            return None;
        }
        Some(Self {
            axes,
            entries: lines(entries),
        })
    }

    /// The lines that the statistic counts.
    fn counted(&self) -> &[Line] {
        self.axes.as_deref().unwrap_or(&self.entries)
    }

    fn share(&self) -> f64 {
        let lines = self.counted();
        let agree = lines.iter().filter(|line| line.agrees()).count();
        agree as f64 / lines.len().max(1) as f64
    }
}

fn lines<K: AsRef<str> + Ord>(sides: [BTreeMap<K, String>; 2]) -> Vec<Line> {
    let mut merged: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    for (side, values) in sides.into_iter().enumerate() {
        for (name, value) in values {
            merged.entry(name.as_ref().to_owned()).or_default()[side] = Some(value);
        }
    }
    merged
        .into_iter()
        .map(|(name, values)| Line { name, values })
        .collect()
}

/// How the stored tensors of two models compare.
struct Stored {
    /// The same shapes, each as often.
    same_shapes: bool,
    /// Roles of one shape in both, and how many of them have another tensor name; `None` where the
    /// containers differ (GGUF has names of its own).
    names: Option<(usize, usize)>,
    /// The same names throughout.
    same_names: bool,
}

impl Stored {
    fn new(a: &Model, b: &Model) -> Self {
        let (x, y) = (a.weights.store(), b.weights.store());
        let shapes = |model: &Model| {
            let mut shapes: Vec<Vec<usize>> = model
                .weights
                .store()
                .iter()
                .map(|(_, info)| info.shape.clone())
                .collect();
            shapes.sort();
            shapes
        };
        let roles = a
            .weights
            .roles()
            .filter(|role| a.weights.shape(role) == b.weights.shape(role));
        let pairs =
            roles.filter_map(|role| Some((a.weights.binding(role)?, b.weights.binding(role)?)));
        let (shared, renamed) = pairs.fold((0, 0), |(n, r), (p, q)| {
            (n + 1, r + usize::from(p.tensor != q.tensor))
        });
        Self {
            same_shapes: shapes(a) == shapes(b),
            names: (x.format() == y.format()).then_some((shared, renamed)),
            same_names: x.names().eq(y.names()),
        }
    }
}

fn finding(plans: &Plans, a: &Model, b: &Model, controls: &Controls) -> Finding {
    let stored = Stored::new(a, b);
    let statistic = plans.share();
    let counted = plans.counted();
    let flag = |yes: bool| f64::from(u8::from(yes));
    let mut details = controls.details(statistic);
    details.extend([
        ("plans_known", flag(plans.axes.is_some())),
        (
            "same_family",
            flag(a.family.is_some() && a.family == b.family),
        ),
        ("same_shapes", flag(stored.same_shapes)),
        ("same_names", flag(stored.same_names)),
        (
            "entries_differing",
            plans.entries.iter().filter(|line| !line.agrees()).count() as f64,
        ),
    ]);
    if let Some((shared, renamed)) = stored.names {
        details.extend([
            ("roles_compared", shared as f64),
            ("roles_renamed", renamed as f64),
        ]);
    }
    let differing: Vec<&str> = counted
        .iter()
        .filter(|line| !line.agrees())
        .map(|line| line.name.as_str())
        .collect();
    let mut caveats = vec!["a shared architecture is no evidence of shared weights".to_owned()];
    let unknown = [("reference", a), ("suspect", b)];
    caveats.extend(unknown.iter().filter_map(|(who, model)| {
        Some(format!(
            "{who}: {}; config entries are compared as written",
            model.plan.as_ref().err()?
        ))
    }));
    Finding {
        statistic,
        n: counted.len() as u64,
        null: controls.words(statistic),
        log10_p: None,
        interval: None,
        details,
        explanation: explanation(counted.len(), &differing, &stored),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: table(plans),
    }
}

fn explanation(n: usize, differing: &[&str], stored: &Stored) -> String {
    let mut text = if differing.is_empty() {
        format!("The construction plans agree on all {n} axes")
    } else {
        let names: Vec<String> = differing
            .iter()
            .take(8)
            .map(|name| ModelText::new(*name).clipped(40))
            .collect();
        let more = if differing.len() > 8 { ", …" } else { "" };
        format!(
            "{} of {n} axes differ: {}{more}",
            differing.len(),
            names.join(", ")
        )
    };
    if let Some((shared, renamed)) = stored.names.filter(|(_, renamed)| *renamed > 0) {
        text += &format!("; {renamed} of {shared} tensors with the same role have another name");
    }
    text + "."
}

/// Every line that differs; axes first.
fn table(plans: &Plans) -> Option<Table> {
    let cell = |value: &Option<String>| match value {
        Some(value) => ModelText::new(value).clipped(80),
        None => "absent".to_owned(),
    };
    let row = |kind: &str, line: &Line| {
        let name = ModelText::new(&line.name).clipped(60);
        vec![
            kind.to_owned(),
            name,
            cell(&line.values[0]),
            cell(&line.values[1]),
        ]
    };
    let axes = plans.axes.iter().flatten().map(|line| ("plan", line));
    let entries = plans.entries.iter().map(|line| ("config entry", line));
    let rows: Vec<Vec<String>> = axes
        .chain(entries)
        .filter(|(_, line)| !line.agrees())
        .map(|(kind, line)| row(kind, line))
        .collect();
    (!rows.is_empty()).then(|| Table {
        columns: ["", "name", "reference", "suspect"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    })
}
