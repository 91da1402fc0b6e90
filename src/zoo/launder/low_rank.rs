//! A random change of low rank: what merging low-rank adapters does to the numbers.

use super::draft::Draft;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Size of the change, as a share of the matrix's own (root mean square).
const SIZE: f64 = 0.1;

/// After Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022): `W + B A`.
pub(super) static LOW_RANK: Laundering = Laundering {
    name: "low-rank",
    does: "adds to every matrix inside a block a random product of that rank, a tenth of its size",
    strength: Strength::Number {
        meaning: "rank",
        default: Some(8.0),
        range: (1.0, 4096.0),
        whole: true,
    },
    kind: Kind::Lossy,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let rank = work.number() as usize;
    let inside = |role: &crate::model::Role| role.layer.is_some() && !role.is_vector();
    let smallest = draft.spec.roles().into_iter();
    let smallest = smallest
        .filter(|(role, _)| inside(role))
        .map(|(_, (rows, columns))| rows.min(columns))
        .min()
        .unwrap_or(0);
    if rank > smallest {
        return Err(format!("a matrix has only {smallest} directions").into());
    }
    draft.computes();
    let work = *work;
    draft.alter(move |role, weight| {
        if !inside(role) {
            return Ok(());
        }
        let columns = weight.shape.last().copied().unwrap_or(1).max(1);
        let rows = weight.values.len() / columns;
        let square: f64 = weight.values.iter().map(|w| f64::from(*w).powi(2)).sum();
        let size = SIZE * (square / weight.values.len().max(1) as f64).sqrt();
        let mut dice = work.dice(&role.to_string());
        let mut normal = |n: usize| -> Vec<f64> { (0..n).map(|_| dice.normal()).collect() };
        let (left, right) = (normal(rows * rank), normal(rank * columns));
        let scale = size / (rank as f64).sqrt();
        for (at, value) in weight.values.iter_mut().enumerate() {
            let (row, column) = (at / columns, at % columns);
            let terms = (0..rank).map(|k| left[row * rank + k] * right[k * columns + column]);
            *value = (f64::from(*value) + scale * terms.sum::<f64>()) as f32;
        }
        Ok(())
    });
    Ok(())
}
