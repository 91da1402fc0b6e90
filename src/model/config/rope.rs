//! Rotary embeddings as `transformers` 4 (`rope_theta`, `rope_scaling`, `rope_local_base_freq`) and 5
//! (`rope_parameters`, flat or per layer type) write them.

use serde_json::{Map, Value};

use super::super::spec::{RopeScaling, RopeSpec};
use super::{ConfigError, RawConfig, kind, number, shown};

/// Keys that a rotary embedding's entry may have.
const KNOWN: &[&str] = &[
    "factor",
    "high_freq_factor",
    "low_freq_factor",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "rope_theta",
    "rope_type",
    "type",
];

impl RawConfig {
    /// The rotary embedding of a model with one for all blocks. `theta` is what its absence means.
    ///
    /// # Errors
    /// Values of the wrong kind. A scaling that is not known is noted as unsupported.
    pub fn rope(&self, theta: f64) -> Result<RopeSpec, ConfigError> {
        let theta = self.optional_number("rope_theta")?.unwrap_or(theta);
        let old = self.entry("rope_scaling")?;
        let new = self.entry("rope_parameters")?;
        if let (Some(old), Some(new)) = (old, new)
            && !agree(old, new)
        {
            self.refuse("`rope_scaling` and `rope_parameters` disagree");
        }
        match old.or(new) {
            None => self.checked(theta, RopeScaling::Default),
            Some(entry) if entry.values().any(Value::is_object) => {
                self.refuse("`rope_parameters` differ by layer type");
                self.checked(theta, RopeScaling::Default)
            }
            Some(entry) => self.rope_entry(entry, theta),
        }
    }

    /// The rotary embedding that `rope_parameters` (an object per layer type) has for `layer_type`,
    /// when it is written so.
    ///
    /// # Errors
    /// As [`RawConfig::rope`].
    pub fn rope_of(&self, layer_type: &str, theta: f64) -> Result<Option<RopeSpec>, ConfigError> {
        let entry = self.entry("rope_parameters")?;
        match entry.and_then(|entry| entry.get(layer_type)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(entry)) => self.rope_entry(entry, theta).map(Some),
            Some(other) => Err(kind("rope_parameters", other, "an object per layer type")),
        }
    }

    /// A rotary embedding as one object describes it.
    ///
    /// # Errors
    /// As [`RawConfig::rope`].
    pub fn rope_entry(
        &self,
        entry: &Map<String, Value>,
        theta: f64,
    ) -> Result<RopeSpec, ConfigError> {
        let get = |key: &str| entry.get(key).filter(|value| !value.is_null());
        let named = |key: &'static str| get(key).map(|value| number(key, value)).transpose();
        let theta = named("rope_theta")?.unwrap_or(theta);
        for (key, value) in entry {
            if !KNOWN.contains(&key.as_str()) && !value.is_null() {
                let key = crate::text::ModelText::new(key).clipped(40);
                self.refuse(format!("rotary embedding with `{key}` {}", shown(value)));
            }
        }
        if named("partial_rotary_factor")?.is_some_and(|part| part != 1.0) {
            self.refuse("a rotary embedding of a part of each head");
        }
        let need = |key: &'static str| named(key)?.ok_or(ConfigError::Missing(key));
        let scaling = match get("rope_type").or(get("type")) {
            None => RopeScaling::Default,
            Some(kind) => match kind.as_str() {
                Some("default" | "none") => RopeScaling::Default,
                Some("linear") => RopeScaling::Linear {
                    factor: need("factor")?,
                },
                Some("llama3") => RopeScaling::Llama3 {
                    factor: need("factor")?,
                    low_freq_factor: need("low_freq_factor")?,
                    high_freq_factor: need("high_freq_factor")?,
                    original_max_position_embeddings: self.original_positions(entry)?,
                },
                _ => {
                    self.refuse(format!("rotary scaling {}", shown(kind)));
                    RopeScaling::Default
                }
            },
        };
        self.checked(theta, scaling)
    }

    fn original_positions(&self, entry: &Map<String, Value>) -> Result<usize, ConfigError> {
        let key = "original_max_position_embeddings";
        if let Some(positions) = self.optional_size(key)? {
            return Ok(positions);
        }
        match entry.get(key).filter(|value| !value.is_null()) {
            None => self.size("max_position_embeddings"),
            Some(value) => value
                .as_f64()
                .filter(|n| *n >= 1.0 && n.fract() == 0.0 && *n < super::MAX_DIMENSION as f64)
                .map(|n| n as usize)
                .ok_or_else(|| kind(key, value, "a positive integer")),
        }
    }

    /// Refuses bases and factors that make no rotation.
    fn checked(&self, theta: f64, scaling: RopeScaling) -> Result<RopeSpec, ConfigError> {
        let positive = match &scaling {
            RopeScaling::Linear { factor } => *factor > 0.0,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                ..
            } => *factor > 0.0 && 0.0 < *low_freq_factor && low_freq_factor < high_freq_factor,
            RopeScaling::Default | RopeScaling::Divided { .. } => true,
        };
        if theta <= 0.0 || !positive {
            let reason = format!("a rotary embedding of base {theta} with {scaling:?}");
            return Err(ConfigError::Nonsense(reason));
        }
        Ok(RopeSpec { theta, scaling })
    }

    fn entry(&self, key: &str) -> Result<Option<&Map<String, Value>>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(entry)) => Ok(Some(entry)),
            Some(other) => Err(kind(key, other, "an object")),
        }
    }
}

/// Whether two entries say the same where both say something.
fn agree(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    let kind = |entry: &Map<String, Value>| {
        let kind = entry.get("rope_type").or_else(|| entry.get("type"));
        kind.cloned().unwrap_or_else(|| Value::from("default"))
    };
    let same = |key: &&str| match (old.get(*key), new.get(*key)) {
        (Some(a), Some(b)) => a.as_f64() == b.as_f64(),
        _ => true,
    };
    let numbers = KNOWN.iter().filter(|key| !key.ends_with("type"));
    kind(old) == kind(new) && numbers.into_iter().all(same)
}
