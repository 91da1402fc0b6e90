use std::collections::BTreeMap;

use candle_core::{DType, Device, IndexOp, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::super::spec::{
    Activation, Biases, Kind, LatentSpec, LayerSpec, MoeSpec, Norm, NormPlace, Position, QkNorm,
    RopeScaling, RopeSpec, Routing, Scoring,
};
use super::{Decoder, DecoderSpec, Error, KvCache, Mode, Role, Site, Splice, Tap};

mod experts;
mod gradients;
mod splice;
mod streamed;

/// A small Llama with two layers, grouped queries and an untied head.
fn llama() -> DecoderSpec {
    let layer = LayerSpec {
        sliding_window: None,
        rope: Some(RopeSpec::new(10_000.0, RopeScaling::Default)),
        sparse: false,
    };
    DecoderSpec {
        family: "llama",
        kind: Kind::Decoder,
        vocab_size: 31,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        intermediate_size: 20,
        hidden_act: Activation::Silu,
        gated_mlp: true,
        norm: Norm::Rms,
        norm_eps: 1e-5,
        norm_place: NormPlace::Before,
        parallel_residual: false,
        qk_norm: None,
        latent: None,
        biases: Biases::default(),
        position: Position::Rotary,
        type_vocab_size: None,
        layers: vec![layer.clone(), layer],
        attention_scale: 6f64.powf(-0.5),
        embed_scale: None,
        tie_word_embeddings: false,
        normalised_head: false,
        moe: None,
        max_position_embeddings: 24,
        unsupported: Vec::new(),
        caveats: Vec::new(),
    }
}

/// Every axis that a Llama does not use: sandwich and query-key norms, a window, two rotary bases,
/// an embedding scale, a tied head.
fn gemma() -> DecoderSpec {
    let mut spec = llama();
    spec.norm_place = NormPlace::Sandwich;
    spec.qk_norm = Some(QkNorm::Head);
    spec.tie_word_embeddings = true;
    spec.embed_scale = Some(4.0);
    spec.hidden_act = Activation::GeluTanh;
    spec.layers[0].sliding_window = Some(3);
    spec.layers[0].rope = Some(RopeSpec::new(100.0, RopeScaling::Linear { factor: 2.0 }));
    spec
}

fn gpt2() -> DecoderSpec {
    let mut spec = llama();
    spec.norm = Norm::Layer;
    spec.position = Position::Learned;
    spec.gated_mlp = false;
    spec.hidden_act = Activation::Gelu;
    spec.biases = Biases {
        qkv: true,
        output: true,
        mlp: true,
        head: false,
    };
    for layer in &mut spec.layers {
        layer.rope = None;
    }
    spec
}

fn moe() -> DecoderSpec {
    let mut spec = llama();
    spec.layers[1].sparse = true;
    spec.moe = Some(MoeSpec {
        shared_expert_intermediate_size: Some(12),
        shared_expert_gate: true,
        ..MoeSpec::softmax(5, 2, 10)
    });
    spec
}

/// Attention and MLP side by side, a part of each head rotates, neighbours together, one norm over all
/// heads.
fn neox() -> DecoderSpec {
    let mut spec = gpt2();
    spec.position = Position::Rotary;
    spec.parallel_residual = true;
    spec.qk_norm = Some(QkNorm::Full);
    for layer in &mut spec.layers {
        layer.rope = Some(RopeSpec {
            partial_rotary_factor: 0.7,
            interleaved: true,
            ..RopeSpec::new(100.0, RopeScaling::Default)
        });
    }
    spec
}

/// Norms behind attention and MLP alone, frequencies that depend on the length of a pass.
fn olmo2() -> DecoderSpec {
    let mut spec = llama();
    spec.norm_place = NormPlace::After;
    for layer in &mut spec.layers {
        layer.rope = Some(RopeSpec::new(
            100.0,
            RopeScaling::Yarn {
                factor: 4.0,
                beta_fast: 2.0,
                beta_slow: 1.0,
                truncate: false,
                original_max_position_embeddings: 8,
                attention_factor: 1.1,
            },
        ));
    }
    spec
}

/// Latent attention, and experts in groups whose choice has a bias of its own.
fn deepseek() -> DecoderSpec {
    let mut spec = neox();
    (spec.norm, spec.qk_norm, spec.parallel_residual) = (Norm::Rms, None, false);
    (spec.gated_mlp, spec.biases) = (true, Biases::default());
    spec.num_key_value_heads = spec.num_attention_heads;
    spec.latent = Some(LatentSpec {
        q_lora_rank: Some(7),
        kv_lora_rank: 9,
        qk_nope_head_dim: 5,
        qk_rope_head_dim: 4,
        v_head_dim: 3,
    });
    spec.head_dim = 9;
    for layer in &mut spec.layers {
        layer.rope.as_mut().expect("rotary").partial_rotary_factor = 1.0;
        layer.sparse = true;
    }
    spec.moe = Some(MoeSpec {
        shared_expert_intermediate_size: Some(12),
        scoring: Scoring::Sigmoid,
        routing: Routing::Limited {
            n_group: 3,
            topk_group: 2,
        },
        routed_scaling_factor: 1.5,
        ..MoeSpec::softmax(6, 3, 10)
    });
    spec
}

fn all() -> [DecoderSpec; 7] {
    [llama(), gemma(), gpt2(), moe(), neox(), olmo2(), deepseek()]
}

/// Weights uniform in ±1/sqrt(fan-in) times three, so that attention is far from uniform.
fn weights(spec: &DecoderSpec, dtype: DType) -> BTreeMap<Role, Var> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut uniform = move || f64::from(rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
    let mut all = BTreeMap::new();
    for (role, (rows, cols)) in spec.roles() {
        let matrix = !role.is_vector();
        let scale = if matrix {
            3.0 / (cols as f64).sqrt()
        } else {
            0.5
        };
        let offset = if role.part.is_norm() { 1.0 } else { 0.0 };
        let values: Vec<f64> = (0..rows * cols)
            .map(|_| offset + scale * uniform())
            .collect();
        let tensor = Tensor::from_vec(values, rows * cols, &Device::Cpu).expect("sized");
        let tensor = if matrix {
            tensor.reshape((rows, cols)).expect("sized")
        } else {
            tensor
        };
        let tensor = tensor.to_dtype(dtype).expect("float");
        all.insert(role, Var::from_tensor(&tensor).expect("var"));
    }
    all
}

fn decoder(spec: &DecoderSpec, weights: &BTreeMap<Role, Var>, mode: Mode) -> Decoder {
    let mut get = |role: &Role| Ok(weights.get(role).map(|var| var.as_tensor().clone()));
    Decoder::from_tensors(spec, mode, &mut get).expect("builds")
}

fn inference(spec: &DecoderSpec) -> Decoder {
    decoder(spec, &weights(spec, DType::F32), Mode::Inference)
}

/// `[rows, len]` tokens, different in every row.
fn tokens(rows: usize, len: usize) -> Tensor {
    let ids: Vec<u32> = (0..rows * len)
        .map(|i| (i * i * 7 + i * 3 + 5) as u32 % 31)
        .collect();
    Tensor::from_vec(ids, (rows, len), &Device::Cpu).expect("sized")
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>());
    values.expect("f32").into_iter().map(f32::to_bits).collect()
}

/// Norm of the difference over the norm of `b`.
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let norm = |t: &Tensor| -> f64 {
        let t = t.to_dtype(DType::F64).and_then(|t| t.flatten_all());
        let values = t.and_then(|t| t.to_vec1::<f64>()).expect("float");
        values.iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    norm(&(a - b).expect("same shape")) / norm(b)
}

/// Keeps everything.
#[derive(Default)]
struct Keep(BTreeMap<Site, Tensor>);

impl Tap for Keep {
    fn wants(&self, _: Site) -> bool {
        true
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        let seen_before = self.0.insert(site, value.clone());
        assert!(seen_before.is_none(), "{site} twice");
        Ok(())
    }
}

#[test]
fn modes_agree() {
    for spec in all() {
        let weights = weights(&spec, DType::F32);
        let run = |mode| {
            let decoder = decoder(&spec, &weights, mode);
            decoder.forward(&tokens(2, 9), None, &mut ()).expect("runs")
        };
        let error = relative(&run(Mode::Differentiable), &run(Mode::Inference));
        assert!(error < 1e-5, "{}: {error}", spec.family);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for spec in all() {
        let weights = weights(&spec, DType::F64);
        let decoder = decoder(&spec, &weights, Mode::Differentiable);
        let tokens = tokens(2, 7);
        let loss = || {
            let logits = decoder.forward(&tokens, None, &mut ())?;
            let last = logits.i((.., .., 3))?.tanh()?.sum_all()?;
            Ok::<_, Error>((last + logits.tanh()?.sqr()?.mean_all()?)?)
        };
        let gradients = loss().expect("runs").backward().expect("differentiable");
        let value = || {
            loss()
                .and_then(|l| Ok(l.to_scalar::<f64>()?))
                .expect("runs")
        };
        // The router's bias takes part in the choice of experts alone, which has no slope; of experts in
        // groups some are never chosen.
        let smooth = |role: &Role| role.part != super::Part::Router || *role != role.bias();
        let grouped = spec
            .moe
            .as_ref()
            .is_some_and(|moe| moe.routing != Routing::All);
        for (role, var) in weights.iter().filter(|(role, _)| smooth(role)) {
            if grouped && role.expert.is_some() && gradients.get(var).is_none() {
                continue;
            }
            let gradient = gradients
                .get(var)
                .unwrap_or_else(|| panic!("no gradient reaches {role}"))
                .flatten_all()
                .and_then(|g| g.to_vec1::<f64>())
                .expect("f64");
            let before = var.as_tensor().copy().expect("copies");
            let flat = before.flatten_all().and_then(|t| t.to_vec1::<f64>());
            let flat = flat.expect("f64");
            let place = flat.len() / 2;
            let moved = |by: f64| {
                let mut flat = flat.clone();
                flat[place] += by;
                let tensor = Tensor::from_vec(flat, before.shape(), &Device::Cpu);
                var.set(&tensor.expect("sized")).expect("same shape");
                value()
            };
            let step = 1e-5;
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            moved(0.0);
            let error = (slope - gradient[place]).abs();
            assert!(
                error < 1e-6 * (1.0 + slope.abs()),
                "{role}: {slope} is not {}",
                gradient[place]
            );
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_companions_in_any_bit() {
    for spec in all() {
        let decoder = inference(&spec);
        let batch = tokens(5, 9);
        let together = decoder.forward(&batch, None, &mut ()).expect("runs");
        for row in 0..5 {
            let alone = batch.narrow(0, row, 1).expect("a row");
            let alone = decoder.forward(&alone, None, &mut ()).expect("runs");
            assert_eq!(
                bits(&alone),
                bits(&together.get(row).expect("a row")),
                "{} row {row}",
                spec.family
            );
        }
    }
}

#[test]
fn a_position_does_not_depend_on_later_tokens() {
    for spec in all() {
        let decoder = inference(&spec);
        let tokens = tokens(1, 12);
        let whole = decoder.forward(&tokens, None, &mut ()).expect("runs");
        for len in [1, 5, 11] {
            let prefix = tokens.narrow(1, 0, len).expect("a prefix");
            let prefix = decoder.forward(&prefix, None, &mut ()).expect("runs");
            let error = relative(&prefix, &whole.narrow(1, 0, len).expect("a prefix"));
            assert!(error < 1e-5, "{} {len}: {error}", spec.family);
        }
    }
}

#[test]
fn a_cache_changes_nothing() {
    for spec in all() {
        let decoder = inference(&spec);
        let tokens = tokens(2, 12);
        let whole = decoder.forward(&tokens, None, &mut ()).expect("runs");
        let mut cache = KvCache::default();
        assert!(cache.is_empty());
        let mut start = 0;
        for len in [4, 1, 3, 1, 1] {
            let piece = tokens.narrow(1, start, len).expect("a piece");
            let logits = decoder.forward(&piece, Some(&mut cache), &mut ());
            let expected = whole.narrow(1, start, len).expect("a piece");
            let error = relative(&logits.expect("runs"), &expected);
            assert!(error < 1e-5, "{} at {start}: {error}", spec.family);
            start += len;
            assert_eq!(cache.len(), start);
        }
        let piece = tokens.narrow(1, start, 2).expect("a piece");
        let last = decoder.next_logits(&piece, &mut cache).expect("runs");
        let error = relative(&last, &whole.i((.., start + 1)).expect("a position"));
        assert!(error < 1e-5, "{}: {error}", spec.family);
    }
}

#[test]
fn a_failed_pass_leaves_an_empty_cache() {
    struct Fails;
    impl Tap for Fails {
        fn wants(&self, site: Site) -> bool {
            site == Site::ResidMid(1)
        }

        fn visit(&mut self, _: Site, _: &Tensor) -> candle_core::Result<()> {
            candle_core::bail!("full")
        }
    }
    let decoder = inference(&llama());
    let mut cache = KvCache::default();
    let mut run = |start, tap: &mut dyn Tap| {
        let piece = tokens(1, 12).narrow(1, start, 4).expect("a piece");
        let result = decoder.forward(&piece, Some(&mut cache), tap);
        (result.map_err(|error| error.to_string()), cache.len())
    };
    assert_eq!(run(0, &mut ()).1, 4);
    let (result, len) = run(4, &mut Fails);
    assert!(result.is_err_and(|error| error.contains("full")));
    assert_eq!(len, 0);
    assert_eq!(run(0, &mut ()).1, 4);
}

#[test]
fn taps_see_what_the_names_say() {
    for spec in all() {
        let decoder = inference(&spec);
        let mut tap = Keep::default();
        let logits = decoder
            .forward(&tokens(2, 9), None, &mut tap)
            .expect("runs");
        let seen = tap.0;
        let (heads, dim) = (spec.num_attention_heads, spec.head_dim);
        for layer in 0..spec.layers.len() {
            let at = |site: fn(usize) -> Site| &seen[&site(layer)];
            assert_eq!(at(Site::Query).dims(), [2, 9, heads, dim]);
            let (key_heads, value_dim) = (spec.num_key_value_heads, spec.value_head_dim());
            assert_eq!(at(Site::Key).dims(), [2, 9, key_heads, dim]);
            assert_eq!(at(Site::Value).dims(), [2, 9, key_heads, value_dim]);
            assert_eq!(at(Site::Z).dims(), [2, 9, heads, value_dim]);
            assert_eq!(at(Site::Pattern).dims(), [2, heads, 9, 9]);
            assert_eq!(at(Site::AttnScores).dims(), [2, heads, 9, 9]);
            let soft = super::super::layers::softmax(at(Site::AttnScores), Mode::Inference);
            assert_eq!(bits(&soft.expect("softmax")), bits(at(Site::Pattern)));
            let rotates = spec.layers[layer].rope.is_some();
            for (site, heads) in [
                (Site::RotQuery(layer), heads),
                (Site::RotKey(layer), key_heads),
            ] {
                let turned = seen.get(&site).map(|x| x.dims().to_vec());
                assert_eq!(turned, rotates.then(|| vec![2, 9, heads, dim]), "{site}");
            }
            let sum = (at(Site::ResidPre) + at(Site::AttnOut)).expect("same shape");
            let sum = (sum + at(Site::MlpOut)).expect("same shape");
            assert!(
                relative(&sum, at(Site::ResidPost)) < 1e-6,
                "parts make it up"
            );
            let sums = at(Site::Pattern).sum(3).expect("sums");
            assert!(relative(&sums, &sums.ones_like().expect("ones")) < 1e-6);
            let first = at(Site::Pattern).i((.., .., 0, 1..)).expect("later keys");
            assert!(bits(&first).iter().all(|bit| *bit == 0), "looks ahead");
            let between = seen.get(&Site::ResidMid(layer));
            assert_eq!(between.is_none(), spec.parallel_residual);
            assert!(between.is_none_or(|x| x.dims() == [2, 9, 16]));
            let sparse = spec.layers[layer].sparse;
            assert_eq!(seen.contains_key(&Site::RouterLogits(layer)), sparse);
            let experts = spec.moe.as_ref().filter(|_| sparse);
            let units = experts.map(|moe| vec![2, 9, moe.num_experts, moe.moe_intermediate_size]);
            let shared = experts.and_then(|moe| moe.shared_expert_intermediate_size);
            let shared = shared.map(|width| vec![2, 9, width]);
            for (site, wanted) in [
                (Site::ExpertsPre(layer), &units),
                (Site::ExpertsPreLinear(layer), &units),
                (Site::SharedExpertPre(layer), &shared),
                (Site::SharedExpertPreLinear(layer), &shared),
            ] {
                let shape = seen.get(&site).map(|x| x.dims().to_vec());
                assert_eq!(shape, *wanted, "{site}");
            }
            assert_eq!(seen.contains_key(&Site::MlpPost(layer)), !sparse);
            let gated = spec.gated_mlp && !sparse;
            assert_eq!(seen.contains_key(&Site::MlpPreLinear(layer)), gated);
            if layer > 0 {
                assert_eq!(
                    bits(at(Site::ResidPre)),
                    bits(&seen[&Site::ResidPost(layer - 1)])
                );
            }
        }
        assert_eq!(bits(&seen[&Site::Logits]), bits(&logits));
        let untapped = decoder.forward(&tokens(2, 9), None, &mut ()).expect("runs");
        assert_eq!(bits(&untapped), bits(&logits), "a tap changes nothing");
    }
}

/// BERT: norms on the stream, learned positions, token types, no head.
fn bert() -> DecoderSpec {
    let mut spec = gpt2();
    spec.kind = Kind::Encoder;
    spec.norm_place = NormPlace::Stream;
    spec.type_vocab_size = Some(2);
    spec.num_key_value_heads = spec.num_attention_heads;
    spec
}

#[test]
fn an_encoder_looks_both_ways_and_has_no_next_token() {
    let spec = bert();
    let weights = weights(&spec, DType::F32);
    let run = |mode, tokens: &Tensor| {
        let decoder = decoder(&spec, &weights, mode);
        decoder.forward(tokens, None, &mut ()).expect("runs")
    };
    let states = run(Mode::Inference, &tokens(2, 9));
    assert_eq!(states.dims(), [2, 9, 16], "states, not logits");
    let slow = run(Mode::Differentiable, &tokens(2, 9));
    assert!(relative(&slow, &states) < 1e-5);
    // The first position reads the last one.
    let first = |tokens: &Tensor| run(Mode::Inference, tokens).i((0, 0)).expect("a state");
    let shorter = tokens(2, 9).narrow(1, 0, 8).expect("shorter");
    assert!(relative(&first(&shorter), &first(&tokens(2, 9))) > 1e-3);
    let decoder = decoder(&spec, &weights, Mode::Inference);
    let asked = decoder.next_logits(&tokens(1, 3), &mut KvCache::default());
    assert!(matches!(asked, Err(Error::Encoder)));
}

/// The residual stream is the sum of what its parts write, recomputed from taps and weights.
#[test]
fn taps_fit_together() {
    let spec = llama();
    let weights = weights(&spec, DType::F32);
    let decoder = decoder(&spec, &weights, Mode::Inference);
    let mut tap = Keep::default();
    decoder
        .forward(&tokens(1, 9), None, &mut tap)
        .expect("runs");
    let seen = |site| tap.0[&site].i(0).expect("one row");
    let of = |part| {
        weights[&Role::layer(1, part)]
            .as_tensor()
            .t()
            .expect("matrix")
    };
    let check = || {
        let z = seen(Site::Z(1)).reshape((9, 24))?;
        let mid = (seen(Site::ResidPre(1)) + z.matmul(&of(super::Part::Output))?)?;
        assert!(relative(&mid, &seen(Site::ResidMid(1))) < 1e-6);
        let post = (seen(Site::MlpPre(1)).silu()? * seen(Site::MlpPreLinear(1)))?;
        assert!(relative(&post, &seen(Site::MlpPost(1))) < 1e-6);
        let resid = (mid + post.matmul(&of(super::Part::Down))?)?;
        assert!(relative(&resid, &seen(Site::ResidPost(1))) < 1e-6);
        let gain = weights[&Role::model(super::Part::FinalNorm)].as_tensor();
        let head = weights[&Role::model(super::Part::Unembed)]
            .as_tensor()
            .t()?;
        let logits = seen(Site::FinalNorm).broadcast_mul(gain)?.matmul(&head)?;
        assert!(relative(&logits, &seen(Site::Logits)) < 1e-6);
        Ok::<_, candle_core::Error>(())
    };
    check().expect("computes");
}

#[test]
fn a_window_hides_what_lies_before_it() {
    let mut spec = gemma();
    spec.layers[1].sliding_window = Some(3);
    let decoder = inference(&spec);
    let mut tap = Keep::default();
    decoder
        .forward(&tokens(1, 9), None, &mut tap)
        .expect("runs");
    let pattern = tap.0[&Site::Pattern(0)].i((0, 0)).expect("a head");
    let rows = pattern.to_vec2::<f32>().expect("a matrix");
    for (query, row) in rows.iter().enumerate() {
        for (key, weight) in row.iter().enumerate() {
            let seen = key <= query && query < key + 3;
            assert_eq!(*weight > 0.0, seen, "query {query}, key {key}");
        }
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let spec = gpt2();
    let decoder = inference(&spec);
    let fails = |tokens: &Tensor| {
        let result = decoder.forward(tokens, None, &mut ());
        result.expect_err("refused").to_string()
    };
    let outside = Tensor::new(&[[1u32, 31]], &Device::Cpu).expect("sized");
    assert_eq!(
        fails(&outside),
        "token 31 at position 1 is outside the vocabulary of 31"
    );
    assert!(fails(&tokens(1, 25)).contains("25 positions were asked for"));
    let none = Tensor::zeros((1, 0), DType::U32, &Device::Cpu).expect("empty");
    assert!(fails(&none).contains("at least one token"));

    let mut yarn = llama();
    yarn.unsupported = vec!["rope scaling `yarn`".to_owned()];
    let build = |spec: &DecoderSpec, weights: &BTreeMap<Role, Var>| {
        let mut get = |role: &Role| Ok(weights.get(role).map(|var| var.as_tensor().clone()));
        let result = Decoder::from_tensors(spec, Mode::Inference, &mut get);
        result.expect_err("refused").to_string()
    };
    assert!(build(&yarn, &BTreeMap::new()).contains("yarn"));
    assert!(build(&llama(), &BTreeMap::new()).contains("no tensor is bound to embed"));
    let mut wide = llama();
    wide.intermediate_size += 1;
    let message = build(&wide, &weights(&llama(), DType::F32));
    assert!(
        message.contains("has shape [20, 16] but the config asks for [21, 16]"),
        "{message}"
    );
}
