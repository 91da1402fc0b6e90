//! Signs of a script that a model cannot read, as pictures: an invented script, or a real one by a font.
//!
//! Every sign is written several times by a shaky hand on two surfaces, so that answers can be held against
//! those to other writings of the same sign. Signs that a small picture cannot tell apart are taken once.
//! All of it is whole numbers, or sums and products of doubles in a fixed order: the same inputs give the
//! same bytes on every machine.

mod alike;
mod font;
mod glyph;
mod inventory;
mod raster;
#[cfg(test)]
mod toy_font;
mod wear;

use image::ExtendedColorType;
use image::ImageEncoder;
use image::codecs::png::CompressionType;
use image::codecs::png::FilterType;
use image::codecs::png::PngEncoder;
use serde_json::Map;
use serde_json::Value;

pub use font::{BLOCKS, Font, Signs};
pub use inventory::Inventory;

use super::draw::Draw;
use super::words::Words;
use super::{MAX_ITEMS, Rendered, SHIPPED_SEED};
use crate::probe::error::Error;
use crate::probe::picture::Picture;
use alike::Taken;
use glyph::{Glyph, Script};
use raster::Grey;
use wear::{Surface, picture};

/// Writings of each sign.
pub const WRITINGS: usize = 8;

/// Items, unless said otherwise: 125 signs.
pub const ITEMS: usize = 1000;

/// Pixels of a side.
const SIDE: usize = 48;

/// Signs of an invented script that are drawn in vain before it is given up.
const PATIENCE: usize = 20_000;

/// What is asked of a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// Which character of Unicode it is: signs of a font alone.
    True,
    /// Which character in use today it resembles: there is no truth, so that answers are habits.
    Association,
    /// A word that was given to it by the seed: certainly in nobody's training text.
    Invented,
}

impl Labels {
    /// All, with their names.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::True, "true"),
        (Self::Association, "association"),
        (Self::Invented, "invented"),
    ];

    fn name(self) -> &'static str {
        let of = |(labels, _): &&(Self, &str)| *labels == self;
        Self::ALL.iter().find(of).map_or("", |(_, name)| *name)
    }

    fn prompt(self) -> &'static str {
        match self {
            Self::True => "Which character is this? Answer with the character alone.",
            Self::Association => {
                "Which character that is in use today does this sign resemble most? Answer with one character."
            }
            Self::Invented => "What does this sign say? Answer with one word.",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::True => "each answered by its character",
            Self::Association => "each to be likened to a character in use; there is no truth",
            Self::Invented => "each answered by a word that the seed gave it",
        }
    }
}

/// Where signs come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// A grammar of strokes.
    Invented,
    /// A font, and which of its signs.
    Font(&'a Font, Signs),
}

/// What is to be rendered.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// Of every choice, but where `writings` makes its own.
    pub seed: u64,
    /// Of the writings of each sign: the same signs by other hands. `seed` where there is none.
    pub writings: Option<u64>,
    /// Pictures; the last sign may have fewer than [`WRITINGS`].
    pub items: usize,
    /// What is asked.
    pub labels: Labels,
    /// Of what script.
    pub source: Source<'a>,
}

/// A suite, and what it was made of.
pub struct Pictures {
    /// The suite.
    pub rendered: Rendered,
    /// Different signs.
    pub signs: usize,
    /// Signs that were left out because they look like one that was taken.
    pub alike: usize,
}

/// A sign with its right answer.
struct Sign {
    glyph: Glyph,
    target: Option<String>,
}

/// Renders a suite.
///
/// # Errors
/// [`Error`] for a font without enough signs, and for true labels of a script that has none.
pub fn render(wish: &Wish<'_>) -> Result<Pictures, Error> {
    let items = wish.items.clamp(1, MAX_ITEMS);
    let (signs, alike) = signs(wish, items.div_ceil(WRITINGS))?;
    let mut dataset = String::new();
    for at in 0..items {
        let row = row(wish, at, &signs[at / WRITINGS]);
        dataset.push_str(&Value::Object(row).to_string());
        dataset.push('\n');
    }
    let sha256 = crate::probe::load::hash(dataset.as_bytes());
    let id = id(wish, items);
    Ok(Pictures {
        rendered: Rendered {
            manifest: manifest(wish, &id, items, &sha256),
            id,
            dataset,
            sha256,
        },
        signs: signs.len(),
        alike,
    })
}

/// So many signs that can be told apart, and how many were left out on the way.
fn signs(wish: &Wish<'_>, wanted: usize) -> Result<(Vec<Sign>, usize), Error> {
    let mut words = Words::default();
    let mut names = Draw::new(wish.seed, "names of signs");
    let (mut taken, mut signs, mut alike) = (Taken::default(), Vec::new(), 0);
    let mut take = |character: Option<char>, glyph: Glyph| {
        if signs.len() < wanted && taken.take(&glyph) {
            signs.push(Sign {
                glyph,
                target: match wish.labels {
                    Labels::True => character.map(String::from),
                    Labels::Association => None,
                    Labels::Invented => Some(words.word(&mut names)),
                },
            });
        } else if signs.len() < wanted {
            alike += 1;
        }
        signs.len() < wanted
    };
    match wish.source {
        Source::Invented => {
            let (script, mut draw) = (Script::new(wish.seed), Draw::new(wish.seed, "signs"));
            let mut left = PATIENCE;
            while left > 0 && take(None, script.glyph(&mut draw)) {
                left -= 1;
            }
        }
        Source::Font(font, of) => {
            let glyphs = font.glyphs(of)?;
            let order: Vec<usize> = (0..glyphs.len()).collect();
            let order = Draw::new(wish.seed, "signs").some(&order, glyphs.len());
            for at in order {
                let (character, glyph) = &glyphs[at];
                if !take(Some(*character), glyph.clone()) {
                    break;
                }
            }
        }
    }
    if signs.len() < wanted {
        return Err(too_few(wish, signs.len(), alike));
    }
    Ok((signs, alike))
}

fn too_few(wish: &Wish<'_>, signs: usize, alike: usize) -> Error {
    let (path, whose) = match wish.source {
        Source::Invented => (std::path::Path::new("invented-script"), "the script has"),
        Source::Font(font, _) => (font.path(), "of those signs the font draws"),
    };
    let reason = format!(
        "{whose} {signs} that can be told apart ({alike} more look like one of them), enough for {} items: ask for \
         fewer with --items, or for more --signs",
        signs * WRITINGS
    );
    Error::invalid(path, None, reason)
}

/// One picture of a sign: plain and on bamboo by turns.
fn row(wish: &Wish<'_>, at: usize, sign: &Sign) -> Map<String, Value> {
    let (name, writing) = (format!("s{:04}", at / WRITINGS), at % WRITINGS);
    let id = format!("{name}-{writing}");
    let surface = match writing % 2 {
        0 => Surface::Plain,
        _ => Surface::Slip,
    };
    let hand = wish.writings.unwrap_or(wish.seed);
    let mut draw = Draw::new(hand, &format!("picture {id}"));
    let grey = picture(&sign.glyph, surface, SIDE, &mut draw);
    let surface = match surface {
        Surface::Plain => "plain",
        Surface::Slip => "slip",
    };
    let mut row = Map::new();
    let mut put = |key: &str, text: String| row.insert(key.to_owned(), Value::from(text));
    put("id", id);
    put("sign", name);
    put("surface", surface.to_owned());
    if let Some(target) = &sign.target {
        put("target", target.clone());
    }
    put("image", Picture::written(&png(&grey)));
    row
}

/// A grey PNG file.
fn png(grey: &Grey) -> Vec<u8> {
    let mut bytes = Vec::new();
    let side = grey.side as u32;
    let encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
    // Writing to memory cannot fail, and the pixels are as many as the sides say.
    let _ = encoder.write_image(&grey.pixels, side, side, ExtendedColorType::L8);
    bytes
}

/// `invented-script`, `tangut`, `signs-4e00-4e10`; what differs from a shipped suite behind it.
fn id(wish: &Wish<'_>, items: usize) -> String {
    let (mut id, usual) = match wish.source {
        Source::Invented => ("invented-script".to_owned(), Labels::Invented),
        Source::Font(_, Signs { first, last }) => {
            let block = BLOCKS
                .iter()
                .find(|(_, from, to)| (*from, *to) == (first, last));
            let name = match block {
                Some((name, ..)) => (*name).to_owned(),
                None => format!("signs-{first:x}-{last:x}"),
            };
            (name, Labels::True)
        }
    };
    if wish.labels != usual {
        id = format!("{id}-{}", wish.labels.name());
    }
    if (wish.seed, items) != (SHIPPED_SEED, ITEMS) {
        id = format!("{id}-{}-{items}", wish.seed);
    }
    match wish.writings {
        Some(hand) if hand != wish.seed => format!("{id}-by-{hand}"),
        _ => id,
    }
}

fn manifest(wish: &Wish<'_>, id: &str, items: usize, sha256: &str) -> String {
    let (script, license) = match wish.source {
        Source::Invented => ("an invented script".to_owned(), "MIT OR Apache-2.0"),
        Source::Font(font, signs) => (
            format!(
                "U+{:X} to U+{:X} in {}",
                signs.first,
                signs.last,
                font.title()
            ),
            font.license(),
        ),
    };
    let target = match wish.labels {
        Labels::Association => "",
        _ => "target: target\n",
    };
    format!(
        "schema: kinprobe/suite/v1\n\
         suite: {id}\n\
         version: 1\n\
         description: {items} pictures of signs of {script} (seed {seed}{hand}), {WRITINGS} writings of each on paper and \
         bamboo, {labels}\n\
         license: {license}\n\
         dataset:\n  path: {id}.jsonl\n  sha256: {sha256}\n\
         prompt: \"{prompt}\"\n\
         image: image\n\
         group: sign\n\
         {target}\
         readout: {{kind: generate, max_tokens: 12, stop: [\"\\n\"]}}\n\
         score: {{kind: exact}}\n\
         tags: [surface]\n",
        seed = wish.seed,
        hand = match wish.writings {
            Some(hand) if hand != wish.seed => format!(", written by seed {hand}"),
            _ => String::new(),
        },
        labels = wish.labels.words(),
        prompt = wish.labels.prompt(),
    )
}

#[cfg(test)]
mod tests;
