//! What stands at each site.

use super::*;

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
            let soft = crate::model::layers::softmax(at(Site::AttnScores), Mode::Inference);
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
        let mid = (seen(Site::ResidPre(1)) + z.matmul(&of(Part::Output))?)?;
        assert!(relative(&mid, &seen(Site::ResidMid(1))) < 1e-6);
        let post = (seen(Site::MlpPre(1)).silu()? * seen(Site::MlpPreLinear(1)))?;
        assert!(relative(&post, &seen(Site::MlpPost(1))) < 1e-6);
        let resid = (mid + post.matmul(&of(Part::Down))?)?;
        assert!(relative(&resid, &seen(Site::ResidPost(1))) < 1e-6);
        let gain = weights[&Role::model(Part::FinalNorm)].as_tensor();
        let head = weights[&Role::model(Part::Unembed)].as_tensor().t()?;
        let logits = seen(Site::FinalNorm).broadcast_mul(gain)?.matmul(&head)?;
        assert!(relative(&logits, &seen(Site::Logits)) < 1e-6);
        Ok::<_, candle_core::Error>(())
    };
    check().expect("computes");
}
