//! Rotary embeddings as `transformers` 4 (`rope_theta`, `rope_scaling`, `rope_local_base_freq`) and 5
//! (`rope_parameters`, flat or per layer type) write them.

use serde_json::{Map, Value};

use super::super::spec::{RopeScaling, RopeSpec};
use super::{ConfigError, RawConfig, kind, number, shown};

/// Keys that a rotary embedding's entry may have.
const KNOWN: &[&str] = &[
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "factor",
    "finetuned",
    "high_freq_factor",
    "long_factor",
    "low_freq_factor",
    "mscale",
    "mscale_all_dim",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "rope_theta",
    "rope_type",
    "short_factor",
    "truncate",
    "type",
];

impl RawConfig {
    /// The rotary embedding of a model with one for all blocks, of whole heads. `theta` is what its
    /// absence means.
    ///
    /// # Errors
    /// Values of the wrong kind. A scaling that is not known is noted as unsupported.
    pub fn rope(&self, theta: f64) -> Result<RopeSpec, ConfigError> {
        let rope = self.any_rope(theta, 1.0)?;
        if rope.partial_rotary_factor != 1.0 {
            self.refuse("a rotary embedding of a part of each head");
        }
        Ok(rope)
    }

    /// As [`RawConfig::rope`], of a part of each head: as large as the entry says, else `key`, else
    /// `part`.
    ///
    /// # Errors
    /// As [`RawConfig::rope`], and a part that is none.
    pub fn partial_rope(
        &self,
        theta: f64,
        (key, part): (&str, f64),
    ) -> Result<RopeSpec, ConfigError> {
        self.honour(key);
        let part = self.optional_number(key)?.unwrap_or(part);
        let rope = self.any_rope(theta, part)?;
        if !(0.0..=1.0).contains(&rope.partial_rotary_factor) {
            let reason = format!("{} of each head rotates", rope.partial_rotary_factor);
            return Err(ConfigError::Nonsense(reason));
        }
        Ok(rope)
    }

    fn any_rope(&self, theta: f64, part: f64) -> Result<RopeSpec, ConfigError> {
        let theta = self.optional_number("rope_theta")?.unwrap_or(theta);
        let old = self.entry("rope_scaling")?;
        let new = self.entry("rope_parameters")?;
        if let (Some(old), Some(new)) = (old, new)
            && !agree(old, new)
        {
            self.refuse("`rope_scaling` and `rope_parameters` disagree");
        }
        let mut rope = match old.or(new) {
            None => checked(RopeSpec::new(theta, RopeScaling::Default))?,
            Some(entry) if entry.values().any(Value::is_object) => {
                self.refuse("`rope_parameters` differ by layer type");
                checked(RopeSpec::new(theta, RopeScaling::Default))?
            }
            Some(entry) => self.rope_entry(entry, theta)?,
        };
        let said = |entry: Option<&Map<String, Value>>| {
            entry.is_some_and(|entry| {
                let part = entry.get("partial_rotary_factor");
                part.is_some_and(|part| !part.is_null())
            })
        };
        if !said(old.or(new)) {
            rope.partial_rotary_factor = part;
        }
        Ok(rope)
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
            Some(Value::Object(entry)) => {
                let rope = self.rope_entry(entry, theta)?;
                if rope.partial_rotary_factor != 1.0 {
                    self.refuse("a rotary embedding of a part of each head");
                }
                Ok(Some(rope))
            }
            Some(other) => Err(kind("rope_parameters", other, "an object per layer type")),
        }
    }

    /// A rotary embedding as one object describes it.
    ///
    /// # Errors
    /// As [`RawConfig::rope`].
    fn rope_entry(&self, entry: &Map<String, Value>, theta: f64) -> Result<RopeSpec, ConfigError> {
        let get = |key: &str| entry.get(key).filter(|value| !value.is_null());
        let named = |key: &'static str| get(key).map(|value| number(key, value)).transpose();
        let theta = named("rope_theta")?.unwrap_or(theta);
        for (key, value) in entry {
            if !KNOWN.contains(&key.as_str()) && !value.is_null() {
                let key = crate::text::ModelText::new(key).clipped(40);
                self.refuse(format!("rotary embedding with `{key}` {}", shown(value)));
            }
        }
        let part = named("partial_rotary_factor")?.unwrap_or(1.0);
        let need = |key: &'static str| named(key)?.ok_or(ConfigError::Missing(key));
        let scaling = match get("rope_type").or(get("type")) {
            None => RopeScaling::Default,
            Some(kind) => match kind.as_str() {
                Some("default" | "none") => RopeScaling::Default,
                Some("linear") => RopeScaling::Linear {
                    factor: need("factor")?,
                },
                Some("dynamic") => RopeScaling::Dynamic {
                    factor: need("factor")?,
                    max_position_embeddings: self.size("max_position_embeddings")?,
                },
                Some("yarn") => self.yarn(entry)?,
                Some("longrope" | "su") => self.long_rope(entry)?,
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
        checked(RopeSpec {
            partial_rotary_factor: part,
            ..RopeSpec::new(theta, scaling)
        })
    }

    /// YaRN with the defaults of `transformers`.
    fn yarn(&self, entry: &Map<String, Value>) -> Result<RopeScaling, ConfigError> {
        let named = |key: &str| optional(entry, key);
        let original = self.original_positions(entry)?;
        let factor = match named("factor")? {
            Some(factor) => factor,
            None => self.size("max_position_embeddings")? as f64 / original as f64,
        };
        let mscales = named("mscale")?.zip(named("mscale_all_dim")?);
        let usual = match mscales.filter(|(one, all)| *one != 0.0 && *all != 0.0) {
            Some((one, all)) => yarn_mscale(factor, one) / yarn_mscale(factor, all),
            None => yarn_mscale(factor, 1.0),
        };
        let turns = |key, usual| Ok(named(key)?.filter(|n| *n != 0.0).unwrap_or(usual));
        Ok(RopeScaling::Yarn {
            factor,
            beta_fast: turns("beta_fast", 32.0)?,
            beta_slow: turns("beta_slow", 1.0)?,
            truncate: entry.get("truncate").and_then(Value::as_bool) != Some(false),
            original_max_position_embeddings: original,
            attention_factor: named("attention_factor")?.unwrap_or(usual),
        })
    }

    /// `LongRoPE` with the defaults of `transformers`.
    fn long_rope(&self, entry: &Map<String, Value>) -> Result<RopeScaling, ConfigError> {
        let original = self.original_positions(entry)?;
        let factor = match optional(entry, "factor")? {
            Some(factor) => factor,
            None => self.size("max_position_embeddings")? as f64 / original as f64,
        };
        let usual = match factor > 1.0 {
            true => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
            false => 1.0,
        };
        Ok(RopeScaling::LongRope {
            short_factor: divisors(entry, "short_factor")?,
            long_factor: divisors(entry, "long_factor")?,
            original_max_position_embeddings: original,
            attention_factor: optional(entry, "attention_factor")?.unwrap_or(usual),
        })
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

    fn entry(&self, key: &str) -> Result<Option<&Map<String, Value>>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(entry)) => Ok(Some(entry)),
            Some(other) => Err(kind(key, other, "an object")),
        }
    }
}

/// How much longer YaRN makes queries and keys together, for a context grown by `factor`.
pub(in crate::model) fn yarn_mscale(factor: f64, mscale: f64) -> f64 {
    match factor > 1.0 {
        true => 0.1 * mscale * factor.ln() + 1.0,
        false => 1.0,
    }
}

fn optional(entry: &Map<String, Value>, key: &str) -> Result<Option<f64>, ConfigError> {
    let value = entry.get(key).filter(|value| !value.is_null());
    value.map(|value| number(key, value)).transpose()
}

/// Positive numbers to divide frequencies by.
fn divisors(entry: &Map<String, Value>, key: &'static str) -> Result<Vec<f32>, ConfigError> {
    let value = entry.get(key).ok_or(ConfigError::Missing(key))?;
    let numbers = value.as_array().and_then(|list| {
        let one = |value: &Value| value.as_f64().filter(|n| *n > 0.0).map(|n| n as f32);
        list.iter().map(one).collect::<Option<Vec<_>>>()
    });
    numbers.ok_or_else(|| kind(key, value, "a list of positive numbers"))
}

/// Refuses bases and factors that make no rotation.
fn checked(rope: RopeSpec) -> Result<RopeSpec, ConfigError> {
    let positive = match &rope.scaling {
        RopeScaling::Linear { factor } | RopeScaling::Dynamic { factor, .. } => *factor > 0.0,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            ..
        } => *factor > 0.0 && 0.0 < *low_freq_factor && low_freq_factor < high_freq_factor,
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            attention_factor,
            ..
        } => {
            let turns = 0.0 < *beta_slow && beta_slow <= beta_fast;
            *factor > 0.0 && turns && *attention_factor > 0.0 && rope.theta != 1.0
        }
        RopeScaling::LongRope {
            attention_factor, ..
        } => attention_factor.is_finite() && *attention_factor > 0.0,
        RopeScaling::Default | RopeScaling::Divided { .. } => true,
    };
    if rope.theta <= 0.0 || !positive {
        let reason = format!(
            "a rotary embedding of base {} with {:?}",
            rope.theta, rope.scaling
        );
        return Err(ConfigError::Nonsense(reason));
    }
    Ok(rope)
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
