//! Glyphs of a script that somebody made a font for.

use std::path::{Path, PathBuf};

use ttf_parser::{Face, GlyphId, OutlineBuilder, name_id};

use super::glyph::{Glyph, Point, SIDE};
use crate::probe::error::Error;

/// Free space around a glyph.
const MARGIN: f64 = 72.0;

/// Pieces of a curve.
const PIECES: u8 = 6;

/// Largest font file: Noto's largest are below.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Signs that are asked for by name: Unicode blocks of scripts that hardly anybody reads.
pub const BLOCKS: [(&str, u32, u32); 6] = [
    ("tangut", 0x17000, 0x187F7),
    ("nushu", 0x1B170, 0x1B2FB),
    ("cuneiform", 0x12000, 0x12399),
    ("khitan", 0x18B00, 0x18CD5),
    ("hieroglyphs", 0x13000, 0x1342E),
    ("anatolian", 0x14400, 0x14646),
];

/// Code points, both ends among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// Lowest.
    pub first: u32,
    /// Highest.
    pub last: u32,
}

impl Signs {
    /// A name out of [`BLOCKS`], or a range of code points in hexadecimal, as `17000-187F7`.
    ///
    /// # Errors
    /// What can be named instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, first, last)) = BLOCKS.iter().find(|(name, ..)| *name == text) {
            return Ok(Self {
                first: *first,
                last: *last,
            });
        }
        let hex = |text: &str| u32::from_str_radix(text.trim_start_matches("U+"), 16).ok();
        let range = text
            .split_once('-')
            .and_then(|(first, last)| Some((hex(first)?, hex(last)?)));
        match range {
            Some((first, last)) if first <= last && last <= u32::from(char::MAX) => {
                Ok(Self { first, last })
            }
            _ => Err(format!(
                "signs are {} or a range of code points like 17000-187F7",
                BLOCKS.map(|(name, ..)| name).join(", ")
            )),
        }
    }
}

/// A font file in memory.
pub struct Font {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Font {
    /// Reads a TrueType or OpenType file.
    ///
    /// # Errors
    /// [`Error`] where it cannot be read or is no font.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let font = Self {
            bytes: crate::probe::load::read(path, MAX_BYTES)?,
            path: path.to_path_buf(),
        };
        font.face()?;
        Ok(font)
    }

    /// Its name, where it has one, and the hash of the file.
    pub(super) fn title(&self) -> String {
        let plain = |c: &char| c.is_ascii_alphanumeric() || " -.".contains(*c);
        let name = self.name(name_id::FULL_NAME).unwrap_or_default();
        let name: String = name.chars().filter(plain).take(60).collect();
        let hash = crate::probe::load::hash(&self.bytes);
        match name.trim() {
            "" => format!("a font without a name (sha256 {hash})"),
            name => format!("{name} (sha256 {hash})"),
        }
    }

    /// Licence of pictures of its signs, as far as the font itself says it.
    pub(super) fn license(&self) -> &'static str {
        let said = [name_id::LICENSE, name_id::LICENSE_URL].map(|id| self.name(id));
        let open = |text: String| text.contains("Open Font License") || text.contains("/OFL");
        match said.into_iter().flatten().any(open) {
            true => "OFL-1.1",
            false => "LicenseRef-font",
        }
    }

    fn name(&self, id: u16) -> Option<String> {
        let face = self.face().ok()?;
        let mut names = face.names().into_iter();
        names.find_map(|name| (name.name_id == id).then(|| name.to_string())?)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn face(&self) -> Result<Face<'_>, Error> {
        Face::parse(&self.bytes, 0).map_err(|error| {
            let reason =
                format!("not a TrueType or OpenType font ({error}): name a .ttf or .otf file");
            Error::invalid(&self.path, None, reason)
        })
    }

    /// The glyphs of those signs that the font draws, in their order.
    ///
    /// # Errors
    /// [`Error`] where it draws none of them.
    pub(super) fn glyphs(&self, signs: Signs) -> Result<Vec<(char, Glyph)>, Error> {
        let face = self.face()?;
        let drawn = |sign: char| Some((sign, outlined(&face, face.glyph_index(sign)?)?));
        let all = (signs.first..=signs.last).filter_map(char::from_u32);
        let glyphs: Vec<(char, Glyph)> = all.filter_map(drawn).collect();
        if glyphs.is_empty() {
            let reason = format!(
                "the font draws none of the signs U+{:X} to U+{:X}: name others with --signs, or a font of that script",
                signs.first, signs.last
            );
            return Err(Error::invalid(&self.path, None, reason));
        }
        Ok(glyphs)
    }
}

/// A glyph's outlines, brought into the square as large as they fit; `None` for an empty glyph and for
/// the one that stands for missing ones.
fn outlined(face: &Face<'_>, glyph: GlyphId) -> Option<Glyph> {
    let mut outlines = Outlines::default();
    let bounds = face.outline_glyph(glyph, &mut outlines)?;
    let (width, height) = (f64::from(bounds.width()), f64::from(bounds.height()));
    if glyph.0 == 0 || width.max(height) <= 0.0 {
        return None;
    }
    let scale = (f64::from(SIDE) - 2.0 * MARGIN) / width.max(height);
    let middle = (
        f64::from(bounds.x_min) + width / 2.0,
        f64::from(bounds.y_min) + height / 2.0,
    );
    let half = f64::from(SIDE) / 2.0;
    // A font's y grows upwards.
    let placed = |(x, y): (f64, f64)| -> Point {
        let (x, y) = ((x - middle.0) * scale, (middle.1 - y) * scale);
        ((half + x).round() as i32, (half + y).round() as i32)
    };
    let lines = outlines.lines.into_iter();
    Some(Glyph::Outlines(
        lines
            .map(|line| line.into_iter().map(placed).collect())
            .collect(),
    ))
}

/// Closed lines in the font's units; curves as pieces.
///
/// Sums and products of doubles are the same on every machine, so that the pieces are.
#[derive(Default)]
struct Outlines {
    lines: Vec<Vec<(f64, f64)>>,
}

impl Outlines {
    fn last(&self) -> (f64, f64) {
        let line = self.lines.last().and_then(|line| line.last());
        line.copied().unwrap_or_default()
    }

    fn add(&mut self, point: (f64, f64)) {
        if let Some(line) = self.lines.last_mut() {
            line.push(point);
        }
    }

    fn curve(&mut self, controls: &[(f64, f64)]) {
        let from = self.last();
        for piece in 1..=PIECES {
            let t = f64::from(piece) / f64::from(PIECES);
            let mut points = vec![from];
            points.extend_from_slice(controls);
            // De Casteljau's construction.
            while points.len() > 1 {
                points = points
                    .windows(2)
                    .map(|two| {
                        let between = |a: f64, b: f64| a + (b - a) * t;
                        (between(two[0].0, two[1].0), between(two[0].1, two[1].1))
                    })
                    .collect();
            }
            self.add(points[0]);
        }
    }
}

fn wide(x: f32, y: f32) -> (f64, f64) {
    (f64::from(x), f64::from(y))
}

impl OutlineBuilder for Outlines {
    fn move_to(&mut self, x: f32, y: f32) {
        self.lines.push(vec![wide(x, y)]);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.add(wide(x, y));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.curve(&[wide(x1, y1), wide(x, y)]);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.curve(&[wide(x1, y1), wide(x2, y2), wide(x, y)]);
    }

    fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_have_names_or_ends() {
        let range = |first, last| Ok(Signs { first, last });
        assert_eq!(Signs::parse("nushu"), range(0x1B170, 0x1B2FB));
        assert_eq!(Signs::parse("U+4E00-4e10"), range(0x4E00, 0x4E10));
        for wrong in ["klingon", "20-10", "10-110000", "-", "4E00"] {
            let error = Signs::parse(wrong).unwrap_err();
            assert!(error.contains("tangut, nushu"), "{error}");
        }
    }

    #[test]
    fn curves_end_where_they_should() {
        let mut outlines = Outlines::default();
        outlines.move_to(0.0, 0.0);
        outlines.quad_to(8.0, 0.0, 8.0, 8.0);
        outlines.curve_to(8.0, 16.0, 0.0, 16.0, 0.0, 8.0);
        let line = &outlines.lines[0];
        assert_eq!(line.len(), 1 + 2 * usize::from(PIECES));
        assert_eq!((line[6], line[12]), ((8.0, 8.0), (0.0, 8.0)));
        // Half-way: a quarter, a half and a quarter of the controls.
        assert_eq!(line[3], (6.0, 2.0));
        assert_eq!(line[9], (4.0, 14.0));
    }

    #[test]
    fn what_is_no_font_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ttf");
        std::fs::write(&path, b"\0\x01\0\0 not a font").unwrap();
        let error = Font::read(&path).err().unwrap().to_string();
        assert!(
            error.contains("a.ttf") && error.contains("name a .ttf"),
            "{error}"
        );
    }
}
