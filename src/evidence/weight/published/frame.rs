//! What all published methods share: a measure with its null, what was read of a model kept for the
//! next comparison, rows picked out of large matrices.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use candle_core::{Device, Tensor};

use crate::evidence::control::Controls;
use crate::evidence::{Error, Finding, Outcome, Pair, Subject, Table};
use crate::model::{Model, Role, Weights};

/// Numbers decoded at a time where rows are picked: 16 MiB as f32.
const BLOCK_ELEMENTS: usize = 1 << 22;

/// What a published measure gives for two models.
#[derive(Debug, Clone, Default)]
pub(super) struct Score {
    pub statistic: f64,
    pub n: u64,
    /// Only where the published test is valid.
    pub log10_p: Option<f64>,
    pub details: BTreeMap<&'static str, f64>,
    pub explanation: String,
    pub caveats: Vec<String>,
    pub table: Option<Table>,
}

/// A score, or in words why there is none.
pub(super) type Found = Result<Result<Score, String>, Error>;

/// Measures the pair and every pair whose relation is known; `null` says what the published method
/// holds itself against.
pub(super) fn assess(
    pair: &Pair<'_>,
    null: &str,
    measure: impl Fn(Subject<'_>, Subject<'_>) -> Found,
) -> Result<Outcome, Error> {
    let score = match measure(pair.reference, pair.suspect)? {
        Ok(score) if score.statistic.is_finite() => score,
        Ok(_) => {
            return Ok(Outcome::NotApplicable(
                "numbers of the two models are not finite".to_owned(),
            ));
        }
        Err(reason) => return Ok(Outcome::NotApplicable(reason)),
    };
    let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
        let score = measure(a, b)?.ok().map(|score| score.statistic);
        Ok(score.filter(|statistic| statistic.is_finite()))
    })?;
    let mut details = controls.details(score.statistic);
    details.extend(score.details);
    let mut caveats = score.caveats;
    caveats.extend(controls.caveats());
    Ok(Outcome::Measured(Box::new(Finding {
        statistic: score.statistic,
        n: score.n,
        null: format!("{null}; {}", controls.words(score.statistic)),
        log10_p: score.log10_p,
        interval: None,
        details,
        explanation: score.explanation,
        caveats,
        controls: controls.list,
        figures: Vec::new(),
        table: score.table,
    })))
}

/// What was read of each model, read once for all comparisons of one assessment.
pub(super) struct Once<T> {
    read: RefCell<BTreeMap<usize, Rc<T>>>,
}

impl<T> Once<T> {
    pub fn new() -> Self {
        Self {
            read: RefCell::new(BTreeMap::new()),
        }
    }

    /// What `read` gives for `model`, or gave before.
    pub fn of(
        &self,
        model: &Model,
        read: impl FnOnce(&Model) -> Result<T, Error>,
    ) -> Result<Rc<T>, Error> {
        // A model stays where it is while it is assessed: its address names it.
        let key = std::ptr::from_ref(model).addr();
        if let Some(known) = self.read.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let fresh = Rc::new(read(model)?);
        self.read.borrow_mut().insert(key, Rc::clone(&fresh));
        Ok(fresh)
    }
}

/// Blocks of a model, by its tensors' roles.
pub(super) fn depth(weights: &Weights) -> usize {
    let layers = weights.roles().filter_map(|role| role.layer);
    layers.max().map_or(0, |last| last as usize + 1)
}

/// A whole role as stored, `(out, in)`, f32; `None` where it is not bound.
pub(super) fn matrix(weights: &Weights, role: &Role) -> Result<Option<Tensor>, Error> {
    let Some(shape) = weights.shape(role) else {
        return Ok(None);
    };
    Ok(Some(Tensor::from_vec(
        weights.all(role)?,
        shape,
        &Device::Cpu,
    )?))
}

/// The rows `ids` of a role as stored, in that order, `[ids, columns]`; `None` where it is not bound
/// or lacks one of them.
pub(super) fn rows(weights: &Weights, role: &Role, ids: &[usize]) -> Result<Option<Tensor>, Error> {
    let Some((height, width)) = weights.shape(role) else {
        return Ok(None);
    };
    if ids.iter().any(|id| *id >= height) {
        return Ok(None);
    }
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_unstable_by_key(|place| ids[*place]);
    let mut picked = vec![0.0f32; ids.len() * width];
    let mut next = order.into_iter().peekable();
    for block in weights.chunks(role, BLOCK_ELEMENTS) {
        let (range, values) = block?;
        while let Some(place) = next.next_if(|place| range.contains(&ids[*place])) {
            let from = (ids[place] - range.start) * width;
            picked[place * width..(place + 1) * width].copy_from_slice(&values[from..from + width]);
        }
    }
    Ok(Some(Tensor::from_vec(
        picked,
        (ids.len(), width),
        &Device::Cpu,
    )?))
}

/// A tensor's numbers in double precision, row-major.
pub(super) fn doubles(tensor: &Tensor) -> Result<Vec<f64>, Error> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.into_iter().map(f64::from).collect())
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evidence::Evidence;
    use crate::evidence::toy::{Open, pair};
    use crate::model::Part;
    use crate::model::toy::{Dims, Toy};

    /// What `method` says of two toys.
    pub fn outcome(method: &dyn Evidence, reference: &Toy, suspect: &Toy) -> Outcome {
        let (a, b) = (Open::new(reference), Open::new(suspect));
        method.assess(&pair(&a, &b)).unwrap()
    }

    /// The finding of two toys to which the method applies.
    pub fn finding(method: &dyn Evidence, reference: &Toy, suspect: &Toy) -> Finding {
        match outcome(method, reference, suspect) {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    /// Why it does not apply.
    pub fn reason(method: &dyn Evidence, reference: &Toy, suspect: &Toy) -> String {
        match outcome(method, reference, suspect) {
            Outcome::NotApplicable(reason) => reason,
            Outcome::Measured(finding) => panic!("{}", finding.statistic),
        }
    }

    #[test]
    fn rows_come_in_the_order_asked_for() {
        let toy = Toy::new(1, Dims::default());
        let role = Role::layer(2, Part::Up);
        let (model, _folder) = toy.open();
        let picked = rows(&model.weights, &role, &[7, 0, 31]).unwrap().unwrap();
        let (_, width, values) = &toy.tensors[&role];
        let expected = [7, 0, 31].map(|row| values[row * width..(row + 1) * width].to_vec());
        assert_eq!(picked.to_vec2::<f32>().unwrap(), expected);
        assert!(rows(&model.weights, &role, &[48]).unwrap().is_none());
    }

    #[test]
    fn a_model_is_read_once() {
        let (model, _folder) = Toy::new(1, Dims::default()).open();
        let (once, reads) = (Once::new(), std::cell::Cell::new(0));
        for _ in 0..3 {
            let read = |model: &Model| {
                reads.set(reads.get() + 1);
                Ok(model.label.clone())
            };
            assert_eq!(*once.of(&model, read).unwrap(), "toy-1");
        }
        assert_eq!(reads.get(), 1);
    }
}
