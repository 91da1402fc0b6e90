//! Blocks in memory, or in files until their turn comes.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Error;
use super::block::Block;
use super::files::Files;
use crate::model::layers::Mode;
use crate::model::spec::{DecoderSpec, RopeSpec};

/// The blocks of a decoder.
#[derive(Debug)]
pub(super) enum Blocks {
    /// All in memory.
    Held(Vec<Block>),
    /// Read one at a time, used, and dropped.
    Streamed(Box<Streamed>),
}

/// Blocks that are read when their turn comes.
#[derive(Debug)]
pub(super) struct Streamed {
    pub files: Files,
    meter: Meter,
}

/// How many blocks are in memory.
#[derive(Debug, Default)]
struct Meter {
    now: AtomicUsize,
    most: AtomicUsize,
    read: AtomicUsize,
}

/// A block whose turn it is.
pub(super) enum Turn<'a> {
    Held(&'a Block),
    Read(Box<Read<'a>>),
}

/// A block that was read, and is gone after its turn.
pub(super) struct Read<'a> {
    block: Block,
    meter: &'a Meter,
}

impl Blocks {
    pub fn streamed(files: Files) -> Self {
        Self::Streamed(Box::new(Streamed {
            files,
            meter: Meter::default(),
        }))
    }

    /// Block `layer`; reads it if it is not held.
    pub fn turn(&self, spec: &DecoderSpec, layer: usize, mode: Mode) -> Result<Turn<'_>, Error> {
        match self {
            Self::Held(blocks) => Ok(Turn::Held(&blocks[layer])),
            Self::Streamed(streamed) => {
                let Streamed { files, meter } = &**streamed;
                meter.begin();
                // Before it is read, so that what is dropped on an error is counted too.
                let block = files.with(|source| Block::new(source, spec, layer, mode));
                let block = block.inspect_err(|_| meter.end())?;
                Ok(Turn::Read(Box::new(Read { block, meter })))
            }
        }
    }

    /// The most blocks that were in memory at once, and how many were read from files.
    pub fn counts(&self) -> (usize, usize) {
        match self {
            Self::Held(blocks) => (blocks.len(), 0),
            Self::Streamed(streamed) => {
                let meter = &streamed.meter;
                let most = meter.most.load(Ordering::Relaxed);
                (most, meter.read.load(Ordering::Relaxed))
            }
        }
    }
}

impl Meter {
    fn begin(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deref for Turn<'_> {
    type Target = Block;

    fn deref(&self) -> &Block {
        match self {
            Self::Held(block) => block,
            Self::Read(read) => &read.block,
        }
    }
}

impl Drop for Read<'_> {
    fn drop(&mut self) {
        self.meter.end();
    }
}

/// The distinct rotary embeddings of a decoder, and which of them each block has.
#[derive(Debug, Default)]
pub(super) struct Ropes {
    pub distinct: Vec<RopeSpec>,
    pub of_block: Vec<Option<usize>>,
}

impl Ropes {
    pub fn of(spec: &DecoderSpec) -> Self {
        let mut ropes = Self::default();
        for layer in &spec.layers {
            let index = layer.rope.as_ref().map(|rope| {
                let known = ropes.distinct.iter().position(|other| other == rope);
                known.unwrap_or_else(|| {
                    ropes.distinct.push(rope.clone());
                    ropes.distinct.len() - 1
                })
            });
            ropes.of_block.push(index);
        }
        ropes
    }
}
