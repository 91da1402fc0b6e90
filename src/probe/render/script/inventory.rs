//! The signs of an invented script, to be written as often as one likes: what a model learns them from.

use super::glyph::Glyph;
use super::wear::{Surface, picture};
use super::{Draw, Labels, SIDE, Sign, Source, WRITINGS, Wish, signs};
use crate::probe::error::Error;
use crate::probe::picture::Rgb;

/// Signs with the words that they stand for: those that a suite of the same seed shows, in its order.
pub struct Inventory {
    signs: Vec<(Glyph, String)>,
}

impl Inventory {
    /// The first `count` signs of the invented script of `seed`.
    ///
    /// # Errors
    /// A script without so many signs that can be told apart.
    pub fn invented(seed: u64, count: usize) -> Result<Self, Error> {
        let wish = Wish {
            seed,
            writings: None,
            items: count * WRITINGS,
            labels: Labels::Invented,
            source: Source::Invented,
        };
        let (signs, _) = signs(&wish, count)?;
        let named = |Sign { glyph, target }| (glyph, target.unwrap_or_default());
        Ok(Self {
            signs: signs.into_iter().map(named).collect(),
        })
    }

    /// What is asked of a sign.
    pub fn prompt() -> &'static str {
        Labels::Invented.prompt()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.signs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.signs.is_empty()
    }

    /// What the sign stands for.
    pub fn word(&self, sign: usize) -> &str {
        &self.signs[sign].1
    }

    /// The sign by a hand of its own: `name` names the writing, among all of `seed`. Suites call theirs
    /// `picture …`.
    pub fn written(&self, sign: usize, seed: u64, name: &str) -> Rgb {
        let mut draw = Draw::new(seed, name);
        let surface = match draw.below(2) {
            0 => Surface::Plain,
            _ => Surface::Slip,
        };
        let grey = picture(&self.signs[sign].0, surface, SIDE, &mut draw);
        let pixels = grey.pixels.iter().flat_map(|value| [*value; 3]);
        Rgb {
            width: SIDE,
            height: SIDE,
            pixels: pixels.collect(),
        }
    }
}
