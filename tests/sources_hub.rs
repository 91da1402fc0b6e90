//! Models from a hub, against a small hub server on the loopback interface.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use kinprobe::source::OpenOptions;
use kinprobe::source::Progress;
use kinprobe::source::ProgressTask;
use kinprobe::source::Secret;
use kinprobe::source::open;

use crate::common::hub::COMMIT;
use crate::common::hub::Fault;
use crate::common::hub::Hub;
use crate::common::hub::sha256;
use crate::common::hub_model::CONFIG;
use crate::common::hub_model::TOKENIZER;
use crate::common::hub_model::WEIGHTS;
use crate::common::hub_model::opened;
use crate::common::hub_model::options;
use crate::common::hub_model::single;
use crate::common::hub_model::snapshot_file;
use crate::common::hub_model::try_open;
use crate::common::hub_model::weights;

#[test]
fn a_hub_model_is_the_folder_it_was_made_of() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let model = opened(&options(&hub, dir.path()));
    assert_eq!(model.revision.as_deref(), Some(COMMIT));
    assert_eq!(model.reference, "hf:owner/name");
    assert_eq!(model.weights[0].sha256, sha256(&weights(0)));

    let local = tempfile::tempdir().unwrap();
    for (name, bytes) in [("config.json", CONFIG), ("tokenizer.json", TOKENIZER)] {
        std::fs::write(local.path().join(name), bytes).unwrap();
    }
    std::fs::write(local.path().join(WEIGHTS), weights(0)).unwrap();
    let folder = try_open(local.path().to_str().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!(model.digest(), folder.digest());
    // A snapshot in the cache is also a folder like any other.
    let snapshot = snapshot_file(dir.path(), "");
    let by_path = try_open(snapshot.to_str().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!(by_path.digest(), folder.digest());

    let asked: Vec<String> = hub.take_log().into_iter().map(|r| r.target).collect();
    assert!(
        asked
            .iter()
            .all(|t| !t.contains(".bin") && !t.contains("README")),
        "{asked:?}"
    );
    assert!(asked[0].starts_with("/api/models/owner/name/revision/main"));
}

#[test]
fn what_is_cached_is_not_fetched_again() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    let first = opened(&online);
    hub.take_log();

    let second = opened(&online);
    assert_eq!(second.digest(), first.digest());
    let requests = hub.take_log();
    assert_eq!(
        requests.len(),
        1,
        "one request resolves the branch: {requests:?}"
    );

    let pinned = try_open(&format!("hf:owner/name@{COMMIT}"), &online).unwrap();
    assert_eq!(pinned.digest(), first.digest());
    assert!(hub.take_log().is_empty(), "a commit needs no request");

    let offline = OpenOptions {
        offline: true,
        ..online
    };
    for text in [
        "hf:owner/name".to_owned(),
        format!("hf:owner/name@{COMMIT}"),
    ] {
        let model = try_open(&text, &offline).unwrap();
        assert_eq!(model.digest(), first.digest());
        assert_eq!(model.revision.as_deref(), Some(COMMIT));
    }
    assert!(hub.take_log().is_empty(), "offline sends nothing");
}

#[test]
fn offline_without_a_cache_says_so_and_sends_nothing() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let offline = OpenOptions {
        offline: true,
        ..options(&hub, dir.path())
    };
    let message = try_open("hf:owner/name@v2", &offline).unwrap_err();
    assert!(message.contains("v2 is not in the cache"), "{message}");
    assert!(hub.take_log().is_empty());
}

#[test]
fn a_branch_with_a_slash_is_resolved_and_remembered() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    let model = try_open("hf:owner/name@feature/x", &online).unwrap();
    assert_eq!(model.revision.as_deref(), Some(COMMIT));
    let offline = OpenOptions {
        offline: true,
        ..online
    };
    assert!(try_open("hf:owner/name@feature/x", &offline).is_ok());
    assert!(try_open("hf:owner/name@main", &offline).is_err());
}

#[test]
fn shards_come_through_the_index() {
    let index = br#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    let shards = [weights(1), weights(2)];
    let files: [(&str, &[u8]); 5] = [
        ("model.safetensors.index.json", index),
        ("model-00001-of-00002.safetensors", &shards[0]),
        ("model-00002-of-00002.safetensors", &shards[1]),
        ("consolidated.safetensors", b"never fetched"),
        ("config.json", CONFIG),
    ];
    let hub = Hub::start(&files, &[files[1].0, files[2].0]);
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    hub.fault(files[2].0, Fault::Forbidden);
    assert!(try_open("hf:owner/name", &online).is_err());
    hub.heal();
    hub.take_log();
    let model = opened(&online);
    assert_eq!(model.weights.len(), 2);
    assert_eq!(model.others[0].name, "model.safetensors.index.json");
    let fetched = hub.take_downloads();
    assert!(
        fetched.iter().all(|r| r.target.contains("-of-00002")),
        "{fetched:?}"
    );

    let offline = OpenOptions {
        offline: true,
        ..online
    };
    assert_eq!(opened(&offline).digest(), model.digest());
    std::fs::remove_file(snapshot_file(dir.path(), files[1].0)).unwrap();
    let message = open(&"hf:owner/name".parse().unwrap(), &offline)
        .unwrap_err()
        .to_string();
    assert!(message.contains("download the missing file"), "{message}");
}

#[test]
fn an_index_from_the_hub_cannot_lead_astray() {
    for target in [
        "../../x.safetensors",
        "/etc/x.safetensors",
        "gone.safetensors",
        "x.bin",
    ] {
        let index = format!(r#"{{"weight_map":{{"a":"{target}"}}}}"#);
        let hub = Hub::start(&[("model.safetensors.index.json", index.as_bytes())], &[]);
        let dir = tempfile::tempdir().unwrap();
        let message = open(
            &"hf:owner/name".parse().unwrap(),
            &options(&hub, dir.path()),
        )
        .unwrap_err()
        .to_string();
        assert!(
            message.contains(target) && !message.contains('\n'),
            "{message}"
        );
    }
}

#[test]
fn gguf_repositories_and_pickles_follow_the_rules_of_folders() {
    let gguf = Hub::start(&[("m.gguf", b"GGUF"), ("README.md", b"")], &["m.gguf"]);
    let dir = tempfile::tempdir().unwrap();
    let model = opened(&options(&gguf, dir.path()));
    assert_eq!((model.weights[0].size, model.files().count()), (4, 1));

    let dir = tempfile::tempdir().unwrap();
    let pickle = Hub::start(&[("pytorch_model.bin", b"x"), ("config.json", CONFIG)], &[]);
    let message = try_open("hf:owner/name", &options(&pickle, dir.path())).unwrap_err();
    assert!(message.contains("save_pretrained"), "{message}");
    assert!(pickle.take_downloads().is_empty());
}

#[test]
fn the_token_reaches_the_hub_and_nobody_else() {
    const TOKEN: &str = "hf_AbCdEfCanary";
    let hub = single();
    hub.require_token(TOKEN);
    let dir = tempfile::tempdir().unwrap();
    let mut online = options(&hub, dir.path());
    let refused = try_open("hf:owner/name", &online).unwrap_err();
    assert!(
        refused.contains("401") && refused.contains("HF_TOKEN"),
        "{refused}"
    );
    assert!(hub.take_log().iter().all(|r| r.authorization.is_none()));

    online.hub.token = Secret::new("hf_WrongCanary");
    let refused = try_open("hf:owner/name", &online).unwrap_err();
    assert!(
        refused.contains("not accepted") && !refused.contains("Canary"),
        "{refused}"
    );

    online.hub.token = Secret::new(TOKEN);
    hub.take_log();
    let model = opened(&online);
    let (storage, direct): (Vec<_>, Vec<_>) = hub.take_log().into_iter().partition(|r| r.storage);
    let bearer = format!("Bearer {TOKEN}");
    assert!(
        direct
            .iter()
            .all(|r| r.authorization.as_ref() == Some(&bearer)),
        "{direct:?}"
    );
    assert!(!storage.is_empty() && storage.iter().all(|r| r.authorization.is_none()));
    assert!(!format!("{model:?} {online:?}").contains("Canary"));

    online.hub.token = Secret::new("two words");
    assert!(
        try_open("hf:owner/name", &online)
            .unwrap_err()
            .contains("HF_TOKEN")
    );
}

#[derive(Default, Clone)]
struct Totals(Arc<Mutex<BTreeMap<String, [u64; 2]>>>);

struct Stage(Totals, String);

impl Progress for Totals {
    fn start(&self, label: &str, total_bytes: u64) -> Box<dyn ProgressTask> {
        let mut stages = self.0.lock().unwrap();
        stages.insert(label.to_owned(), [total_bytes, 0]);
        Box::new(Stage(self.clone(), label.to_owned()))
    }
}

impl ProgressTask for Stage {
    fn advance(&self, bytes: u64) {
        self.0.0.lock().unwrap().get_mut(&self.1).unwrap()[1] += bytes;
    }
}

#[test]
fn progress_reaches_its_total() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let totals = Totals::default();
    let online = OpenOptions {
        progress: Some(Arc::new(totals.clone())),
        ..options(&hub, dir.path())
    };
    let model = opened(&online);
    let bytes: u64 = model.files().map(|file| file.size).sum();
    let expected =
        ["fetch owner/name", "hash hf:owner/name"].map(|label| (label.to_owned(), [bytes, bytes]));
    assert_eq!(*totals.0.lock().unwrap(), BTreeMap::from(expected));
}
