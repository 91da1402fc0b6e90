//! What a server is, before it is asked anything that counts.

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::client::Answered;
use super::client::Client;
use super::reply;
use super::reply::Reply;
use crate::source::Error;
use crate::text::ModelText;

/// Continued twice to see whether a server says the same twice.
pub(super) const CANARY: &str =
    "The captain looked at the map, counted the days that were left and said";
const CANARY_TOKENS: usize = 24;
/// Candidates asked for; the oldest servers give no more than the second.
const CANDIDATES: [usize; 2] = [8, 5];
/// Models named where the wanted one is not there.
const NAMED: usize = 8;
/// Longest text that a server is quoted with.
const QUOTED: usize = 60;
/// A server that says its model was made within this many seconds gives the time of day.
const RECENT: u64 = 86_400;

/// What a server takes prompts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// As they are.
    Completions,
    /// As one message of a user, in the server's template.
    Chat,
}

impl Api {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Completions => "/completions",
            Self::Chat => "/chat/completions",
        }
    }
}

/// What a server says of itself, and what its answers showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What it takes prompts by.
    pub api: Api,
    /// Its header `Server`.
    pub server: Option<String>,
    /// Whose the model is, as it says.
    pub owned_by: Option<String>,
    /// When the model was made, in seconds since 1970, where the server does not give the time of day.
    pub created: Option<u64>,
    /// Changes with its software or settings, as it says.
    pub system_fingerprint: Option<String>,
    /// Candidates that it gives with log-probabilities, or in words why none can be used.
    pub logprobs: Result<usize, String>,
    /// Whether it took a seed.
    pub seed: bool,
    /// Whether it continued one prompt in the same way twice.
    pub repeatable: bool,
    /// Whether it thinks before it answers, in words that are left out.
    pub reasons: bool,
}

impl Facts {
    /// All of it in one line, safe to show.
    pub fn words(&self) -> String {
        let mut words = vec![match self.api {
            Api::Completions => "completions".to_owned(),
            Api::Chat => "chat completions, the prompt as one user message".to_owned(),
        }];
        for (what, said) in [
            ("server", &self.server),
            ("owned_by", &self.owned_by),
            ("system_fingerprint", &self.system_fingerprint),
        ] {
            words.extend(said.as_ref().map(|said| format!("{what} {said}")));
        }
        words.push(match &self.logprobs {
            Ok(count) => format!("logprobs of {count}"),
            Err(_) => "no logprobs".to_owned(),
        });
        words.push(if self.seed { "seed 0" } else { "no seed" }.to_owned());
        words.push(
            if self.repeatable {
                "repeatable"
            } else {
                "not repeatable"
            }
            .to_owned(),
        );
        if self.reasons {
            words.push("reasoning left out".to_owned());
        }
        words.join("; ")
    }
}

/// What a request may hold for this server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub api: Api,
    /// Name of the member that bounds the answer.
    limit: &'static str,
    seed: bool,
    /// Candidates asked for; 0 for none.
    logprobs: usize,
}

impl Shape {
    /// From all that is wanted to the least that is needed.
    fn all(api: Api) -> Vec<Self> {
        let limits: &[&str] = match api {
            Api::Completions => &["max_tokens"],
            Api::Chat => &["max_tokens", "max_completion_tokens"],
        };
        let mut all = Vec::new();
        for (seed, logprobs) in [
            (true, CANDIDATES[0]),
            (true, CANDIDATES[1]),
            (false, CANDIDATES[0]),
            (true, 0),
            (false, 0),
        ] {
            let shape = |limit: &&'static str| Self {
                api,
                limit,
                seed,
                logprobs,
            };
            all.extend(limits.iter().map(shape));
        }
        all
    }

    /// A request to continue `prompt` greedily.
    pub fn body(&self, model: &str, prompt: &str, max_tokens: usize, stop: &[String]) -> Value {
        let mut body = json!({ "model": model, "temperature": 0, "stream": false, "n": 1 });
        body[self.limit] = json!(max_tokens);
        match self.api {
            Api::Completions => body["prompt"] = json!(prompt),
            Api::Chat => body["messages"] = json!([{ "role": "user", "content": prompt }]),
        }
        if !stop.is_empty() {
            body["stop"] = json!(stop);
        }
        if self.seed {
            body["seed"] = json!(0);
        }
        match (self.logprobs, self.api) {
            (0, _) => {}
            (count, Api::Completions) => body["logprobs"] = json!(count),
            (count, Api::Chat) => {
                body["logprobs"] = json!(true);
                body["top_logprobs"] = json!(count);
            }
        }
        body
    }
}

/// Asks what is there, finds the request that the server takes, and asks the same twice.
///
/// # Errors
/// [`Error::Endpoint`].
pub(super) async fn handshake(client: &Client) -> Result<(Shape, Facts), Error> {
    let listed = listed(client).await?;
    let (shape, answered) = taken(client).await?;
    let first = canary(client, shape, &answered)?;
    let again = client
        .post(
            shape.api.path(),
            &shape.body(client.model(), CANARY, CANARY_TOKENS, &[]),
        )
        .await
        .map_err(|silence| client.fault(&silence))?;
    if !again.is_success() {
        return Err(client.status(&again));
    }
    let second = canary(client, shape, &again)?;
    let logprobs = match shape.logprobs {
        0 => Err("the server takes no request for log-probabilities".to_owned()),
        _ => reply::usable(&first.first, "a canary is never empty").map(|()| first.first.len()),
    };
    let facts = Facts {
        api: shape.api,
        server: answered.server.as_deref().and_then(quoted),
        owned_by: listed
            .as_ref()
            .and_then(|one| quoted(one.owned_by.as_deref()?)),
        created: listed
            .and_then(|one| one.created)
            .filter(|made| !is_recent(*made)),
        system_fingerprint: fingerprint(&answered.body),
        logprobs,
        seed: shape.seed,
        repeatable: first.text == second.text,
        reasons: first.reasoned || second.reasoned,
    };
    Ok((shape, facts))
}

#[derive(Deserialize)]
struct List {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    owned_by: Option<String>,
    #[serde(default)]
    created: Option<u64>,
}

/// The model in the server's list; `None` where the server has no list.
async fn listed(client: &Client) -> Result<Option<Listed>, Error> {
    let answered = client.get("/models").await;
    let answered = answered.map_err(|silence| {
        client.fault(&format!(
            "{silence}; check the address and whether the server runs"
        ))
    })?;
    match answered.status {
        404 | 405 | 501 => return Ok(None),
        200..300 => {}
        _ => return Err(client.status(&answered)),
    }
    let list: List = serde_json::from_slice(&answered.body).map_err(|error| {
        let error = ModelText::new(error.to_string()).clipped(120);
        client.fault(&format!(
            "/models is no list of models ({error}); check the address, which usually ends in /v1"
        ))
    })?;
    let names: Vec<String> = list
        .data
        .iter()
        .take(NAMED)
        .map(|one| ModelText::new(one.id.as_str()).clipped(QUOTED))
        .collect();
    let more = match list.data.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let found = list.data.into_iter().find(|one| one.id == client.model());
    match found {
        Some(found) => Ok(Some(found)),
        None if names.is_empty() => Err(client.fault("the server has no models")),
        None => Err(client.fault(&format!(
            "the server has no such model; it has {}{more}",
            names.join(", ")
        ))),
    }
}

/// The first request that the server takes, and its answer.
async fn taken(client: &Client) -> Result<(Shape, Answered), Error> {
    let mut refused = None;
    for api in [Api::Completions, Api::Chat] {
        for shape in Shape::all(api) {
            let body = shape.body(client.model(), CANARY, CANARY_TOKENS, &[]);
            let answered = client.post(api.path(), &body).await;
            let answered = answered.map_err(|silence| client.fault(&silence))?;
            match answered.status {
                200..300 => return Ok((shape, answered)),
                // Less may be taken.
                400 | 422 => refused = Some(refused.unwrap_or(answered)),
                404 | 405 | 501 => {
                    refused = Some(refused.unwrap_or(answered));
                    break;
                }
                _ => return Err(client.status(&answered)),
            }
        }
    }
    Err(match refused {
        Some(answered) => client.status(&answered),
        None => client.fault("the server takes neither completions nor chat"),
    })
}

fn canary(client: &Client, shape: Shape, answered: &Answered) -> Result<Reply, Error> {
    let reply = reply::read(shape.api, &answered.body, CANARY_TOKENS);
    reply.map_err(|reason| client.fault(&reason))
}

fn fingerprint(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    quoted(body.get("system_fingerprint")?.as_str()?)
}

/// Safe, short, and without the separator of [`Facts::words`].
fn quoted(text: &str) -> Option<String> {
    let text = ModelText::new(text.trim())
        .clipped(QUOTED)
        .replace(';', ",");
    (!text.is_empty()).then_some(text)
}

fn is_recent(made: u64) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.is_ok_and(|now| now.as_secs().abs_diff(made) < RECENT)
}
