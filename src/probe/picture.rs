//! A picture that an item shows.

use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ExtendedColorType;
use image::ImageDecoder;
use image::ImageEncoder;
use image::ImageFormat;
use image::ImageReader;
use image::Limits;
use image::codecs::png::PngEncoder;

/// Most pixels of a side: a picture is read into memory whole.
const MAX_SIDE: u32 = 4096;

/// Largest file.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What a picture within a dataset begins with.
const URI: &str = "data:image/png;base64,";

/// A PNG or JPEG file that was found to be whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    bytes: Arc<[u8]>,
    width: u32,
    height: u32,
    /// Of the file, lower-case hex.
    pub sha256: String,
}

/// Pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of every pixel, row by row.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A picture from the content of its file.
    ///
    /// # Errors
    /// What is wrong with it, with the way out: not PNG or JPEG, broken, too large. Sides are read first, so
    /// that one that claims to be huge costs nothing.
    pub fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let (width, height) = sides(&bytes)?;
        let picture = Self {
            sha256: super::load::hash(&bytes),
            bytes: bytes.into(),
            width,
            height,
        };
        picture.rgb()?;
        Ok(picture)
    }

    /// A picture of these pixels, of which there must be three for each.
    pub(crate) fn of(rgb: &Rgb) -> Self {
        let mut bytes = Vec::new();
        let (width, height) = (rgb.width as u32, rgb.height as u32);
        // Writing to memory cannot fail.
        let _ = PngEncoder::new(&mut bytes).write_image(
            &rgb.pixels,
            width,
            height,
            ExtendedColorType::Rgb8,
        );
        Self {
            sha256: super::load::hash(&bytes),
            bytes: bytes.into(),
            width,
            height,
        }
    }

    /// A picture within a dataset: `data:image/png;base64,…`; `None` for what is none.
    ///
    /// # Errors
    /// As [`Picture::new`], and for what is not base64.
    pub(super) fn within(text: &str) -> Option<Result<Self, String>> {
        let coded = text.strip_prefix(URI)?;
        let bytes = STANDARD
            .decode(coded)
            .map_err(|_| "the picture is not base64: write it again".to_owned());
        Some(bytes.and_then(Self::new))
    }

    /// As it stands in a dataset.
    pub(super) fn written(png: &[u8]) -> String {
        format!("{URI}{}", STANDARD.encode(png))
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Columns and rows.
    pub fn sides(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Its pixels; what is transparent lies on white.
    ///
    /// # Errors
    /// When the file is broken, which [`Picture::new`] looked at before.
    pub fn rgb(&self) -> Result<Rgb, String> {
        let mut reader = reader(&self.bytes)?;
        reader.limits(limits());
        let rgba = reader.decode().map_err(|error| broken(&error))?.to_rgba8();
        let on_white = |value: u8, alpha: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        Ok(Rgb {
            width: rgba.width() as usize,
            height: rgba.height() as usize,
            pixels: rgba
                .pixels()
                .flat_map(|pixel| [0, 1, 2].map(|at| on_white(pixel[at], pixel[3])))
                .collect(),
        })
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Picture({} x {}, {})",
            self.width, self.height, self.sha256
        )
    }
}

fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|error| broken(&error.into()))?;
    match reader.format() {
        Some(ImageFormat::Png | ImageFormat::Jpeg) => Ok(reader),
        _ => Err("the picture is neither PNG nor JPEG: convert it".to_owned()),
    }
}

fn sides(bytes: &[u8]) -> Result<(u32, u32), String> {
    let mut reader = reader(bytes)?;
    // The header alone is read here.
    reader.no_limits();
    let (width, height) = reader
        .into_decoder()
        .map_err(|error| broken(&error))?
        .dimensions();
    if width.max(height) > MAX_SIDE {
        return Err(format!(
            "the picture is {width} x {height} pixels, more than {MAX_SIDE} on a side: scale it down"
        ));
    }
    Ok((width, height))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits
}

fn broken(error: &image::ImageError) -> String {
    let reason = crate::text::ModelText::new(error.to_string());
    format!(
        "the picture is broken ({}): replace it",
        reason.clipped(120)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32, colour: ExtendedColorType, pixels: &[u8]) -> Vec<u8> {
        use image::ImageEncoder;
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes)
            .write_image(pixels, width, height, colour)
            .unwrap();
        bytes
    }

    #[test]
    fn what_is_transparent_lies_on_white() {
        let pixels = [10, 20, 30, 255, 10, 20, 30, 0];
        let bytes = png(2, 1, ExtendedColorType::Rgba8, &pixels);
        let picture = Picture::new(bytes.clone()).unwrap();
        assert_eq!(picture.sides(), (2, 1));
        assert_eq!(picture.rgb().unwrap().pixels, [10, 20, 30, 255, 255, 255]);
        let within = Picture::within(&Picture::written(&bytes)).unwrap().unwrap();
        assert_eq!(within, picture);
        assert!(Picture::within("pictures/a.png").is_none());
    }

    #[test]
    fn broken_and_huge_pictures_are_refused() {
        let good = png(3, 3, ExtendedColorType::L8, &[7; 9]);
        // A header of 30,000 x 30,000 with a right checksum, and next to nothing behind it.
        let mut huge = good[..16].to_vec();
        huge.extend([0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30, 8, 0, 0, 0, 0]);
        let crc = crc32(&huge[12..29]);
        huge.extend(crc.to_be_bytes());
        huge.extend([0, 0, 0, 9, b'I', b'D', b'A', b'T', 0x78, 0x9c]);
        let mut flipped = good.clone();
        let middle = good.len() - 20;
        flipped[middle] ^= 0x55;
        for (bytes, reason) in [
            (huge, "30000 x 30000"),
            (good[..good.len() / 2].to_vec(), "broken"),
            (flipped, "broken"),
            (b"GIF89a".to_vec(), "neither PNG nor JPEG"),
            (Vec::new(), "neither PNG nor JPEG"),
            (b"\xff\xd8\xff\xe0".to_vec(), "broken"),
        ] {
            let error = Picture::new(bytes).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let error = Picture::within("data:image/png;base64,@@").unwrap();
        assert!(error.unwrap_err().contains("not base64"));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }
}
