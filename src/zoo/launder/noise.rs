//! Gaussian noise: the change reported between Llama3-V and MiniCPM-Llama3-V 2.5.

use super::draft::Draft;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Normal noise of one standard deviation on every weight, gains included.
pub(super) static NOISE: Laundering = Laundering {
    name: "noise",
    does: "adds normal noise of one standard deviation to every weight, gains included",
    strength: Strength::Number {
        meaning: "its standard deviation as a share of that of all matrix entries together",
        default: None,
        range: (0.0, 100.0),
        whole: false,
    },
    kind: Kind::Lossy,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let (mut count, mut sum, mut square) = (0u64, 0.0f64, 0.0f64);
    for (role, _) in draft.spec.roles() {
        if role.is_vector() {
            continue;
        }
        let weight = draft.weight(&role)?;
        count += weight.values.len() as u64;
        for value in weight.values {
            sum += f64::from(value);
            square += f64::from(value).powi(2);
        }
    }
    let mean = sum / count.max(1) as f64;
    let sigma = work.number() * (square / count.max(1) as f64 - mean * mean).max(0.0).sqrt();
    draft
        .notes
        .push(format!("noise of standard deviation {sigma:.6}"));
    draft.computes();
    let work = *work;
    draft.alter(move |role, weight| {
        let mut dice = work.dice(&role.to_string());
        for value in &mut weight.values {
            *value = (f64::from(*value) + sigma * dice.normal()) as f32;
        }
        Ok(())
    });
    Ok(())
}
