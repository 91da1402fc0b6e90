//! A small server of the OpenAI protocol on the loopback interface, with faults on demand.
//!
//! What it answers comes from a [`Brain`]: a rule, or a shipped model that this library runs.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use kinprobe::model::Model;
use kinprobe::probe::Readout;
use kinprobe::record::LocalRunner;
use kinprobe::record::Runner;
use kinprobe::source::OpenOptions;
use serde_json::Value;
use serde_json::json;

use super::http;
use super::http::Request;
use super::http::plain;
use super::http::with_headers;

/// Longer than any test waits.
const STALL: Duration = Duration::from_secs(20);

/// A continuation: its text, whether it came to an end of its own, tokens of the prompt, and candidates for the
/// first token.
pub struct Said {
    pub text: String,
    pub ended: bool,
    pub prompt_tokens: usize,
    pub first: Vec<(String, f64)>,
}

/// Continues a prompt by at most so many tokens.
pub type Brain = dyn Fn(&str, usize) -> Said + Send + Sync;

/// How log-probabilities are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logprobs {
    /// As each protocol has them.
    Given,
    /// In the form of chat, also for completions.
    Detailed,
    /// Not at all.
    Missing,
    /// 0.0 for all.
    Zero,
    /// A request for them is refused.
    Refused,
}

/// What a request for an answer meets.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, headers and body.
    Status(u16, &'static str, &'static str),
    /// No answer.
    Hang,
    /// This body, as if all were well.
    Body(String),
    /// The connection ends in the middle.
    Cut,
    /// A body without an end.
    Endless,
}

struct State {
    brain: Arc<Brain>,
    models: Value,
    completions: bool,
    chat: bool,
    logprobs: Logprobs,
    key: Option<String>,
    /// Of the next requests for an answer, in order.
    faults: VecDeque<Fault>,
    /// For every prompt that holds this text.
    on_prompt: Option<(String, Fault)>,
    /// Repeats whatever key it is sent wherever it can.
    echo: bool,
    fingerprint: Option<String>,
    delay: Duration,
    log: Vec<Request>,
}

/// Runs until the test process ends.
pub struct Server {
    state: Arc<Mutex<State>>,
    /// With `/v1`.
    pub base: String,
}

impl Server {
    pub fn start(name: &str, brain: impl Fn(&str, usize) -> Said + Send + Sync + 'static) -> Self {
        let state = Arc::new(Mutex::new(State {
            brain: Arc::new(brain),
            models: json!([{ "id": name, "object": "model", "owned_by": "tests", "created": 1_700_000_000 }]),
            completions: true,
            chat: true,
            logprobs: Logprobs::Given,
            key: None,
            faults: VecDeque::new(),
            on_prompt: None,
            echo: false,
            fingerprint: Some("fp-1".to_owned()),
            delay: Duration::ZERO,
            log: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let address = http::serve(move |stream| answer(stream, &shared));
        Self {
            state,
            base: format!("{address}/v1"),
        }
    }

    /// A shipped model behind it, run by this library.
    pub fn of_zoo(member: &str) -> Self {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let options = OpenOptions {
            data_root: Some(root.to_owned()),
            ..OpenOptions::default()
        };
        let reference = format!("zoo:{member}").parse().unwrap();
        let artefacts = kinprobe::source::open(&reference, &options).unwrap();
        // The server's threads outlive whoever started it.
        let model: &'static Model = Box::leak(Box::new(Model::open(artefacts, member).unwrap()));
        let runner = LocalRunner::load(model).unwrap();
        Self::start(member, move |prompt, max_tokens| {
            let readout = Readout::Generate {
                max_tokens,
                stop: Vec::new(),
            };
            let answer = runner.answer(prompt, &readout).unwrap();
            Said {
                ended: answer.tokens.len() < max_tokens,
                prompt_tokens: answer.prompt_tokens.unwrap(),
                first: answer
                    .top
                    .iter()
                    .map(|one| (one.text.clone(), one.logprob))
                    .collect(),
                text: answer.text,
            }
        })
    }

    fn set(&self, change: impl FnOnce(&mut State)) -> &Self {
        change(&mut self.state.lock().unwrap());
        self
    }

    pub fn models(&self, models: Value) -> &Self {
        self.set(|state| state.models = models)
    }

    pub fn chat_only(&self) -> &Self {
        self.set(|state| state.completions = false)
    }

    pub fn logprobs(&self, logprobs: Logprobs) -> &Self {
        self.set(|state| state.logprobs = logprobs)
    }

    pub fn require_key(&self, key: &str) -> &Self {
        self.set(|state| state.key = Some(key.to_owned()))
    }

    pub fn echo_keys(&self) -> &Self {
        self.set(|state| state.echo = true)
    }

    pub fn fingerprint(&self, text: &str) -> &Self {
        self.set(|state| state.fingerprint = Some(text.to_owned()))
    }

    pub fn delay(&self, delay: Duration) -> &Self {
        self.set(|state| state.delay = delay)
    }

    /// Of the next requests for an answer, in order.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) -> &Self {
        self.set(|state| state.faults.extend(faults))
    }

    /// Of every prompt that holds `text`.
    pub fn fault_on(&self, text: &str, fault: Fault) -> &Self {
        self.set(|state| state.on_prompt = Some((text.to_owned(), fault)))
    }

    pub fn heal(&self) -> &Self {
        self.set(|state| {
            state.faults.clear();
            state.on_prompt = None;
        })
    }

    pub fn reference(&self, name: &str) -> String {
        format!("openai:{name}@{}", self.base)
    }

    /// The requests since the last call.
    pub fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    /// The prompts since the last call.
    pub fn take_prompts(&self) -> Vec<String> {
        let log = self.take_log().into_iter();
        let bodies = log.filter_map(|request| serde_json::from_slice(&request.body).ok());
        bodies.filter_map(|body| prompt(&body)).collect()
    }
}

fn prompt(body: &Value) -> Option<String> {
    let chat = || body["messages"][0]["content"].as_str();
    Some(body["prompt"].as_str().or_else(chat)?.to_owned())
}

fn answer(stream: &TcpStream, shared: &Mutex<State>) -> std::io::Result<()> {
    let request = http::read_request(stream)?;
    let mut state = shared.lock().unwrap();
    state.log.push(request.clone());
    let given = request.header("authorization").unwrap_or_default();
    if let Some(key) = &state.key
        && given != format!("Bearer {key}")
    {
        let body =
            json!({ "error": { "message": format!("Incorrect API key provided: {given}") } });
        drop(state);
        return plain(stream, 401, &body.to_string());
    }
    let echo = match state.echo {
        true => given,
        false => String::new(),
    };
    let headers = format!("Server: tests {echo}\r\n");
    let chat = request.target == "/v1/chat/completions";
    let open = match request.target.as_str() {
        "/v1/models" => {
            let body = json!({ "object": "list", "data": state.models });
            drop(state);
            return with_headers(stream, 200, &headers, &body.to_string());
        }
        "/v1/completions" => state.completions,
        _ => chat && state.chat,
    };
    if !open {
        drop(state);
        return plain(stream, 404, r#"{"detail":"Not Found"}"#);
    }
    let body: Value = serde_json::from_slice(&request.body)?;
    let asked = prompt(&body).unwrap_or_default();
    let on_prompt = state.on_prompt.clone();
    let on_prompt = on_prompt.filter(|(text, _)| asked.contains(text.as_str()));
    if let Some(fault) = state
        .faults
        .pop_front()
        .or(on_prompt.map(|(_, fault)| fault))
    {
        drop(state);
        return fail(stream, &fault);
    }
    let (brain, logprobs, delay) = (Arc::clone(&state.brain), state.logprobs, state.delay);
    let fingerprint = state.fingerprint.clone();
    drop(state);
    let wanted = body
        .get("logprobs")
        .is_some_and(|value| *value != json!(false));
    if logprobs == Logprobs::Refused && wanted {
        return plain(
            stream,
            400,
            r#"{"error":{"message":"logprobs are not supported"}}"#,
        );
    }
    std::thread::sleep(delay);
    let said = brain(&asked, body["max_tokens"].as_u64().unwrap_or(16) as usize);
    let (text, ended) = stopped(said.text + &echo, said.ended, &body["stop"]);
    let logprobs = match wanted {
        true => logprobs_of(&said.first, logprobs, chat),
        false => Value::Null,
    };
    let mut choice = json!({ "index": 0, "logprobs": logprobs,
                             "finish_reason": if ended { "stop" } else { "length" } });
    match chat {
        true => choice["message"] = json!({ "role": "assistant", "content": text }),
        false => choice["text"] = json!(text),
    }
    let body = json!({ "object": "completion", "model": body["model"], "choices": [choice],
                       "system_fingerprint": fingerprint.map(|print| print + &echo),
                       "usage": { "prompt_tokens": said.prompt_tokens } });
    with_headers(stream, 200, &headers, &body.to_string())
}

/// Servers stop at the first place where a stop string stands, also at the very beginning.
fn stopped(text: String, ended: bool, stop: &Value) -> (String, bool) {
    let stops = stop
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    match stops.filter_map(|stop| text.find(stop)).min() {
        Some(at) => (text[..at].to_owned(), true),
        None => (text, ended),
    }
}

fn logprobs_of(first: &[(String, f64)], how: Logprobs, chat: bool) -> Value {
    let value = |logprob: f64| match how {
        Logprobs::Zero => 0.0,
        _ => logprob,
    };
    if how == Logprobs::Missing || first.is_empty() {
        return Value::Null;
    }
    if chat || how == Logprobs::Detailed {
        let top: Vec<Value> = first
            .iter()
            .map(|(text, logprob)| json!({ "token": text, "logprob": value(*logprob), "bytes": null }))
            .collect();
        return json!({ "content": [{ "token": first[0].0, "logprob": value(first[0].1), "top_logprobs": top }] });
    }
    let top: serde_json::Map<String, Value> = first
        .iter()
        .map(|(text, logprob)| (text.clone(), json!(value(*logprob))))
        .collect();
    json!({ "tokens": [first[0].0], "token_logprobs": [value(first[0].1)], "top_logprobs": [top] })
}

fn fail(stream: &TcpStream, fault: &Fault) -> std::io::Result<()> {
    match fault {
        Fault::Status(status, headers, body) => with_headers(stream, *status, headers, body),
        Fault::Hang => {
            std::thread::sleep(STALL);
            Ok(())
        }
        Fault::Body(body) => plain(stream, 200, body),
        Fault::Cut => http::write_all(
            stream,
            b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"cho",
        ),
        Fault::Endless => {
            http::write_all(stream, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            let piece = vec![b' '; 1 << 20];
            loop {
                http::write_all(stream, &piece)?;
            }
        }
    }
}
