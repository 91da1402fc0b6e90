//! Two models in one.

use crate::model::Model;
use crate::model::Role;

use super::super::checkpoint::Matrix;
use super::Error;
use super::draft::Draft;
use super::draft::Source;
use super::matrix::uniform;
use super::prune::smallest;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

const SHARE: Strength = Strength::Number {
    meaning: "weight of the other model",
    default: Some(0.5),
    range: (0.0, 1.0),
    whole: false,
};

/// Weighted mean.
pub(super) static LINEAR: Laundering = Laundering {
    name: "merge-linear",
    does: "weighted mean with --other",
    strength: SHARE,
    kind: Kind::Lossy,
    apply: |draft, work| {
        let share = work.number();
        mix(draft, work, move |_, mine, theirs| {
            let pairs = mine.iter().zip(theirs);
            Ok(pairs.map(|(a, b)| (1.0 - share) * a + share * b).collect())
        })
    },
};

/// Along the arc between the two (Shoemake, "Animating rotation with quaternion curves", SIGGRAPH
/// 1985), tensor by tensor.
pub(super) static SLERP: Laundering = Laundering {
    name: "merge-slerp",
    does: "mean with --other along the arc between them, tensor by tensor",
    strength: SHARE,
    kind: Kind::Lossy,
    apply: |draft, work| {
        let share = work.number();
        mix(draft, work, move |_, mine, theirs| {
            Ok(slerp(mine, theirs, share))
        })
    },
};

/// Yadav, Tam, Choshen, Raffel and Bansal, "TIES-Merging", NeurIPS 2023 (arXiv 2306.01708).
pub(super) static TIES: Laundering = Laundering {
    name: "merge-ties",
    does: "adds to --base what the model and --other learned, trimmed, where the signs agree (TIES)",
    strength: Strength::Number {
        meaning: "share of each difference that is kept",
        default: Some(0.2),
        range: (0.0, 1.0),
        whole: false,
    },
    kind: Kind::Lossy,
    apply: |draft, work| {
        let density = work.number();
        mix_with_base(draft, work, move |_, base, mine, theirs| {
            ties(base, &[mine, theirs], density)
        })
    },
};

/// Yu, Yu, Yu, Huang and Li, "Language models are super Mario", ICML 2024 (arXiv 2311.03099).
pub(super) static DARE: Laundering = Laundering {
    name: "merge-dare",
    does: "adds to --base the mean of what the model and --other learned, randomly thinned and \
           rescaled (DARE)",
    strength: Strength::Number {
        meaning: "share of each difference that is dropped",
        default: Some(0.5),
        range: (0.0, 0.999),
        whole: false,
    },
    kind: Kind::Lossy,
    apply: |draft, work| {
        let (drop, dice_of) = (work.number(), *work);
        mix_with_base(draft, work, move |role, base, mine, theirs| {
            let mut merged = base.to_vec();
            for (name, model) in [("mine", mine), ("theirs", theirs)] {
                let mut dice = dice_of.dice(&format!("{name} {role}"));
                for ((sum, start), end) in merged.iter_mut().zip(base).zip(model) {
                    if uniform(&mut dice) >= drop {
                        *sum += (end - start) / (1.0 - drop) / 2.0;
                    }
                }
            }
            merged
        })
    },
};

type Numbers = Vec<f64>;

fn mix<'a>(
    draft: &mut Draft<'a>,
    work: &Work<'a>,
    formula: impl Fn(&Role, &[f64], &[f64]) -> Result<Numbers, Error> + 'a,
) -> Result<(), Refusal> {
    let other = partner(draft, work.other, "--other")?;
    draft.computes();
    draft.wrap(move |inner, role| {
        let mine = inner(role)?;
        let theirs = doubles(&|role| other.weight(role), role)?;
        let shape = mine.shape.clone();
        let mine: Numbers = mine.values.into_iter().map(f64::from).collect();
        Ok(single(shape, formula(role, &mine, &theirs)?))
    });
    Ok(())
}

fn mix_with_base<'a>(
    draft: &mut Draft<'a>,
    work: &Work<'a>,
    formula: impl Fn(&Role, &[f64], &[f64], &[f64]) -> Numbers + 'a,
) -> Result<(), Refusal> {
    let base = partner(draft, work.base, "--base")?;
    mix(draft, work, move |role, mine, theirs| {
        let base = doubles(&|role| base.weight(role), role)?;
        Ok(formula(role, &base, mine, theirs))
    })
}

/// A second model, which must have the same weights by role and shape.
fn partner<'a>(
    draft: &Draft<'_>,
    model: Option<&'a Model>,
    flag: &str,
) -> Result<Draft<'a>, Refusal> {
    let model = model.ok_or_else(|| format!("name the second model with {flag}"))?;
    let other = Draft::of(model)?;
    if other.spec.roles() != draft.spec.roles() {
        return Err(format!("{flag} does not have the same weights by role and shape").into());
    }
    Ok(other)
}

fn doubles(source: &Source<'_>, role: &Role) -> Result<Numbers, Error> {
    Ok(source(role)?.values.into_iter().map(f64::from).collect())
}

fn single(shape: Vec<usize>, values: Numbers) -> Matrix {
    Matrix {
        shape,
        values: values.into_iter().map(|value| value as f32).collect(),
    }
}

/// `sin((1-t)w)/sin(w) a + sin(t w)/sin(w) b` with `w` the angle between them; the straight mean
/// where they are all but parallel.
pub(super) fn slerp(a: &[f64], b: &[f64], t: f64) -> Numbers {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    let angle = libm::acos((dot(a, b) / norms).clamp(-1.0, 1.0));
    let sine = libm::sin(angle);
    let (of_a, of_b) = if norms > 0.0 && sine > 1e-6 {
        (
            libm::sin((1.0 - t) * angle) / sine,
            libm::sin(t * angle) / sine,
        )
    } else {
        (1.0 - t, t)
    };
    a.iter().zip(b).map(|(x, y)| of_a * x + of_b * y).collect()
}

/// Trim: of each difference from `base`, the largest `density` stays. Elect: each number's sign is
/// that of the sum. Merge: the mean of those that have it.
pub(super) fn ties(base: &[f64], models: &[&[f64]], density: f64) -> Numbers {
    let dropped = base.len() - (density * base.len() as f64).round() as usize;
    let trimmed: Vec<Numbers> = models
        .iter()
        .map(|model| {
            let mut task: Numbers = model.iter().zip(base).map(|(m, b)| m - b).collect();
            let sizes: Vec<f32> = task.iter().map(|value| *value as f32).collect();
            for index in smallest(&sizes, dropped) {
                task[index] = 0.0;
            }
            task
        })
        .collect();
    let merged = base.iter().enumerate().map(|(at, start)| {
        let sign: f64 = trimmed.iter().map(|task| task[at]).sum();
        let agreeing = trimmed
            .iter()
            .map(|task| task[at])
            .filter(|x| x * sign > 0.0);
        let (count, sum) = agreeing.fold((0u32, 0.0), |(n, sum), x| (n + 1, sum + x));
        start + sum / f64::from(count.max(1))
    });
    merged.collect()
}
