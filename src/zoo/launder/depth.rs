//! Fewer or more blocks.

use serde_json::Map;
use serde_json::Value;

use crate::model::DecoderSpec;
use crate::model::Role;

use super::draft::Draft;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Step;
use super::step::Strength;

/// Fewer blocks.
pub(super) static DROP_LAYERS: Laundering = Laundering {
    name: "drop-layers",
    does: "removes blocks, evenly spaced, never the first or the last",
    strength: Strength::Number {
        meaning: "blocks",
        default: Some(1.0),
        range: (1.0, 4096.0),
        whole: true,
    },
    kind: Kind::Lossy,
    apply: |draft, work| {
        let order = fewer(draft.spec.num_hidden_layers, work.number())?;
        arrange(draft, order)
    },
};

/// More blocks.
pub(super) static DUPLICATE_LAYERS: Laundering = Laundering {
    name: "duplicate-layers",
    does: "repeats blocks, evenly spaced, each behind itself, never the first or the last",
    strength: Strength::Number {
        meaning: "blocks",
        default: Some(1.0),
        range: (1.0, 4096.0),
        whole: true,
    },
    kind: Kind::Lossy,
    apply: |draft, work| {
        let order = more(draft.spec.num_hidden_layers, work.number())?;
        arrange(draft, order)
    },
};

/// For each block of the result, which of `layers` blocks it was; `None` for a step that leaves them as
/// they are, or that does not apply.
pub fn blocks_after(step: &Step, layers: usize) -> Option<Vec<usize>> {
    let blocks = step.number()?;
    match step.laundering().name {
        name if name == DROP_LAYERS.name => fewer(layers, blocks).ok(),
        name if name == DUPLICATE_LAYERS.name => more(layers, blocks).ok(),
        _ => None,
    }
}

fn fewer(layers: usize, blocks: f64) -> Result<Vec<usize>, String> {
    let chosen = chosen(layers, blocks)?;
    let kept = (0..layers).filter(|layer| !chosen.contains(layer));
    Ok(kept.collect())
}

fn more(layers: usize, blocks: f64) -> Result<Vec<usize>, String> {
    let chosen = chosen(layers, blocks)?;
    let times = |layer: usize| 1 + usize::from(chosen.contains(&layer));
    let order = (0..layers).flat_map(|layer| std::iter::repeat_n(layer, times(layer)));
    Ok(order.collect())
}

/// Blocks between the first and the last, evenly spaced.
fn chosen(layers: usize, blocks: f64) -> Result<Vec<usize>, String> {
    let count = blocks as usize;
    let inner = layers.saturating_sub(2);
    if count > inner {
        return Err(format!(
            "of {layers} blocks, {inner} lie between the first and the last"
        ));
    }
    Ok((0..count)
        .map(|place| 1 + (2 * place + 1) * inner / (2 * count))
        .collect())
}

/// Makes block `i` what block `order[i]` was.
fn arrange(draft: &mut Draft<'_>, order: Vec<usize>) -> Result<(), Refusal> {
    let spec = draft.spec.clone();
    let expected = DecoderSpec {
        num_hidden_layers: order.len(),
        layers: order.iter().map(|&old| spec.layers[old].clone()).collect(),
        ..spec
    };
    let config = rearranged(draft.config.clone(), &order);
    draft.reconfigure(config, &expected)?;
    let shown: Vec<String> = order.iter().map(usize::to_string).collect();
    draft
        .notes
        .push(format!("blocks are now {}", shown.join(", ")));
    draft.wrap(move |inner, role| match role.layer {
        None => inner(role),
        Some(layer) => {
            let old = order.get(layer as usize).copied().unwrap_or_default();
            inner(&Role {
                layer: Some(old as u32),
                ..*role
            })
        }
    });
    Ok(())
}

/// The config's lists by block in the new order.
fn rearranged(mut config: Map<String, Value>, order: &[usize]) -> Map<String, Value> {
    let key = if config.contains_key("n_layer") {
        "n_layer"
    } else {
        "num_hidden_layers"
    };
    config.insert(key.to_owned(), order.len().into());
    if let Some(Value::Array(types)) = config.get("layer_types") {
        let types = order.iter().filter_map(|&old| types.get(old).cloned());
        let types = types.collect();
        config.insert("layer_types".to_owned(), Value::Array(types));
    }
    if let Some(Value::Array(dense)) = config.get("mlp_only_layers") {
        let was = |old: usize| dense.iter().any(|index| index.as_u64() == Some(old as u64));
        let dense = order.iter().enumerate().filter(|(_, old)| was(**old));
        let dense = dense.map(|(new, _)| Value::from(new)).collect();
        config.insert("mlp_only_layers".to_owned(), Value::Array(dense));
    }
    config
}
