//! The reference with more and more noise: what a size of noise does to its answers.

use anyhow::Result;

use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Dossier;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::probe::Item;
use crate::probe::Suite;
use crate::record;
use crate::record::Record;
use crate::record::Recording;
use crate::report::demo::story::Ladder;
use crate::report::demo::story::Rung;
use crate::source;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::zoo::checkpoint::Checkpoint;
use crate::zoo::transform::add_noise;

/// Sizes of noise, as multiples of the one that was found.
const TIMES: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// Pictures that are shown again.
const PICTURES: usize = 96;

/// Of the noise: another one than any suspect's.
const SEED: u64 = 4001;

/// Gives the reference noise around `sigma`, asks some of `suite` again, and puts the suspect beside it.
///
/// # Errors
/// Weights that cannot be read or written, answers that cannot be kept.
pub fn ladder(bench: &Bench<'_>, pair: [&Dossier; 2], suite: &Suite, sigma: f64) -> Result<Ladder> {
    let [reference, suspect] = pair.map(|dossier| of(&dossier.recordings, suite));
    let some = suite.reduced(PICTURES);
    let rung = |sigma: f64, answers: &[Record]| {
        let answer = |records: &[Record], item: &Item| -> Option<Record> {
            let mut records = records.iter();
            records.find(|record| record.item == item.id).cloned()
        };
        let both = some.items.iter().filter_map(|item| {
            let (own, other) = (answer(reference, item)?, answer(answers, item)?);
            Some((own.answer == other.answer, other.correct == Some(true)))
        });
        let both: Vec<(bool, bool)> = both.collect();
        let share = |count: usize| count as f64 / both.len().max(1) as f64;
        Rung {
            sigma,
            same: share(both.iter().filter(|(same, _)| *same).count()),
            right: share(both.iter().filter(|(_, right)| *right).count()),
        }
    };
    let mut rungs = Vec::new();
    for times in TIMES {
        let size = times * sigma;
        let noisy = noisy(bench, &pair[0].model, &some, size)?;
        rungs.push(rung(size, &noisy.records));
    }
    Ok(Ladder {
        pictures: some.items.len(),
        rungs,
        suspect: rung(sigma, suspect),
    })
}

fn of<'r>(recordings: &'r [Recording], suite: &Suite) -> &'r [Record] {
    let mut recordings = recordings.iter();
    let found = recordings.find(|recording| recording.header.suite == suite.id);
    found.map_or(&[], |recording| &recording.records)
}

/// What `model` answers with noise of `sigma` in every weight.
fn noisy(bench: &Bench<'_>, model: &Model, suite: &Suite, sigma: f64) -> Result<Recording> {
    let mut checkpoint = Checkpoint::of(model)?;
    add_noise(&mut checkpoint, sigma, SEED);
    let folder = tempfile::tempdir()?;
    checkpoint.write(folder.path())?;
    let reference = ModelRef {
        label: None,
        locator: Locator::Local(folder.path().to_path_buf()),
    };
    let noisy = Model::open(source::open(&reference, &bench.options)?, "noisy")?;
    let runner = record::load(&noisy)?;
    let bars = Bars::shared(bench.global);
    Ok(record::run_suite(&*runner, suite, &bench.store, &*bars)?.0)
}
