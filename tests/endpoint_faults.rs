//! Servers that are slow, broken, wrong or hostile.

use std::time::Duration;

use kinprobe::model::Model;
use kinprobe::probe::Item;
use kinprobe::probe::Readout;
use kinprobe::probe::Score;
use kinprobe::probe::Suite;
use kinprobe::record;
use kinprobe::record::Error;
use kinprobe::record::Recording;
use kinprobe::record::RecordingStore;
use kinprobe::record::run_suite;
use kinprobe::source;
use kinprobe::source::EndpointOptions;
use kinprobe::source::OpenOptions;
use kinprobe::source::Secret;
use kinprobe::source::Silent;
use serde_json::json;

use crate::common::served::Fault;
use crate::common::served::Logprobs;
use crate::common::served::Said;
use crate::common::served::Server;

const ITEMS: usize = 12;

fn server() -> Server {
    Server::start("toy", |prompt, _| Said {
        text: format!(" said of {prompt}"),
        ended: true,
        prompt_tokens: 3,
        first: vec![(" said".to_owned(), -0.5), (" no".to_owned(), -1.5)],
    })
}

fn suite() -> Suite {
    let item = |at: usize| Item {
        id: format!("{at:02}"),
        prompt: format!("question {at:02}"),
        targets: Vec::new(),
        tags: Vec::new(),
        picture: None,
        group: None,
    };
    Suite {
        id: "questions".to_owned(),
        version: 1,
        description: String::new(),
        license: "CC0-1.0".to_owned(),
        readout: Readout::Generate {
            max_tokens: 8,
            stop: vec!["\n".to_owned()],
        },
        score: Score::Exact,
        items: (0..ITEMS).map(item).collect(),
        sha256: "ab".repeat(32),
    }
}

fn asking() -> EndpointOptions {
    EndpointOptions {
        timeout: Duration::from_millis(1500),
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(50),
        retries: 2,
        ..EndpointOptions::default()
    }
}

fn opened(model: &str, asking: EndpointOptions) -> Result<Model, String> {
    let options = OpenOptions {
        endpoint: Some(asking),
        ..OpenOptions::default()
    };
    let artefacts = source::open(&model.parse().unwrap(), &options).map_err(|e| e.to_string())?;
    Ok(Model::open(artefacts, "toy").unwrap())
}

/// One line that names the model, the reason and no escape.
fn refused(server: &Server, name: &str) -> String {
    let message = opened(&server.reference(name), asking()).unwrap_err();
    assert!(
        message.starts_with(&format!("openai:{name}@http://127.0.0.1:")),
        "{message}"
    );
    assert!(
        !message.contains(['\n', '\u{1b}']) && message.len() < 900,
        "{message}"
    );
    message
}

fn asked(model: &Model, store: &RecordingStore) -> Result<Recording, Error> {
    let runner = record::load(model).unwrap();
    run_suite(&*runner, &suite(), store, &Silent).map(|(recording, _)| recording)
}

/// The errors of a run in which the server was broken for one prompt.
fn errors_of(fault: Fault) -> Vec<String> {
    let server = server();
    let model = opened(&server.reference("toy"), asking()).unwrap();
    server.fault_on("question 05", fault);
    let folder = tempfile::tempdir().unwrap();
    let recording = asked(&model, &RecordingStore::keyed(folder.path())).unwrap();
    assert_eq!(recording.records.len(), ITEMS);
    let mut errors = Vec::new();
    for record in recording.records {
        match record.error {
            Some(error) => {
                assert_eq!(record.item, "05");
                assert!(
                    !error.contains(['\n', '\u{1b}']) && error.len() < 600,
                    "{error}"
                );
                errors.push(error);
            }
            None => assert_eq!(record.answer, format!(" said of question {}", record.item)),
        }
    }
    errors
}

#[test]
fn what_passes_is_asked_again() {
    let server = server();
    let patient = EndpointOptions {
        retries: 6,
        ..asking()
    };
    let model = opened(&server.reference("toy"), patient).unwrap();
    let busy = Fault::Status(429, "Retry-After: 0\r\n", "{}");
    let long = Fault::Status(429, "Retry-After: 99999\r\n", "{}");
    let broken = Fault::Status(503, "", "no JSON");
    server.faults([busy, long, broken, Fault::Cut, Fault::Hang]);
    server.take_log();
    let folder = tempfile::tempdir().unwrap();
    let recording = asked(&model, &RecordingStore::keyed(folder.path())).unwrap();
    assert!(
        recording
            .records
            .iter()
            .all(|record| record.error.is_none()),
        "{recording:?}"
    );
    assert_eq!(server.take_prompts().len(), ITEMS + 5);
}

#[test]
fn a_prompt_that_a_healthy_server_does_not_answer_is_an_item_without_an_answer() {
    for (fault, reason) in [
        (
            Fault::Status(500, "", r#"{"error":{"message":"boom \u001b[31m"}}"#),
            "500 (boom \\u{1b}",
        ),
        (
            Fault::Status(400, "", r#"{"error":"too long"}"#),
            "400 (too long)",
        ),
        (Fault::Hang, "no answer within 1.5 s"),
        (Fault::Cut, "the connection broke"),
        (Fault::Endless, "more than 8 MB"),
        (Fault::Body("<html>".to_owned()), "not one of the protocol"),
        (
            Fault::Body(r#"{"choices": 5}"#.to_owned()),
            "not one of the protocol",
        ),
        (Fault::Body(r#"{"choices": []}"#.to_owned()), "no choice"),
        (
            Fault::Body(r#"{"choices": [{"text": 7}]}"#.to_owned()),
            "not one of the protocol",
        ),
        (
            Fault::Body(r#"{"choices": [{"text": null}]}"#.to_owned()),
            "no text",
        ),
        (
            Fault::Body(r#"{"choices": [{"text": "a", "logprobs": NaN}]}"#.to_owned()),
            "not one of the protocol",
        ),
        (
            Fault::Body(json!({"choices": [{"text": "x".repeat(1 << 20)}]}).to_string()),
            "longer than",
        ),
        (with_top(&json!({"a": 0.0, "b": 0.0})), "0.0 as every"),
        (with_top(&json!({"a": -0.1, "b": -0.1})), "add up to 1.81"),
        (
            with_top(&json!({"a": "-0.1", "b": -3.0})),
            "log-probabilities are not those",
        ),
        (
            with_top(&json!({"a": 3.5, "b": -3.0})),
            "log-probabilities are not those",
        ),
        (with_top(&json!(7)), "log-probabilities are not those"),
        (
            Fault::Body(r#"{"choices": [{"text": "a"}]}"#.to_owned()),
            "no log-probabilities",
        ),
    ] {
        let errors = errors_of(fault);
        assert_eq!(errors.len(), 1, "{reason}");
        assert!(errors[0].contains(reason), "{errors:?} for {reason}");
    }
}

fn with_top(top: &serde_json::Value) -> Fault {
    Fault::Body(
        json!({"choices": [{"text": " a", "logprobs": {"top_logprobs": [top]}}]}).to_string(),
    )
}

#[test]
fn a_server_that_ends_ends_the_run_and_the_next_goes_on() {
    let server = server();
    let one = EndpointOptions {
        concurrency: 1,
        ..asking()
    };
    let model = opened(&server.reference("toy"), one).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = RecordingStore::keyed(folder.path());
    for (fault, reason) in [
        (Fault::Status(502, "", ""), "answered 502"),
        (
            Fault::Status(401, "", r#"{"error":{"message":"no"}}"#),
            "answered 401 (no); set OPENAI_API_KEY",
        ),
        (Fault::Status(429, "", ""), "--concurrency"),
        (Fault::Status(404, "", ""), "check the model's name"),
        (
            Fault::Status(302, "Location: http://127.0.0.1:1/\r\n", ""),
            "redirects are not followed",
        ),
    ] {
        server.fault_on("", fault);
        let error = asked(&model, &store).unwrap_err();
        assert!(!error.is_integrity());
        let error = error.to_string();
        assert!(error.contains(reason) && !error.contains('\n'), "{error}");
    }
    server.heal();
    let dies = Fault::Status(403, "", "");
    server.fault_on("question 07", dies).take_log();
    asked(&model, &store).unwrap_err();
    let before = server.take_prompts().len();
    server.heal();
    let recording = asked(&model, &store).unwrap();
    assert_eq!(recording.records.len(), ITEMS);
    assert_eq!(before, 8);
    assert_eq!(server.take_prompts().len(), ITEMS - 7);
}

#[test]
fn who_has_no_such_model_says_which() {
    let server = server();
    server.models(json!([{ "id": "other" }, { "id": "bad\u{1b}[31m\nname" }]));
    let message = refused(&server, "toy");
    assert!(
        message.contains("it has other, bad\\u{1b}[31m\\nname"),
        "{message}"
    );
    let many: Vec<_> = (0..20)
        .map(|at| json!({ "id": format!("m-{at}") }))
        .collect();
    server.models(json!(many));
    assert!(refused(&server, "toy").contains("m-7 and 12 more"));
    server.models(json!([]));
    assert!(refused(&server, "toy").contains("has no models"));
    server.models(json!("x"));
    assert!(refused(&server, "toy").contains("ends in /v1"));
    server.models(json!([{ "id": 5 }]));
    assert!(refused(&server, "toy").contains("no list of models"));
}

#[test]
fn what_is_no_server_is_said_in_one_line() {
    let nobody = opened("openai:toy@http://127.0.0.1:1/v1", asking()).unwrap_err();
    assert!(
        nobody.contains("cannot connect") && nobody.contains("whether the server runs"),
        "{nobody}"
    );
    let server = server();
    server.require_key("right-key");
    assert!(refused(&server, "toy").contains("set OPENAI_API_KEY"));
    let wrong = EndpointOptions {
        key: Secret::new("wrong-key-of-somebody"),
        ..asking()
    };
    let message = opened(&server.reference("toy"), wrong).unwrap_err();
    assert!(
        message.contains("was not accepted") && !message.contains("somebody"),
        "{message}"
    );
    let right = EndpointOptions {
        key: Secret::new("right-key"),
        ..asking()
    };
    opened(&server.reference("toy"), right).unwrap();
    let unsent = EndpointOptions {
        key: Secret::new("right\nkey"),
        ..asking()
    };
    assert!(
        opened(&server.reference("toy"), unsent)
            .unwrap_err()
            .contains("characters")
    );
}

/// Candidates without probabilities are no candidates: 0.0 is never written down.
#[test]
fn log_probabilities_that_say_nothing_are_absent() {
    for (how, reason) in [
        (Logprobs::Missing, "no log-probabilities"),
        (Logprobs::Zero, "0.0 as every"),
        (Logprobs::Refused, "takes no request"),
    ] {
        let server = server();
        server.logprobs(how);
        let model = opened(&server.reference("toy"), asking()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let recording = asked(&model, &RecordingStore::keyed(folder.path())).unwrap();
        assert!(
            recording.header.absent["top"].contains(reason),
            "{:?}",
            recording.header
        );
        assert!(recording.header.engine.contains("no logprobs"));
        for record in &recording.records {
            assert!(
                record.top.is_empty() && record.error.is_none(),
                "{record:?}"
            );
        }
    }
    let server = server();
    server.logprobs(Logprobs::Detailed);
    let model = opened(&server.reference("toy"), asking()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recording = asked(&model, &RecordingStore::keyed(folder.path())).unwrap();
    assert_eq!(recording.records[0].top[1].logprob, -1.5);
    assert!(!recording.header.absent.contains_key("top"));
}

/// A server that says something else of itself is another one.
#[test]
fn what_a_server_says_is_its_identity() {
    let server = server();
    let digest = || opened(&server.reference("toy"), asking()).unwrap().digest();
    let first = digest();
    assert_eq!(first, digest());
    server.fingerprint("fp-2");
    let second = digest();
    assert_ne!(first, second);
    server.models(json!([{ "id": "toy", "owned_by": "others", "created": 1_700_000_000 }]));
    let third = digest();
    assert_ne!(second, third);
    server.logprobs(Logprobs::Missing);
    assert_ne!(third, digest());
    // Some servers give the time of day as the model's.
    let now = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_secs()
    };
    server.models(json!([{ "id": "toy", "created": now() }]));
    let today = digest();
    server.models(json!([{ "id": "toy", "created": now() - 100 }]));
    assert_eq!(today, digest());
}

/// Stop strings count after text only; a server stops at the first it meets.
#[test]
fn leading_white_space_is_no_end() {
    let server = Server::start("toy", |_, max| Said {
        text: if max == 1 {
            "\u{fffd}"
        } else {
            "\n\n 42\nmore"
        }
        .to_owned(),
        ended: false,
        prompt_tokens: 3,
        first: vec![("\n".to_owned(), -0.5), (" no".to_owned(), -1.5)],
    });
    let model = opened(&server.reference("toy"), asking()).unwrap();
    let runner = record::load(&model).unwrap();
    let readout = Readout::Generate {
        max_tokens: 9,
        stop: vec!["\n".to_owned()],
    };
    assert_eq!(runner.answer("?", &readout).unwrap().text, "\n\n 42");
    // Half a character is continued.
    assert_eq!(
        runner.answer("?", &Readout::NextToken).unwrap().text,
        "\n\n 42\nmore"
    );
}
