use super::super::Error;
use super::super::fixtures;
use super::super::fixtures::MODELS;
use super::Files;
use super::NumberFormat;
use super::plan;
use crate::model::Role;
use crate::model::TensorStore;
use crate::model::Weights;
use crate::model::arch;
use crate::source::Format;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn every_family_reads_back_what_was_written() {
    let mut seen: Vec<&str> = Vec::new();
    for name in MODELS {
        let folder = tempfile::tempdir().expect("folder");
        let model = fixtures::model(name, 1, folder.path());
        let spec = model.spec.as_ref().expect("runs");
        seen.extend(model.family);
        assert!(
            !model.caveats.iter().any(|c| c.contains("no place")),
            "{name}"
        );
        for (role, _) in spec.roles() {
            let read = model.weights.all(&role).expect("weight");
            let meant = fixtures::random_weight(spec, &role, 1);
            if spec.normalised_head && role.to_string() == "unembed" {
                // Reading divides by a norm of one, give or take a rounding.
                let off = read.iter().zip(&meant).map(|(a, b)| (a - b).abs());
                assert!(off.fold(0.0, f32::max) < 1e-6, "{name} {role}");
            } else if role.part.is_norm() && name == &"gemma3" {
                // Stored less one: the numbers around one lose no bit, the others at most the last.
                let off = read.iter().zip(&meant).map(|(a, b)| (a - b).abs());
                assert!(off.fold(0.0, f32::max) < 1e-7, "{name} {role}");
            } else {
                assert_eq!(bits(&read), bits(&meant), "{name} {role}");
            }
        }
    }
    seen.dedup();
    let all: Vec<&str> = arch::FAMILIES.iter().map(|family| family.id).collect();
    assert_eq!(seen, all);
}

#[test]
fn names_of_gguf_files_hold_permuted_heads_and_stacked_experts() {
    for name in ["llama", "mixtral", "qwen2_moe", "gpt2"] {
        let (family, spec) = fixtures::spec(&fixtures::config(name));
        let names = arch::names_of(family, &spec, Format::Gguf).expect("names");
        let tensors = plan(&spec.roles(), &names).expect("a plan");
        let folder = tempfile::tempdir().expect("folder");
        let files = Files {
            format: NumberFormat::F32,
            shards: 3,
        };
        let mut weight = |role: &Role| Ok::<_, Error>(fixtures::random_weight(&spec, role, 2));
        files
            .write(folder.path(), &tensors, &mut weight)
            .expect("writes");
        let paths: Vec<_> = (1..=3)
            .map(|n| {
                folder
                    .path()
                    .join(format!("model-{n:05}-of-00003.safetensors"))
            })
            .collect();
        let paths = paths.iter().map(std::path::PathBuf::as_path);
        let store = TensorStore::open_files(paths, Format::Safetensors).expect("store");
        let query = store.info("blk.0.attn_q.weight");
        assert_eq!(query.map(|info| info.shape.clone()), Some(vec![24, 24]));
        if name == "mixtral" {
            let stack = store.info("blk.0.ffn_down_exps.weight").expect("a stack");
            assert_eq!(stack.shape, [4, 24, 20]);
        }
        let (weights, unbound) = Weights::new(store, &names);
        assert!(unbound.is_empty(), "{unbound:?}");
        for (role, _) in spec.roles() {
            let read = weights.all(&role).expect("weight");
            let meant = fixtures::random_weight(&spec, &role, 2);
            assert_eq!(bits(&read), bits(&meant), "{name} {role}");
        }
        let first = weights
            .store()
            .rows("blk.0.attn_q.weight", 1..2)
            .expect("row");
        let query = fixtures::random_weight(&spec, &Role::layer(0, crate::model::Part::Query), 2);
        let moved = name == "llama" || name == "mixtral";
        assert_eq!(first == query[24..48], !moved, "{name}");
    }
}

#[test]
fn what_no_file_can_hold_is_an_error() {
    let (family, spec) = fixtures::spec(&fixtures::config("baichuan2"));
    let mut names = arch::names_of(family, &spec, Format::Safetensors).expect("names");
    let tensors = plan(&spec.roles(), &names).expect("a plan");
    let head = tensors.iter().find(|t| t.name == "lm_head.weight");
    let mut long = |_: &Role| Ok::<_, Error>(vec![2.0; 48 * 24]);
    let error = head
        .expect("a head")
        .values(&mut long)
        .expect_err("norm two");
    assert!(error.to_string().contains("norm one"), "{error}");
    names.pop_last();
    let error = plan(&spec.roles(), &names).expect_err("a name is missing");
    assert!(error.to_string().contains("no name"), "{error}");
}

#[test]
fn formats_round_to_nearest_even() {
    let values = [
        1.0f32,
        1.0 + 2f32.powi(-8),
        1.0 + 3.0 * 2f32.powi(-8),
        65504.0,
    ];
    let bytes = NumberFormat::Bf16.encode(&values[..3]);
    assert_eq!(bytes, [0x80, 0x3f, 0x80, 0x3f, 0x82, 0x3f]);
    let bytes = NumberFormat::F16.encode(&values[3..]);
    assert_eq!(bytes, [0xff, 0x7b]);
    assert_eq!(NumberFormat::F32.encode(&values[..1]), 1f32.to_le_bytes());
}
