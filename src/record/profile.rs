//! One streamed pass over a model's weights: a hash of every stored tensor, moments of every role.

use std::collections::BTreeMap;

use rayon::prelude::*;
use sha2::Digest;
use sha2::Sha256;

use super::Error;
use super::Moments;
use super::TensorFacts;
use super::WeightProfile;
use crate::model;
use crate::model::Model;
use crate::model::Role;
use crate::model::TensorInfo;
use crate::model::Weights;
use crate::source::Progress;
use crate::source::ProgressTask;

/// Bytes hashed at a time.
const HASH_BYTES: usize = 1 << 20;

/// Numbers decoded at a time: with the copies that views make, some 16 MiB per thread.
const CHUNK_ELEMENTS: usize = 1 << 20;

/// Reads all of a model's weights once (of a sampled model, what is in the sample), tensors in
/// parallel, and keeps what evidence is drawn from.
///
/// Memory is bounded by threads, not by the model: each thread holds one chunk of one tensor. The
/// result does not depend on the number of threads, since the chunks of a role are always the same
/// and are put together in order.
///
/// # Errors
/// A weight file that cannot be read any more.
pub fn profile(model: &Model, progress: &dyn Progress) -> Result<WeightProfile, Error> {
    let weights = &model.weights;
    let mut of_tensor: BTreeMap<&str, Vec<Role>> = BTreeMap::new();
    for role in weights.roles() {
        if let Some(binding) = weights.binding(role) {
            of_tensor.entry(&binding.tensor).or_default().push(*role);
        }
    }
    let wanted = |name: &str| weights.reads(name) || of_tensor.contains_key(name);
    let tensors = weights.store().iter().filter(|(name, _)| wanted(name));
    let tensors: Vec<(&str, &TensorInfo)> = tensors.collect();
    let whole = tensors.iter().filter(|(name, _)| weights.reads(name));
    let bytes = whole.map(|(_, info)| info.size as u64).sum();
    let task = progress.start("weights", bytes);
    let read: Result<Vec<_>, model::tensors::Error> = tensors
        .par_iter()
        .map(|(name, info)| {
            let facts = match weights.reads(name) {
                true => Some(facts(weights, name, info, task.as_ref())?),
                false => None,
            };
            // Right after the hash: the bytes are still in the system's cache.
            let roles = of_tensor.get(name).map(Vec::as_slice).unwrap_or_default();
            let moments: Result<Vec<_>, _> = roles
                .iter()
                .map(|role| Ok((*role, moments(weights, role)?)))
                .collect();
            Ok((*name, facts, moments?))
        })
        .collect();
    let mut profile = WeightProfile {
        tensors: BTreeMap::new(),
        roles: BTreeMap::new(),
    };
    for (name, facts, moments) in read.map_err(model::Error::from)? {
        profile
            .tensors
            .extend(facts.map(|facts| (name.to_owned(), facts)));
        profile.roles.extend(moments);
    }
    Ok(profile)
}

/// The profile of the same stored tensors under the roles that `model` has now: what was read of the
/// tensors is kept, moments of roles are taken anew.
///
/// # Errors
/// A weight file that cannot be read any more.
pub fn with_roles(profile: &WeightProfile, model: &Model) -> Result<WeightProfile, Error> {
    let roles: Vec<&Role> = model.weights.roles().collect();
    let read: Result<BTreeMap<Role, Moments>, model::tensors::Error> = roles
        .par_iter()
        .map(|role| Ok((**role, moments(&model.weights, role)?)))
        .collect();
    Ok(WeightProfile {
        tensors: profile.tensors.clone(),
        roles: read.map_err(model::Error::from)?,
    })
}

/// The profile of a test model, without a progress bar.
#[cfg(test)]
pub(crate) fn of_test_model(model: &Model) -> WeightProfile {
    profile(model, &crate::source::Silent).unwrap()
}

fn facts(
    weights: &Weights,
    name: &str,
    info: &TensorInfo,
    task: &dyn ProgressTask,
) -> Result<TensorFacts, model::tensors::Error> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; info.size.min(HASH_BYTES)];
    for start in (0..info.size).step_by(HASH_BYTES) {
        let length = HASH_BYTES.min(info.size - start);
        let bytes = &mut buffer[..length];
        weights.store().read_bytes(name, start, bytes)?;
        hasher.update(&*bytes);
        task.advance(length as u64);
    }
    let digest = hasher.finalize();
    Ok(TensorFacts {
        dtype: info.dtype.name.to_owned(),
        shape: info.shape.clone(),
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// Moments of the finite numbers of a role.
fn moments(weights: &Weights, role: &Role) -> Result<Moments, model::tensors::Error> {
    let mut sum = Accumulator::default();
    for chunk in weights.chunks(role, CHUNK_ELEMENTS) {
        sum.add(&Accumulator::of(&chunk?.1));
    }
    Ok(sum.moments())
}

/// Count, mean and sum of squared deviations, which merge without cancellation.
///
/// Reference: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
/// sample variances", 1982.
#[derive(Debug, Clone, Copy)]
struct Accumulator {
    count: u64,
    mean: f64,
    deviation: f64,
    min: f64,
    max: f64,
}

impl Default for Accumulator {
    fn default() -> Self {
        Self {
            count: 0,
            mean: 0.0,
            deviation: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

/// Sums kept side by side, so that one addition need not wait for the last.
const LANES: usize = 8;

/// Running sums of the distances from `shift`, one per lane.
struct Sums {
    shift: f64,
    count: [u64; LANES],
    sum: [f64; LANES],
    square: [f64; LANES],
    min: [f32; LANES],
    max: [f32; LANES],
}

impl Sums {
    /// A number that is none adds nothing; the choices compile to selects, not jumps.
    fn take(&mut self, values: &[f32]) {
        for (lane, value) in values.iter().enumerate() {
            let finite = value.is_finite();
            let distance = if finite {
                f64::from(*value) - self.shift
            } else {
                0.0
            };
            self.count[lane] += u64::from(finite);
            self.sum[lane] += distance;
            self.square[lane] += distance * distance;
            self.min[lane] = if finite {
                self.min[lane].min(*value)
            } else {
                self.min[lane]
            };
            self.max[lane] = if finite {
                self.max[lane].max(*value)
            } else {
                self.max[lane]
            };
        }
    }
}

impl Accumulator {
    /// One pass over one chunk, in f64, around its first number: what cancels is no larger than the
    /// spread.
    fn of(values: &[f32]) -> Self {
        let shift = values.iter().find(|value| value.is_finite());
        let Some(shift) = shift else {
            return Self::default();
        };
        let mut sums = Sums {
            shift: f64::from(*shift),
            count: [0; LANES],
            sum: [0.0; LANES],
            square: [0.0; LANES],
            min: [f32::INFINITY; LANES],
            max: [f32::NEG_INFINITY; LANES],
        };
        let (blocks, rest) = values.as_chunks::<LANES>();
        blocks.iter().for_each(|block| sums.take(block));
        sums.take(rest);
        let count: u64 = sums.count.iter().sum();
        let sum: f64 = sums.sum.iter().sum();
        let square: f64 = sums.square.iter().sum();
        let offset = sum / count as f64;
        Self {
            count,
            mean: sums.shift + offset,
            deviation: (square - sum * offset).max(0.0),
            min: sums
                .min
                .iter()
                .copied()
                .fold(f32::INFINITY, f32::min)
                .into(),
            max: sums
                .max
                .iter()
                .copied()
                .fold(f32::NEG_INFINITY, f32::max)
                .into(),
        }
    }

    fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let total = ours + theirs;
        let shift = other.mean - self.mean;
        self.mean += shift * theirs / total;
        self.deviation += other.deviation + shift * shift * ours * theirs / total;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn moments(&self) -> Moments {
        if self.count == 0 {
            return Moments {
                count: 0,
                mean: 0.0,
                std: 0.0,
                min: 0.0,
                max: 0.0,
            };
        }
        Moments {
            count: self.count,
            mean: self.mean,
            std: (self.deviation / self.count as f64).sqrt(),
            min: self.min,
            max: self.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Accumulator;

    #[test]
    fn chunks_add_up_to_the_whole() {
        // A large offset: naive sums of squares in f32 lose everything here.
        let values: Vec<f32> = (0..10_000)
            .map(|i| 1000.0 + (i % 7) as f32 * 0.25)
            .collect();
        let whole = Accumulator::of(&values).moments();
        let mut parts = Accumulator::default();
        for chunk in values.chunks(333) {
            parts.add(&Accumulator::of(chunk));
        }
        let parts = parts.moments();
        assert_eq!(
            (whole.count, whole.min, whole.max),
            (10_000, 1000.0, 1001.5)
        );
        assert!((whole.mean - parts.mean).abs() < 1e-9);
        assert!((whole.std - parts.std).abs() < 1e-9);
        assert!((whole.std - 0.5).abs() < 1e-3, "{}", whole.std);
    }

    #[test]
    fn numbers_that_are_none_are_left_out() {
        let moments = Accumulator::of(&[1.0, f32::NAN, 3.0, f32::INFINITY]).moments();
        assert_eq!((moments.count, moments.mean, moments.std), (2, 2.0, 1.0));
        assert_eq!(Accumulator::of(&[]).moments().count, 0);
    }
}
