//! How an image is cut into slices before a vision tower sees them, and the text that stands for them in a
//! prompt.
//!
//! This is the slicing of LLaVA-UHD (Xu et al., 2024) as MiniCPM-V 2.5 and 2.6 do it: the whole image at
//! about the size that the tower was trained on, and, where the image is larger than that, a grid of
//! slices each of about that size. Sizes are multiples of the tower's patch.
//!
//! Every decision is made in the same floating-point operations as in the reference, so that none falls
//! to the other side of a rounding.

use super::Error;

/// Longest side of an image, in pixels, that is believed.
const MAX_SIDE: u32 = 1 << 16;

/// Most patches of one slice. Slices have about a thousand; only an image thousands of times as long as
/// it is wide has more, and attention over them would fill the memory.
const MAX_PATCHES: usize = 4096;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Columns and rows of slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Slices side by side.
    pub columns: usize,
    /// Slices one below the other.
    pub rows: usize,
}

/// A rectangle of an image: `left` and `top` are its first column and row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Its width and height.
    pub size: Size,
}

/// What slices are made by: `slice_config` of a model's config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slicing {
    /// Most slices beside the whole image; 1 switches slicing off.
    pub max_slice_nums: usize,
    /// Side of the square whose area a slice has about.
    pub scale_resolution: usize,
    /// Side of a patch of the tower.
    pub patch_size: usize,
}

/// What becomes of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The whole image is resized to this and is the first slice.
    pub source: Size,
    /// The image resized once more and cut; `None` where the whole is enough.
    pub refined: Option<Refined>,
}

/// An image cut into a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refined {
    /// The image is resized to this.
    pub size: Size,
    /// And cut into so many.
    pub grid: Grid,
}

impl Slicing {
    /// Decides for an image of `width` times `height` pixels.
    ///
    /// # Errors
    /// An image without pixels, one with a side beyond what is believed, or one so elongated that a slice
    /// would have more patches than attention can hold.
    pub fn plan(&self, width: u32, height: u32) -> Result<Plan, Error> {
        if width == 0 || height == 0 {
            return Err(Error::NoPixels { width, height });
        }
        let size = Size {
            width: width as usize,
            height: height as usize,
        };
        let plan = if width.max(height) > MAX_SIDE {
            None
        } else {
            Some(self.decide(size))
        };
        let fits = |plan: &Plan| {
            let mut sizes = plan.sizes();
            sizes.all(|size| self.patches(size) <= MAX_PATCHES)
        };
        plan.filter(fits).ok_or(Error::Elongated { width, height })
    }

    fn decide(&self, size: Size) -> Plan {
        let (width, height) = (size.width as f64, size.height as f64);
        match self.grid(size) {
            None => Plan {
                source: self.best_size((width, height), true),
                refined: None,
            },
            Some(grid) => Plan {
                source: self.best_size((width, height), false),
                refined: Some(Refined {
                    size: self.refined_size(size, grid),
                    grid,
                }),
            },
        }
    }

    /// Patches of the tower in an area of this size.
    pub fn patches(&self, size: Size) -> usize {
        (size.width / self.patch_size) * (size.height / self.patch_size)
    }

    /// The grid whose proportions are nearest to the image's, among those with about as many slices as
    /// the image's area asks for.
    fn grid(&self, size: Size) -> Option<Grid> {
        let proportion = (size.width as f64 / size.height as f64).ln();
        let area = (size.width * size.height) as f64;
        let wanted = (area / (self.scale_resolution * self.scale_resolution) as f64).ceil();
        let wanted = (wanted as usize).min(self.max_slice_nums);
        if wanted <= 1 {
            return None;
        }
        let mut best = (f64::INFINITY, None);
        for slices in wanted - 1..=wanted + 1 {
            if slices == 1 || slices > self.max_slice_nums {
                continue;
            }
            for columns in (1..=slices).filter(|columns| slices.is_multiple_of(*columns)) {
                let rows = slices / columns;
                let error = (proportion - (columns as f64 / rows as f64).ln()).abs();
                if error < best.0 {
                    best = (error, Some(Grid { columns, rows }));
                }
            }
        }
        best.1
    }

    /// The size of about the trained area, or of the image's own where that is smaller and need not grow,
    /// in whole patches.
    fn best_size(&self, (width, height): (f64, f64), may_grow: bool) -> Size {
        let scale = self.scale_resolution as f64;
        let (mut width, mut height) = (width, height);
        if may_grow || width * height > scale * scale {
            let proportion = width / height;
            height = (scale / proportion.sqrt()).trunc();
            width = (height * proportion).trunc();
        }
        Size {
            width: in_steps(width, self.patch_size),
            height: in_steps(height, self.patch_size),
        }
    }

    /// The size whose slices each have about the trained area.
    fn refined_size(&self, size: Size, grid: Grid) -> Size {
        let width = in_steps(size.width as f64, grid.columns) / grid.columns;
        let height = in_steps(size.height as f64, grid.rows) / grid.rows;
        let slice = self.best_size((width as f64, height as f64), true);
        Size {
            width: slice.width * grid.columns,
            height: slice.height * grid.rows,
        }
    }
}

/// The multiple of `step` that is nearest to `length`, and the even one of two; one step at least.
fn in_steps(length: f64, step: usize) -> usize {
    let steps = (length / step as f64).round_ties_even();
    (steps as usize).max(1) * step
}

impl Plan {
    /// The sizes of all slices, that of the whole image first.
    pub fn sizes(&self) -> impl Iterator<Item = Size> {
        let areas = self.refined.iter().flat_map(Refined::areas);
        std::iter::once(self.source).chain(areas.map(|area| area.size))
    }

    /// What stands in a prompt for the image: `query_num` tokens for each slice, the whole image first.
    ///
    /// Version 2.5 writes a slice as it writes an image and puts a pair of marks around the grid; version
    /// 2.6 puts such a pair around each slice. Rows of the grid stand on lines of their own. What follows
    /// behind the image in a conversation is a line break, which is not a part of it.
    pub fn placeholder(&self, query_num: usize, marks: Marks) -> String {
        let unknown = "<unk>".repeat(query_num);
        let whole = format!("<image>{unknown}</image>");
        let Some(Refined { grid, .. }) = self.refined else {
            return whole;
        };
        let slice = match marks {
            Marks::Grid => whole.clone(),
            Marks::Slice => format!("<slice>{unknown}</slice>"),
        };
        let rows = vec![slice.repeat(grid.columns); grid.rows].join("\n");
        match marks {
            Marks::Grid => format!("{whole}<slice>{rows}</slice>"),
            Marks::Slice => format!("{whole}{rows}"),
        }
    }
}

/// What `<slice>` and `</slice>` stand around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// The whole grid (version 2.5).
    Grid,
    /// Each slice (version 2.6).
    Slice,
}

impl Refined {
    /// The slices, row by row.
    pub fn areas(&self) -> impl Iterator<Item = Area> + use<> {
        let Self { size, grid } = *self;
        let size = Size {
            width: size.width / grid.columns,
            height: size.height / grid.rows,
        };
        (0..grid.rows * grid.columns).map(move |at| Area {
            left: at % grid.columns * size.width,
            top: at / grid.columns * size.height,
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICING: Slicing = Slicing {
        max_slice_nums: 9,
        scale_resolution: 448,
        patch_size: 14,
    };

    #[derive(serde::Deserialize)]
    struct Case {
        image: (u32, u32),
        source: (usize, usize),
        grid: Option<(usize, usize)>,
        refined: Option<(usize, usize)>,
        boxes: Vec<(usize, usize, usize, usize)>,
    }

    #[test]
    fn decisions_are_those_of_the_reference() {
        let cases = include_str!("../../../tests/fixtures/vision/slices.json");
        let cases: Vec<Case> = serde_json::from_str(cases).expect("JSON");
        assert_eq!(cases.len(), 500);
        let pair = |size: Size| (size.width, size.height);
        for case in cases {
            let size = Size {
                width: case.image.0 as usize,
                height: case.image.1 as usize,
            };
            // Also those that are refused for their size.
            let plan = SLICING.decide(size);
            assert_eq!(pair(plan.source), case.source, "{size:?}");
            let refined = plan.refined;
            let grid = refined.map(|refined| (refined.grid.columns, refined.grid.rows));
            assert_eq!(grid, case.grid, "{size:?}");
            assert_eq!(refined.map(|refined| pair(refined.size)), case.refined);
            let boxes = refined.iter().flat_map(Refined::areas).map(|area| {
                let (right, bottom) = (area.left + area.size.width, area.top + area.size.height);
                (area.left, area.top, right, bottom)
            });
            assert_eq!(boxes.collect::<Vec<_>>(), case.boxes);
        }
    }

    #[test]
    fn slices_are_written_as_each_version_writes_them() {
        let plan = SLICING.plan(900, 500).expect("an image");
        let grid = plan.refined.map(|refined| refined.grid);
        assert_eq!(
            grid,
            Some(Grid {
                columns: 2,
                rows: 1
            })
        );
        let two = "<image><unk><unk></image>";
        assert_eq!(
            plan.placeholder(2, Marks::Grid),
            format!("{two}<slice>{two}{two}</slice>")
        );
        let slice = "<slice><unk><unk></slice>";
        assert_eq!(
            plan.placeholder(2, Marks::Slice),
            format!("{two}{slice}{slice}")
        );
        let tall = SLICING.plan(500, 900).expect("an image");
        assert_eq!(
            tall.placeholder(2, Marks::Grid),
            format!("{two}<slice>{two}\n{two}</slice>")
        );
        let small = SLICING.plan(10, 10).expect("an image");
        assert_eq!(small.placeholder(2, Marks::Grid), two);
    }

    #[test]
    fn images_that_cannot_be_cut_are_refused() {
        let refused = |width, height| {
            SLICING
                .plan(width, height)
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(0, 5).contains("no pixels"));
        assert!(refused(5, 0).contains("no pixels"));
        assert!(refused(1, 65_000).contains("1 x 65000"));
        assert!(refused(u32::MAX, u32::MAX).contains("4294967295 x 4294967295"));
    }
}
