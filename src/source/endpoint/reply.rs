//! Answers of a server, which may hold anything.

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use super::Api;
use crate::text::ModelText;

/// Bytes that no token exceeds on average.
const BYTES_PER_TOKEN: usize = 1024;
/// Candidates for a token that are kept, and the longest text of one, in bytes.
const MOST_LIKELY: usize = 32;
const LONGEST_TOKEN: usize = 1024;
/// Probabilities that are rounded may add up to a little more than one.
const MOST_PROBABILITY: f64 = 1.01;

/// A prompt, continued.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The continuation.
    pub text: String,
    /// Whether the server ended it because of a stop string or an end of text; not because of its length.
    pub stopped: bool,
    /// Tokens of the prompt, where the server counts them.
    pub prompt_tokens: Option<usize>,
    /// Candidates for the first token, best first; empty where the server gives none.
    pub first: Vec<Likely>,
    /// Whether it thought before it answered, in words that are not part of the text.
    pub reasoned: bool,
}

/// A candidate for a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Likely {
    /// As the server writes it.
    pub text: String,
    /// Its id, which few servers tell.
    pub id: Option<u32>,
    /// Natural logarithm of its probability, at most 0.
    pub logprob: f64,
}

#[derive(Deserialize)]
struct Body {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<usize>,
}

/// Reads what came for at most `max_tokens` tokens.
///
/// # Errors
/// In one line, what is wrong with it.
pub(super) fn read(api: Api, body: &[u8], max_tokens: usize) -> Result<Reply, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        let error = ModelText::new(error.to_string()).clipped(120);
        format!("the server's answer is not one of the protocol ({error})")
    })?;
    let Some(choice) = body.choices.into_iter().next() else {
        return Err("the server's answer has no choice in it".to_owned());
    };
    let reasoned = choice
        .message
        .as_ref()
        .and_then(|m| m.reasoning_content.as_ref());
    let reasoned = reasoned.is_some_and(|text| !text.is_empty());
    let text = match api {
        Api::Completions => choice.text,
        // Where nothing was said, `content` is null.
        Api::Chat => choice.message.map(|m| m.content.unwrap_or_default()),
    };
    let text = text.ok_or("the server's answer has no text in it")?;
    if text.len() > max_tokens.saturating_mul(BYTES_PER_TOKEN) {
        return Err(format!(
            "the server's answer is longer than {max_tokens} tokens can be"
        ));
    }
    Ok(Reply {
        text,
        stopped: choice.finish_reason.as_deref() == Some("stop"),
        prompt_tokens: body.usage.and_then(|usage| usage.prompt_tokens),
        first: first(choice.logprobs.as_ref())?,
        reasoned,
    })
}

/// Whether candidates can be compared: several, of which one is better than another.
///
/// Servers that do not compute what was asked for have been seen to send 0.0 for all.
///
/// # Errors
/// In words, why not.
pub(super) fn usable(first: &[Likely], text: &str) -> Result<(), String> {
    let total: f64 = first.iter().map(|one| one.logprob.exp()).sum();
    match first {
        // An answer that ends before it begins has no token whose candidates could be told.
        [] if text.is_empty() => Ok(()),
        [] => Err("the server gives no log-probabilities".to_owned()),
        [_] => Err("the server gives the log-probability of one token alone".to_owned()),
        some if some.iter().all(|one| one.logprob == 0.0) => {
            Err("the server gives 0.0 as every log-probability".to_owned())
        }
        _ if total > MOST_PROBABILITY => Err(format!(
            "the server's probabilities of one token add up to {total:.2}"
        )),
        _ => Ok(()),
    }
}

/// The candidates for the first token, in either form that servers use.
fn first(logprobs: Option<&Map<String, Value>>) -> Result<Vec<Likely>, String> {
    let Some(logprobs) = logprobs else {
        return Ok(Vec::new());
    };
    let wrong = || "the server's log-probabilities are not those of the protocol".to_owned();
    let mut likely = match (logprobs.get("content"), logprobs.get("top_logprobs")) {
        (Some(Value::Array(tokens)), _) => match tokens.first() {
            None => Vec::new(),
            Some(token) => match token.get("top_logprobs") {
                Some(Value::Array(top)) => detailed(top).ok_or_else(wrong)?,
                None | Some(Value::Null) => Vec::new(),
                Some(_) => return Err(wrong()),
            },
        },
        (_, Some(Value::Array(tokens))) => match tokens.first() {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(top)) => by_text(top).ok_or_else(wrong)?,
            Some(_) => return Err(wrong()),
        },
        (None | Some(Value::Null), None | Some(Value::Null)) => Vec::new(),
        _ => return Err(wrong()),
    };
    likely.sort_by(|a, b| {
        let by_text = || a.text.cmp(&b.text).then(a.id.cmp(&b.id));
        b.logprob.total_cmp(&a.logprob).then_with(by_text)
    });
    Ok(likely)
}

/// `[{"token": …, "id": …, "logprob": …}, …]`
fn detailed(top: &[Value]) -> Option<Vec<Likely>> {
    let top = top.iter().take(MOST_LIKELY);
    let all: Option<Vec<Option<Likely>>> = top
        .map(|one| {
            let id = one.get("id").and_then(Value::as_u64);
            let id = id.and_then(|id| u32::try_from(id).ok());
            likely(one.get("token")?.as_str()?, id, one.get("logprob")?)
        })
        .collect();
    Some(all?.into_iter().flatten().collect())
}

/// `{token: logprob, …}`
fn by_text(top: &Map<String, Value>) -> Option<Vec<Likely>> {
    let top = top.iter().take(MOST_LIKELY);
    let all: Option<Vec<Option<Likely>>> = top
        .map(|(text, logprob)| likely(text, None, logprob))
        .collect();
    Some(all?.into_iter().flatten().collect())
}

/// `None` for what is no candidate, `Some(None)` for one without a probability: null stands for 0.
fn likely(text: &str, id: Option<u32>, logprob: &Value) -> Option<Option<Likely>> {
    if logprob.is_null() {
        return Some(None);
    }
    let logprob = logprob.as_f64().filter(|value| *value < 1e-4)?;
    (text.len() <= LONGEST_TOKEN).then(|| {
        Some(Likely {
            text: text.to_owned(),
            id,
            logprob: logprob.min(0.0),
        })
    })
}
