//! Glyphs that cannot be told apart in a small picture.

use super::glyph::Glyph;
use super::raster::cover;
use crate::stat::correlation::pearson;

/// Pixels of a side that glyphs are compared at.
const SIDE: usize = 32;

/// Width of strokes there, in units of the square.
const PEN: i32 = 72;

/// Correlation of pixels beyond which two glyphs are one to a reader.
const ALIKE: f64 = 0.9;

/// Pixels of the glyphs that were taken.
#[derive(Default)]
pub(super) struct Taken {
    pixels: Vec<Vec<f64>>,
}

impl Taken {
    /// Takes a glyph, unless it looks like one that was taken.
    pub fn take(&mut self, glyph: &Glyph) -> bool {
        let grey = cover(glyph, SIDE, PEN);
        let pixels: Vec<f64> = grey.pixels.into_iter().map(f64::from).collect();
        let like = |other: &Vec<f64>| pearson(other, &pixels).is_none_or(|r| r > ALIKE);
        let new = !self.pixels.iter().any(like);
        if new {
            self.pixels.push(pixels);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_the_same_is_taken_once() {
        let bar =
            |y: i32| Glyph::Strokes(vec![vec![(100, y), (900, y)], vec![(500, 100), (500, 900)]]);
        let mut taken = Taken::default();
        assert!(taken.take(&bar(300)));
        assert!(!taken.take(&bar(304)));
        assert!(taken.take(&bar(600)));
        assert!(!taken.take(&bar(300)));
    }
}
