//! A head that is multiplied in parts.

use candle_core::{Device, Tensor};

use super::super::{Decoder, KvCache};
use crate::model::toy::{Dims, Toy};

/// Three parts of a head, against the whole, to the last bit: for one position and for several.
#[test]
fn a_head_in_parts_gives_the_bits_of_the_whole() {
    let dims = Dims {
        vocab: 1_700,
        ..Dims::default()
    };
    let (model, _folder) = Toy::new(5, dims).open();
    let spec = model.spec.as_ref().unwrap();
    let device = Device::Cpu;
    let held = Decoder::load(&model.weights, spec, &device).unwrap();
    let rows = 560 * spec.hidden_size;
    let streamed = Decoder::stream_with(&model.weights, spec, &device, rows).unwrap();
    for count in [1_u32, 2, 7, 40] {
        let tokens: Vec<u32> = (0..count).map(|at| at * 37 % 1_700).collect();
        let tokens = Tensor::new(tokens, &device).unwrap().unsqueeze(0).unwrap();
        let bits = |decoder: &Decoder| -> Vec<u32> {
            let mut cache = KvCache::default();
            let logits = decoder.forward(&tokens, Some(&mut cache), &mut ()).unwrap();
            let values: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        assert!(bits(&held) == bits(&streamed), "{count} positions");
    }
    assert_eq!(streamed.block_counts().0, 1);
}
