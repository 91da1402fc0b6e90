//! Requests to the hub: one for the listing, one stream per file.
//!
//! Files come through hf-hub, which knows the hub's addresses, redirects and chunked storage. Its own
//! cache writer is not used: it stores the body of an error answer as the file, checks no hash, and
//! sends requests through a client without timeouts. Its listing type drops the sha256 of large
//! files, so the listing is read here.

use std::time::Duration;

use futures_util::Stream;
use hf_hub::HFClient;
use hf_hub::HFError;
use hf_hub::repository::HFRepository;
use hf_hub::repository::RepoTypeModel;
use reqwest::StatusCode;
use reqwest::Url;
use reqwest::redirect;

use super::super::Error;
use super::super::HubOptions;
use super::listing::Listing;
use super::listing::parse_listing;
use crate::text::ModelText;

/// The largest listing read: some hundred thousand files.
const MAX_LISTING: usize = 64 << 20;
const USER_AGENT: &str = concat!("kinprobe/", env!("CARGO_PKG_VERSION"));
/// First pause before a request is repeated; it doubles.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// One repository on a hub.
pub(super) struct Hub<'a> {
    pub(super) options: &'a HubOptions,
    repo: &'a str,
    endpoint: Url,
    pub(super) http: reqwest::Client,
    model: HFRepository<RepoTypeModel>,
}

/// Why a stream broke.
pub(super) enum Break {
    /// Asking again would give the same answer.
    Final(Error),
    /// Asking again may help.
    Passing(String),
}

impl<'a> Hub<'a> {
    pub(super) fn new(repo: &'a str, options: &'a HubOptions) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Hub {
            repo: repo.to_owned(),
            reason: reason.to_owned(),
        };
        let endpoint = Url::parse(options.endpoint.trim_end_matches('/'))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| refuse("HF_ENDPOINT is not an http or https address; correct it"))?;
        let token = match &options.token {
            Some(token) if token.expose().bytes().all(|b| b.is_ascii_graphic()) => token.expose(),
            Some(_) => {
                return Err(refuse(
                    "the access token holds characters that no token has; check HF_TOKEN",
                ));
            }
            // hf-hub looks for a token of its own unless it is given one; it sends none that
            // cannot stand in a header.
            None => "\n",
        };
        let failed = |_| refuse("the HTTP client could not be set up; check the proxy settings");
        let http = client(&endpoint, options).map_err(failed)?;
        let (owner, name) = hf_hub::split_id(repo);
        let model = HFClient::builder()
            .endpoint(endpoint.as_str())
            .token(token)
            .client(http.clone())
            .retry_max_attempts(options.retries)
            .retry_base_delay(FIRST_PAUSE / 2)
            .build()
            .map_err(|_| refuse("the hub client could not be set up; check HF_ENDPOINT"))?
            .model(owner, name);
        Ok(Hub {
            options,
            repo,
            endpoint,
            http,
            model,
        })
    }

    /// The commit a revision stands for, and the sizes and hashes of its files; one request.
    pub(super) async fn listing(&self, revision: &str) -> Result<Listing, Error> {
        let mut url = self.endpoint.clone();
        // `extend` encodes a slash within a branch's name, as the hub wants it.
        url.path_segments_mut()
            .map_err(|()| self.fault("HF_ENDPOINT cannot carry a path; correct it"))?
            .pop_if_empty()
            .extend(["api", "models"])
            .extend(self.repo.split('/'))
            .extend(["revision", revision]);
        url.set_query(Some("blobs=true"));
        let body = self.get(url, revision).await?;
        parse_listing(&body)
            .map_err(|reason| self.fault(&format!("{} {reason}", shown_host(&self.endpoint))))
    }

    /// Where a file of a commit is asked for.
    pub(super) fn file_url(&self, commit: &str, name: &str) -> Result<Url, Error> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| self.fault("HF_ENDPOINT cannot carry a path; correct it"))?
            .pop_if_empty()
            .extend(self.repo.split('/'))
            .extend(["resolve", commit])
            .extend(name.split('/'));
        Ok(url)
    }

    /// The bytes of a file from `from` on.
    pub(super) async fn stream(
        &self,
        commit: &str,
        name: &str,
        from: u64,
        size: u64,
    ) -> Result<impl Stream<Item = Result<impl AsRef<[u8]> + use<>, HFError>> + Unpin + use<>, Error>
    {
        let range = (from > 0).then_some(from..size);
        let request = self
            .model
            .download_file_stream()
            .filename(name)
            .revision(commit)
            .maybe_range(range)
            .send();
        // hf-hub asks twice (metadata, bytes), each time with its retries; its chunked-storage path
        // runs on a client of its own, without timeouts.
        let rounds = u32::try_from(self.options.retries)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let patience = (self.options.connect_timeout + self.options.read_timeout)
            .saturating_mul(rounds.saturating_mul(2));
        match tokio::time::timeout(patience, request).await {
            Ok(Ok((_, stream))) => Ok(stream),
            Ok(Err(error)) => Err(self.refused(error, name)),
            Err(_) => Err(self.fault(&format!("{name}: {}", self.silence()))),
        }
    }

    /// Turns an error in the middle of a stream into a reason to ask again or not.
    pub(super) fn broken(&self, error: HFError, name: &str) -> Break {
        match error {
            HFError::Request { source, .. } => Break::Passing(self.cause(&source)),
            HFError::Xet { .. } => Break::Passing("the chunked storage failed".to_owned()),
            other => Break::Final(self.refused(other, name)),
        }
    }

    pub(super) fn silence(&self) -> String {
        format!(
            "no answer for {} s",
            self.options.read_timeout.as_secs_f64()
        )
    }

    /// One line about this repository; the token never passes.
    pub(super) fn fault(&self, reason: &str) -> Error {
        let reason = match &self.options.token {
            Some(token) => reason.replace(token.expose(), "***"),
            None => reason.to_owned(),
        };
        Error::Hub {
            repo: self.repo.to_owned(),
            reason: ModelText::new(reason).clipped(500),
        }
    }

    async fn get(&self, url: Url, revision: &str) -> Result<Vec<u8>, Error> {
        let mut pause = FIRST_PAUSE;
        let mut repeats = self.options.retries;
        loop {
            let answer = self.try_get(url.clone()).await;
            let passing = match &answer {
                Ok((status, _)) => is_passing(*status),
                Err(error) => !error.is_builder() && !error.is_redirect(),
            };
            if repeats == 0 || !passing {
                return match answer {
                    Ok((status, body)) if status.is_success() => Ok(body),
                    Ok((status, _)) => Err(self.status(status, &format!("revision {revision}"))),
                    Err(error) => Err(self.unreachable(&error)),
                };
            }
            repeats -= 1;
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }

    async fn try_get(&self, url: Url) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
        let mut request = self.http.get(url);
        if let Some(token) = &self.options.token {
            request = request.bearer_auth(token.expose());
        }
        let mut response = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_LISTING {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), body))
    }

    fn refused(&self, error: HFError, name: &str) -> Error {
        let status = match &error {
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context }
            | HFError::RateLimited { context, .. } => Some(context.status),
            HFError::EntryNotFound { .. } | HFError::RepoNotFound { .. } => {
                Some(StatusCode::NOT_FOUND)
            }
            _ => None,
        };
        match (status, error) {
            (Some(status), _) => self.status(status, name),
            (None, HFError::Request { source, .. }) => self.unreachable(&source),
            (None, other) => self.fault(&format!("{name}: {other}; run again")),
        }
    }

    /// What a status means for whoever asked, and what to do about it.
    pub(super) fn status(&self, status: StatusCode, what: &str) -> Error {
        let host = shown_host(&self.endpoint);
        let has_token = self.options.token.is_some();
        let advice = match status.as_u16() {
            401 if has_token => "the token was not accepted; check HF_TOKEN and the model's name",
            401 => "check the model's name; a private or gated model needs HF_TOKEN",
            403 if has_token => "accept the model's terms on its page with the token's account",
            403 => "the model is gated: accept its terms on its page and set HF_TOKEN",
            404 => "there is no such model, revision or file; check the spelling",
            429 => "too many requests; wait some minutes, or set HF_TOKEN for a higher limit",
            500.. => "the hub has trouble; run again later",
            _ => "check HF_ENDPOINT and any proxy between",
        };
        self.fault(&format!(
            "{host} answered {} for {what}; {advice}",
            status.as_u16()
        ))
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> Error {
        self.fault(&format!(
            "{}: {}; check the connection, or set HF_HUB_OFFLINE=1 to use what is cached",
            shown_host(&self.endpoint),
            self.cause(error)
        ))
    }

    pub(super) fn cause(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return self.silence();
        }
        // The outer messages carry addresses; the innermost one says what happened.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let kind = if error.is_connect() {
            "cannot connect"
        } else if error.is_redirect() {
            "a redirect that is not followed"
        } else {
            "the connection broke"
        };
        format!("{kind} ({cause})")
    }
}

fn client(endpoint: &Url, options: &HubOptions) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .redirect(redirect::Policy::custom(follow));
    let is_loopback = match endpoint.host_str() {
        Some(host) => host == "localhost" || host.starts_with("127.") || host == "[::1]",
        None => false,
    };
    // A hub on this machine is not behind the proxy that leads out of it.
    if is_loopback {
        builder.no_proxy().build()
    } else {
        builder.build()
    }
}

/// As usual, but never from https to http.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let secure = attempt.previous().iter().all(|url| url.scheme() == "https");
    if secure && attempt.url().scheme() != "https" {
        attempt.error("from https to http")
    } else {
        redirect::Policy::default().redirect(attempt)
    }
}

pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502..=504)
}

/// Host and port, without a user's name and password.
fn shown_host(endpoint: &Url) -> String {
    match (endpoint.host_str(), endpoint.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "the hub".to_owned(),
    }
}
