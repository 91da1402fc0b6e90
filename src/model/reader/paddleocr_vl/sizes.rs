//! Sizes of pictures: whole patches, in nearly their own proportions, neither too few nor too many.

use std::fmt;

use super::config::VisionConfig;
use crate::model::config::RawConfig;
use crate::model::reader::Error;
use crate::model::reader::words::nonsense;
use crate::model::vision::slices::Size;

/// Pixels beyond which a config is not believed: 16 times those of the published models.
const MAX_PIXELS: usize = 16 * 1536 * 1536;

/// How much longer one side may be than the other; what the reference takes.
const MAX_RATIO: f64 = 200.0;

/// What a picture is resized to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    patch: usize,
    merge: usize,
    min_pixels: usize,
    max_pixels: usize,
}

impl Sizes {
    /// Reads `preprocessor_config.json`.
    ///
    /// # Errors
    /// Patches that are not the tower's; numbers that make no sense.
    pub fn new(config: &RawConfig, vision: &VisionConfig) -> Result<Self, Error> {
        let patch = config.optional_size("patch_size")?.unwrap_or(14);
        let merge = config.optional_size("merge_size")?.unwrap_or(2);
        if (patch, merge) != (vision.patch_size, vision.spatial_merge_size) {
            return Err(nonsense(format!(
                "preprocessor_config.json makes patches of {patch}, {merge} x {merge} of which are one; the tower takes {} and {}",
                vision.patch_size, vision.spatial_merge_size
            )));
        }
        if config
            .optional_size("temporal_patch_size")?
            .is_some_and(|found| found != 1)
        {
            return Err(Error::Unsupported(
                "preprocessor_config.json: `temporal_patch_size` is not 1".to_owned(),
            ));
        }
        let size = config.nested("size");
        let bound = |old: &str, new: &str, default: usize| -> Result<usize, Error> {
            if let Some(found) = config.optional_size(old)? {
                return Ok(found);
            }
            let found = match &size {
                Some(size) => size.optional_size(new)?.or(size.optional_size(old)?),
                None => None,
            };
            Ok(found.unwrap_or(default))
        };
        let sizes = Self {
            patch,
            merge,
            min_pixels: bound("min_pixels", "shortest_edge", 384 * 384)?,
            max_pixels: bound("max_pixels", "longest_edge", 1536 * 1536)?,
        };
        let sensible = sizes.min_pixels <= sizes.max_pixels && sizes.max_pixels <= MAX_PIXELS;
        match sensible && sizes.factor().pow(2) <= sizes.max_pixels {
            true => Ok(sizes),
            false => Err(nonsense(format!(
                "preprocessor_config.json: pictures of {sizes}"
            ))),
        }
    }

    /// What a picture of `size` is resized to.
    ///
    /// # Errors
    /// A picture that is too elongated.
    pub fn of(self, size: Size) -> Result<Size, Error> {
        let factor = self.factor() as f64;
        let (mut height, mut width) = (size.height as f64, size.width as f64);
        if height < factor {
            width = (width * factor / height).round_ties_even();
            height = factor;
        }
        if width < factor {
            height = (height * factor / width).round_ties_even();
            width = factor;
        }
        if height.max(width) / height.min(width) > MAX_RATIO {
            return Err(Error::Refused(format!(
                "the picture is {} x {} pixels, one side more than {MAX_RATIO} times the other: crop it first",
                size.width, size.height
            )));
        }
        let nearest = |side: f64| (side / factor).round_ties_even() * factor;
        let (mut rows, mut columns) = (nearest(height), nearest(width));
        if rows * columns > self.max_pixels as f64 {
            let beta = (height * width / self.max_pixels as f64).sqrt();
            let fewer = |side: f64| ((side / beta / factor).floor() * factor).max(factor);
            (rows, columns) = (fewer(height), fewer(width));
        } else if rows * columns < self.min_pixels as f64 {
            let beta = (self.min_pixels as f64 / (height * width)).sqrt();
            let more = |side: f64| (side * beta / factor).ceil() * factor;
            (rows, columns) = (more(height), more(width));
        }
        Ok(Size {
            width: columns as usize,
            height: rows as usize,
        })
    }

    /// Rows and columns of patches.
    pub fn grid(self, size: Size) -> (usize, usize) {
        (size.height / self.patch, size.width / self.patch)
    }

    /// Rows and columns of what the decoder sees of them.
    pub fn merged(self, (rows, columns): (usize, usize)) -> (usize, usize) {
        (rows / self.merge, columns / self.merge)
    }

    fn factor(self) -> usize {
        self.patch * self.merge
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {} pixels in patches of {}",
            self.min_pixels, self.max_pixels, self.patch
        )
    }
}
