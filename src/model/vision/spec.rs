//! What a config says about images.

use super::siglip::{Positions, TowerSpec};
use super::{Error, Marks, ResamplerSpec, Slicing};
use crate::model::Model;
use crate::model::arch::minicpmv::Version;
use crate::model::config::{ConfigError, RawConfig};

/// Blocks beyond which a config is not believed.
const MAX_LAYERS: usize = 4096;

/// Width of a resampler's head in every published model.
const HEAD: usize = 128;

/// Everything that a vision part depends on besides its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionSpec {
    /// How images are cut.
    pub slicing: Slicing,
    /// How slices are written in a prompt.
    pub marks: Marks,
    /// Whether each image is numbered in the prompt.
    pub numbered: bool,
    /// The tower.
    pub tower: TowerSpec,
    /// What brings its features to the language model.
    pub resampler: ResamplerSpec,
}

impl VisionSpec {
    /// Every tensor by the family's name, with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = self.tower.tensors();
        tensors.extend(self.resampler.tensors());
        tensors
    }

    /// Bytes of all tensors in f32.
    pub fn bytes(&self) -> u64 {
        let sizes = self.tensors().into_iter().map(|(_, shape)| shape);
        let numbers = |shape: Vec<usize>| shape.iter().map(|axis| *axis as u64).product::<u64>();
        4 * sizes.map(numbers).sum::<u64>()
    }

    /// That of `model`; reads no weights.
    ///
    /// # Errors
    /// As [`VisionSpec::new`].
    pub fn of(model: &Model) -> Result<Self, Error> {
        match &model.sight {
            Some(sight) => Ok(sight.spec.clone()),
            None => Self::new(&RawConfig::new(model.config.clone())),
        }
    }

    /// Reads the `config.json` of a MiniCPM-V.
    ///
    /// # Errors
    /// A config without a vision part, or with one that makes no sense or is not run.
    pub fn new(config: &RawConfig) -> Result<Self, Error> {
        let vision = config
            .nested("vision_config")
            .ok_or(Error::Blind("vision_config"))?;
        // Others have vision parts too, of other kinds.
        let query_num = config.optional_size("query_num")?;
        let query_num = query_num.ok_or(Error::Blind("query_num"))?;
        let version = Version::of(config).map_err(Error::Unsupported)?;
        if !config.flag("slice_mode", true)? {
            return Err(Error::Unsupported("`slice_mode` is off".to_owned()));
        }
        let positions = match version {
            Version::Qwen2 => Positions::Grid,
            Version::Llama3 => Positions::Line {
                filled: config.flag("batch_vision_input", true)?,
            },
        };
        let drops = config.flag("drop_vision_last_layer", true)?;
        let tower = tower(&vision, positions, drops)?;
        Ok(Self {
            slicing: slicing(config, tower.patch_size)?,
            marks: match version {
                Version::Llama3 => Marks::Grid,
                Version::Qwen2 => Marks::Slice,
            },
            numbered: config.flag("use_image_id", version == Version::Qwen2)?,
            resampler: resampler(config, query_num, tower.hidden_size)?,
            tower,
        })
    }
}

fn tower(config: &RawConfig, positions: Positions, drops: bool) -> Result<TowerSpec, Error> {
    for (key, only) in [("num_channels", 3), ("attention_dropout", 0)] {
        let value = config.optional_number(key)?;
        if value.is_some_and(|value| value != f64::from(only)) {
            return Err(Error::Unsupported(format!("`{key}` is not {only}")));
        }
    }
    let act = config.get("hidden_act").and_then(|act| act.as_str());
    if act.is_some_and(|act| act != "gelu_pytorch_tanh") {
        return Err(Error::Unsupported(
            "`hidden_act` is not gelu_pytorch_tanh".to_owned(),
        ));
    }
    let (hidden, heads) = (
        config.size("hidden_size")?,
        config.size("num_attention_heads")?,
    );
    let (image, patch) = (config.size("image_size")?, config.size("patch_size")?);
    let layers = config.size("num_hidden_layers")?;
    let eps = config.optional_number("layer_norm_eps")?.unwrap_or(1e-6);
    // A hostile number of positions would be a hostile number of comparisons.
    let sensible = hidden.is_multiple_of(heads)
        && (patch..=patch.saturating_mul(4096)).contains(&image)
        && patch <= 1024
        && layers <= MAX_LAYERS
        && eps >= 0.0;
    if !sensible {
        return Err(nonsense(format!(
            "a vision tower of {layers} blocks of width {hidden} with {heads} heads, for images of {image} in patches of {patch}"
        )));
    }
    Ok(TowerSpec {
        hidden_size: hidden,
        intermediate_size: config.size("intermediate_size")?,
        num_hidden_layers: layers - usize::from(drops),
        num_attention_heads: heads,
        side: image / patch,
        patch_size: patch,
        layer_norm_eps: eps,
        positions,
    })
}

/// What `slice_config` leaves out is what the image processor takes.
fn slicing(config: &RawConfig, patch_size: usize) -> Result<Slicing, Error> {
    let empty = || RawConfig::new(serde_json::Map::new());
    let config = config.nested("slice_config").unwrap_or_else(empty);
    let slicing = Slicing {
        max_slice_nums: config.optional_size("max_slice_nums")?.unwrap_or(9),
        scale_resolution: config.optional_size("scale_resolution")?.unwrap_or(448),
        patch_size: config.optional_size("patch_size")?.unwrap_or(patch_size),
    };
    let Slicing {
        max_slice_nums,
        scale_resolution,
        ..
    } = slicing;
    if slicing.patch_size != patch_size || max_slice_nums > 1000 || scale_resolution > 1 << 14 {
        return Err(nonsense(format!(
            "{max_slice_nums} slices of {scale_resolution} in patches of {}, for a tower with patches of {patch_size}",
            slicing.patch_size
        )));
    }
    Ok(slicing)
}

fn resampler(config: &RawConfig, query_num: usize, kv_dim: usize) -> Result<ResamplerSpec, Error> {
    let embed_dim = config.size("hidden_size")?;
    // No published config has it: there it follows from the width.
    let num_heads = config.optional_size("resampler_num_heads")?;
    let num_heads = num_heads.unwrap_or((embed_dim / HEAD).max(1));
    if !embed_dim.is_multiple_of(num_heads) || !embed_dim.is_multiple_of(4) || query_num > 1 << 16 {
        return Err(nonsense(format!(
            "a resampler of {query_num} queries of width {embed_dim} with {num_heads} heads"
        )));
    }
    Ok(ResamplerSpec {
        query_num,
        embed_dim,
        num_heads,
        kv_dim,
    })
}

fn nonsense(reason: String) -> Error {
    Error::Config(ConfigError::Nonsense(reason))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(changes: Value) -> Result<VisionSpec, Error> {
        let mut config = json!({
            "model_type": "minicpmv", "version": "2.5", "hidden_size": 4096, "query_num": 96,
            "image_size": 448, "patch_size": 14, "slice_mode": true, "batch_vision_input": true,
            "drop_vision_last_layer": false, "slice_config": {"max_slice_nums": 9, "patch_size": 14},
            "vision_config": {"hidden_size": 1152, "image_size": 980, "intermediate_size": 4304,
                "model_type": "idefics2", "num_attention_heads": 16, "num_hidden_layers": 27,
                "patch_size": 14}
        });
        let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) else {
            panic!("objects");
        };
        config.extend(changes);
        VisionSpec::new(&RawConfig::new(config.clone()))
    }

    #[test]
    fn each_version_is_read_as_its_code_runs_it() {
        let spec = read(json!({})).expect("2.5");
        assert_eq!(spec.resampler.num_heads, 32);
        assert_eq!(spec.tower.num_hidden_layers, 27);
        assert_eq!((spec.tower.side, spec.slicing.scale_resolution), (70, 448));
        assert_eq!(spec.tower.positions, Positions::Line { filled: true });
        assert_eq!((spec.marks, spec.numbered), (Marks::Grid, false));

        let later = json!({"version": 2.6, "drop_vision_last_layer": true, "use_image_id": true});
        let spec = read(later).expect("2.6");
        assert_eq!(spec.tower.num_hidden_layers, 26);
        assert_eq!(spec.tower.positions, Positions::Grid);
        assert_eq!((spec.marks, spec.numbered), (Marks::Slice, true));
    }

    #[test]
    fn towers_that_make_no_sense_are_refused() {
        let tower = |key: &str, value: Value| {
            let mut tower = json!({"hidden_size": 8, "image_size": 8, "intermediate_size": 8,
                "num_attention_heads": 2, "num_hidden_layers": 2, "patch_size": 2});
            tower[key] = value;
            let error = read(json!({"vision_config": tower, "slice_config": {}}));
            error.map_or_else(|error| error.to_string(), |_| String::new())
        };
        assert_eq!(tower("hidden_size", json!(8)), "");
        for (key, value, word) in [
            ("hidden_size", json!(9), "2 heads"),
            ("hidden_size", json!(null), "hidden_size"),
            ("image_size", json!(1), "images of 1"),
            ("image_size", json!(1_000_000), "images of 1000000"),
            ("patch_size", json!(0), "patch_size"),
            ("num_hidden_layers", json!(1_000_000), "1000000 blocks"),
            ("hidden_act", json!("gelu"), "hidden_act"),
            ("num_channels", json!(1), "num_channels"),
        ] {
            let line = tower(key, value);
            assert!(line.contains(word), "{key}: {line}");
        }
    }
}
