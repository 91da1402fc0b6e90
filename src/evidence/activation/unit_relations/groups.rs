//! Orders that two models have in common, and which units stand at the same place in both.

use crate::evidence::activation::rows;
use crate::evidence::activation::rows::Rows;
use crate::evidence::activation::unit_order;
use crate::model::Site;
use crate::record::Activations;
use crate::record::MOST_ROWS;
use crate::record::SiteActivations;
use crate::stat::assignment;
use crate::stat::cka::CentredGram;
use crate::stat::relations;
use crate::stat::relations::Relations;
use crate::stat::tails;

/// Units of a block that are looked at, blocks of the residual stream, and of values.
const UNITS: usize = 1024;
const STREAMS: usize = 8;

/// Heads of which all orders are tried.
const HEADS: usize = 4;

/// What stands in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Hidden units of the MLPs of two blocks.
    Units(usize, usize),
    /// Coordinates within the value heads of two blocks.
    Values(usize, usize),
    /// Coordinates of the residual stream.
    Residual,
}

/// Units in one order in each model.
pub(super) struct Group {
    pub of: Of,
    views: Vec<(Relations, Relations)>,
    /// Orders in which the suspect's heads may stand; one of one part where there are none.
    heads: Vec<Vec<usize>>,
}

impl Group {
    /// How many.
    pub fn units(&self) -> usize {
        self.views.first().map_or(0, |(x, _)| x.units())
    }

    /// `ln` of the e-value: the mean over orders of heads.
    pub fn ln_evidence(&self) -> f64 {
        let each = self.heads.iter().map(|order| evidence(&self.views, order));
        tails::log_sum_exp(each) - (self.heads.len() as f64).ln()
    }

    /// What the reference beside itself would give.
    pub fn ln_evidence_of_itself(&self) -> f64 {
        let own = self.views.iter().map(|(x, _)| (x.clone(), x.clone()));
        let itself = Self {
            of: self.of,
            views: own.collect(),
            heads: self.heads.clone(),
        };
        itself.ln_evidence()
    }

    /// Mean over views, in the order of heads that gives most.
    pub fn correlation(&self) -> f64 {
        let in_order = |order: &Vec<usize>| {
            let views = self.views.iter();
            let one = views.map(|(x, y)| y.in_order(order).map_or(0.0, |y| x.correlation(&y)));
            one.sum::<f64>() / self.views.len().max(1) as f64
        };
        self.heads
            .iter()
            .map(in_order)
            .fold(f64::NEG_INFINITY, f64::max)
    }
}

fn evidence(views: &[(Relations, Relations)], order: &[usize]) -> f64 {
    let turned = views
        .iter()
        .map(|(x, y)| Some((x.clone(), y.in_order(order)?)));
    let turned: Option<Vec<_>> = turned.collect();
    turned
        .and_then(|views| relations::ln_evidence(&views, order.len()))
        .unwrap_or(0.0)
}

type Stack<'a> = [(usize, &'a SiteActivations)];

/// All orders that both models have, or why there are none.
pub(super) fn groups(a: &Activations, b: &Activations, seed: u64) -> Result<Vec<Group>, String> {
    let shared = Rows::shared(a, b)?;
    let mut groups = Vec::new();
    let mut refused = Vec::new();
    let both = |kind: fn(usize) -> Site| (a.stack(kind), b.stack(kind));
    let (ours, theirs) = both(Site::MlpPre);
    match widths(&ours, &theirs) {
        Some((x, y)) if x == y => groups.extend(units(a, b, &shared, seed)),
        Some((x, y)) => refused.push(format!("{x} and {y} hidden units")),
        None => refused.push("no dense MLP of one of the models was recorded".to_owned()),
    }
    groups.extend(values(a, b, &shared));
    let (ours, theirs) = both(Site::ResidPost);
    match widths(&ours, &theirs) {
        Some((x, y)) if x == y => {
            let pairs = spread(&rows::equal_depth(ours.len(), theirs.len()));
            let views = pairs.into_iter().map(|(i, j)| (ours[i].1, theirs[j].1));
            groups.extend(group(Of::Residual, views, seed));
        }
        Some((x, y)) => refused.push(format!("residual streams of {x} and {y} coordinates")),
        None => refused.push("no block of one of the models was recorded".to_owned()),
    }
    match groups.is_empty() {
        false => Ok(groups),
        true if refused.is_empty() => Err(
            "no unit varies from prompt to prompt, or one holds what is not a number".to_owned(),
        ),
        true => Err(format!(
            "{}: an index means the same only between equal numbers",
            refused.join("; ")
        )),
    }
}

/// Those of MLPs, block by block.
fn units(a: &Activations, b: &Activations, shared: &Rows, seed: u64) -> Vec<Group> {
    let (ours, theirs) = (a.stack(Site::MlpPre), b.stack(Site::MlpPre));
    let one = |(i, j): (usize, usize)| {
        let ((i, x), (j, y)) = (ours[i], theirs[j]);
        let ups = unit_order::up(a, i, x.width).zip(unit_order::up(b, j, y.width));
        let views = [Some((x, y)), ups].into_iter().flatten();
        group(Of::Units(i, j), views, seed)
    };
    let pairs = unit_order::paired(shared, &ours, &theirs);
    pairs.into_iter().filter_map(one).collect()
}

/// Those of values, where both have as many heads of one size.
fn values(a: &Activations, b: &Activations, shared: &Rows) -> Vec<Group> {
    let (ours, theirs) = (a.stack(Site::Value), b.stack(Site::Value));
    let (Some(heads), Some(others)) = (a.key_value_heads, b.key_value_heads) else {
        return Vec::new();
    };
    let fits = |(x, y)| x == y && heads == others && heads > 0 && x % heads == 0;
    if !widths(&ours, &theirs).is_some_and(fits) {
        return Vec::new();
    }
    let one = |(i, j): (usize, usize)| {
        let ((i, x), (j, y)) = (ours[i], theirs[j]);
        let all: Vec<usize> = (0..x.width).collect();
        Some(Group {
            of: Of::Values(i, j),
            views: vec![(own(x, &all)?, own(y, &all)?)],
            heads: orders(shared, x, y, heads),
        })
    };
    let pairs = spread(&unit_order::paired(shared, &ours, &theirs));
    pairs.into_iter().filter_map(one).collect()
}

/// All orders of few heads; of many their own, and that in which heads see prompts most alike (debiased CKA). Neither
/// looks at the order within a head.
fn orders(
    shared: &Rows,
    x: &SiteActivations,
    y: &SiteActivations,
    heads: usize,
) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    if heads <= HEADS {
        for _ in 0..heads {
            let longer = |order: &Vec<usize>| -> Vec<Vec<usize>> {
                let free = (0..heads).filter(|head| !order.contains(head));
                free.map(|head| [&order[..], &[head]].concat()).collect()
            };
            orders = orders.iter().flat_map(longer).collect();
        }
        return orders;
    }
    let size = x.width / heads;
    let grams = |values: &[f32]| -> Vec<Option<CentredGram>> {
        let head = |head: usize| {
            let own: Vec<usize> = (head * size..(head + 1) * size).collect();
            CentredGram::new(&rows::columns(values, x.width, &own), shared.len())
        };
        (0..heads).map(head).collect()
    };
    let (ours, theirs) = (grams(&shared.of_ours(x)), grams(&shared.of_theirs(y)));
    let cka = |x: &Option<CentredGram>, y: &Option<CentredGram>| x.as_ref()?.cka(y.as_ref()?);
    let pairs = ours
        .iter()
        .flat_map(|x| theirs.iter().map(move |y| cka(x, y)));
    let alike: Vec<f64> = pairs.map(|cka| cka.unwrap_or(-1.0)).collect();
    let found = assignment::maximise(&alike, heads, heads).unwrap_or_default();
    let found: Option<Vec<usize>> = found.into_iter().collect();
    let found = found.filter(|order| order.len() == heads);
    let own: Vec<usize> = (0..heads).collect();
    [Some(own), found].into_iter().flatten().collect()
}

/// At most [`STREAMS`] of some pairs, at equal steps.
fn spread(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let most = pairs.len().min(STREAMS);
    (0..most).map(|at| pairs[at * pairs.len() / most]).collect()
}

fn widths(ours: &Stack<'_>, theirs: &Stack<'_>) -> Option<(usize, usize)> {
    Some((ours.first()?.1.width, theirs.first()?.1.width))
}

/// Of units in one order, some of them drawn without a look where they are many.
fn group<'a>(
    of: Of,
    views: impl Iterator<Item = (&'a SiteActivations, &'a SiteActivations)>,
    seed: u64,
) -> Option<Group> {
    let views: Option<Vec<_>> = views
        .map(|(x, y)| {
            let chosen = rows::drawn(x.width, UNITS, seed);
            Some((own(x, &chosen)?, own(y, &chosen)?))
        })
        .collect();
    Some(Group {
        of,
        views: views.filter(|views| !views.is_empty())?,
        heads: vec![vec![0]],
    })
}

/// Relations over an even selection of what the model itself read.
fn own(site: &SiteActivations, chosen: &[usize]) -> Option<Relations> {
    let width = site.width.max(1);
    let rows = site.values.len() / width;
    let most = rows.min(MOST_ROWS);
    let mut values = Vec::with_capacity(most * chosen.len());
    for at in 0..most {
        let row = at * rows / most;
        let row = &site.values[row * width..(row + 1) * width];
        values.extend(chosen.iter().map(|&unit| row[unit]));
    }
    Relations::new(&values, chosen.len())
}
