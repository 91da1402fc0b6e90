//! Weight files written on the spot.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

use candle_core::Device;
use candle_core::Tensor;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A tensor of f32, to be stored as any type.
#[derive(Debug, Clone)]
pub struct Plain {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Plain {
    /// Numbers that differ everywhere and are about as large as weights.
    pub fn new(name: &str, shape: &[usize]) -> Self {
        let count = shape.iter().product();
        let salt = name.bytes().map(u32::from).sum::<u32>();
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: pseudo_random(count, salt),
        }
    }
}

/// Uniform on (-1, 1), the same every time.
pub fn pseudo_random(count: usize, salt: u32) -> Vec<f32> {
    let mut state = salt.wrapping_mul(2_654_435_769).wrapping_add(12345);
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Little-endian f32.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Writes f32 tensors as one safetensors file.
pub fn write_safetensors(path: &Path, tensors: &[Plain]) {
    let data: Vec<Vec<u8>> = tensors.iter().map(|t| bytes(&t.values)).collect();
    let views = tensors.iter().zip(&data).map(|(tensor, data)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), data).unwrap();
        (tensor.name.clone(), view)
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path).unwrap();
}

/// Quantises and writes tensors as one GGUF file; gives back the quantised tensors.
pub fn write_gguf(
    path: &Path,
    metadata: &[(&str, gguf_file::Value)],
    tensors: &[(Plain, GgmlDType)],
) -> Vec<QTensor> {
    let quantised: Vec<QTensor> = tensors
        .iter()
        .map(|(plain, dtype)| {
            let shape = plain.shape.as_slice();
            let tensor = Tensor::from_slice(&plain.values, shape, &Device::Cpu).unwrap();
            QTensor::quantize(&tensor, *dtype).unwrap()
        })
        .collect();
    let named: Vec<(&str, &QTensor)> = tensors
        .iter()
        .zip(&quantised)
        .map(|((plain, _), quantised)| (plain.name.as_str(), quantised))
        .collect();
    let metadata: Vec<(&str, &gguf_file::Value)> =
        metadata.iter().map(|(key, value)| (*key, value)).collect();
    let mut file = File::create(path).unwrap();
    gguf_file::write(&mut file, &metadata, &named).unwrap();
    quantised
}

/// Writes `content` as a file of `folder`.
pub fn put(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}
