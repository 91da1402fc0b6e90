//! Words of configs that several families use.

use candle_nn::Activation;

use super::Error;
use crate::model::ConfigError;
use crate::model::config::RawConfig;
use crate::model::spec;

/// Blocks beyond which a config is not believed.
pub(super) const MAX_LAYERS: usize = 4096;

/// Widths beyond which a config is not believed.
pub(super) const MAX_WIDTH: usize = 1 << 20;

/// A token's id, in the first config that names one; the first of a list.
pub(super) fn token(configs: &[&RawConfig], key: &str) -> Result<Option<u32>, Error> {
    for config in configs {
        let Some(value) = config.get(key) else {
            continue;
        };
        let value = value.as_array().map_or(Some(value), |list| list.first());
        let id = value.and_then(serde_json::Value::as_u64);
        return match id.and_then(|id| u32::try_from(id).ok()) {
            Some(id) => Ok(Some(id)),
            None => Err(Error::Unsupported(format!("`{key}` is not a token's id"))),
        };
    }
    Ok(None)
}

/// An activation function as candle has it; `default` where the config has none.
pub(super) fn activation(
    config: &RawConfig,
    key: &'static str,
    default: spec::Activation,
) -> Result<Activation, Error> {
    let found = config.activation(key, default)?;
    let (unknown, _) = config.remarks();
    if let Some(reason) = unknown.iter().find(|reason| reason.contains(key)) {
        return Err(Error::Unsupported(reason.clone()));
    }
    Ok(match found {
        spec::Activation::Gelu => Activation::Gelu,
        spec::Activation::GeluTanh => Activation::GeluPytorchTanh,
        spec::Activation::Relu => Activation::Relu,
        spec::Activation::Silu => Activation::Silu,
    })
}

/// Values that contradict each other or are out of all proportion.
pub(super) fn nonsense(what: String) -> Error {
    ConfigError::Nonsense(what).into()
}
