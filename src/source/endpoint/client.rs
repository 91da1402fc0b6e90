//! Requests to a server: bounded in time, size and number.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use reqwest::header::SERVER;
use reqwest::redirect;
use serde_json::Value;

use crate::source::Address;
use crate::source::EndpointOptions;
use crate::source::Error;
use crate::source::Secret;
use crate::text::ModelText;

const USER_AGENT: &str = concat!("kinprobe/", env!("CARGO_PKG_VERSION"));
/// The largest answer read: a thousand tokens with all their candidates take some hundred kB.
const MAX_BODY: usize = 8 << 20;
/// Keys shorter than this are place holders (`EMPTY`, `none`), which may well stand in an answer.
const SHORTEST_KEY: usize = 8;

/// One model of one server.
pub(super) struct Client {
    http: reqwest::Client,
    model: String,
    base: Address,
    key: Option<Secret>,
    /// What to do about a key, in words.
    key_advice: String,
    timeout: Duration,
    retries: usize,
    pause: Duration,
    longest_pause: Duration,
}

/// An answer as it came, the key left out wherever the server repeats it.
pub(super) struct Answered {
    pub status: u16,
    pub body: Vec<u8>,
    /// Of the header `Server`.
    pub server: Option<String>,
}

/// What one try came to.
struct Try {
    answered: Result<Answered, String>,
    /// Whether asking again may help.
    passing: bool,
    /// Whether it took all the time there is.
    silent: bool,
    /// How long the server wants to be left alone.
    wait: Option<Duration>,
}

impl Client {
    pub(super) fn new(
        model: &str,
        base: &Address,
        options: &EndpointOptions,
    ) -> Result<Self, Error> {
        let name = &options.key_name;
        let sent = base.is_private() || options.key_in_clear;
        let key_advice = match &options.key {
            None => format!("set {name} to a key"),
            Some(_) if !sent => {
                "no key was sent, since plain http shows it to others: use https, or --api-key-env"
                    .to_owned()
            }
            Some(_) => format!("the key in {name} was not accepted for it"),
        };
        let mut client = Self {
            http: reqwest::Client::new(),
            model: model.to_owned(),
            base: base.clone(),
            key: options.key.clone().filter(|_| sent),
            key_advice,
            timeout: options.timeout,
            retries: options.retries,
            pause: options.pause,
            longest_pause: options.longest_pause,
        };
        if let Some(key) = &client.key
            && !key.expose().bytes().all(|b| b.is_ascii_graphic())
        {
            let reason = format!("the key holds characters that no key has; check {name}");
            return Err(client.fault(&reason));
        }
        let builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(options.connect_timeout)
            // Where a redirect leads was not named by anybody who trusts it.
            .redirect(redirect::Policy::none());
        // A server on this machine is not behind the proxy that leads out of it.
        let builder = match base.is_loopback() {
            true => builder.no_proxy(),
            false => builder,
        };
        client.http = builder.build().map_err(|_| {
            client.fault("the HTTP client could not be set up; check the proxy settings")
        })?;
        Ok(client)
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(super) fn address(&self) -> &Address {
        &self.base
    }

    /// One line about this model; the key never passes.
    pub(super) fn fault(&self, reason: &str) -> Error {
        let reference = format!("{}@{}", self.model, self.base);
        Error::Endpoint {
            reference: ModelText::new(reference).clipped(300),
            reason: ModelText::new(self.scrubbed(reason)).clipped(500),
        }
    }

    /// What a status means for whoever asked, and what to do about it.
    pub(super) fn status(&self, answered: &Answered) -> Error {
        let advice = match answered.status {
            401 | 403 => self.key_advice.as_str(),
            404 => "check the model's name and the address, which usually ends in /v1",
            429 => "too many requests: run again later, or with a lower --concurrency",
            300..=399 => "it leads elsewhere, and redirects are not followed: name that address",
            500.. => "the server has trouble: run again later",
            _ => "check the address and any proxy between",
        };
        let status = answered.status;
        self.fault(&format!("answered {status}{}; {advice}", answered.words()))
    }

    /// Repeats what failed for a passing reason; `Err` in words where nobody answered.
    pub(super) async fn get(&self, path: &str) -> Result<Answered, String> {
        self.patiently(|| self.http.get(format!("{}{path}", self.base)))
            .await
    }

    /// As [`Client::get`].
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answered, String> {
        self.patiently(|| self.posted(path, body)).await
    }

    /// Without repeating.
    pub(super) async fn post_once(&self, path: &str, body: &Value) -> Result<Answered, String> {
        self.once(self.posted(path, body)).await.answered
    }

    fn posted(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    async fn patiently(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Answered, String> {
        let mut pause = self.pause;
        let mut repeats = self.retries;
        loop {
            let tried = self.once(request()).await;
            if !tried.passing || repeats == 0 {
                return tried.answered;
            }
            repeats -= 1;
            if tried.silent {
                // Once more, which costs all that time again.
                repeats = 0;
            }
            let wait = tried.wait.unwrap_or(pause).min(self.longest_pause);
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
    }

    async fn once(&self, request: reqwest::RequestBuilder) -> Try {
        let request = request.timeout(self.timeout);
        let request = match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return self.unanswered(&error),
        };
        let status = response.status();
        let wait = retry_after(&response);
        match self.read(response).await {
            Ok(answered) => Try {
                answered: Ok(answered),
                passing: is_passing(status),
                silent: false,
                wait,
            },
            Err(None) => Try {
                answered: Err(format!("an answer of more than {} MB", MAX_BODY >> 20)),
                passing: false,
                silent: false,
                wait: None,
            },
            Err(Some(error)) => self.unanswered(&error),
        }
    }

    /// `Err(None)` for an answer that is too large.
    async fn read(
        &self,
        mut response: reqwest::Response,
    ) -> Result<Answered, Option<reqwest::Error>> {
        let status = response.status().as_u16();
        let server = response.headers().get(SERVER);
        let server = server.and_then(|value| value.to_str().ok());
        let server = server.map(|text| self.scrubbed(text));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Some)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(None);
            }
            body.extend_from_slice(&chunk);
        }
        let echoed = self
            .long_key()
            .filter(|key| body.windows(key.len()).any(|part| part == key.as_bytes()));
        if echoed.is_some() {
            body = self.scrubbed(&String::from_utf8_lossy(&body)).into_bytes();
        }
        Ok(Answered {
            status,
            body,
            server,
        })
    }

    fn unanswered(&self, error: &reqwest::Error) -> Try {
        let silent = error.is_timeout() && !error.is_connect();
        Try {
            answered: Err(self.cause(error)),
            passing: !error.is_builder(),
            silent,
            wait: None,
        }
    }

    fn cause(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() && !error.is_connect() {
            return format!(
                "no answer within {} s (--timeout)",
                self.timeout.as_secs_f64()
            );
        }
        // The outer messages carry addresses; the innermost one says what happened.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        match error.is_connect() {
            true => format!("cannot connect ({cause})"),
            false => format!("the connection broke ({cause})"),
        }
    }

    fn scrubbed(&self, text: &str) -> String {
        match self.long_key() {
            Some(key) => text.replace(key, "***"),
            None => text.to_owned(),
        }
    }

    fn long_key(&self) -> Option<&str> {
        let key = self.key.as_ref().map(Secret::expose);
        key.filter(|key| key.len() >= SHORTEST_KEY)
    }
}

impl Answered {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What the server says went wrong, as ` (…)`; empty where it says nothing in the protocol's way.
    pub(super) fn words(&self) -> String {
        let body: Option<Value> = serde_json::from_slice(&self.body).ok();
        let message = body.as_ref().and_then(|body| {
            let error = body.get("error");
            let nested = error.and_then(|error| error.get("message"));
            [nested, error, body.get("message"), body.get("detail")]
                .into_iter()
                .flatten()
                .find_map(Value::as_str)
        });
        message.map_or_else(String::new, |text| {
            format!(" ({})", ModelText::new(text).clipped(160))
        })
    }
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502..=504 | 529)
}

/// In seconds or as a date.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    let left = date.signed_duration_since(chrono::Utc::now());
    Some(left.to_std().unwrap_or(Duration::ZERO))
}
