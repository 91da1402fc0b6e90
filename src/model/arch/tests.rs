use serde_json::{Map, Value, json};

use super::{FAMILIES, family};
use crate::model::config::{ConfigError, RawConfig};
use crate::model::spec::{Activation, DecoderSpec, RopeScaling};

/// Llama 3.1's words, small.
fn llama() -> Map<String, Value> {
    object(json!({
        "model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 128,
        "rope_theta": 500000.0, "tie_word_embeddings": false
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// A config with some entries replaced.
fn with(base: Map<String, Value>, changes: Value) -> Map<String, Value> {
    let mut map = base;
    map.extend(object(changes));
    map
}

fn read(map: Map<String, Value>) -> Result<DecoderSpec, ConfigError> {
    let config = RawConfig::new(map);
    let family = family(&config).expect("a known family");
    (family.spec)(&config)
}

/// The spec of a Llama with some entries replaced.
fn spec(changes: Value) -> DecoderSpec {
    read(with(llama(), changes)).expect("makes sense")
}

/// What the spec of a Llama with some entries replaced says it does not support.
fn refused(changes: Value) -> String {
    spec(changes).unsupported.join("; ")
}

fn error(changes: Value) -> String {
    let result = read(with(llama(), changes));
    result.expect_err("refused").to_string()
}

#[test]
fn model_types_are_claimed_once() {
    let mut types: Vec<&str> = FAMILIES
        .iter()
        .flat_map(|family| family.model_types.iter().copied())
        .collect();
    let gguf: Vec<&str> = FAMILIES
        .iter()
        .flat_map(|family| family.gguf.iter().copied())
        .collect();
    let all = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), all);
    assert!(
        gguf.iter()
            .all(|name| gguf.iter().filter(|n| *n == name).count() == 1)
    );
    let unknown = RawConfig::new(object(json!({"model_type": "mamba"})));
    assert!(family(&unknown).is_none());
    assert!(family(&RawConfig::new(Map::new())).is_none());
}

#[test]
fn both_spellings_of_rotary_scaling_mean_the_same() {
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64
    });
    let old = spec(json!({"rope_scaling": scaling}));
    let mut new = scaling.clone();
    new["rope_theta"] = json!(500000.0);
    let new = spec(json!({"rope_parameters": new, "rope_theta": null}));
    assert_eq!(old.layers, new.layers);
    let rope = old.layers[0].rope.as_ref().expect("rotary");
    assert_eq!(rope.theta, 500_000.0);
    assert!(matches!(rope.scaling, RopeScaling::Llama3 { factor, .. } if factor == 8.0));
    assert_eq!(old.unsupported, [""; 0]);

    // The oldest name of the type, and a null.
    let linear = spec(json!({"rope_scaling": {"type": "linear", "factor": 4}}));
    let rope = linear.layers[2].rope.as_ref().expect("rotary");
    assert_eq!(rope.scaling, RopeScaling::Linear { factor: 4.0 });
    let none = spec(json!({"rope_scaling": null, "rope_parameters": null}));
    let rope = none.layers[0].rope.as_ref().expect("rotary");
    assert_eq!(rope.scaling, RopeScaling::Default);
}

#[test]
fn what_the_decoder_does_not_do_is_refused_in_words() {
    for (changes, word) in [
        (
            json!({"rope_scaling": {"rope_type": "proportional", "factor": 4.0}}),
            "proportional",
        ),
        (
            json!({"rope_scaling": {"type": "ntk", "factor": 4.0}}),
            "ntk",
        ),
        (json!({"rope_parameters": {"rope_type": "mrope"}}), "mrope"),
        (
            json!({"rope_parameters": {"mrope_section": [1, 2]}}),
            "mrope_section",
        ),
        (
            json!({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}),
            "layer type",
        ),
        (
            json!({"rope_parameters": {"partial_rotary_factor": 0.5}}),
            "a part of each head",
        ),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 2},
                   "rope_parameters": {"rope_type": "linear", "factor": 4}}),
            "disagree",
        ),
        (
            json!({"partial_rotary_factor": 0.5}),
            "partial_rotary_factor",
        ),
        (json!({"hidden_act": "xielu"}), "xielu"),
        (
            json!({"attn_logit_softcapping": 50.0}),
            "attn_logit_softcapping",
        ),
        (
            json!({"quantization_config": {"bits": 4}}),
            "quantization_config",
        ),
        (
            json!({"embedding_multiplier": 12.0}),
            "embedding_multiplier",
        ),
        (
            json!({"model_type": "mistral", "layer_types": ["full_attention", "sliding_attention"]}),
            "layer_types",
        ),
        (
            json!({"model_type": "qwen2", "use_sliding_window": true}),
            "sliding_window",
        ),
        (
            json!({"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": false,
                "layer_types": ["sliding_attention", "full_attention", "full_attention"]}),
            "switches off",
        ),
        (
            json!({"model_type": "qwen3",
                "layer_types": ["linear_attention", "full_attention", "full_attention"]}),
            "linear_attention",
        ),
        (
            json!({"model_type": "baichuan", "max_position_embeddings": null}),
            "ALiBi",
        ),
        (
            json!({"model_type": "baichuan", "hidden_size": 5120}),
            "ALiBi",
        ),
    ] {
        let reason = refused(changes.clone());
        assert!(reason.contains(word), "{changes}: {reason}");
    }
    for changes in [
        json!({"partial_rotary_factor": 1.0, "attn_logit_softcapping": null}),
        json!({"use_bidirectional_attention": false, "residual_multiplier": 1.0}),
        json!({"attention_bias": true, "mlp_bias": true, "head_dim": 10, "hidden_act": "gelu"}),
    ] {
        assert_eq!(refused(changes), "");
    }
}

#[test]
fn entries_that_no_one_reads_are_stated() {
    let caveats = spec(json!({"warp_factor": 9, "torch_dtype": "bfloat16"})).caveats;
    assert_eq!(caveats, ["config entries that no one read: `warp_factor`"]);
    let hostile = spec(json!({"\u{1b}[31mred\n": 1})).caveats;
    assert!(hostile[0].contains("\\u{1b}[31mred\\n"), "{hostile:?}");
}

#[test]
fn what_was_left_out_is_filled_in_as_transformers_does() {
    let mut first = llama();
    for key in [
        "num_key_value_heads",
        "rope_theta",
        "tie_word_embeddings",
        "rms_norm_eps",
    ] {
        first.remove(key);
    }
    let first = read(first).expect("Llama 1");
    assert_eq!((first.num_key_value_heads, first.head_dim), (4, 8));
    assert_eq!(
        first.layers[0].rope.as_ref().map(|rope| rope.theta),
        Some(10_000.0)
    );
    assert!(!first.tie_word_embeddings);
    assert_eq!(first.caveats, [""; 0]);

    let gemma = read(object(json!({
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024
        },
        "vision_config": {"hidden_size": 1152}
    })))
    .expect("as published");
    assert_eq!(
        (gemma.num_attention_heads, gemma.num_key_value_heads),
        (8, 4)
    );
    assert_eq!((gemma.head_dim, gemma.vocab_size), (256, 262_208));
    assert_eq!(gemma.hidden_act, Activation::GeluTanh);
    assert!(gemma.tie_word_embeddings);
    assert_eq!(gemma.unsupported, [""; 0]);
    let windows: Vec<bool> = gemma.layers[..7]
        .iter()
        .map(|layer| layer.sliding_window == Some(1024))
        .collect();
    assert_eq!(windows, [true, true, true, true, true, false, true]);
    let rope = |layer: usize| gemma.layers[layer].rope.clone().expect("rotary");
    assert_eq!((rope(0).theta, rope(5).theta), (1e4, 1e6));
    assert_eq!(rope(0).scaling, RopeScaling::Default);
    assert_eq!(rope(5).scaling, RopeScaling::Linear { factor: 8.0 });
    assert!(
        gemma
            .caveats
            .iter()
            .any(|c| c.contains("`num_attention_heads`"))
    );
}

#[test]
fn windows_fall_on_the_right_blocks() {
    let windows = |changes: Value| -> Vec<Option<usize>> {
        let spec = spec(changes);
        assert_eq!(spec.unsupported, [""; 0]);
        spec.layers
            .iter()
            .map(|layer| layer.sliding_window)
            .collect()
    };
    let mistral = json!({"model_type": "mistral", "sliding_window": 16});
    assert_eq!(windows(mistral), [Some(16); 3]);
    let mistral = json!({"model_type": "mistral", "sliding_window": null});
    assert_eq!(windows(mistral), [None; 3]);
    let qwen = json!({"model_type": "qwen2", "sliding_window": 16, "max_window_layers": 2});
    assert_eq!(windows(qwen), [None; 3], "off unless switched on");
    let qwen = json!({"model_type": "qwen2", "sliding_window": 16, "max_window_layers": 2,
                      "use_sliding_window": true});
    assert_eq!(windows(qwen), [None, None, Some(16)]);
    let qwen = json!({"model_type": "qwen3", "sliding_window": 16, "use_sliding_window": true,
                      "head_dim": 8,
                      "layer_types": ["sliding_attention", "full_attention", "full_attention"]});
    assert_eq!(windows(qwen), [Some(16), None, None]);
}

#[test]
fn configs_that_make_no_sense_are_errors() {
    for (changes, words) in [
        (json!({"hidden_size": null}), "has no `hidden_size`"),
        (
            json!({"hidden_size": "wide"}),
            "`hidden_size` is \"wide\", not a positive integer",
        ),
        (json!({"hidden_size": 0}), "a positive integer"),
        (json!({"hidden_size": -3}), "a positive integer"),
        (json!({"hidden_size": 1e30}), "a positive integer"),
        (
            json!({"num_hidden_layers": 1_000_000_000}),
            "1000000000 blocks",
        ),
        (
            json!({"num_attention_heads": 5}),
            "5 heads do not share a width of 32",
        ),
        (
            json!({"num_key_value_heads": 3}),
            "4 query heads on 3 key heads",
        ),
        (json!({"head_dim": 7}), "odd width 7"),
        (json!({"rms_norm_eps": -1.0}), "epsilon"),
        (json!({"rope_theta": 0}), "base 0"),
        (json!({"rope_theta": "big"}), "a finite number"),
        (json!({"rope_scaling": "yes"}), "an object"),
        (
            json!({"rope_scaling": {"rope_type": "linear"}}),
            "has no `factor`",
        ),
        (
            json!({"rope_scaling": {"rope_type": "linear", "factor": 0}}),
            "makes no sense",
        ),
        (json!({"attention_bias": "maybe"}), "true or false"),
        (
            json!({"model_type": "qwen3", "layer_types": ["full_attention"]}),
            "1 blocks of 3",
        ),
        (
            json!({"model_type": "mixtral", "num_local_experts": 50_000_000}),
            "50000000 experts",
        ),
        (
            json!({"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 3}),
            "3 of 2 experts",
        ),
        (json!({"model_type": "qwen2_moe"}), "has no `num_experts`"),
        (json!({"model_type": "gpt2"}), "has no `n_embd`"),
        (
            json!({"rope_scaling": {"rope_type": "longrope", "long_factor": [1.0]}}),
            "has no `short_factor`",
        ),
        (
            json!({"rope_scaling": {"rope_type": "longrope", "factor": 2.0,
                "long_factor": [1.0], "short_factor": [0]}}),
            "a list of positive numbers",
        ),
        (
            json!({"model_type": "phi3", "rope_scaling": {"rope_type": "longrope",
                "long_factor": [1.0, 2.0], "short_factor": [1.0, 2.0]}}),
            "2 and 2 factors for 4 pairs",
        ),
        (
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 2, "beta_slow": 64}}),
            "makes no sense",
        ),
        (
            json!({"model_type": "gpt_neox", "rotary_pct": 1.5}),
            "1.5 of each head",
        ),
        (
            json!({"model_type": "gpt_neox", "rotary_pct": 0.1}),
            "odd width 0",
        ),
        (
            json!({"model_type": "PanguProMoE", "num_experts": 6, "num_experts_per_tok": 4,
                "moe_intermediate_size": 8}),
            "4 of 6 experts per token",
        ),
        (
            json!({"model_type": "deepseek_v3"}),
            "has no `kv_lora_rank`",
        ),
    ] {
        let message = error(changes.clone());
        assert!(message.contains(words), "{changes}: {message}");
    }
}

#[test]
fn a_model_that_sees_has_the_text_part_of_its_version() {
    let vision = json!({"model_type": "minicpmv", "query_num": 96, "vision_config": {},
        "slice_config": {}, "drop_vision_last_layer": false, "batch_vision_input": true});
    let text = |version: Value| {
        let mut changes = vision.clone();
        changes["version"] = version;
        spec(changes)
    };
    for version in [json!(null), json!("2.5"), json!(2.5)] {
        let mut found = text(version);
        assert_eq!(found.caveats, ["of a multimodal model, the text part"]);
        found.family = "llama";
        found.caveats.clear();
        assert_eq!(found, spec(json!({})));
    }
    let qwen = text(json!("2.6"));
    assert!(qwen.biases.qkv && !qwen.biases.output);
    assert_eq!(qwen.unsupported, [""; 0]);
    let other = text(json!("4.5")).unsupported;
    assert!(other[0].contains("neither 2.5 nor 2.6"), "{other:?}");
}
