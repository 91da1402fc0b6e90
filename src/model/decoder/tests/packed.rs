//! Prompts that share products, against each alone.

use candle_core::Tensor;

use super::super::{Decoder, KvCache, Pass};
use super::specs::{all, llama};
use super::{Keep, bits, inference, tokens};
use crate::model::spec::{DecoderSpec, Kind};

/// A pass of each of `prompts`, all at once, on two threads: with many, each prompt would be alone. `true` keeps
/// caches.
fn at_once(decoder: &Decoder, prompts: &[Tensor], cached: bool) -> Vec<(Tensor, Keep, KvCache)> {
    let mut taps: Vec<Keep> = prompts.iter().map(|_| Keep::default()).collect();
    let mut caches = vec![KvCache::default(); prompts.len()];
    let beside = prompts.iter().zip(&mut taps).zip(&mut caches);
    let mut passes: Vec<Pass<'_>> = beside
        .map(|((tokens, tap), cache)| Pass {
            tokens,
            splice: None,
            cache: cached.then_some(cache),
            tap,
        })
        .collect();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let ends = threads
        .expect("threads")
        .install(|| decoder.residuals(&mut passes));
    let ends = ends.expect("runs");
    drop(passes);
    let whole = ends.into_iter().zip(taps).zip(caches);
    whole.map(|((end, tap), cache)| (end, tap, cache)).collect()
}

/// The same numbers at every site and in every cache, to the last bit.
fn check(spec: &DecoderSpec, lengths: &[usize]) {
    let decoder = inference(spec);
    let cached = spec.kind == Kind::Decoder;
    let mut prompts: Vec<Tensor> = lengths.iter().map(|len| tokens(1, *len)).collect();
    prompts.push(tokens(3, 4));
    let together = at_once(&decoder, &prompts, cached);
    for (prompt, (end, tap, cache)) in prompts.iter().zip(together) {
        let name = format!("{} {:?}", spec.family, prompt.dims());
        let alone = at_once(&decoder, std::slice::from_ref(prompt), cached);
        let (end_alone, tap_alone, cache_alone) = &alone[0];
        assert!(end.dims() == end_alone.dims(), "{name}");
        assert!(bits(&end) == bits(end_alone), "{name}");
        assert!(tap.0.len() == tap_alone.0.len() && tap.0.len() > 10);
        for (site, value) in &tap.0 {
            assert!(value.dims() == tap_alone.0[site].dims(), "{name} {site}");
            assert!(bits(value) == bits(&tap_alone.0[site]), "{name} {site}");
        }
        assert_eq!(cache.len(), cache_alone.len());
        for (found, wanted) in cache.layers.iter().zip(&cache_alone.layers) {
            let (found, wanted) = (found.as_ref().unwrap(), wanted.as_ref().unwrap());
            assert!(bits(&found.0) == bits(&wanted.0), "{name}");
            assert!(bits(&found.1) == bits(&wanted.1), "{name}");
        }
    }
}

#[test]
fn a_prompt_does_not_depend_on_its_companions_in_any_bit() {
    for spec in all() {
        check(&spec, &[5, 1, 7, 2, 2, 3, 1, 1, 11, 4, 9]);
    }
}

/// Outputs wide enough to be formed for all prompts at once, but for those of keys and values; sums longer than a
/// block of them; and more numbers than candle leaves to one thread.
#[test]
fn nor_where_matrices_are_wide() {
    let wide = DecoderSpec {
        hidden_size: 160,
        num_key_value_heads: 1,
        head_dim: 72,
        intermediate_size: 1_300,
        max_position_embeddings: 300,
        ..llama()
    };
    check(&wide, &[5, 64, 2, 3, 1, 65, 25, 130, 40, 2, 17, 300, 33]);
}
