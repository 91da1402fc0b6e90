//! What families have in common: the words of Llama's config.

use super::{ConfigError, DecoderSpec, RawConfig};
use crate::model::spec::{
    Activation, Biases, Kind, LayerSpec, MoeSpec, Norm, NormPlace, Position, RopeScaling, RopeSpec,
    Routing,
};

/// Blocks, and experts of all blocks together, beyond which a config is not believed.
const MAX_LAYERS: usize = 4096;
const MAX_EXPERTS: usize = 100_000;

/// What a family's configs mean where they say nothing: the defaults of its class in `transformers`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    /// `vocab_size`; `None` where a config must say it.
    pub(super) vocab_size: Option<usize>,
    /// `num_attention_heads`, likewise.
    pub(super) num_attention_heads: Option<usize>,
    /// `num_key_value_heads`; `None` is as many as query heads.
    pub(super) num_key_value_heads: Option<usize>,
    /// `head_dim`; `None` is `hidden_size / num_attention_heads`.
    pub(super) head_dim: Option<usize>,
    /// `max_position_embeddings`.
    pub(super) max_position_embeddings: usize,
    /// `rope_theta`.
    pub(super) rope_theta: f64,
    /// `rms_norm_eps`.
    pub(super) rms_norm_eps: f64,
}

impl Defaults {
    /// Llama's.
    pub(super) const LLAMA: Self = Self {
        vocab_size: None,
        num_attention_heads: None,
        num_key_value_heads: None,
        head_dim: None,
        max_position_embeddings: 2048,
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-6,
    };
}

/// A decoder as Llama's config words describe it: RMS norms, rotary positions with one base for all
/// blocks, a gated MLP, no biases, no windows.
pub(super) fn llama_like(
    config: &RawConfig,
    family: &'static str,
    defaults: Defaults,
) -> Result<DecoderSpec, ConfigError> {
    let rope = config.rope(defaults.rope_theta)?;
    with_rope(config, family, defaults, &rope)
}

/// As [`llama_like`], with the rotary embedding given.
pub(super) fn with_rope(
    config: &RawConfig,
    family: &'static str,
    defaults: Defaults,
    rope: &RopeSpec,
) -> Result<DecoderSpec, ConfigError> {
    let hidden_size = config.size("hidden_size")?;
    let heads = size(config, "num_attention_heads", defaults.num_attention_heads)?;
    let layers = layer_count(config, "num_hidden_layers")?;
    let head_dim = head_dim(config, defaults.head_dim, (hidden_size, heads))?;
    let key_heads = key_heads(config, defaults.num_key_value_heads, heads)?;
    let eps = config.optional_number("rms_norm_eps")?;
    Ok(DecoderSpec {
        family,
        kind: Kind::Decoder,
        vocab_size: size(config, "vocab_size", defaults.vocab_size)?,
        hidden_size,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: key_heads,
        head_dim,
        intermediate_size: config.size("intermediate_size")?,
        hidden_act: config.activation("hidden_act", Activation::Silu)?,
        gated_mlp: true,
        norm: Norm::Rms,
        norm_eps: eps.unwrap_or(defaults.rms_norm_eps),
        norm_place: NormPlace::Before,
        parallel_residual: false,
        qk_norm: None,
        latent: None,
        biases: Biases::default(),
        position: Position::Rotary,
        type_vocab_size: None,
        layers: vec![
            LayerSpec {
                sliding_window: None,
                rope: Some(rope.clone()),
                sparse: false,
            };
            layers
        ],
        attention_scale: (head_dim as f64).powf(-0.5),
        embed_scale: None,
        tie_word_embeddings: config.flag("tie_word_embeddings", false)?,
        normalised_head: false,
        moe: None,
        max_position_embeddings: config
            .size_or("max_position_embeddings", defaults.max_position_embeddings)?,
        unsupported: Vec::new(),
        caveats: Vec::new(),
    })
}

fn size(
    config: &RawConfig,
    key: &'static str,
    default: Option<usize>,
) -> Result<usize, ConfigError> {
    match default {
        Some(default) => config.size_or(key, default),
        None => config.size(key),
    }
}

/// A null has always meant as many as query heads; absence may mean something else.
fn key_heads(
    config: &RawConfig,
    default: Option<usize>,
    heads: usize,
) -> Result<usize, ConfigError> {
    let key = "num_key_value_heads";
    match default {
        Some(default) if !config.map().contains_key(key) => config.size_or(key, default),
        _ => Ok(config.optional_size(key)?.unwrap_or(heads)),
    }
}

fn head_dim(
    config: &RawConfig,
    default: Option<usize>,
    (hidden_size, heads): (usize, usize),
) -> Result<usize, ConfigError> {
    if let Some(written) = config.optional_size("head_dim")? {
        return Ok(written);
    }
    if let Some(default) = default {
        return config.size_or("head_dim", default);
    }
    if hidden_size.is_multiple_of(heads) {
        return Ok(hidden_size / heads);
    }
    let reason = format!("{heads} heads do not share a width of {hidden_size} evenly");
    Err(ConfigError::Nonsense(reason))
}

/// The number of blocks, if it is believable.
pub(super) fn layer_count(config: &RawConfig, key: &'static str) -> Result<usize, ConfigError> {
    let layers = config.size(key)?;
    if layers > MAX_LAYERS {
        return Err(ConfigError::Nonsense(format!("{layers} blocks")));
    }
    Ok(layers)
}

/// The same window for all blocks, when `sliding_window` gives one (Mistral).
pub(super) fn window_everywhere(
    config: &RawConfig,
    spec: &mut DecoderSpec,
) -> Result<(), ConfigError> {
    let window = config.optional_size("sliding_window")?;
    if let Some(types) = config.texts("layer_types")? {
        let expected = match window {
            Some(_) => "sliding_attention",
            None => "full_attention",
        };
        if types.iter().any(|kind| *kind != expected) {
            config.refuse("`layer_types` that mix windows into a family with one for all blocks");
        }
    }
    for layer in &mut spec.layers {
        layer.sliding_window = window;
    }
    Ok(())
}

/// The same window for all blocks, when `use_sliding_window` switches it on (Qwen3-MoE).
pub(super) fn window_switched_on(
    config: &RawConfig,
    spec: &mut DecoderSpec,
) -> Result<(), ConfigError> {
    config.get("max_window_layers");
    let window = config.optional_size("sliding_window")?;
    if !config.flag("use_sliding_window", false)? {
        return Ok(());
    }
    if window.is_none() || config.get("layer_types").is_some() {
        config.refuse("windows that are not the same for all blocks");
    }
    for layer in &mut spec.layers {
        layer.sliding_window = window;
    }
    Ok(())
}

/// Which blocks `layer_types` gives a window; `None` when it is not written.
pub(super) fn windowed_layers(
    config: &RawConfig,
    spec: &DecoderSpec,
) -> Result<Option<Vec<bool>>, ConfigError> {
    let Some(types) = config.texts("layer_types")? else {
        return Ok(None);
    };
    if types.len() != spec.layers.len() {
        let (types, layers) = (types.len(), spec.layers.len());
        let reason = format!("`layer_types` names {types} blocks of {layers}");
        return Err(ConfigError::Nonsense(reason));
    }
    let mut windowed = Vec::with_capacity(types.len());
    for kind in types {
        windowed.push(kind == "sliding_attention");
        if !matches!(kind, "sliding_attention" | "full_attention") {
            let kind = crate::text::ModelText::new(kind).clipped(40);
            config.refuse(format!("a block of type `{kind}`"));
        }
    }
    Ok(Some(windowed))
}

/// Qwen's windows: `use_sliding_window` switches them on, for the blocks of `layer_types` or, without
/// it, for those from `max_window_layers` on.
pub(super) fn qwen_windows(config: &RawConfig, spec: &mut DecoderSpec) -> Result<(), ConfigError> {
    let window = config.count_or("sliding_window", 4096)?;
    let first = config.count_or("max_window_layers", 28)?;
    let windowed = windowed_layers(config, spec)?;
    if !config.flag("use_sliding_window", false)? {
        if windowed.is_some_and(|windowed| windowed.contains(&true)) {
            config.refuse("`layer_types` with windows that `use_sliding_window` switches off");
        }
        return Ok(());
    }
    if window == 0 || config.get("sliding_window").is_none() {
        config.refuse("`use_sliding_window` without a `sliding_window`");
        return Ok(());
    }
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        let here = windowed.as_ref().map_or(index >= first, |w| w[index]);
        layer.sliding_window = here.then_some(window);
    }
    Ok(())
}

/// Checks a finished spec against itself and takes the config's remarks into it.
pub(super) fn finish(
    config: &RawConfig,
    mut spec: DecoderSpec,
) -> Result<DecoderSpec, ConfigError> {
    let nonsense = |reason: String| Err(ConfigError::Nonsense(reason));
    let (heads, key_heads) = (spec.num_attention_heads, spec.num_key_value_heads);
    if !heads.is_multiple_of(key_heads) {
        return nonsense(format!("{heads} query heads on {key_heads} key heads"));
    }
    for layer in &spec.layers {
        if let Some(rope) = &layer.rope {
            check_rope(rope, &spec)?;
        }
    }
    if !(spec.norm_eps >= 0.0 && spec.attention_scale.is_finite()) {
        return nonsense(format!("a norm epsilon of {}", spec.norm_eps));
    }
    if let Some(moe) = &spec.moe {
        check_experts(moe, &spec)?;
    }
    let (unsupported, caveats) = config.remarks();
    spec.unsupported.extend(unsupported);
    spec.caveats.extend(caveats);
    Ok(spec)
}

fn check_rope(rope: &RopeSpec, spec: &DecoderSpec) -> Result<(), ConfigError> {
    let dim = rope.rotary_dim(spec.rotary_head_dim());
    if dim == 0 || !dim.is_multiple_of(2) {
        let reason = format!("heads of odd width {dim} cannot rotate");
        return Err(ConfigError::Nonsense(reason));
    }
    if let RopeScaling::LongRope {
        short_factor,
        long_factor,
        ..
    } = &rope.scaling
        && (short_factor.len() != dim / 2 || long_factor.len() != dim / 2)
    {
        let (short, long) = (short_factor.len(), long_factor.len());
        let reason = format!("{short} and {long} factors for {} pairs", dim / 2);
        return Err(ConfigError::Nonsense(reason));
    }
    Ok(())
}

fn check_experts(moe: &MoeSpec, spec: &DecoderSpec) -> Result<(), ConfigError> {
    let (all, chosen) = (moe.num_experts, moe.num_experts_per_tok);
    if !moe.is_possible() {
        let how = match moe.routing {
            Routing::All => String::new(),
            other => format!(", {other:?}"),
        };
        let reason = format!("{chosen} of {all} experts per token{how}");
        return Err(ConfigError::Nonsense(reason));
    }
    if all.saturating_mul(spec.layers.len()) > MAX_EXPERTS {
        let reason = format!("{all} experts in each of {} blocks", spec.layers.len());
        return Err(ConfigError::Nonsense(reason));
    }
    Ok(())
}
