//! The safetensors half of a recording: activations at the prompts' last tokens, and what was expected
//! along the prompts.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use half::f16;
use safetensors::Dtype;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use serde::Serialize;

use super::make_parent;
use crate::model::Site;
use crate::record::Activations;
use crate::record::Error;
use crate::record::Header;
use crate::record::PROJECTED;
use crate::record::Place;
use crate::record::Recording;
use crate::record::SiteActivations;

/// Name of the one metadata entry (one, because their order in the file is not fixed).
const METADATA: &str = "kinprobe";

/// Places of each item, `[items]`; then of all places in turn their offset, surprisal, number of
/// candidates, and of all candidates in turn token and logarithm of the probability.
const COUNT: &str = "places.count";
const OFFSET: &str = "places.offset";
const SURPRISAL: &str = "places.surprisal";
const CANDIDATES: &str = "places.candidates";
const TOKEN: &str = "places.token";
const LOGPROB: &str = "places.logprob";

/// Of all places in turn the projection of what is expected there, `[places, PROJECTED]`.
const PROJECTION: &str = "places.projection";

/// What lies beside the answers.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::record) struct Beside {
    pub activations: Activations,
    /// By row; empty where places were not read.
    pub places: Vec<Vec<Place>>,
    /// Of the tokens in `places`.
    pub texts: BTreeMap<u32, String>,
    /// What the projections of `places` are over.
    pub vocabulary: Option<String>,
}

impl Beside {
    /// Gives the places to the records they belong to.
    pub(in crate::record) fn attach(self, recording: &mut Recording) -> Activations {
        let rows = self.activations.items.iter().zip(self.places);
        let mut by_item: BTreeMap<&str, Vec<Place>> =
            rows.map(|(item, places)| (item.as_str(), places)).collect();
        for record in &mut recording.records {
            record.places = by_item.remove(record.item.as_str()).unwrap_or_default();
        }
        recording.texts = self.texts;
        recording.vocabulary = self.vocabulary;
        self.activations
    }
}

/// What the safetensors file says of itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    key: String,
    suite: String,
    items: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    texts: BTreeMap<u32, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vocabulary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_value_heads: Option<usize>,
}

/// What is beside `recording`, or `None` when there is nothing that belongs to it.
pub(super) fn read(recording: &Path, header: &Header) -> Result<Option<Beside>, Error> {
    let path = recording.with_extension("safetensors");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(&path, error)),
    };
    Ok(decode(&bytes, header))
}

/// `None` for anything that does not fit: it can be recorded again.
fn decode(bytes: &[u8], header: &Header) -> Option<Beside> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let about: About = serde_json::from_str(metadata.metadata().as_ref()?.get(METADATA)?).ok()?;
    if about.key != header.key || about.suite != header.suite {
        return None;
    }
    let file = SafeTensors::deserialize(bytes).ok()?;
    let mut sites = Vec::new();
    for (name, view) in file.iter() {
        let Ok(site) = name.parse::<Site>() else {
            continue;
        };
        let [rows, width] = *view.shape() else {
            return None;
        };
        if view.dtype() != Dtype::F32 || rows != about.items.len() {
            return None;
        }
        let values = words(view.data()).map(f32::from_bits).collect();
        sites.push(SiteActivations {
            site,
            width,
            values,
        });
    }
    sites.sort_by_key(|one| one.site.turn());
    let places = match file.tensor(COUNT) {
        Ok(_) => places(&file, about.items.len(), about.vocabulary.is_some())?,
        Err(_) => Vec::new(),
    };
    Some(Beside {
        activations: Activations {
            suite: about.suite,
            items: about.items,
            offsets: Vec::new(),
            tokens: None,
            key_value_heads: about.key_value_heads,
            sites,
        },
        places,
        texts: about.texts,
        vocabulary: about.vocabulary,
    })
}

/// Places by row; `None` where the tensors do not fit each other, or a row's places are not in order.
fn places(file: &SafeTensors<'_>, rows: usize, projected: bool) -> Option<Vec<Vec<Place>>> {
    let all = |name: &str, dtype: Dtype| -> Option<Vec<u32>> {
        let view = file.tensor(name).ok()?;
        (view.dtype() == dtype).then(|| words(view.data()).collect())
    };
    let counts = all(COUNT, Dtype::U32)?;
    let mut offsets = all(OFFSET, Dtype::U32)?.into_iter();
    let mut surprisals = all(SURPRISAL, Dtype::F32)?.into_iter();
    let mut candidates = all(CANDIDATES, Dtype::U32)?.into_iter();
    let mut tokens = all(TOKEN, Dtype::U32)?.into_iter();
    let mut logprobs = all(LOGPROB, Dtype::F32)?.into_iter();
    let mut projections = match projected {
        true => Some(projections(file)?.into_iter()),
        false => None,
    };
    if counts.len() != rows {
        return None;
    }
    let mut place = || {
        let (offset, surprisal) = (offsets.next()?, f32::from_bits(surprisals.next()?));
        let top: Option<Vec<(u32, f32)>> = (0..candidates.next()?)
            .map(|_| Some((tokens.next()?, f32::from_bits(logprobs.next()?))))
            .collect();
        Some(Place {
            offset,
            surprisal,
            top: top?,
            projection: match &mut projections {
                Some(projections) => projections.next()?,
                None => Vec::new(),
            },
        })
    };
    let in_order = |places: &[Place]| places.windows(2).all(|two| two[0].offset < two[1].offset);
    counts
        .into_iter()
        .map(|count| (0..count).map(|_| place()).collect())
        .map(|places: Option<Vec<Place>>| places.filter(|places| in_order(places)))
        .collect()
}

/// Place by place.
fn projections(file: &SafeTensors<'_>) -> Option<Vec<Vec<f32>>> {
    let view = file.tensor(PROJECTION).ok()?;
    let [_, PROJECTED] = *view.shape() else {
        return None;
    };
    let halves = view.data().chunks_exact(2 * PROJECTED);
    let float = |half: &[u8]| f16::from_le_bytes([half[0], half[1]]).to_f32();
    (view.dtype() == Dtype::F16).then(|| {
        halves
            .map(|row| row.chunks_exact(2).map(float).collect())
            .collect()
    })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let words = bytes.chunks_exact(4);
    words.map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
}

/// Writes the safetensors file under another name first, so that it is whole or not there.
pub(super) fn write(recording: &Path, header: &Header, beside: &Beside) -> Result<(), Error> {
    let path = recording.with_extension("safetensors");
    make_parent(&path)?;
    let io = |error| Error::io(&path, error);
    let other = |reason: String| io(std::io::Error::other(reason));
    let activations = &beside.activations;
    let about = About {
        key: header.key.clone(),
        suite: activations.suite.clone(),
        items: activations.items.clone(),
        texts: beside.texts.clone(),
        vocabulary: beside.vocabulary.clone(),
        key_value_heads: activations.key_value_heads,
    };
    let about = serde_json::to_string(&about).map_err(|error| other(error.to_string()))?;
    let mut tensors: Vec<Raw> = Vec::new();
    for site in &activations.sites {
        let shape = vec![activations.items.len(), site.width];
        let data = site.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensors.push((site.site.to_string(), Dtype::F32, shape, data));
    }
    if beside.places.iter().any(|places| !places.is_empty()) {
        tensors.extend(flat(&beside.places));
    }
    if beside.vocabulary.is_some() {
        tensors.push(projected(&beside.places));
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, dtype, shape, data)| {
            let view = TensorView::new(*dtype, shape.clone(), data);
            view.map(|view| (name.as_str(), view))
                .map_err(|error| other(error.to_string()))
        })
        .collect();
    let metadata = HashMap::from([(METADATA.to_owned(), about)]);
    let file =
        safetensors::serialize(views?, Some(metadata)).map_err(|error| other(error.to_string()))?;
    let fresh = recording.with_extension("safetensors-new");
    fs::write(&fresh, file).map_err(|error| Error::io(&fresh, error))?;
    fs::rename(&fresh, &path).map_err(io)
}

/// A tensor's name, type, shape and bytes.
type Raw = (String, Dtype, Vec<usize>, Vec<u8>);

fn projected(rows: &[Vec<Place>]) -> Raw {
    let places: Vec<&Place> = rows.iter().flatten().collect();
    let values = places.iter().flat_map(|place| &place.projection);
    let bytes = values
        .flat_map(|value| f16::from_f32(*value).to_le_bytes())
        .collect();
    (
        PROJECTION.to_owned(),
        Dtype::F16,
        vec![places.len(), PROJECTED],
        bytes,
    )
}

/// Places as tensors of one dimension.
fn flat(rows: &[Vec<Place>]) -> [Raw; 6] {
    let counts: Vec<u32> = rows.iter().map(|places| places.len() as u32).collect();
    let places: Vec<&Place> = rows.iter().flatten().collect();
    let of = |word: fn(&Place) -> u32| places.iter().map(|place| word(place)).collect::<Vec<u32>>();
    let candidates = |word: fn(&(u32, f32)) -> u32| {
        let all = places.iter().flat_map(|place| &place.top);
        all.map(word).collect::<Vec<u32>>()
    };
    [
        (COUNT, Dtype::U32, counts),
        (OFFSET, Dtype::U32, of(|place| place.offset)),
        (SURPRISAL, Dtype::F32, of(|place| place.surprisal.to_bits())),
        (CANDIDATES, Dtype::U32, of(|place| place.top.len() as u32)),
        (TOKEN, Dtype::U32, candidates(|one| one.0)),
        (LOGPROB, Dtype::F32, candidates(|one| one.1.to_bits())),
    ]
    .map(|(name, dtype, words)| {
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        (name.to_owned(), dtype, vec![words.len()], bytes)
    })
}
