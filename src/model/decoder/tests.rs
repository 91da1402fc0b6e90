use std::collections::BTreeMap;

use candle_core::{DType, Device, IndexOp, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Decoder, DecoderSpec, Error, KvCache, Mode, Role, Site, Splice, Tap};
use crate::model::role::Part;
use crate::model::spec::Routing;
use specs::{all, bert, deepseek, gemma, gpt2, llama, moe};

mod experts;
mod gradients;
mod packed;
mod specs;
mod splice;
mod streamed;
mod taps;

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
        let smooth = |role: &Role| role.part != Part::Router || *role != role.bias();
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
