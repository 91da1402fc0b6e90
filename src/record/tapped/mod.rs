//! What happens inside a model while it reads a suite's prompts, at any sites: a folder of safetensors files
//! and a manifest that says which row is which prompt's.
//!
//! Another program can write such a folder, too: [`Manifest`] is all that is needed to hold a model that ran
//! elsewhere against one that ran here.

mod held;
mod listener;
mod manifest;
mod pool;
mod read;
mod shards;
mod whole;

pub use manifest::Heard;
pub use manifest::MANIFEST;
pub use manifest::Manifest;
pub use manifest::Missing;
pub use manifest::SCHEMA;
pub use manifest::Shard;
pub use pool::Pool;
pub use read::Tapped;
pub(in crate::record) use read::beside;
pub use read::read;
pub(in crate::record) use shards::hex;
pub use whole::Whole;

use std::path::Path;

use super::Activations;
use super::Error;
use super::identity::prompt_hash;
use super::runner::Failure;
use crate::model::Model;
use crate::model::Site;
use crate::probe::Item;
use crate::probe::Suite;
use crate::source::Progress;
use listener::Listener;
use listener::Rows;
use shards::Shards;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    /// In the order of a forward pass.
    pub sites: Vec<Site>,
    /// Which rows of them.
    pub pool: Pool,
}

/// Reads every prompt of `suite` that `folder` does not hold yet and keeps what is at the taps; the same
/// command goes on where an interrupted one stopped.
///
/// # Errors
/// A model that cannot be run, a suite of pictures, a site whose rows have no fixed width, prompts too long to
/// be kept whole, or a folder that holds something else.
pub fn tap(
    model: &Model,
    suite: &Suite,
    taps: &Taps,
    (folder, memory): (&Path, Option<u64>),
    progress: &dyn Progress,
) -> Result<Manifest, Error> {
    let reading = Reading::of(model, suite, taps)?;
    let mut manifest = Manifest::begun(model, suite, taps, reading.whole);
    let mut shards = Shards::open(folder, &manifest, &suite.items)?;
    let left = &suite.items[shards.items()..];
    if !left.is_empty() {
        let task = progress.start(&suite.id, bytes(left));
        reading.all(left, memory, |chunk, rows| {
            shards.append(&taps.sites, rows)?;
            task.advance(bytes(chunk));
            Ok(())
        })?;
    }
    shards.finish(&mut manifest)?;
    Ok(manifest)
}

/// The same of all prompts at once and in memory; prompts that the model cannot read have no row.
///
/// # Errors
/// Those of [`tap`] but for folders.
pub fn hear(model: &Model, suite: &Suite, taps: &Taps) -> Result<Activations, Error> {
    let reading = Reading::of(model, suite, taps)?;
    let mut heard = Vec::new();
    reading.all(&suite.items, None, |_, rows| {
        heard.extend(rows.into_iter().flatten());
        Ok(())
    })?;
    let manifest = Manifest::begun(model, suite, taps, reading.whole);
    Ok(held::activations(manifest, &taps.sites, heard))
}

fn bytes(items: &[Item]) -> u64 {
    items.iter().map(|item| item.prompt.len() as u64).sum()
}

/// What is read of a model.
struct Reading<'a> {
    model: &'a Model,
    taps: &'a Taps,
    whole: Option<Whole>,
}

impl<'a> Reading<'a> {
    fn of(model: &'a Model, suite: &Suite, taps: &'a Taps) -> Result<Self, Error> {
        if suite.shows_pictures() {
            return Err(Error::Pictures {
                suite: suite.id.clone(),
            });
        }
        pool::stackable(&taps.sites, taps.pool).map_err(Error::NotRunnable)?;
        let whole = match taps.pool {
            Pool::Whole => Some(Whole::of(model, &suite.items)?),
            Pool::Last | Pool::Mean | Pool::All => None,
        };
        Ok(Self { model, taps, whole })
    }

    /// `items`, as many at a time as fit into `memory`; `keep` takes each lot of them with its rows.
    fn all(
        &self,
        mut items: &[Item],
        memory: Option<u64>,
        mut keep: impl FnMut(&[Item], Vec<One>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let listener = Listener::load_within(self.model, &self.taps.sites, self.whole, memory)?;
        while !items.is_empty() {
            let (chunk, rest) = items.split_at(listener.together(items, self.taps));
            let rows = listener.listen(chunk, self.taps)?;
            keep(chunk, heard(chunk, rows)?)?;
            items = rest;
        }
        Ok(())
    }
}

/// A prompt's rows, or why there are none.
type One = Result<(Heard, Rows), Missing>;

/// Of each prompt.
fn heard(items: &[Item], rows: Vec<Result<Rows, Failure>>) -> Result<Vec<One>, Error> {
    let one = |(item, rows): (&Item, Result<Rows, Failure>)| match rows {
        Ok(rows) => {
            let heard = Heard {
                item: item.id.clone(),
                prompt_sha256: prompt_hash(item),
                offsets: rows.offsets.clone(),
            };
            Ok(Ok((heard, rows)))
        }
        Err(Failure::Item(reason)) => Ok(Err(Missing {
            item: item.id.clone(),
            reason,
        })),
        Err(Failure::Run(error)) => Err(error),
    };
    items.iter().zip(rows).map(one).collect()
}
