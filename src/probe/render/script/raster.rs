//! Strokes to grey pixels, with whole numbers only: the same bytes on every machine.

use super::glyph::{Glyph, Point, SIDE, Stroke};

/// Samples per pixel and axis.
const SAMPLES: i32 = 4;

/// A square grey picture, 0 black, 255 white.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grey {
    /// Pixels of a side.
    pub side: usize,
    /// By row.
    pub pixels: Vec<u8>,
}

impl Grey {
    /// The pixel, the nearest one for places outside.
    pub fn at(&self, x: i32, y: i32) -> u8 {
        let inside = |at: i32| at.clamp(0, self.side as i32 - 1) as usize;
        self.pixels[inside(y) * self.side + inside(x)]
    }
}

/// How much of every pixel ink covers, 0 to 255; strokes are `width` units of the square wide, round at
/// their ends, and outlines are filled.
pub(super) fn cover(glyph: &Glyph, side: usize, width: i32) -> Grey {
    let per_pixel = (SAMPLES * SAMPLES) as usize;
    let mut counts = vec![0usize; side * side];
    let fine = side as i32 * SAMPLES;
    let inked = match glyph {
        Glyph::Strokes(lines) => drawn(lines, fine, width / 2),
        Glyph::Outlines(lines) => filled(lines, fine),
    };
    for (at, _) in inked.iter().enumerate().filter(|(_, inked)| **inked) {
        let (x, y) = (at as i32 % fine / SAMPLES, at as i32 / fine / SAMPLES);
        counts[y as usize * side + x as usize] += 1;
    }
    Grey {
        side,
        pixels: counts
            .into_iter()
            .map(|count| (count * 255 / per_pixel) as u8)
            .collect(),
    }
}

/// Where a sample lies in the square.
fn middle(at: i32, fine: i32) -> i32 {
    (2 * at + 1) * SIDE / (2 * fine)
}

/// Samples that are at most `reach` from a line.
fn drawn(lines: &[Stroke], fine: i32, reach: i32) -> Vec<bool> {
    let mut inked = vec![false; (fine * fine) as usize];
    // Neighbouring points; a line of one point is none.
    let segments = lines
        .iter()
        .flat_map(|line| line.windows(2).map(|ends| (ends[0], ends[1])));
    for (from, to) in segments {
        let range = |a: i32, b: i32| {
            let low = (a.min(b) - reach) * fine / SIDE - 1;
            let high = (a.max(b) + reach) * fine / SIDE + 1;
            low.clamp(0, fine)..high.clamp(0, fine)
        };
        for y in range(from.1, to.1) {
            for x in range(from.0, to.0) {
                if near((middle(x, fine), middle(y, fine)), from, to, reach) {
                    inked[(y * fine + x) as usize] = true;
                }
            }
        }
    }
    inked
}

/// Samples that the closed lines wind around, row by row: what lies between two crossings is inside while
/// the directions of the crossings before do not cancel.
fn filled(lines: &[Stroke], fine: i32) -> Vec<bool> {
    let mut inked = vec![false; (fine * fine) as usize];
    for row in 0..fine {
        let y = i64::from(middle(row, fine));
        let mut crossings: Vec<(i64, i32)> = lines
            .iter()
            .flat_map(|line| line.iter().zip(line.iter().cycle().skip(1)))
            .filter_map(|(from, to)| crossing(*from, *to, y))
            .collect();
        crossings.sort_unstable();
        let mut winding = 0;
        for ends in crossings.windows(2) {
            winding += ends[0].1;
            if winding != 0 {
                for x in 0..fine {
                    let at = i64::from(middle(x, fine)) * PARTS;
                    if ends[0].0 <= at && at < ends[1].0 {
                        inked[(row * fine + x) as usize] = true;
                    }
                }
            }
        }
    }
    inked
}

/// Parts of a unit in which a crossing is stated.
const PARTS: i64 = 256;

/// Where a line crosses a height, and whether it goes down (1) or up (-1) there; its upper end belongs to
/// it and its lower end does not.
fn crossing(from: Point, to: Point, y: i64) -> Option<(i64, i32)> {
    let wide = |(x, y): Point| (i64::from(x), i64::from(y));
    let (upper, lower, direction) = match from.1 <= to.1 {
        true => (wide(from), wide(to), 1),
        false => (wide(to), wide(from), -1),
    };
    (upper.1 <= y && y < lower.1).then(|| {
        let along = PARTS * (y - upper.1) * (lower.0 - upper.0);
        let x = PARTS * upper.0 + along.div_euclid(lower.1 - upper.1);
        (x, direction)
    })
}

/// Whether `place` is at most `reach` from the line between two points.
fn near(place: Point, from: Point, to: Point, reach: i32) -> bool {
    let wide = |(x, y): Point| (i64::from(x), i64::from(y));
    let ((px, py), (ax, ay), (bx, by)) = (wide(place), wide(from), wide(to));
    let (dx, dy, x, y) = (bx - ax, by - ay, px - ax, py - ay);
    let (length, along) = (dx * dx + dy * dy, x * dx + y * dy);
    let reach = i64::from(reach).pow(2);
    if along <= 0 {
        x * x + y * y <= reach
    } else if along >= length {
        (px - bx).pow(2) + (py - by).pow(2) <= reach
    } else {
        // The distance to the line is |cross| / sqrt(length).
        (x * dy - y * dx).pow(2) <= reach * length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(from: Point, to: Point) -> Glyph {
        Glyph::Strokes(vec![vec![from, to]])
    }

    /// A bar of 128 by 512 units and two half discs, in 1/64ths of the side.
    #[test]
    fn a_bar_covers_its_area() {
        let grey = cover(&line((256, 512), (768, 512)), 64, 128);
        let covered: f64 = grey
            .pixels
            .iter()
            .map(|pixel| f64::from(*pixel) / 255.0)
            .sum();
        let due = (512.0 * 128.0 + std::f64::consts::PI * 64.0 * 64.0) / 256.0;
        assert!((covered - due).abs() < 0.02 * due, "{covered} {due}");
        assert_eq!(grey.at(32, 32), 255);
        assert_eq!((grey.at(32, 20), grey.at(-5, 99)), (0, 0));
    }

    /// A square of 512 units with a hole of 256 in it, which winds the other way; the same hole winding
    /// the same way is ink.
    #[test]
    fn outlines_are_filled_and_holes_are_not() {
        let square = |low: i32, high: i32| vec![(low, low), (high, low), (high, high), (low, high)];
        let hole: Stroke = square(384, 640).into_iter().rev().collect();
        let area = |lines: Vec<Stroke>| -> f64 {
            let grey = cover(&Glyph::Outlines(lines), 64, 0);
            grey.pixels
                .iter()
                .map(|pixel| f64::from(*pixel) / 255.0)
                .sum()
        };
        assert_eq!(
            area(vec![square(256, 768), hole]),
            32.0 * 32.0 - 16.0 * 16.0
        );
        assert_eq!(area(vec![square(256, 768), square(384, 640)]), 32.0 * 32.0);
        // A triangle, half a square.
        let half = area(vec![vec![(256, 256), (768, 256), (256, 768)]]);
        assert!((half - 512.0).abs() < 16.0, "{half}");
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let grey = cover(&line((-4000, 512), (5000, 512)), 16, 64);
        assert!((0..16).all(|x| grey.at(x, 8) > 0));
        assert!(
            cover(&line((3000, 3000), (4000, 3000)), 16, 64)
                .pixels
                .iter()
                .all(|p| *p == 0)
        );
    }
}
