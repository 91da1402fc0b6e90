//! One tensor, read once: every block of bytes is hashed and its numbers are summed up while they are in
//! the processor's cache.

use std::ops::Range;

use twox_hash::xxhash3_128::Hasher;

use super::moments::Accumulator;
use crate::model::Role;
use crate::model::TensorInfo;
use crate::model::Weights;
use crate::model::tensors::Error;
use crate::record::Moments;
use crate::record::TensorFacts;
use crate::source::ProgressTask;

/// Bytes read at a time: they fit into a second-level cache.
const BLOCK_BYTES: usize = 1 << 18;

/// Numbers decoded at a time: they fit into a first-level cache.
const DECODED_ELEMENTS: usize = 1 << 12;

/// Numbers decoded at a time where a view changes them: with the copies that views make, some 16 MiB per
/// thread.
const CHUNK_ELEMENTS: usize = 1 << 20;

/// Memory that a thread uses for one tensor after the other.
#[derive(Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
    values: Vec<f32>,
}

/// Facts about a tensor that is read as a whole, and moments of roles.
type Read = (Option<TensorFacts>, Vec<(Role, Moments)>);

/// A role whose numbers are a stretch of its tensor's, in whatever order.
struct Stretch {
    role: Role,
    elements: Range<usize>,
    sum: Accumulator,
}

/// Facts about a tensor, if it is read as a whole, and moments of its `roles`.
///
/// # Errors
/// A weight file that cannot be read any more.
pub(super) fn tensor(
    weights: &Weights,
    (name, info): (&str, &TensorInfo),
    roles: &[Role],
    scratch: &mut Scratch,
    task: &dyn ProgressTask,
) -> Result<Read, Error> {
    let whole = weights.reads(name);
    let (mut stretches, rest) = stretches(weights, roles.iter().filter(|_| whole));
    let rest = if whole { &rest } else { roles };
    let facts = match whole {
        true => Some(walk(weights, name, info, &mut stretches, scratch, task)?),
        false => None,
    };
    let mut found: Vec<(Role, Moments)> = stretches
        .iter()
        .map(|stretch| (stretch.role, stretch.sum.moments()))
        .collect();
    for role in rest {
        found.push((*role, of_role(weights, role)?));
    }
    Ok((facts, found))
}

/// Roles that are stretches of the tensor and do not overlap, in their order, and the other roles.
fn stretches<'r>(
    weights: &Weights,
    roles: impl Iterator<Item = &'r Role>,
) -> (Vec<Stretch>, Vec<Role>) {
    let (mut found, mut rest) = (Vec::new(), Vec::new());
    for role in roles {
        match weights.stretch(role) {
            Some(elements) => found.push(Stretch {
                role: *role,
                elements,
                sum: Accumulator::default(),
            }),
            None => rest.push(*role),
        }
    }
    found.sort_by_key(|stretch| (stretch.elements.start, stretch.elements.end));
    let mut end = 0;
    let (apart, overlapping): (Vec<Stretch>, Vec<Stretch>) =
        found.into_iter().partition(|stretch| {
            let apart = stretch.elements.start >= end;
            end = end.max(stretch.elements.end);
            apart
        });
    rest.extend(overlapping.iter().map(|stretch| stretch.role));
    (apart, rest)
}

fn common(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// Moments of a role through its view.
pub(super) fn of_role(weights: &Weights, role: &Role) -> Result<Moments, Error> {
    let mut sum = Accumulator::default();
    for chunk in weights.chunks(role, CHUNK_ELEMENTS) {
        sum.add(&Accumulator::of(&chunk?.1));
    }
    Ok(sum.moments())
}

/// Reads all of a tensor, hashes it and sums up its stretches.
fn walk(
    weights: &Weights,
    name: &str,
    info: &TensorInfo,
    stretches: &mut [Stretch],
    scratch: &mut Scratch,
    task: &dyn ProgressTask,
) -> Result<TensorFacts, Error> {
    let dtype = info.dtype;
    let whole_blocks = |bytes: usize| (bytes / dtype.block_bytes).max(1) * dtype.block_bytes;
    let step = whole_blocks(BLOCK_BYTES);
    let decoded = whole_blocks(DECODED_ELEMENTS / dtype.block_elements * dtype.block_bytes);
    scratch.bytes.resize(step, 0);
    let mut hasher = Hasher::new();
    for start in (0..info.size).step_by(step) {
        let bytes = &mut scratch.bytes[..step.min(info.size - start)];
        weights.store().read_bytes(name, start, bytes)?;
        hasher.write(bytes);
        for (part, bytes) in bytes.chunks(decoded).enumerate() {
            let first = (start + part * decoded) / dtype.block_bytes * dtype.block_elements;
            let block = first..first + bytes.len() / dtype.block_bytes * dtype.block_elements;
            let mut touched = stretches
                .iter_mut()
                .filter(|stretch| !common(&stretch.elements, &block).is_empty())
                .peekable();
            if touched.peek().is_none() {
                continue;
            }
            scratch.values.clear();
            weights.store().decode(name, bytes, &mut scratch.values)?;
            for stretch in touched {
                let part = common(&stretch.elements, &block);
                let part = part.start - block.start..part.end - block.start;
                stretch.sum.add(&Accumulator::of(&scratch.values[part]));
            }
        }
        task.advance(bytes.len() as u64);
    }
    Ok(TensorFacts {
        dtype: dtype.name.to_owned(),
        shape: info.shape.clone(),
        fingerprint: format!("{:032x}", hasher.finish_128()),
    })
}
