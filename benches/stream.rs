//! How fast the streamed pass over a model's weights is, beside reading and decoding the same files.
//!
//! `cargo bench --bench stream -- MODEL… [--threads N] [--rounds N]`; a model is a folder or file.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use kinprobe::model::Model;
use kinprobe::record;
use kinprobe::source;
use kinprobe::source::ModelRef;
use kinprobe::source::OpenOptions;
use kinprobe::source::Silent;
use rayon::prelude::*;

/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

fn main() -> Result<()> {
    let (mut models, mut threads, mut rounds) = (Vec::new(), 1, 7);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<usize> {
            let value = words.next().context("a number is missing")?;
            Ok(value.parse()?)
        };
        match word.as_str() {
            // Cargo adds it.
            "--bench" => {}
            "--threads" => threads = number()?,
            "--rounds" => rounds = number()?,
            _ => models.push(word),
        }
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?;
    if models.is_empty() {
        println!("usage: cargo bench --bench stream -- MODEL… [--threads N] [--rounds N]");
    }
    for model in models {
        let reference: ModelRef = model.parse()?;
        let artefacts = source::open(&reference, &OpenOptions::from_env())?;
        let model = Model::open(artefacts, "model")?;
        pool.install(|| measure(&model, threads, rounds))?;
    }
    Ok(())
}

/// One pass over a model.
type Step = fn(&Model) -> Result<()>;

/// Alternates the four, so that what else the machine does falls on all of them.
fn measure(model: &Model, threads: usize, rounds: usize) -> Result<()> {
    let bytes: u64 = model.artefacts.weights.iter().map(|file| file.size).sum();
    let steps: [(&str, Step); 4] = [
        ("read", read),
        ("read and decode", decode),
        ("read and hash", hash),
        ("weight profile", profile),
    ];
    let mut seconds: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds.max(1) {
        for ((_, step), seconds) in steps.iter().zip(&mut seconds) {
            let start = Instant::now();
            step(model)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let medians = seconds.map(median);
    println!(
        "{}: {:.1} MB, {threads} thread(s), {rounds} rounds, medians",
        model.artefacts.reference,
        bytes as f64 / 1e6
    );
    for ((name, _), seconds) in steps.iter().zip(medians) {
        let rate = bytes as f64 / 1e9 / seconds;
        println!("  {name:16} {:8.1} ms  {rate:5.2} GB/s", seconds * 1e3);
    }
    println!(
        "  throughput of the profile as a share of reading and decoding: {:.2}",
        medians[1] / medians[3]
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What `cat FILE > /dev/null` does.
fn read(model: &Model) -> Result<()> {
    model.artefacts.weights.par_iter().try_for_each(|weights| {
        let mut file = File::open(&weights.path)?;
        let mut block = vec![0; BLOCK];
        while file.read(&mut block)? > 0 {
            black_box(&block);
        }
        Ok(())
    })
}

/// Every number as f32, in the simplest correct loop over memory that is used again.
fn decode(model: &Model) -> Result<()> {
    let store = model.weights.store();
    let tensors: Vec<_> = store.iter().collect();
    let start = || (vec![0; BLOCK], Vec::new());
    tensors
        .par_iter()
        .try_for_each_init(start, |(block, values), (name, info)| {
            let width = match info.dtype.name {
                "BF16" | "F16" => 2,
                "F32" => 4,
                _ => 0,
            };
            if width == 0 {
                let step = BLOCK / info.dtype.block_bytes * info.dtype.block_elements;
                for at in (0..info.elements).step_by(step) {
                    black_box(store.elements(name, at..info.elements.min(at + step))?);
                }
                return Ok(());
            }
            for at in (0..info.size).step_by(BLOCK) {
                let bytes = &mut block[..BLOCK.min(info.size - at)];
                store.read_bytes(name, at, bytes)?;
                values.clear();
                match info.dtype.name {
                    "F32" => values.extend(quads(bytes).map(f32::from_le_bytes)),
                    "F16" => values
                        .extend(pairs(bytes).map(|raw| half::f16::from_le_bytes(raw).to_f32())),
                    _ => values
                        .extend(pairs(bytes).map(|raw| half::bf16::from_le_bytes(raw).to_f32())),
                }
                black_box(&values);
            }
            Ok(())
        })
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = [u8; 2]> + '_ {
    bytes.as_chunks().0.iter().copied()
}

fn quads(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.as_chunks().0.iter().copied()
}

/// The fingerprint alone, which is part of the profile.
fn hash(model: &Model) -> Result<()> {
    let store = model.weights.store();
    let tensors: Vec<_> = store.iter().collect();
    tensors.par_iter().try_for_each_init(
        || vec![0; BLOCK],
        |block, (name, info)| {
            let mut hasher = twox_hash::xxhash3_128::Hasher::new();
            for at in (0..info.size).step_by(BLOCK) {
                let bytes = &mut block[..BLOCK.min(info.size - at)];
                store.read_bytes(name, at, bytes)?;
                hasher.write(bytes);
            }
            black_box(hasher.finish_128());
            Ok(())
        },
    )
}

fn profile(model: &Model) -> Result<()> {
    black_box(record::profile(model, &Silent)?);
    Ok(())
}
