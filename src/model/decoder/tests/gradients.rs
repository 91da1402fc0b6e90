use candle_core::{DType, IndexOp, Tensor};

use super::super::{Decoder, Error, Mode};
use super::{Keep, Site, all, bert, decoder, inference, llama, tokens, weights};
use crate::model::layers::Packed;

/// The loss where `by` is added to one number of the stream behind `layer`.
fn moved(
    decoder: &Decoder,
    ids: &Tensor,
    layer: usize,
    (pos, dim): (usize, usize),
    by: f64,
) -> f64 {
    let (batch, count) = ids.dims2().expect("tokens");
    let mut tap = Keep::default();
    decoder.forward(ids, None, &mut tap).expect("runs");
    let stream = &tap.0[&Site::ResidPost(layer)];
    let hidden = decoder.spec().hidden_size;
    let mut values = vec![0.0; batch * count * hidden];
    values[pos * hidden + dim] = by;
    let nudge = Tensor::from_vec(values, stream.shape(), stream.device()).expect("sized");
    let mut x = (stream + nudge).expect("same shape");
    let rotations = decoder.rotations(0, count).expect("rotations");
    for next in layer + 1..decoder.spec().layers.len() {
        let rotation = decoder.ropes.of_block[next].map(|at| &rotations[at]);
        let block = decoder
            .blocks
            .turn(decoder.spec(), next, Mode::Differentiable);
        let block = block.expect("held");
        x = block
            .forward(&x, next, &mut Packed::alone(rotation, count, &mut ()))
            .expect("runs");
    }
    let loss = decoder.next_token_loss(&x, ids).expect("runs");
    loss.to_scalar().expect("f64")
}

#[test]
fn gradients_of_the_stream_are_those_of_finite_differences() {
    for spec in all() {
        let weights = weights(&spec, DType::F64);
        let decoder = decoder(&spec, &weights, Mode::Differentiable);
        let ids = tokens(1, 7);
        let found = decoder.gradients(&ids).expect("differentiable");
        assert_eq!(found.streams.len(), spec.layers.len());
        for (layer, stream) in found.streams.iter().enumerate() {
            assert_eq!(stream.dims(), [1, 7, spec.hidden_size]);
            let last = stream
                .i((0, 6))
                .and_then(|row| row.abs()?.sum_all()?.to_scalar::<f64>());
            assert_eq!(last.expect("f64"), 0.0, "nothing follows the last token");
            for place in [(0, 3), (2, 0), (5, 11)] {
                let step = 1e-5;
                let up = moved(&decoder, &ids, layer, place, step);
                let down = moved(&decoder, &ids, layer, place, -step);
                let slope = (up - down) / (2.0 * step);
                let of = stream
                    .i((0, place.0, place.1))
                    .and_then(|x| x.to_scalar::<f64>());
                let of = of.expect("f64");
                assert!(
                    (slope - of).abs() < 1e-7 + 1e-5 * slope.abs(),
                    "{} block {layer} at {place:?}: {slope} is not {of}",
                    spec.family
                );
            }
        }
    }
}

#[test]
fn what_has_no_gradient_says_so() {
    let fused = inference(&llama()).gradients(&tokens(1, 5));
    assert!(matches!(fused, Err(Error::NotDifferentiable)), "{fused:?}");
    let (spec, weights) = (llama(), weights(&llama(), DType::F32));
    let short = decoder(&spec, &weights, Mode::Differentiable).gradients(&tokens(1, 1));
    assert!(matches!(short, Err(Error::NothingFollows)), "{short:?}");
    let spec = bert();
    let weights = super::weights(&spec, DType::F32);
    let encoder = decoder(&spec, &weights, Mode::Differentiable).gradients(&tokens(1, 5));
    assert!(matches!(encoder, Err(Error::Encoder)), "{encoder:?}");
}
