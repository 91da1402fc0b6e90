//! Stored tensors, views, tokenizers and models, from real files written on the spot.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use half::bf16;
use half::f16;
use kinprobe::model::Binding;
use kinprobe::model::Part;
use kinprobe::model::Role;
use kinprobe::model::TensorStore;
use kinprobe::model::View;
use kinprobe::model::Weights;
use kinprobe::source::Format;
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::tensor_files::Plain;
use crate::tensor_files::pseudo_random;
use crate::tensor_files::put;
use crate::tensor_files::write_gguf;
use crate::tensor_files::write_safetensors;

const GGML: &[GgmlDType] = &[
    GgmlDType::F32,
    GgmlDType::F16,
    GgmlDType::BF16,
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q8_1,
    GgmlDType::Q2K,
    GgmlDType::Q3K,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
    GgmlDType::Q8K,
];

fn safetensors_store(folder: &Path, tensors: &[Plain]) -> TensorStore {
    let path = folder.join("model.safetensors");
    write_safetensors(&path, tensors);
    TensorStore::open_files([path.as_path()], Format::Safetensors).unwrap()
}

#[test]
fn every_gguf_type_is_decoded_row_by_row_as_candle_decodes_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.gguf");
    let tensors: Vec<(Plain, GgmlDType)> = GGML
        .iter()
        .map(|dtype| (Plain::new(&format!("{dtype:?}"), &[7, 512]), *dtype))
        .collect();
    let quantised = write_gguf(&path, &[], &tensors);
    let store = TensorStore::open_files([path.as_path()], Format::Gguf).unwrap();
    assert_eq!(store.names().count(), GGML.len());
    for ((plain, _), golden) in tensors.iter().zip(&quantised) {
        let golden = golden.dequantize(&Device::Cpu).unwrap();
        let golden: Vec<f32> = golden.flatten_all().unwrap().to_vec1().unwrap();
        let name = plain.name.as_str();
        assert_eq!(store.info(name).unwrap().shape, [7, 512]);
        assert_eq!(store.rows(name, 0..7).unwrap(), golden, "{name}");
        assert_eq!(
            store.rows(name, 2..5).unwrap(),
            golden[1024..2560],
            "{name}"
        );
        // Within a block, which no row boundary needs but a slice of a stack may.
        assert_eq!(
            store.elements(name, 515..771).unwrap(),
            golden[515..771],
            "{name}"
        );
        assert!(store.elements(name, 9..9).unwrap().is_empty());
        let error = store.rows(name, 6..8).unwrap_err().to_string();
        assert!(error.contains("7 rows") && error.contains(name), "{error}");
    }
}

#[test]
fn gguf_axes_are_row_major() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.gguf");
    let stack = Plain::new("blk.0.ffn_gate_exps.weight", &[3, 4, 64]);
    write_gguf(&path, &[], &[(stack.clone(), GgmlDType::F32)]);
    let store = TensorStore::open_files([path.as_path()], Format::Gguf).unwrap();
    let role = Role::layer(0, Part::Gate);
    let bindings = BTreeMap::from([(
        role,
        Binding::new(&stack.name, View::whole().slice(1).rows(2..4)),
    )]);
    let (weights, unbound) = Weights::new(store, &bindings);
    assert!(unbound.is_empty());
    assert_eq!(weights.shape(&role), Some((2, 64)));
    assert_eq!(
        weights.all(&role).unwrap(),
        stack.values[(4 + 2) * 64..(4 + 4) * 64]
    );
}

#[test]
fn every_safetensors_type_of_a_real_number_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let small = [1.5f32, -2.0, 0.25, 0.0];
    let bytes: Vec<(&str, Dtype, Vec<u8>)> = vec![
        (
            "f64",
            Dtype::F64,
            small
                .iter()
                .flat_map(|v| f64::from(*v).to_le_bytes())
                .collect(),
        ),
        (
            "f32",
            Dtype::F32,
            small.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        (
            "f16",
            Dtype::F16,
            small
                .iter()
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
        ),
        (
            "bf16",
            Dtype::BF16,
            small
                .iter()
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
        ),
        ("f8_e4m3", Dtype::F8_E4M3, vec![0x3c, 0xc0, 0x28, 0x00]),
        ("f8_e5m2", Dtype::F8_E5M2, vec![0x3e, 0xc0, 0x34, 0x00]),
    ];
    let views = bytes
        .iter()
        .map(|(name, dtype, data)| (*name, TensorView::new(*dtype, vec![2, 2], data).unwrap()));
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let store = TensorStore::open_files([path.as_path()], Format::Safetensors).unwrap();
    for (name, ..) in &bytes {
        assert_eq!(store.rows(name, 0..2).unwrap(), small, "{name}");
        assert_eq!(store.rows(name, 1..2).unwrap(), small[2..], "{name}");
    }
    assert_eq!(store.bytes("f16").unwrap(), bytes[2].2);
}

#[test]
fn scalars_vectors_and_empty_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = [
        Plain::new("scalar", &[]),
        Plain::new("vector", &[5]),
        Plain::new("empty", &[0, 8]),
    ];
    let store = safetensors_store(folder.path(), &tensors);
    assert_eq!(store.rows("scalar", 0..1).unwrap(), tensors[0].values);
    assert_eq!(store.rows("vector", 1..3).unwrap(), tensors[1].values[1..3]);
    assert!(store.rows("empty", 0..0).unwrap().is_empty());
    let role = Role::model(Part::FinalNorm);
    let (weights, _) = Weights::new(store, &BTreeMap::from([(role, Binding::whole("vector"))]));
    assert_eq!(weights.shape(&role), Some((5, 1)));
}

#[test]
fn shards_are_one_store_in_name_order() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("a.safetensors");
    let second = folder.path().join("b.safetensors");
    write_safetensors(&first, &[Plain::new("z", &[2, 2]), Plain::new("b", &[3])]);
    write_safetensors(&second, &[Plain::new("c", &[2, 2]), Plain::new("a", &[3])]);
    let store = TensorStore::open_files([first.as_path(), &second], Format::Safetensors).unwrap();
    assert_eq!(store.names().collect::<Vec<_>>(), ["a", "b", "c", "z"]);
    assert_eq!(
        store.rows("z", 0..2).unwrap(),
        Plain::new("z", &[2, 2]).values
    );

    write_safetensors(&second, &[Plain::new("z", &[2, 2])]);
    let twice = TensorStore::open_files([first.as_path(), &second], Format::Safetensors);
    let error = twice.unwrap_err().to_string();
    assert!(
        error.contains("b.safetensors") && error.contains("a.safetensors"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_bound_is_named_and_the_rest_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let store = safetensors_store(folder.path(), &[Plain::new("w", &[6, 4])]);
    let role = |layer| Role::layer(layer, Part::Query);
    let bindings = BTreeMap::from([
        (role(0), Binding::whole("w")),
        (role(1), Binding::whole("missing\u{1b}[31m")),
        (role(2), Binding::new("w", View::whole().rows(4..9))),
        (role(3), Binding::new("w", View::whole().slice(0))),
        (
            role(4),
            Binding::new("w", View::whole().unpermuted_heads(4)),
        ),
        (
            role(5),
            Binding::new("w", View::whole().transposed().slice(0)),
        ),
        (role(6), Binding::new("w", View::whole().stacked(6))),
        (role(7), Binding::new("w", View::whole().transposed_each(4))),
    ]);
    let (weights, unbound) = Weights::new(store, &bindings);
    assert_eq!(weights.roles().collect::<Vec<_>>(), [&role(0)]);
    let reasons: Vec<String> = unbound.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 7);
    assert_eq!(
        reasons[0],
        "layers.1.q: tensor `missing\\u{1b}[31m`: there is no such tensor"
    );
    assert!(reasons[1].contains("6 rows, not 4..9"), "{}", reasons[1]);
    assert!(reasons[5].contains("is not 6 matrices"), "{}", reasons[5]);
    assert!(reasons[6].contains("do not make 4 parts"), "{}", reasons[6]);
    assert!(
        weights
            .all(&role(2))
            .unwrap_err()
            .to_string()
            .contains("layers.2.q")
    );
    assert!(weights.chunks(&role(2), 8).next().unwrap().is_err());
}

/// The permutation of llama.cpp's converter for Llama checkpoints:
/// `w.reshape(heads, 2, dim / 2, columns).swapaxes(1, 2)`.
fn permuted_as_llama_cpp(values: &[f32], heads: usize, columns: usize) -> Vec<f32> {
    let head_dim = values.len() / columns / heads;
    let mut stored = Vec::with_capacity(values.len());
    for head in 0..heads {
        for pair in 0..head_dim / 2 {
            for half in 0..2 {
                let row = head * head_dim + half * (head_dim / 2) + pair;
                stored.extend_from_slice(&values[row * columns..(row + 1) * columns]);
            }
        }
    }
    stored
}

#[test]
fn permuted_heads_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let truth = Plain::new("w", &[24, 5]);
    let mut stored = truth.clone();
    stored.values = permuted_as_llama_cpp(&truth.values, 3, 5);
    let store = safetensors_store(folder.path(), &[stored]);
    let role = Role::layer(0, Part::Query);
    let view = View::whole().unpermuted_heads(3);
    let (weights, _) = Weights::new(store, &BTreeMap::from([(role, Binding::new("w", view))]));
    assert_eq!(weights.all(&role).unwrap(), truth.values);
    assert_eq!(weights.rows(&role, 6..11).unwrap(), truth.values[30..55]);
}

/// One step on a matrix held in memory.
#[derive(Debug, Clone)]
enum Naive {
    Rows(usize, usize),
    RowsOfEach(usize, usize, usize),
    Transposed,
    TransposedEach(usize),
    Unpermuted(usize),
    PlusOne,
    Normalised,
}

#[derive(Debug, Clone, PartialEq)]
struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn gather(&self, rows: usize, columns: usize, at: impl Fn(usize, usize) -> usize) -> Self {
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        Self {
            rows,
            columns,
            values: places
                .map(|(row, column)| self.values[at(row, column)])
                .collect(),
        }
    }

    /// Applies a step where it fits, and says how the view spells it.
    fn apply(&self, step: &Naive, view: View) -> (Self, View) {
        let (rows, columns) = (self.rows, self.columns);
        match *step {
            Naive::Rows(start, len) => {
                let start = start % rows;
                let len = 1 + len % (rows - start);
                let part = self.gather(len, columns, |r, c| (start + r) * columns + c);
                (part, view.rows(start..start + len))
            }
            Naive::RowsOfEach(groups, start, len) if rows.is_multiple_of(groups) => {
                let size = rows / groups;
                let start = start % size;
                let len = 1 + len % (size - start);
                let part = self.gather(groups * len, columns, |r, c| {
                    (r / len * size + start + r % len) * columns + c
                });
                (part, view.rows_of_each(groups, start..start + len))
            }
            Naive::RowsOfEach(..) => (self.clone(), view),
            Naive::Transposed => (
                self.gather(columns, rows, |r, c| c * columns + r),
                view.transposed(),
            ),
            Naive::TransposedEach(parts) if rows.is_multiple_of(parts) => {
                let height = rows / parts;
                let turned = self.gather(parts * columns, height, |r, c| {
                    (r / columns * height + c) * columns + r % columns
                });
                (turned, view.transposed_each(parts))
            }
            Naive::TransposedEach(_) => (self.clone(), view),
            Naive::Unpermuted(heads) if rows.is_multiple_of(2 * heads) => {
                let dim = rows / heads;
                let truth = self.gather(rows, columns, |row, column| {
                    let (head, within) = (row / dim, row % dim);
                    let (half, pair) = (within / (dim / 2), within % (dim / 2));
                    (head * dim + 2 * pair + half) * columns + column
                });
                (truth, view.unpermuted_heads(heads))
            }
            Naive::Unpermuted(_) => (self.clone(), view),
            Naive::PlusOne => {
                let mut sum = self.clone();
                sum.values.iter_mut().for_each(|value| *value += 1.0);
                (sum, view.plus_one())
            }
            Naive::Normalised => {
                let mut unit = self.clone();
                for row in unit.values.chunks_mut(columns) {
                    let norm = row
                        .iter()
                        .map(|v| f64::from(*v).powi(2))
                        .sum::<f64>()
                        .sqrt();
                    row.iter_mut()
                        .for_each(|v| *v = (f64::from(*v) / norm.max(1e-7)) as f32);
                }
                (unit, view.normalised_rows())
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Naive>> {
    let step = prop_oneof![
        (0usize..64, 0usize..64).prop_map(|(start, len)| Naive::Rows(start, len)),
        (1usize..5, 0usize..64, 0usize..64).prop_map(|(n, at, len)| Naive::RowsOfEach(n, at, len)),
        Just(Naive::Transposed),
        (1usize..5).prop_map(Naive::TransposedEach),
        (1usize..4).prop_map(Naive::Unpermuted),
        Just(Naive::PlusOne),
        Just(Naive::Normalised),
    ];
    prop::collection::vec(step, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn views_read_what_the_steps_mean(
        (slices, rows, columns) in (1usize..4, 1usize..25, 1usize..20),
        (stacked, slice) in (any::<bool>(), 0usize..4),
        steps in steps(),
        max_elements in 1usize..200,
        window in (0usize..40, 0usize..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let stack = Plain::new("w", &[slices, rows, columns]);
        let store = safetensors_store(folder.path(), std::slice::from_ref(&stack));
        let slice = slice % slices;
        let size = rows * columns;
        let (mut truth, mut view) = if stacked {
            let values = stack.values.clone();
            (Matrix { rows: slices * rows, columns, values }, View::whole().stacked(slices))
        } else {
            let values = stack.values[slice * size..(slice + 1) * size].to_vec();
            (Matrix { rows, columns, values }, View::whole().slice(slice))
        };
        for step in &steps {
            (truth, view) = truth.apply(step, view);
        }
        let role = Role::layer(0, Part::Value);
        let bindings = BTreeMap::from([(role, Binding::new("w", view))]);
        let (weights, unbound) = Weights::new(store, &bindings);
        prop_assert!(unbound.is_empty(), "{:?}", unbound);
        prop_assert_eq!(weights.shape(&role), Some((truth.rows, truth.columns)));
        prop_assert_eq!(&weights.all(&role).unwrap(), &truth.values);
        let start = window.0 % truth.rows;
        let end = start + window.1 % (truth.rows - start + 1);
        prop_assert_eq!(
            weights.rows(&role, start..end).unwrap(),
            &truth.values[start * truth.columns..end * truth.columns]
        );
        let mut joined = Vec::new();
        let mut next = 0;
        for chunk in weights.chunks(&role, max_elements) {
            let (range, values) = chunk.unwrap();
            prop_assert_eq!(range.start, next);
            prop_assert!(values.len() <= max_elements.max(truth.columns));
            next = range.end;
            joined.extend(values);
        }
        prop_assert_eq!(next, truth.rows);
        prop_assert_eq!(joined, truth.values);
    }

    #[test]
    fn any_range_of_a_quantised_tensor_is_the_same_as_of_the_whole(
        kind in 0usize..GGML.len(),
        start in 0usize..2048,
        len in 0usize..2048,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.gguf");
        let plain = Plain { name: "w".to_owned(), shape: vec![4, 512], values: pseudo_random(2048, 7) };
        write_gguf(&path, &[("general.architecture", Value::String("none".to_owned()))], &[(plain, GGML[kind])]);
        let store = TensorStore::open_files([path.as_path()], Format::Gguf).unwrap();
        let whole = store.elements("w", 0..2048).unwrap();
        let end = (start + len).min(2048);
        prop_assert_eq!(store.elements("w", start..end).unwrap(), &whole[start..end]);
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = safetensors_store(folder.path(), &[Plain::new("w", &[64, 64])]);
    put(folder.path(), "model.safetensors", b"short");
    let error = store.rows("w", 0..64).unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}
