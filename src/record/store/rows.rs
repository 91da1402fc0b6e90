//! What is read off a model beside its answers, while it is being recorded.
//!
//! A row per item is appended as it is answered (`<name>.rows`: a fixed header, then per row the item's
//! number, the number of words that follow, and these); they become `<name>.safetensors` when the last one
//! is there.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest;
use sha2::Sha256;

use super::activations;
use super::activations::Beside;
use crate::model::Site;
use crate::record::Activations;
use crate::record::Error;
use crate::record::Header;
use crate::record::Place;
use crate::record::Runner;
use crate::record::SiteActivations;

/// What one item left.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::record) struct Row {
    /// What is at the sites, one after the other, `[sum of widths]`.
    pub inside: Vec<f32>,
    /// What was expected along the prompt.
    pub places: Vec<Place>,
}

/// Rows gathered so far.
#[derive(Debug)]
pub(in crate::record) struct Rows {
    path: PathBuf,
    file: Option<File>,
    start: [u8; HEAD],
    sites: Vec<(Site, usize)>,
    rows: BTreeMap<u32, Row>,
}

/// Bytes before the first row: the hash of key, sites and the version of the rows.
const HEAD: usize = 32;

impl Rows {
    /// Reads back what an interrupted run left; anything that does not fit is dropped, since the rows
    /// can be computed again. `recording` is the JSONL file.
    pub(in crate::record) fn open(
        recording: &Path,
        header: &Header,
        sites: &[(Site, usize)],
    ) -> Result<Self, Error> {
        let path = recording.with_extension("rows");
        let start: [u8; HEAD] =
            Sha256::digest(format!("{} {sites:?} 4", header.key).as_bytes()).into();
        let mut rows = Self {
            path,
            file: None,
            start,
            sites: sites.to_vec(),
            rows: BTreeMap::new(),
        };
        if let Ok(bytes) = fs::read(&rows.path)
            && let Some(body) = bytes.strip_prefix(rows.start.as_slice())
        {
            rows.restore(body);
        }
        Ok(rows)
    }

    /// Whether the row of item number `item` is there.
    pub(in crate::record) fn has(&self, item: usize) -> bool {
        u32::try_from(item).is_ok_and(|item| self.rows.contains_key(&item))
    }

    /// Appends one row and hands it to the system.
    pub(in crate::record) fn append(&mut self, item: usize, row: Row) -> Result<(), Error> {
        let io = |error| Error::io(&self.path, error);
        let number =
            u32::try_from(item).map_err(|_| io(std::io::ErrorKind::InvalidInput.into()))?;
        if row.inside.len() != self.width() {
            return Err(io(std::io::ErrorKind::InvalidData.into()));
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = begin(&self.path, &self.start, &self.rows).map_err(io)?;
                self.file.insert(file)
            }
        };
        file.write_all(&encode(number, &row)).map_err(io)?;
        self.rows.insert(number, row);
        Ok(())
    }

    /// The rows as [`Activations`] and places: `items[i]` names item number `i`; those without a row are
    /// left out. `runner` knows tokens.
    pub(in crate::record) fn finish(
        self,
        recording: &Path,
        header: &Header,
        items: &[String],
        runner: &dyn Runner,
    ) -> Result<Beside, Error> {
        let mut named = Vec::with_capacity(self.rows.len());
        let mut places = Vec::with_capacity(self.rows.len());
        let mut sites: Vec<SiteActivations> = self
            .sites
            .iter()
            .map(|&(site, width)| SiteActivations {
                site,
                width,
                values: Vec::with_capacity(self.rows.len() * width),
            })
            .collect();
        for (number, row) in self.rows {
            let Some(id) = items.get(number as usize) else {
                continue;
            };
            named.push(id.clone());
            let mut rest = &row.inside[..];
            for site in &mut sites {
                let (part, after) = rest.split_at(site.width.min(rest.len()));
                site.values.extend_from_slice(part);
                rest = after;
            }
            places.push(row.places);
        }
        let tokens: BTreeSet<u32> = places
            .iter()
            .flatten()
            .flat_map(|place| place.top.iter().map(|(token, _)| *token))
            .collect();
        let beside = Beside {
            activations: Activations {
                suite: header.suite.clone(),
                items: named,
                offsets: Vec::new(),
                tokens: None,
                key_value_heads: runner.key_value_heads(),
                sites,
            },
            places,
            texts: tokens
                .into_iter()
                .filter_map(|token| Some((token, runner.token_text(token)?)))
                .collect(),
            vocabulary: runner.vocabulary().map(str::to_owned),
        };
        activations::write(recording, header, &beside)?;
        Self::forget(recording)?;
        Ok(beside)
    }

    /// Deletes the rows of a finished recording, which a kill may have left behind.
    pub(in crate::record) fn forget(recording: &Path) -> Result<(), Error> {
        let path = recording.with_extension("rows");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&path, error))
            }
            _ => Ok(()),
        }
    }

    /// Of a row.
    fn width(&self) -> usize {
        self.sites.iter().map(|(_, width)| width).sum()
    }

    /// The rows up to the first that is torn.
    fn restore(&mut self, body: &[u8]) {
        let mut words = body
            .chunks_exact(4)
            .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        while let (Some(number), Some(count)) = (words.next(), words.next()) {
            if count as usize > words.len() {
                return;
            }
            let row: Vec<u32> = words.by_ref().take(count as usize).collect();
            let Some(row) = decode(&row, self.width()) else {
                return;
            };
            self.rows.insert(number, row);
        }
    }
}

/// A fresh rows file with the rows known so far, without whatever torn end the old one had.
fn begin(path: &Path, start: &[u8], rows: &BTreeMap<u32, Row>) -> std::io::Result<File> {
    let fresh = path.with_extension("rows-new");
    let mut file = File::create(&fresh)?;
    file.write_all(start)?;
    for (number, row) in rows {
        file.write_all(&encode(*number, row))?;
    }
    file.sync_data()?;
    drop(file);
    fs::rename(&fresh, path)?;
    OpenOptions::new().append(true).open(path)
}

fn encode(number: u32, row: &Row) -> Vec<u8> {
    let mut words: Vec<u32> = row.inside.iter().map(|value| value.to_bits()).collect();
    for place in &row.places {
        words.extend([
            place.offset,
            place.surprisal.to_bits(),
            place.top.len() as u32,
            place.projection.len() as u32,
        ]);
        let top = place.top.iter();
        words.extend(top.flat_map(|(token, logprob)| [*token, logprob.to_bits()]));
        words.extend(place.projection.iter().map(|value| value.to_bits()));
    }
    let head = [number, words.len() as u32];
    head.into_iter()
        .chain(words)
        .flat_map(u32::to_le_bytes)
        .collect()
}

fn decode(words: &[u32], width: usize) -> Option<Row> {
    let (inside, mut rest) = words.split_at_checked(width)?;
    let mut places = Vec::new();
    while let [offset, surprisal, count, projected, after @ ..] = rest {
        let (top, after) = after.split_at_checked((*count as usize).checked_mul(2)?)?;
        let (projection, left) = after.split_at_checked(*projected as usize)?;
        places.push(Place {
            offset: *offset,
            surprisal: f32::from_bits(*surprisal),
            top: top
                .chunks_exact(2)
                .map(|pair| (pair[0], f32::from_bits(pair[1])))
                .collect(),
            projection: floats(projection),
        });
        rest = left;
    }
    rest.is_empty().then(|| Row {
        inside: floats(inside),
        places,
    })
}

fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().copied().map(f32::from_bits).collect()
}

#[cfg(test)]
mod tests {
    use super::Row;
    use super::decode;
    use super::encode;
    use crate::record::Place;

    #[test]
    fn a_row_comes_back_and_a_torn_one_does_not() {
        let place = |offset: u32, tokens: u32| Place {
            offset,
            surprisal: 0.25,
            top: (0..tokens).map(|token| (token, -0.5)).collect(),
            projection: vec![0.5; tokens as usize],
        };
        let row = Row {
            inside: vec![1.5, -2.0],
            places: vec![place(3, 2), place(9, 0), place(10, 1)],
        };
        let bytes = encode(7, &row);
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
            .collect();
        assert_eq!(words[..2], [7, words.len() as u32 - 2]);
        assert_eq!(decode(&words[2..], 2), Some(row));
        assert_eq!(decode(&words[2..words.len() - 1], 2), None);
        assert_eq!(decode(&[1], 2), None);
    }
}
