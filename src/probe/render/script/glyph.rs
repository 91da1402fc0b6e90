//! Glyphs of an invented script, from a grammar of strokes.
//!
//! A script has a small inventory of components, each a few strokes on a lattice; a glyph is one to three
//! of them in a layout, as in the scripts of East Asia. All coordinates are whole numbers.

use crate::probe::render::draw::Draw;

/// Side of the square that a glyph is drawn in.
pub(super) const SIDE: i32 = 1024;

/// Components that glyphs are put together of.
const COMPONENTS: usize = 48;

/// Lines of the lattice that strokes of a component begin and end on.
const LATTICE: i32 = 4;

/// Pieces of a bent stroke.
const PIECES: i32 = 8;

/// A place in the square.
pub(super) type Point = (i32, i32);

/// A line through these points.
pub(super) type Stroke = Vec<Point>;

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Glyph {
    /// Lines of a pen.
    Strokes(Vec<Stroke>),
    /// Closed lines around ink, as a font has them: what they wind around is inked.
    Outlines(Vec<Stroke>),
}

impl Glyph {
    /// Its lines.
    pub fn lines(&self) -> &[Stroke] {
        match self {
            Self::Strokes(lines) | Self::Outlines(lines) => lines,
        }
    }

    /// The same with every point moved.
    pub fn moved(&self, mut to: impl FnMut(Point) -> Point) -> Self {
        let mut line = |line: &Stroke| -> Stroke { line.iter().map(|point| to(*point)).collect() };
        let moved = self.lines().iter().map(&mut line).collect();
        match self {
            Self::Strokes(_) => Self::Strokes(moved),
            Self::Outlines(_) => Self::Outlines(moved),
        }
    }
}

/// An invented script.
pub(super) struct Script {
    components: Vec<Vec<Stroke>>,
}

/// A part of the square: left, top, right, bottom.
type Frame = (i32, i32, i32, i32);

const WHOLE: Frame = (0, 0, SIDE, SIDE);

/// Where components go; a glyph takes one of these.
const LAYOUTS: &[&[Frame]] = &[
    &[WHOLE],
    &[(0, 0, 480, SIDE), (544, 0, SIDE, SIDE)],
    &[(0, 0, 360, SIDE), (424, 0, SIDE, SIDE)],
    &[(0, 0, SIDE, 480), (0, 544, SIDE, SIDE)],
    &[(0, 0, SIDE, 360), (0, 424, SIDE, SIDE)],
    &[WHOLE, (300, 300, 724, 724)],
    &[(0, 0, 480, 480), (544, 0, SIDE, 480), (0, 544, SIDE, SIDE)],
    &[
        (0, 0, SIDE, 480),
        (0, 544, 480, SIDE),
        (544, 544, SIDE, SIDE),
    ],
];

impl Script {
    /// The script of `seed`.
    pub fn new(seed: u64) -> Self {
        let component = |at: usize| component(&mut Draw::new(seed, &format!("component {at}")));
        Self {
            components: (0..COMPONENTS).map(component).collect(),
        }
    }

    /// A glyph in one of the layouts.
    pub fn glyph(&self, draw: &mut Draw) -> Glyph {
        let layout = draw.pick(LAYOUTS);
        let numbers: Vec<usize> = (0..COMPONENTS).collect();
        let chosen = draw.some(&numbers, layout.len());
        let placed = layout.iter().zip(chosen).flat_map(|(frame, component)| {
            let strokes = self.components[component].iter();
            strokes.map(|stroke| stroke.iter().map(|point| within(*frame, *point)).collect())
        });
        Glyph::Strokes(placed.collect())
    }
}

/// A point of the whole square in a part of it.
fn within((left, top, right, bottom): Frame, (x, y): Point) -> Point {
    (
        left + x * (right - left) / SIDE,
        top + y * (bottom - top) / SIDE,
    )
}

/// Two to five strokes, no two of which lie on one another.
fn component(draw: &mut Draw) -> Vec<Stroke> {
    let wanted = draw.between(2, 5);
    let mut strokes: Vec<Stroke> = Vec::new();
    while strokes.len() < wanted {
        let next = stroke(draw);
        if !strokes.contains(&next) {
            strokes.push(next);
        }
    }
    strokes
}

/// A bar, a fall, a bend, a hook, a corner or a dot.
fn stroke(draw: &mut Draw) -> Stroke {
    let mut line = |low: i32, high: i32| draw.between(low as usize, high as usize) as i32;
    let last = LATTICE;
    let at = |line: i32| 64 + line * (SIDE - 128) / LATTICE;
    match line(0, 6) {
        0 => {
            let (y, x) = (line(0, last), line(0, 1));
            vec![(at(x), at(y)), (at(last - line(0, 1)), at(y))]
        }
        1 => {
            let (x, y) = (line(0, last), line(0, 1));
            vec![(at(x), at(y)), (at(x), at(last - line(0, 1)))]
        }
        2 => {
            let (x, y) = (line(1, last - 1), line(0, 1));
            let end = if line(0, 1) == 0 { 0 } else { last };
            vec![(at(x), at(y)), (at(end), at(last))]
        }
        3 => {
            let (from, to) = ((line(0, 1), line(0, last)), (line(3, last), line(0, last)));
            let bend = (line(1, 3), line(0, last));
            bent(from, bend, to)
                .into_iter()
                .map(|(x, y)| (x + 64, y + 64))
                .collect()
        }
        4 => {
            let (x, y) = (line(1, last), line(0, 1));
            vec![
                (at(x), at(y)),
                (at(x), at(last)),
                (at(x) - SIDE / 6, at(last) - SIDE / 8),
            ]
        }
        5 => {
            let (x, y) = (line(0, 1), line(0, 1));
            let (right, bottom) = (line(2, last), line(2, last));
            vec![(at(x), at(y)), (at(right), at(y)), (at(right), at(bottom))]
        }
        _ => {
            let (x, y) = (at(line(0, last)), at(line(0, last)));
            vec![(x - 40, y - 40), (x + 40, y + 40)]
        }
    }
}

/// A quadratic curve over lattice points, as pieces.
fn bent(from: Point, bend: Point, to: Point) -> Stroke {
    let cell = (SIDE - 128) / LATTICE;
    let along = |t: i32, of: fn(Point) -> i32| {
        let rest = PIECES - t;
        let sum = rest * rest * of(from) + 2 * rest * t * of(bend) + t * t * of(to);
        sum * cell / (PIECES * PIECES)
    };
    (0..=PIECES)
        .map(|t| (along(t, |point| point.0), along(t, |point| point.1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_stay_in_their_square_and_a_seed_repeats_them() {
        let glyphs = |seed: u64| -> Vec<Glyph> {
            let script = Script::new(seed);
            let mut draw = Draw::new(seed, "glyphs");
            (0..200).map(|_| script.glyph(&mut draw)).collect()
        };
        let found = glyphs(1);
        for point in found
            .iter()
            .flat_map(|glyph| glyph.lines().iter().flatten())
        {
            let inside = |x: i32| (-128..=SIDE + 128).contains(&x);
            assert!(inside(point.0) && inside(point.1), "{point:?}");
        }
        assert_eq!(found, glyphs(1));
        assert_ne!(found, glyphs(2));
        let strokes = found.iter().map(|glyph| glyph.lines().len());
        assert!(strokes.clone().min() >= Some(2) && strokes.max() <= Some(15));
    }
}
