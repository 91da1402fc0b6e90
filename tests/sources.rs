//! Opening models: folders, files, the zoo, and what is refused.

use std::path::Path;

use kinprobe::source::Artefacts;
use kinprobe::source::Format;
use kinprobe::source::ModelRef;
use kinprobe::source::OpenOptions;
use kinprobe::source::open;

fn try_open(text: &str, options: &OpenOptions) -> Result<Artefacts, String> {
    let reference: ModelRef = text.parse().map_err(|e| format!("{e}"))?;
    open(&reference, options).map_err(|e| e.to_string())
}

fn opened(path: &Path) -> Artefacts {
    try_open(path.to_str().unwrap(), &OpenOptions::default()).unwrap()
}

/// The one-line error of opening `path`, which names `named`.
fn refused(path: &Path, named: &str) -> String {
    let message = try_open(path.to_str().unwrap(), &OpenOptions::default()).unwrap_err();
    assert!(message.contains(named), "{message}");
    assert!(!message.contains('\n') && message.len() < 600, "{message}");
    message
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

const SINGLE: [(&str, &str); 4] = [
    ("model.safetensors", "weights"),
    ("config.json", "{}"),
    ("tokenizer.json", "tokens"),
    ("generation_config.json", "{ }"),
];

fn names(artefacts: &Artefacts) -> Vec<&str> {
    artefacts.files().map(|file| file.name.as_str()).collect()
}

#[test]
fn a_folder_with_one_file_is_pinned() {
    let dir = folder(&SINGLE);
    let model = opened(dir.path());
    assert_eq!(model.format, Format::Safetensors);
    assert_eq!(
        names(&model),
        [
            "model.safetensors",
            "config.json",
            "tokenizer.json",
            "generation_config.json"
        ]
    );
    assert_eq!(model.weights[0].size, 7);
    // sha256sum of "{}".
    assert_eq!(
        model.config.as_ref().unwrap().sha256,
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
    assert_eq!((&model.revision, &model.run), (&None, &None));
    assert_eq!(model.reference, dir.path().to_str().unwrap());
}

#[test]
fn the_digest_follows_content_not_names() {
    let a = opened(folder(&SINGLE).path());
    let renamed = folder(&[
        ("weights.safetensors", "weights"),
        ("config.json", "{}"),
        ("tokenizer.json", "tokens"),
    ]);
    let b = opened(renamed.path());
    assert_eq!(a.digest(), b.digest());
    assert!(a.digest().starts_with("sha256:") && a.digest().len() == 71);
    for changed in 0..3 {
        let mut files = SINGLE;
        files[changed].1 = "other";
        assert_ne!(
            opened(folder(&files).path()).digest(),
            a.digest(),
            "{changed}"
        );
    }
    // A file under another role is another model.
    let swapped = folder(&[
        ("model.safetensors", "weights"),
        ("config.json", "tokens"),
        ("tokenizer.json", "{}"),
    ]);
    assert_ne!(opened(swapped.path()).digest(), a.digest());
}

#[test]
fn shards_are_taken_from_the_index() {
    let dir = folder(&[
        (
            "model.safetensors.index.json",
            r#"{"metadata":{"total_size":2},"weight_map":{"x":"b-2.safetensors","y":"sub/a-1.safetensors","z":"b-2.safetensors"}}"#,
        ),
        ("b-2.safetensors", "b"),
        ("sub/a-1.safetensors", "a"),
        ("unlisted.safetensors", "never read"),
    ]);
    let model = opened(dir.path());
    assert_eq!(
        names(&model),
        [
            "b-2.safetensors",
            "sub/a-1.safetensors",
            "model.safetensors.index.json"
        ]
    );
    assert!(model.config.is_none());
}

#[test]
fn an_index_may_not_lead_astray() {
    let index = |target: &str| {
        folder(&[
            (
                "model.safetensors.index.json",
                &format!(r#"{{"weight_map":{{"x":"{target}"}}}}"#),
            ),
            ("inner.bin", ""),
        ])
    };
    let file = "model.safetensors.index.json: ";
    for target in [
        "/etc/x.safetensors",
        "../x.safetensors",
        "a/../../x.safetensors",
        "C:/x.safetensors",
        "..\\\\x.safetensors",
    ] {
        let message = refused(index(target).path(), file);
        assert!(message.contains("outside the folder"), "{message}");
    }
    assert!(refused(index("gone.safetensors").path(), file).contains("download the missing file"));
    assert!(refused(index("inner.bin").path(), file).contains("not a safetensors file"));
    for broken in [
        "",
        "[]",
        r#"{"weight_map":{}}"#,
        r#"{"weight_map":{"x":1}}"#,
    ] {
        refused(
            folder(&[("model.safetensors.index.json", broken)]).path(),
            file,
        );
    }
    let both = folder(&[
        (
            "model.safetensors.index.json",
            r#"{"weight_map":{"x":"a.safetensors"}}"#,
        ),
        ("a.safetensors", ""),
        ("model.safetensors", ""),
    ]);
    refused(both.path(), "holds both");
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_refused() {
    let elsewhere = folder(&[("secret.safetensors", "secret")]);
    let dir = folder(&[(
        "model.safetensors.index.json",
        r#"{"weight_map":{"x":"a.safetensors"}}"#,
    )]);
    std::os::unix::fs::symlink(
        elsewhere.path().join("secret.safetensors"),
        dir.path().join("a.safetensors"),
    )
    .unwrap();
    refused(dir.path(), "outside the folder");
}

#[test]
fn pickles_are_refused_with_the_way_out() {
    let dir = folder(&[("pytorch_model.bin", ""), ("config.json", "{}")]);
    let message = refused(dir.path(), "pytorch_model.bin");
    assert!(
        message.contains("save_pretrained") && message.contains("from_pretrained"),
        "{message}"
    );
    for name in ["x.pt", "x.pth", "x.ckpt"] {
        let dir = folder(&[(name, "")]);
        assert!(refused(dir.path(), name).contains("safetensors.torch.save_file"));
        assert!(refused(&dir.path().join(name), name).contains("never opened"));
    }
    // Beside safetensors they are simply not read.
    let mut files = SINGLE.to_vec();
    files.push(("pytorch_model.bin", ""));
    assert_eq!(opened(folder(&files).path()).files().count(), 4);
}

#[test]
fn one_safetensors_file_takes_its_folders_config_along() {
    let dir = folder(&SINGLE);
    let whole = opened(dir.path());
    let file = opened(&dir.path().join("model.safetensors"));
    assert_eq!(whole.digest(), file.digest());
    let lone = folder(&[("x.safetensors", "weights")]);
    assert_eq!(
        names(&opened(&lone.path().join("x.safetensors"))),
        ["x.safetensors"]
    );
}

#[test]
fn gguf_is_opened_as_file_folder_or_under_any_name() {
    let dir = folder(&[("m.Q4_0.gguf", "GGUF"), ("README.md", "")]);
    let file = dir.path().join("m.Q4_0.gguf");
    let by_folder = opened(dir.path());
    assert_eq!(by_folder.format, Format::Gguf);
    assert_eq!(by_folder.digest(), opened(&file).digest());
    let blob = folder(&[("sha256-abc", "GGUF")]);
    let path = blob.path().join("sha256-abc");
    refused(&path, "gguf:");
    let named = try_open(&format!("gguf:{}", path.display()), &OpenOptions::default()).unwrap();
    assert_eq!(named.digest(), by_folder.digest());
    assert!(named.reference.starts_with("gguf:"));
}

#[test]
fn what_cannot_be_one_model_is_refused() {
    refused(folder(&[("README.md", "")]).path(), "no weights");
    refused(
        folder(&[("a.gguf", ""), ("b.gguf", "")]).path(),
        "name one of them",
    );
    let split = folder(&[("m-00001-of-00002.gguf", ""), ("m-00002-of-00002.gguf", "")]);
    assert!(refused(split.path(), "part 1").contains("gguf-split --merge"));
    refused(&split.path().join("m-00002-of-00002.gguf"), "part 2");
    let shard = folder(&[("model-00001-of-00002.safetensors", "")]);
    refused(shard.path(), "no model.safetensors.index.json");
    refused(
        &shard.path().join("model-00001-of-00002.safetensors"),
        "one of 2 shards",
    );
    refused(
        folder(&[("a.safetensors", ""), ("b.safetensors", "")]).path(),
        "name one file",
    );
    refused(folder(&[("adapter_model.safetensors", "")]).path(), "merge");
    let dir = folder(&SINGLE);
    refused(&dir.path().join("config.json"), "name the folder");
    refused(&dir.path().join("tokenizer.json"), "not a model file");
    refused(&dir.path().join("absent"), "hf:owner/name");
    let weights_is_a_folder = folder(&[("model.safetensors/x", "")]);
    refused(weights_is_a_folder.path(), "not a regular file");
}

#[test]
fn zoo_members_are_opened_by_name() {
    let list = r#"{"schema":"kinprobe/zoo/v1","note":"kept","members":[
        {"name":"base-a","run":"a","parent":null,"relation":null,"steps":7},
        {"name":"base-a-noised","run":"a","parent":"base-a","relation":"noised"}]}"#;
    let root = folder(&[
        ("datasets/zoo/zoo.json", list),
        ("datasets/zoo/base-a/model.safetensors", "weights"),
        ("datasets/zoo/base-a/config.json", "{}"),
        ("datasets/zoo/unlisted/model.safetensors", ""),
        ("probes/x.yaml", ""),
    ]);
    let options = OpenOptions {
        data_root: Some(root.path().to_owned()),
        ..OpenOptions::default()
    };
    let model = try_open("zoo:base-a", &options).unwrap();
    assert_eq!(model.run.as_deref(), Some("a"));
    assert_eq!(model.reference, "zoo:base-a");
    let unknown = try_open("zoo:unlisted", &options).unwrap_err();
    assert!(unknown.contains("base-a, base-a-noised"), "{unknown}");
    // Listed but not on disk.
    assert!(try_open("zoo:base-a-noised", &options).is_err());
    for broken in [
        "{",
        r#"{"schema":"kinprobe/zoo/v9","members":[]}"#,
        r#"{"schema":"kinprobe/zoo/v1","members":[{"name":"../x"}]}"#,
        r#"{"schema":"kinprobe/zoo/v1","members":[{"name":"x"},{"name":"x"}]}"#,
    ] {
        std::fs::write(root.path().join("datasets/zoo/zoo.json"), broken).unwrap();
        let message = try_open("zoo:x", &options).unwrap_err();
        assert!(message.contains("zoo.json"), "{message}");
    }
}
