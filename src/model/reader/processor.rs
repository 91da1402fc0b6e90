//! `preprocessor_config.json`: how a picture becomes the numbers that an encoder takes.

use std::fmt;

use serde_json::Value;

use super::Error;
use crate::model::config::RawConfig;
use crate::model::vision::Image;
use crate::model::vision::resize::Filter;
use crate::model::vision::slices::Size;

/// What becomes of the pixels of a resized picture, and how it is resized.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Processor {
    filter: Filter,
    factor: f64,
    mean: [f32; 3],
    std: [f32; 3],
}

impl Processor {
    /// Reads what all families have in common; `default` is what the family's processor takes where the file
    /// says nothing.
    ///
    /// # Errors
    /// Steps that are not done here.
    pub fn new(config: &RawConfig, default: Filter) -> Result<Self, Error> {
        for (key, wanted) in [
            ("do_resize", true),
            ("do_rescale", true),
            ("do_normalize", true),
            ("do_center_crop", false),
            ("do_pad", false),
        ] {
            if config.flag(key, wanted)? != wanted {
                return Err(unsupported(format!("`{key}` is {}", !wanted)));
            }
        }
        let filter = match config.count_or("resample", code(default))? {
            2 => Filter::Bilinear,
            3 => Filter::Bicubic,
            other => {
                return Err(unsupported(format!(
                    "`resample` is {other}, neither bilinear (2) nor bicubic (3)"
                )));
            }
        };
        let std = colours(config, "image_std")?;
        let factor = config
            .optional_number("rescale_factor")?
            .unwrap_or(1.0 / 255.0);
        if std.iter().any(|value| *value <= 0.0) || factor <= 0.0 {
            return Err(unsupported(
                "`image_std` or `rescale_factor` is not above zero",
            ));
        }
        Ok(Self {
            filter,
            factor,
            mean: colours(config, "image_mean")?,
            std,
        })
    }

    /// Red, then green, then blue of each pixel of `image` at `size`, row by row: `[3, height, width]`.
    pub fn values(&self, image: &Image, size: Size) -> Vec<f32> {
        let resized = image.resized_by(size, self.filter);
        // In the reference's order, and rounded where it rounds.
        let of = |channel: usize| {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let pixels = resized.pixels().chunks_exact(3);
            pixels.map(move |pixel| ((f64::from(pixel[channel]) * self.factor) as f32 - mean) / std)
        };
        (0..3).flat_map(of).collect()
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = match self.filter {
            Filter::Bilinear => "bilinear",
            Filter::Bicubic => "bicubic",
        };
        let Self {
            factor, mean, std, ..
        } = self;
        write!(f, "{filter}, times {factor}, less {mean:?}, over {std:?}")
    }
}

/// Pillow's number of a filter.
fn code(filter: Filter) -> usize {
    match filter {
        Filter::Bilinear => 2,
        Filter::Bicubic => 3,
    }
}

/// A number for each colour.
fn colours(config: &RawConfig, key: &'static str) -> Result<[f32; 3], Error> {
    let wrong = || unsupported(format!("`{key}` is not three finite numbers"));
    let values = config
        .get(key)
        .and_then(Value::as_array)
        .ok_or_else(wrong)?;
    let values: Option<Vec<f32>> = values
        .iter()
        .map(|value| value.as_f64().map(|value| value as f32))
        .map(|value| value.filter(|value| value.is_finite()))
        .collect();
    values
        .and_then(|values| values.try_into().ok())
        .ok_or_else(wrong)
}

fn unsupported(what: impl fmt::Display) -> Error {
    Error::Unsupported(format!("preprocessor_config.json: {what}"))
}
