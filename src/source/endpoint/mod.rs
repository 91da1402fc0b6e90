//! Models behind a server that speaks the OpenAI protocol: `POST /completions`, or `/chat/completions`.
//!
//! A server may say anything of itself, and may be another one tomorrow behind the same name. So it is asked
//! what it is before it is asked anything else; what it says is part of what its answers are
//! filed under, and is no digest of weights. Whatever it sends is a stranger's text of bounded size.

mod client;
mod handshake;
mod reply;

pub use handshake::Api;
pub use handshake::Facts;
pub use reply::Likely;
pub use reply::Reply;

use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::json;
use sha2::Digest;
use sha2::Sha256;

use self::client::Answered;
use self::client::Client;
use self::handshake::CANARY;
use self::handshake::Shape;
use super::Address;
use super::EndpointOptions;
use super::Error;
use super::pin;

/// A served model, and what is known of it.
pub struct Endpoint {
    client: Client,
    shape: Shape,
    facts: Facts,
    identity: String,
    concurrency: usize,
    runtime: tokio::runtime::Runtime,
}

/// How far a prompt is continued.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// At most so many tokens.
    pub max_tokens: usize,
    /// Not beyond these texts, the first four of which the server is told.
    pub stop: &'a [String],
}

/// Why there is no reply.
#[derive(Debug)]
pub enum Refusal {
    /// The server is well and does not answer this prompt.
    Prompt(String),
    /// The server answers nothing any more, or not to us.
    Server(Error),
}

/// Stop strings that the protocol takes.
const MOST_STOPS: usize = 4;

impl Endpoint {
    /// Asks the server what it is, whether it has `model`, and what its answers can say.
    ///
    /// # Errors
    /// [`Error::Endpoint`]: nobody answers, the model is not there, or the answers are of no use.
    pub(super) fn open(
        model: &str,
        base: &Address,
        options: &EndpointOptions,
    ) -> Result<Arc<Self>, Error> {
        let client = Client::new(model, base, options)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| client.fault(&format!("no network runtime ({error}); run again")))?;
        let (shape, facts) = runtime.block_on(handshake::handshake(&client))?;
        Ok(Arc::new(Self {
            identity: identity(model, base, &facts),
            client,
            shape,
            facts,
            concurrency: options.concurrency.max(1),
            runtime,
        }))
    }

    /// `endpoint:…` over address, model and what the server says of itself: no digest of weights.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What the server said.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        self.client.address()
    }

    /// Requests in flight.
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Continues each of `prompts` greedily, some at a time; `done` is told the number of each that was answered.
    ///
    /// There is a reply for each prompt, in their order, or fewer, up to a [`Refusal::Server`].
    pub fn ask(
        &self,
        prompts: &[&str],
        limits: &Limits<'_>,
        done: &dyn Fn(usize),
    ) -> Vec<Result<Reply, Refusal>> {
        let one = async |at: usize, prompt: &str| {
            let reply = self.one(prompt, limits).await;
            done(at);
            reply
        };
        self.runtime.block_on(async {
            let asked = prompts.iter().enumerate();
            let asked = asked.map(|(at, prompt)| one(at, prompt));
            let mut asked = futures_util::stream::iter(asked).buffered(self.concurrency);
            let mut replies = Vec::with_capacity(prompts.len());
            while let Some(reply) = asked.next().await {
                let last = matches!(reply, Err(Refusal::Server(_)));
                replies.push(reply);
                if last {
                    break;
                }
            }
            replies
        })
    }

    async fn one(&self, prompt: &str, limits: &Limits<'_>) -> Result<Reply, Refusal> {
        let stop = &limits.stop[..limits.stop.len().min(MOST_STOPS)];
        let body = self
            .shape
            .body(self.client.model(), prompt, limits.max_tokens, stop);
        match self.client.post(self.shape.api.path(), &body).await {
            Ok(answered) if answered.is_success() => {
                let reply = reply::read(self.shape.api, &answered.body, limits.max_tokens);
                let usable = reply.and_then(|reply| match self.facts.logprobs {
                    Ok(_) => reply::usable(&reply.first, &reply.text).map(|()| reply),
                    Err(_) => Ok(Reply {
                        first: Vec::new(),
                        ..reply
                    }),
                });
                usable.map_err(Refusal::Prompt)
            }
            Ok(answered) => Err(self.refused(&answered).await),
            Err(silence) => Err(self.in_doubt(&silence).await),
        }
    }

    async fn refused(&self, answered: &Answered) -> Refusal {
        match answered.status {
            400 | 413 | 422 => Refusal::Prompt(format!(
                "the server answered {}{}",
                answered.status,
                answered.words()
            )),
            500.. => {
                let silence = format!("it answered {}{}", answered.status, answered.words());
                self.in_doubt(&silence).await
            }
            _ => Refusal::Server(self.client.status(answered)),
        }
    }

    /// Whether it is the prompt or the server: one that still answers another prompt is well.
    async fn in_doubt(&self, silence: &str) -> Refusal {
        let body = self.shape.body(self.client.model(), CANARY, 1, &[]);
        let again = self.client.post_once(self.shape.api.path(), &body).await;
        match again {
            Ok(answered) if answered.is_success() => Refusal::Prompt(format!(
                "no answer to this prompt, though to another: {silence}"
            )),
            _ => Refusal::Server(self.client.fault(&format!(
                "{silence}; the same command goes on from here once the server answers again"
            ))),
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", self.address())
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

fn identity(model: &str, base: &Address, facts: &Facts) -> String {
    let said = json!([base.as_str(), model, facts.words(), facts.created]);
    let hash = Sha256::digest(said.to_string().as_bytes());
    format!("endpoint:{}", pin::hex(&hash))
}
