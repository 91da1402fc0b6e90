//! Scores as they are finished, so that a run that was cut off goes on where it stopped.
//!
//! One JSON object a line: first what the scores belong to, then one line per finished pair. A line
//! that was cut off is dropped. A journal of another build, seed or set of suites or taps is begun
//! anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde::Deserialize;
use serde::Serialize;

use super::error::Error;
use super::score::Score;

/// What all scores of a journal depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Hash of the program.
    pub build: String,
    /// Of every random choice.
    pub seed: u64,
    /// Hashes of the suites.
    pub suites: Vec<String>,
    /// What was recorded for single methods.
    pub taps: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    task: String,
    scores: Vec<Score>,
}

/// Finished scores, by task.
pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    done: BTreeMap<String, Vec<Score>>,
}

impl Journal {
    /// Opens the journal at `path`, or begins one.
    pub fn open(path: &Path, header: &Header) -> Result<Self, Error> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        let (done, length) = read(path, header).map_err(Error::io(path))?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(Error::io(path))?;
        // A cut line and a foreign journal both end here.
        file.set_len(length).map_err(Error::io(path))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(length))
            .map_err(Error::io(path))?;
        if length == 0 {
            let line = serde_json::to_string(header)? + "\n";
            file.write_all(line.as_bytes()).map_err(Error::io(path))?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            file: Mutex::new(file),
            done,
        })
    }

    /// The score of one method on a task, if it was finished before the journal was opened.
    pub fn score(&self, task: &str, method: &str, version: u32) -> Option<&Score> {
        let scores = self.done.get(task)?;
        scores
            .iter()
            .find(|score| score.method == method && score.version == version)
    }

    /// Appends a finished task and returns its scores as they will be read back: a number read from
    /// JSON may differ in its last bit from the one that was written, and a run that was cut off must
    /// end in the same table as one that was not.
    pub fn append(&self, task: &str, scores: &[Score]) -> Result<Vec<Score>, Error> {
        let line = Line {
            task: task.to_owned(),
            scores: scores.to_vec(),
        };
        let text = serde_json::to_string(&line)? + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes())
            .map_err(Error::io(&self.path))?;
        Ok(serde_json::from_str::<Line>(&text)?.scores)
    }
}

/// Finished tasks, and how many bytes of the file are whole lines of this header.
fn read(path: &Path, header: &Header) -> std::io::Result<(BTreeMap<String, Vec<Score>>, u64)> {
    let mut done: BTreeMap<String, Vec<Score>> = BTreeMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((done, 0)),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let mut length = 0;
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = reader.read_until(b'\n', &mut text)? as u64;
        if read == 0 || text.last() != Some(&b'\n') {
            return Ok((done, length));
        }
        if length == 0 {
            match serde_json::from_slice::<Header>(&text) {
                Ok(found) if found == *header => {}
                _ => return Ok((done, 0)),
            }
        } else {
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) => done.entry(line.task).or_default().extend(line.scores),
                Err(_) => return Ok((done, length)),
            }
        }
        length += read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::score::Status;
    use crate::bench::score::card;

    fn header(seed: u64) -> Header {
        Header {
            build: "b".to_owned(),
            seed,
            suites: Vec::new(),
            taps: Vec::new(),
        }
    }

    fn score() -> Score {
        let card = card("weight.tensor_cosine").unwrap();
        Score::absent(card, Status::NotApplicable, "why".to_owned())
    }

    #[test]
    fn a_cut_line_is_dropped_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/rows.jsonl");
        let journal = Journal::open(&path, &header(0)).unwrap();
        journal.append("one", &[score()]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        journal.append("two", &[score()]).unwrap();
        drop(journal);
        let both = std::fs::read(&path).unwrap();
        std::fs::write(&path, &both[..both.len() - 7]).unwrap();
        let journal = Journal::open(&path, &header(0)).unwrap();
        let version = score().version;
        assert_eq!(
            journal.score("one", "weight.tensor_cosine", version),
            Some(&score())
        );
        assert!(
            journal
                .score("two", "weight.tensor_cosine", version)
                .is_none()
        );
        assert!(
            journal
                .score("one", "weight.tensor_cosine", version + 1)
                .is_none()
        );
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        journal.append("two", &[score()]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), both);
    }

    #[test]
    fn a_journal_of_something_else_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        Journal::open(&path, &header(0))
            .unwrap()
            .append("one", &[score()])
            .unwrap();
        let journal = Journal::open(&path, &header(1)).unwrap();
        assert!(journal.done.is_empty());
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }
}
