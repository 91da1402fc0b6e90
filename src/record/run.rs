//! Suite x runner -> recording.

use std::collections::BTreeMap;
use std::path::Path;

use super::Activations;
use super::Candidate;
use super::Error;
use super::Header;
use super::Record;
use super::Recording;
use super::identity::header;
use super::identity::prompt_hash;
use super::runner::Answer;
use super::runner::Failure;
use super::runner::Question;
use super::runner::Runner;
use super::score::score;
use super::store::Journal;
use super::store::RecordingStore;
use super::store::Row;
use super::store::Rows;
use crate::model::Site;
use crate::probe::Item;
use crate::probe::Readout;
use crate::probe::Suite;
use crate::source::Progress;

/// One item's record, and what was read off the model beside it.
type Asked = (Record, Option<Row>);

/// Answers every item of `suite` that `store` does not hold yet, and returns them all in suite order;
/// for [`Readout::NextToken`] with what is inside the model at the last prompt token and with what it
/// expected along the prompt.
///
/// An interrupted run is gone on with, and ends in the same bytes as one that was not. An item that
/// the model cannot answer is a record with an `error`.
///
/// # Errors
/// When the recording is damaged, belongs to something else or is being written by another process,
/// or when the model fails; what was answered is kept.
pub fn run_suite(
    runner: &dyn Runner,
    suite: &Suite,
    store: &RecordingStore,
    progress: &dyn Progress,
) -> Result<(Recording, Option<Activations>), Error> {
    legible(runner, suite)?;
    let header = header(runner, suite);
    if let Some((recording, activations)) = finished(runner, suite, store, &header)? {
        Rows::forget(&store.path(&header))?;
        return Ok((recording, activations));
    }
    let path = store.path(&header);
    let mut begun = Begun::open(runner, suite, &path, &header)?;
    begun.ask(runner, suite, suite.items.len(), progress)?;
    let ids: Vec<String> = suite.items.iter().map(|item| item.id.clone()).collect();
    let beside = match begun.rows {
        Some(rows) => Some(rows.finish(&path, &header, &ids, runner)?),
        None => None,
    };
    let mut recording = Recording {
        header,
        records: begun.journal.into_records()?,
        texts: BTreeMap::new(),
        vocabulary: None,
    };
    let activations = beside.map(|beside| beside.attach(&mut recording));
    Ok((recording, activations))
}

/// Answers those of the first `items` items of `suite` that `store` does not hold yet; returns all that it
/// holds, without what was expected along the prompts.
///
/// What is left in the store is what a killed [`run_suite`] leaves, which goes on from there.
///
/// # Errors
/// Those of [`run_suite`].
pub fn run_beginning(
    runner: &dyn Runner,
    suite: &Suite,
    store: &RecordingStore,
    items: usize,
    progress: &dyn Progress,
) -> Result<Recording, Error> {
    if items >= suite.items.len() {
        return Ok(run_suite(runner, suite, store, progress)?.0);
    }
    legible(runner, suite)?;
    let header = header(runner, suite);
    if let Some((recording, _)) = finished(runner, suite, store, &header)? {
        return Ok(recording);
    }
    let mut begun = Begun::open(runner, suite, &store.path(&header), &header)?;
    begun.ask(runner, suite, items, progress)?;
    Ok(Recording {
        header,
        records: begun.journal.into_records()?,
        texts: BTreeMap::new(),
        vocabulary: None,
    })
}

/// Refuses a suite of pictures for a model that reads none, before anything is written.
fn legible(runner: &dyn Runner, suite: &Suite) -> Result<(), Error> {
    match suite.shows_pictures() && !runner.sees() {
        true => Err(Error::Pictures {
            suite: suite.id.clone(),
        }),
        false => Ok(()),
    }
}

/// The recording, where the store holds all of it.
fn finished(
    runner: &dyn Runner,
    suite: &Suite,
    store: &RecordingStore,
    header: &Header,
) -> Result<Option<(Recording, Option<Activations>)>, Error> {
    let wanted = sites(runner, suite);
    let found = store.finished(header, suite)?;
    Ok(found.filter(|(recording, activations)| {
        let along =
            || has_places(recording) && recording.vocabulary.as_deref() == runner.vocabulary();
        let inside = |activations: &Activations| {
            let seen = activations.sites.iter().map(|one| (one.site, one.width));
            let heads = activations.key_value_heads == runner.key_value_heads();
            heads && seen.eq(wanted.iter().copied())
        };
        let inside = activations.as_ref().is_some_and(inside);
        wanted.is_empty() || inside && (!runner.reads_places() || along())
    }))
}

/// What is kept of the model's inside for this suite.
fn sites<'r>(runner: &'r dyn Runner, suite: &Suite) -> &'r [(Site, usize)] {
    match suite.readout {
        Readout::NextToken => runner.sites(),
        Readout::Generate { .. } => &[],
    }
}

/// A recording that is gone on with.
struct Begun {
    journal: Journal,
    rows: Option<Rows>,
}

impl Begun {
    fn open(
        runner: &dyn Runner,
        suite: &Suite,
        path: &Path,
        header: &Header,
    ) -> Result<Self, Error> {
        let journal = Journal::open(path, header, suite)?;
        let rows = match sites(runner, suite) {
            [] => None,
            sites => Some(Rows::open(path, header, sites)?),
        };
        Ok(Self { journal, rows })
    }

    /// Asks what is missing of the first `items` items, a chunk at a time.
    fn ask(
        &mut self,
        runner: &dyn Runner,
        suite: &Suite,
        items: usize,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let mut missing = missing(&self.journal, self.rows.as_ref(), suite);
        missing.retain(|at| *at < items);
        let bytes = missing.iter().map(|&i| suite.items[i].prompt.len() as u64);
        let task = progress.start(&suite.id, bytes.sum());
        let question = |&at: &usize| Question {
            prompt: &suite.items[at].prompt,
            picture: suite.items[at].picture.as_ref(),
        };
        let questions: Vec<Question<'_>> = missing.iter().map(question).collect();
        let mut asked = 0;
        while asked < questions.len() {
            let left = &questions[asked..];
            let count = runner.together(left, &suite.readout).clamp(1, left.len());
            let (chunk, left) = (&missing[asked..asked + count], &left[..count]);
            let done = |at: usize| task.advance(left[at].prompt.len() as u64);
            let answers = runner.answers(left, &suite.readout, &done);
            let answers = chunk.iter().zip(answers);
            let answers = answers.map(|(&at, answer)| asked_of(suite, &suite.items[at], answer));
            keep(&mut self.journal, self.rows.as_mut(), chunk, answers)?;
            asked += count;
        }
        Ok(())
    }
}

/// Whether what was expected along the prompts is there, for all that were answered.
fn has_places(recording: &Recording) -> bool {
    let answered = |record: &&Record| record.error.is_none();
    let mut records = recording.records.iter().filter(answered);
    records.all(|record| !record.places.is_empty())
}

/// Numbers of the items that were not answered, or whose activations are not there.
fn missing(journal: &Journal, rows: Option<&Rows>, suite: &Suite) -> Vec<usize> {
    let done = |at: usize| match (journal.records.get(at), rows) {
        (None, _) => false,
        (Some(record), Some(rows)) => record.error.is_some() || rows.has(at),
        (Some(_), None) => true,
    };
    (0..suite.items.len()).filter(|&at| !done(at)).collect()
}

/// Keeps a chunk of answers up to the first failure, activations before records: a record says that
/// its item is done.
fn keep(
    journal: &mut Journal,
    mut rows: Option<&mut Rows>,
    chunk: &[usize],
    asked: impl Iterator<Item = Result<Asked, Error>>,
) -> Result<(), Error> {
    let mut fresh = Vec::new();
    let mut failure = None;
    for (&at, asked) in chunk.iter().zip(asked) {
        let (record, row) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        if let (Some(rows), Some(row)) = (rows.as_deref_mut(), row) {
            rows.append(at, row)?;
        }
        match journal.records.get(at) {
            None => fresh.push(record),
            Some(stored) if same(stored, &record) => {}
            Some(_) => return Err(journal.inconsistent(&record.item)),
        }
    }
    journal.append(fresh)?;
    failure.map_or(Ok(()), Err)
}

fn asked_of(suite: &Suite, item: &Item, answer: Result<Answer, Failure>) -> Result<Asked, Error> {
    let mut record = Record {
        item: item.id.clone(),
        prompt_sha256: prompt_hash(item),
        prompt_tokens: None,
        answer: String::new(),
        tokens: Vec::new(),
        top: Vec::new(),
        margins: Vec::new(),
        correct: None,
        fields: Default::default(),
        form: None,
        error: None,
        group: item.group.clone(),
        places: Vec::new(),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(Failure::Run(error)) => return Err(error),
        Err(Failure::Item(reason)) => {
            record.error = Some(reason);
            return Ok((record, None));
        }
    };
    let scored = score(&suite.score, item, &answer.text);
    record.prompt_tokens = answer.prompt_tokens;
    record.answer = answer.text;
    record.tokens = answer.tokens;
    record.top = answer.top.into_iter().map(rounded).collect();
    record.margins = answer.margins.into_iter().map(short).collect();
    record.correct = scored.correct;
    record.fields = scored.fields;
    record.form = scored.form;
    let row = answer.inside.map(|inside| Row {
        inside,
        places: answer.places,
    });
    Ok((record, row))
}

/// Whether an item was answered as before; margins may not have been recorded then.
fn same(stored: &Record, record: &Record) -> bool {
    match stored.margins.is_empty() {
        false => stored == record,
        true => {
            let margins = Vec::new();
            *stored
                == Record {
                    margins,
                    ..record.clone()
                }
        }
    }
}

/// A margin as it is stored.
fn short(margin: f64) -> f64 {
    (margin * 1e4).round() / 1e4
}

/// A candidate as it is stored: to a millionth, so that what is read back is what was written.
fn rounded(candidate: Candidate) -> Candidate {
    Candidate {
        logprob: (candidate.logprob * 1e6).round() / 1e6,
        ..candidate
    }
}
