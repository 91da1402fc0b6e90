//! Images of three bytes a pixel, resized as Pillow resizes them with `BICUBIC` and `BILINEAR`: bit for bit,
//! since a difference of one level is seen by a vision tower.
//!
//! The filter (Keys's cubic with a = -1/2, or a triangle) is widened by the factor of a reduction (so that
//! no pixel is left out), and applied first along rows and then along columns. Weights are rounded to 22 fractional bits, sums are
//! formed in integers, and what lies between the two passes is rounded to bytes.
//!
//! The order of the passes is that of Pillow up to 10.4, of the time when the models were published. Pillow
//! 13 begins with columns where that is less work, which changes some bytes by one.

use super::Error;
use super::slices::{Area, Size};

/// Bytes of a pixel: red, green, blue.
const CHANNELS: usize = 3;

/// Fractional bits of a weight: what 32 bits leave beside a byte and two bits for sums beyond it.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// What a pixel of the result is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A triangle over two pixels.
    Bilinear,
    /// Keys's cubic over four pixels.
    Bicubic,
}

impl Filter {
    /// Pixels on either side that count, where nothing is reduced.
    fn reach(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        match self {
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => cubic(x),
        }
    }
}

/// An image in RGB, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    size: Size,
    pixels: Vec<u8>,
}

impl Image {
    /// From `pixels`: red, green and blue of each pixel, rows from the top, without padding.
    ///
    /// # Errors
    /// No pixels, or not three bytes for each.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, Error> {
        if width == 0 || height == 0 {
            return Err(Error::NoPixels { width, height });
        }
        let expected = u128::from(width) * u128::from(height) * CHANNELS as u128;
        if expected != pixels.len() as u128 {
            return Err(Error::Bytes {
                width,
                height,
                expected: u64::try_from(expected).unwrap_or(u64::MAX),
                found: pixels.len(),
            });
        }
        let size = Size {
            width: width as usize,
            height: height as usize,
        };
        Ok(Self { size, pixels })
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Red, green and blue of each pixel, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Scaled to `size` by [`Filter::Bicubic`]; neither side may be zero.
    #[must_use]
    pub fn resized(&self, size: Size) -> Self {
        self.resized_by(size, Filter::Bicubic)
    }

    /// Scaled to `size`, of which neither side may be zero.
    #[must_use]
    pub fn resized_by(&self, size: Size, filter: Filter) -> Self {
        let wide = if size.width == self.size.width {
            self.clone()
        } else {
            self.stretched(size.width, filter)
        };
        if size.height == self.size.height {
            return wide;
        }
        // Columns are the rows of the image turned over its diagonal; two turns cost little beside the sums.
        wide.turned().stretched(size.height, filter).turned()
    }

    /// The part of it in `area`, which lies inside.
    #[must_use]
    pub fn cropped(&self, area: Area) -> Self {
        let stride = self.size.width * CHANNELS;
        let rows = self.pixels.chunks_exact(stride);
        let rows = rows.skip(area.top).take(area.size.height);
        let columns = area.left * CHANNELS..(area.left + area.size.width) * CHANNELS;
        Self {
            size: area.size,
            pixels: rows
                .flat_map(|row| &row[columns.clone()])
                .copied()
                .collect(),
        }
    }

    /// Every row at another width.
    fn stretched(&self, width: usize, filter: Filter) -> Self {
        let windows = windows(self.size.width, width, filter);
        let mut pixels = Vec::with_capacity(width * self.size.height * CHANNELS);
        for row in self.pixels.chunks_exact(self.size.width * CHANNELS) {
            for window in &windows {
                let seen = row[window.start * CHANNELS..].chunks_exact(CHANNELS);
                let mut sums = [1_i32 << (PRECISION_BITS - 1); CHANNELS];
                for (pixel, weight) in seen.zip(&window.weights) {
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(*value) * weight;
                    }
                }
                pixels.extend(sums.map(|sum| (sum >> PRECISION_BITS).clamp(0, 255) as u8));
            }
        }
        Self {
            size: Size {
                width,
                height: self.size.height,
            },
            pixels,
        }
    }

    /// Rows become columns.
    fn turned(&self) -> Self {
        let Size { width, height } = self.size;
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for column in 0..width {
            for row in 0..height {
                let at = (row * width + column) * CHANNELS;
                pixels.extend_from_slice(&self.pixels[at..at + CHANNELS]);
            }
        }
        Self {
            size: Size {
                width: height,
                height: width,
            },
            pixels,
        }
    }
}

/// The pixels that one pixel of the result is made of.
struct Window {
    start: usize,
    /// In units of 2^-22.
    weights: Vec<i32>,
}

/// For each of `to` pixels, those of `from` that it is made of.
fn windows(from: usize, to: usize, filter: Filter) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let widened = scale.max(1.0);
    let reach = filter.reach() * widened;
    let window = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        let start = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let narrowed = 1.0 / widened;
        let weights = (start..end).map(|pixel| {
            // In this order, which decides about the last bit.
            filter.at((pixel as f64 - centre + 0.5) * narrowed)
        });
        let weights: Vec<f64> = weights.collect();
        let total: f64 = weights.iter().sum();
        let share = |weight: &f64| {
            if total == 0.0 {
                *weight
            } else {
                weight / total
            }
        };
        Window {
            start,
            weights: weights.iter().map(|weight| fixed(share(weight))).collect(),
        }
    };
    (0..to).map(window).collect()
}

/// Keys's cubic convolution kernel with a = -1/2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Rounded half away from zero.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1_u32 << PRECISION_BITS);
    (scaled + 0.5_f64.copysign(scaled)) as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        from: (usize, usize),
        seed: u64,
        to: (usize, usize),
        sha256: String,
        #[serde(default)]
        bilinear: bool,
    }

    fn size((width, height): (usize, usize)) -> Size {
        Size { width, height }
    }

    /// Bytes of a linear congruential generator: the script that made the fixture has the same.
    fn noise(size: Size, seed: u64) -> Image {
        let mut state = seed;
        let bytes = (0..size.width * size.height * CHANNELS).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        });
        let pixels = bytes.collect();
        Image { size, pixels }
    }

    fn sha256(bytes: &[u8]) -> String {
        use sha2::Digest;
        let hash = sha2::Sha256::digest(bytes);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn every_bit_is_pillows() {
        let cases = include_str!("../../../tests/fixtures/vision/resize.json");
        let cases: Vec<Case> = serde_json::from_str(cases).expect("JSON");
        assert!(cases.iter().filter(|case| case.bilinear).count() > 20);
        assert!(cases.iter().filter(|case| !case.bilinear).count() > 60);
        for case in cases {
            let image = noise(size(case.from), case.seed);
            let filter = match case.bilinear {
                true => Filter::Bilinear,
                false => Filter::Bicubic,
            };
            let resized = image.resized_by(size(case.to), filter);
            assert_eq!(resized.size(), size(case.to));
            assert_eq!(
                sha256(resized.pixels()),
                case.sha256,
                "{:?} to {:?}",
                case.from,
                case.to
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn one_colour_stays_one_colour(
            from in (1_usize..40, 1_usize..40), to in (1_usize..40, 1_usize..40), grey: u8,
        ) {
            let image = Image { size: size(from), pixels: vec![grey; from.0 * from.1 * CHANNELS] };
            let resized = image.resized(size(to));
            prop_assert_eq!(resized.pixels().len(), to.0 * to.1 * CHANNELS);
            prop_assert!(resized.pixels().iter().all(|value| *value == grey));
        }

        #[test]
        fn slices_of_a_grid_are_all_of_an_image(columns in 1_usize..5, rows in 1_usize..5) {
            let image = noise(size((columns * 3, rows * 2)), 5);
            let mut together = vec![0; image.pixels().len()];
            for at in 0..columns * rows {
                let area = Area { left: at % columns * 3, top: at / columns * 2, size: size((3, 2)) };
                let part = image.cropped(area);
                for (row, pixels) in part.pixels().chunks_exact(9).enumerate() {
                    let start = ((area.top + row) * columns * 3 + area.left) * CHANNELS;
                    together[start..start + 9].copy_from_slice(pixels);
                }
            }
            prop_assert_eq!(image.pixels(), together.as_slice());
        }
    }

    #[test]
    fn bytes_that_are_no_image_are_refused() {
        let refused = |width, height, bytes| {
            let image = Image::new(width, height, vec![0; bytes]);
            image.expect_err("refused").to_string()
        };
        assert!(refused(0, 3, 0).contains("no pixels"));
        assert!(refused(2, 2, 11).contains("12 bytes"));
        assert!(refused(u32::MAX, u32::MAX, 12).contains("not 12"));
        assert!(Image::new(2, 2, vec![0; 12]).is_ok());
    }
}
