//! What a hub or its cache can get wrong, against a small hub server on the loopback interface.

use std::time::Duration;
use std::time::Instant;

use kinprobe::source::OpenOptions;
use kinprobe::source::open;

use crate::common::hub::COMMIT;
use crate::common::hub::Fault;
use crate::common::hub::git_blob;
use crate::common::hub::sha256;
use crate::common::hub_model::CONFIG;
use crate::common::hub_model::WEIGHTS;
use crate::common::hub_model::blobs;
use crate::common::hub_model::opened;
use crate::common::hub_model::options;
use crate::common::hub_model::single;
use crate::common::hub_model::snapshot_file;
use crate::common::hub_model::try_open;
use crate::common::hub_model::weights;

#[test]
fn an_error_page_is_never_kept_as_a_file() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    hub.fault(WEIGHTS, Fault::Forbidden);
    let message = try_open("hf:owner/name", &online).unwrap_err();
    assert!(
        message.contains("403") && message.contains("terms"),
        "{message}"
    );
    assert!(!snapshot_file(dir.path(), WEIGHTS).exists());
    let large = sha256(&weights(0));
    assert!(
        blobs(dir.path())
            .iter()
            .all(|name| !name.starts_with(&large))
    );
    hub.heal();
    assert_eq!(opened(&online).weights[0].sha256, large);
}

#[test]
fn an_interrupted_download_continues_where_it_broke() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    hub.fault(WEIGHTS, Fault::Truncate(100_000));
    let message = try_open("hf:owner/name", &online).unwrap_err();
    assert!(message.contains("run again to continue"), "{message}");
    assert!(!snapshot_file(dir.path(), WEIGHTS).exists());
    hub.heal();
    hub.take_log();
    assert_eq!(opened(&online).weights[0].sha256, sha256(&weights(0)));
    let downloads = hub.take_downloads();
    assert!(
        downloads.iter().all(|r| r.target.contains(WEIGHTS)),
        "{downloads:?}"
    );
    let ranges: Vec<_> = downloads
        .iter()
        .filter_map(|r| r.range.as_deref())
        .collect();
    assert!(ranges.contains(&"bytes=200000-299999"), "{ranges:?}");
    assert!(
        blobs(dir.path())
            .iter()
            .all(|name| !name.contains("incomplete"))
    );
}

#[test]
fn a_passing_break_is_mended_within_the_run() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    hub.fault(WEIGHTS, Fault::TruncateOnce(123_456));
    assert_eq!(opened(&options(&hub, dir.path())).weights[0].size, 300_000);
}

#[test]
fn bytes_that_are_not_the_listed_ones_are_thrown_away() {
    for (name, fault) in [
        (WEIGHTS, Fault::WrongByte),
        (WEIGHTS, Fault::Longer),
        ("config.json", Fault::WrongByte),
        ("config.json", Fault::Longer),
    ] {
        let hub = single();
        let dir = tempfile::tempdir().unwrap();
        let online = options(&hub, dir.path());
        hub.fault(name, fault);
        let message = try_open("hf:owner/name", &online).unwrap_err();
        assert!(
            message.contains(name) && message.contains("nothing was kept"),
            "{message}"
        );
        let id = match name {
            WEIGHTS => sha256(&weights(0)),
            _ => git_blob(CONFIG),
        };
        assert!(blobs(dir.path()).iter().all(|blob| !blob.starts_with(&id)));
        hub.heal();
        opened(&online);
    }
}

#[test]
fn a_short_answer_is_an_interrupted_one() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    hub.fault(WEIGHTS, Fault::Shorter);
    let message = try_open("hf:owner/name", &online).unwrap_err();
    assert!(message.contains(WEIGHTS), "{message}");
    assert!(!snapshot_file(dir.path(), WEIGHTS).exists());
    hub.heal();
    opened(&online);
}

#[test]
fn leftovers_that_do_not_fit_are_started_over() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    let leftover = dir
        .path()
        .join("hub/models--owner--name/blobs")
        .join(format!("{}.incomplete", sha256(&weights(0))));
    std::fs::create_dir_all(leftover.parent().unwrap()).unwrap();
    for content in [vec![0_u8; 1000], vec![0_u8; 400_000]] {
        std::fs::write(&leftover, content).unwrap();
        opened(&online);
        std::fs::remove_dir_all(dir.path().join("hub/models--owner--name/snapshots")).unwrap();
        std::fs::remove_file(leftover.with_extension("")).unwrap();
    }
    // A server that sends everything although only the rest was asked for.
    std::fs::write(&leftover, &weights(0)[..1000]).unwrap();
    hub.fault(WEIGHTS, Fault::IgnoreRange);
    assert_eq!(opened(&online).weights[0].sha256, sha256(&weights(0)));
}

#[test]
fn a_silent_server_is_given_up() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let mut online = options(&hub, dir.path());
    online.hub.read_timeout = Duration::from_millis(300);
    online.hub.retries = 0;
    hub.fault(WEIGHTS, Fault::Stall);
    let start = Instant::now();
    let message = try_open("hf:owner/name", &online).unwrap_err();
    assert!(message.contains("no answer for 0.3 s"), "{message}");
    // Nothing at all, not even to the first question.
    hub.fall_silent();
    let message = try_open("hf:owner/name", &online).unwrap_err();
    assert!(message.contains("no answer for 0.3 s"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_cache_that_another_tool_poisoned_is_mended_or_refused() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    let good = opened(&online).digest();
    let mut other = weights(0);
    other[7] ^= 1;
    let error_page = b"<html>".to_vec();
    let poisons = [
        (WEIGHTS, other),
        (WEIGHTS, error_page.clone()),
        ("config.json", error_page),
        ("tokenizer.json", br#"{"model":[]}"#.to_vec()),
    ];
    let commit = format!("hf:owner/name@{COMMIT}");
    let offline = OpenOptions {
        offline: true,
        ..online.clone()
    };
    for (name, poison) in &poisons {
        let file = snapshot_file(dir.path(), name);
        for text in ["hf:owner/name", &commit] {
            std::fs::write(&file, poison).unwrap();
            let model = try_open(text, &online).unwrap();
            assert_eq!(model.digest(), good, "{name} {text}");
        }
        std::fs::write(&file, poison).unwrap();
        hub.take_log();
        let message = try_open(&commit, &offline).unwrap_err();
        assert!(
            message.contains(name) && message.contains("was removed"),
            "{message}"
        );
        assert!(!file.exists() && hub.take_log().is_empty());
        assert_eq!(opened(&online).digest(), good);
    }
}

#[test]
fn what_the_hub_answers_is_explained() {
    let hub = single();
    let dir = tempfile::tempdir().unwrap();
    let online = options(&hub, dir.path());
    let message = try_open("hf:owner/name@nowhere", &online).unwrap_err();
    assert!(
        message.contains("404") && message.contains("nowhere"),
        "{message}"
    );
    let other = open(&"hf:owner/other".parse().unwrap(), &online)
        .unwrap_err()
        .to_string();
    assert!(
        other.contains("404") && other.contains("owner/other"),
        "{other}"
    );
    for (status, advice) in [
        (401, "HF_TOKEN"),
        (429, "wait"),
        (503, "later"),
        (418, "HF_ENDPOINT"),
    ] {
        hub.fail_with(status);
        let message = try_open("hf:owner/name", &online).unwrap_err();
        assert!(
            message.contains(&status.to_string()) && message.contains(advice),
            "{message}"
        );
    }
    assert!(blobs(dir.path()).is_empty());

    let mut nowhere = online.clone();
    nowhere.hub.endpoint = "http://user:secret@127.0.0.1:9".to_owned();
    let message = try_open("hf:owner/name", &nowhere).unwrap_err();
    assert!(
        message.contains("HF_HUB_OFFLINE=1") && !message.contains("secret"),
        "{message}"
    );
    nowhere.hub.endpoint = "file:///etc".to_owned();
    assert!(
        try_open("hf:owner/name", &nowhere)
            .unwrap_err()
            .contains("HF_ENDPOINT")
    );
}
