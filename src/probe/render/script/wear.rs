//! What happens to a sign between its writing and its picture: a hand, a surface, age, a camera.

use super::glyph::{Glyph, Point, SIDE};
use super::raster::{Grey, cover};
use crate::probe::render::draw::Draw;

/// What a sign is written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surface {
    /// White.
    Plain,
    /// A strip of bamboo: brown, with a grain, ink faded and flaked off.
    Slip,
}

/// Standard luminance quantisation of JPEG (ITU-T T.81, table K.1).
const LUMINANCE: [i32; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// The glyph as somebody wrote it and somebody else took a picture of it, `side` pixels wide.
pub(super) fn picture(glyph: &Glyph, surface: Surface, side: usize, draw: &mut Draw) -> Grey {
    let written = by_hand(glyph, draw);
    let ink = cover(&written, side, draw.between(44, 84) as i32);
    let mut picture = match surface {
        Surface::Plain => on(&ink, 255 - draw.between(0, 40) as i32, |_, _| 255),
        Surface::Slip => on_slip(&ink, draw),
    };
    for _ in 0..draw.between(0, 2) {
        picture = blurred(&picture);
    }
    compressed(&picture, draw.between(35, 90) as i32)
}

/// Turned, sheared, scaled and moved a little; every corner a little off, those of outlines, which have
/// many, less.
fn by_hand(glyph: &Glyph, draw: &mut Draw) -> Glyph {
    let mut some = |most: i32| draw.between(0, 2 * most as usize) as i32 - most;
    // In thousandths: a turn of up to 7 degrees is its own sine.
    let (turn, shear, x_scale, y_scale) = (some(120), some(80), 810 + some(90), 810 + some(90));
    let (right, down) = (some(40), some(40));
    let half = SIDE / 2;
    let shaky = match glyph {
        Glyph::Strokes(_) => 14,
        Glyph::Outlines(_) => 3,
    };
    glyph.moved(|(x, y): Point| {
        let (x, y) = (x - half, y - half);
        let turned = (
            x * x_scale / 1000 - y * (turn + shear) / 1000,
            y * y_scale / 1000 + x * turn / 1000,
        );
        (
            half + turned.0 + right + some(shaky),
            half + turned.1 + down + some(shaky),
        )
    })
}

/// Ink of this darkness on what lies below.
fn on(ink: &Grey, darkness: i32, below: impl Fn(i32, i32) -> i32) -> Grey {
    let pixel = |at: usize| {
        let (x, y) = ((at % ink.side) as i32, (at / ink.side) as i32);
        let covered = i32::from(ink.pixels[at]);
        let below = below(x, y);
        (below - covered * (darkness.min(below)) / 255).clamp(0, 255) as u8
    };
    Grey {
        side: ink.side,
        pixels: (0..ink.pixels.len()).map(pixel).collect(),
    }
}

fn on_slip(ink: &Grey, draw: &mut Draw) -> Grey {
    let side = ink.side;
    let grain = Noise::new(draw, side, 3, side);
    let stains = Noise::new(draw, side, side / 4, side / 4);
    let flaked = Noise::new(draw, side, side / 8, side / 6);
    let (light, lost) = (draw.between(140, 205) as i32, draw.between(0, 90) as i32);
    let left = Grey {
        side,
        pixels: (0..ink.pixels.len())
            .map(|at| {
                let (x, y) = (at % side, at / side);
                if flaked.at(x, y) < lost {
                    ink.pixels[at] / 5
                } else {
                    ink.pixels[at]
                }
            })
            .collect(),
    };
    let darkness = draw.between(90, 150) as i32;
    on(&left, darkness, |x, y| {
        let (x, y) = (x as usize, y as usize);
        light + (grain.at(x, y) - 128) / 5 + (stains.at(x, y) - 128) / 6
    })
}

/// Values from 0 to 255 that change smoothly over cells of a lattice.
struct Noise {
    cell: (usize, usize),
    columns: usize,
    values: Vec<i32>,
}

impl Noise {
    fn new(draw: &mut Draw, side: usize, width: usize, height: usize) -> Self {
        let cell = (width.max(1), height.max(1));
        let columns = side / cell.0 + 2;
        let rows = side / cell.1 + 2;
        Self {
            cell,
            columns,
            values: (0..columns * rows)
                .map(|_| draw.below(256) as i32)
                .collect(),
        }
    }

    fn at(&self, x: usize, y: usize) -> i32 {
        let (width, height) = self.cell;
        let value = |column: usize, row: usize| self.values[row * self.columns + column];
        let (column, row) = (x / width, y / height);
        let (right, down) = ((x % width) as i32, (y % height) as i32);
        let (width, height) = (width as i32, height as i32);
        let along =
            |row: usize| value(column, row) * (width - right) + value(column + 1, row) * right;
        (along(row) * (height - down) + along(row + 1) * down) / (width * height)
    }
}

/// A binomial filter of three by three.
fn blurred(picture: &Grey) -> Grey {
    let pixel = |at: usize| {
        let (x, y) = ((at % picture.side) as i32, (at / picture.side) as i32);
        let row = |y: i32| {
            let at = |x: i32| i32::from(picture.at(x, y));
            at(x - 1) + 2 * at(x) + at(x + 1)
        };
        ((row(y - 1) + 2 * row(y) + row(y + 1) + 8) / 16) as u8
    };
    Grey {
        side: picture.side,
        pixels: (0..picture.pixels.len()).map(pixel).collect(),
    }
}

/// What JPEG of this quality leaves: blocks of eight by eight, their cosine transform rounded to the
/// standard's steps. The software cosine and the order of sums are the same everywhere.
fn compressed(picture: &Grey, quality: i32) -> Grey {
    let scale = if quality < 50 {
        5000 / quality
    } else {
        200 - 2 * quality
    };
    let steps = LUMINANCE.map(|step| f64::from(((step * scale + 50) / 100).clamp(1, 255)));
    let waves = waves();
    let mut left = picture.clone();
    let blocks = picture.side.div_ceil(8) as i32;
    for (row, column) in (0..blocks).flat_map(|row| (0..blocks).map(move |column| (row, column))) {
        let (top, start) = (8 * row, 8 * column);
        let block: [f64; 64] = std::array::from_fn(|at| {
            let (y, x) = (at as i32 / 8, at as i32 % 8);
            f64::from(picture.at(start + x, top + y)) - 128.0
        });
        let mut kept = transformed(&block, &waves, false);
        for (value, step) in kept.iter_mut().zip(steps) {
            *value = (*value / step).round() * step;
        }
        let back = transformed(&kept, &waves, true);
        for (at, value) in back.into_iter().enumerate() {
            let (y, x) = (top as usize + at / 8, start as usize + at % 8);
            if y < left.side && x < left.side {
                left.pixels[y * left.side + x] = (value + 128.0).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
    left
}

/// `waves[u][x]`: the orthonormal cosine basis of eight samples.
fn waves() -> [[f64; 8]; 8] {
    std::array::from_fn(|u| {
        let size = if u == 0 { 0.125f64.sqrt() } else { 0.5 };
        std::array::from_fn(|x| {
            let angle = (2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0;
            size * libm::cos(angle)
        })
    })
}

/// The two-dimensional transform, or its inverse.
fn transformed(block: &[f64; 64], waves: &[[f64; 8]; 8], back: bool) -> [f64; 64] {
    let wave = |u: usize, x: usize| if back { waves[x][u] } else { waves[u][x] };
    let once = |from: &[f64; 64], of: &dyn Fn(usize, usize) -> usize| -> [f64; 64] {
        let mut into = [0.0; 64];
        for (line, u) in (0..8).flat_map(|line| (0..8).map(move |u| (line, u))) {
            into[of(line, u)] = (0..8).map(|x| wave(u, x) * from[of(line, x)]).sum();
        }
        into
    };
    let rows = once(block, &|line, x| 8 * line + x);
    once(&rows, &|line, x| 8 * x + line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::render::script::glyph::Script;

    fn glyph() -> Glyph {
        Script::new(1).glyph(&mut Draw::new(1, "glyph"))
    }

    #[test]
    fn a_seed_repeats_a_picture_and_another_changes_it() {
        for surface in [Surface::Plain, Surface::Slip] {
            let of = |seed| picture(&glyph(), surface, 48, &mut Draw::new(seed, "picture"));
            assert_eq!(of(1), of(1));
            assert_ne!(of(1), of(2));
            let mean = of(1).pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / (48.0 * 48.0);
            assert!(mean > 60.0 && mean < 254.0, "{mean}");
        }
    }

    #[test]
    fn the_transform_is_undone_by_its_inverse() {
        let block: [f64; 64] = std::array::from_fn(|at| (at * at % 97) as f64 - 40.0);
        let waves = waves();
        let there = transformed(&block, &waves, false);
        for (a, b) in transformed(&there, &waves, true).iter().zip(block) {
            assert!((a - b).abs() < 1e-10);
        }
        // Parseval.
        let squares = |block: &[f64; 64]| block.iter().map(|x| x * x).sum::<f64>();
        assert!((squares(&there) - squares(&block)).abs() < 1e-8);
    }

    #[test]
    fn fine_steps_leave_a_picture_as_it_was() {
        let grey = cover(&glyph(), 20, 60);
        let close = |a: &Grey, b: &Grey, most: i32| {
            let mut both = a.pixels.iter().zip(&b.pixels);
            both.all(|(a, b)| (i32::from(*a) - i32::from(*b)).abs() <= most)
        };
        assert!(close(&compressed(&grey, 100), &grey, 4));
        assert!(!close(&compressed(&grey, 10), &grey, 4));
        let white = Grey {
            side: 9,
            pixels: vec![255; 81],
        };
        assert_eq!(blurred(&white), white);
    }
}
