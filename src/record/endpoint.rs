//! A model behind a server as a [`Runner`].

use std::collections::BTreeMap;

use super::Answer;
use super::Candidate;
use super::Failure;
use super::Question;
use super::Runner;
use super::TOP;
use super::numbers::stopped;
use super::runner::TOGETHER;
use crate::probe::Readout;
use crate::source::Endpoint;
use crate::source::endpoint::Api;
use crate::source::endpoint::Likely;
use crate::source::endpoint::Limits;
use crate::source::endpoint::Refusal;
use crate::source::endpoint::Reply;

/// Most tokens by which a next token is continued to a whole character.
const MAX_CONTINUED: usize = 4;
/// What an endpoint cannot show.
const NO_IDS: &str = "an endpoint shows texts of tokens, not their ids";

/// A served model, asked for text.
///
/// What a server gives no account of is left out: there are no token ids, no places and nothing from inside.
#[derive(Debug)]
pub struct EndpointRunner<'e> {
    endpoint: &'e Endpoint,
}

/// A reply and how it was asked for.
struct Attempt {
    reply: Result<Reply, Refusal>,
    max_tokens: usize,
    with_stop: bool,
}

impl<'e> EndpointRunner<'e> {
    /// Over a server that was asked what it is.
    pub fn new(endpoint: &'e Endpoint) -> Self {
        Self { endpoint }
    }

    /// Asks those of `prompts` again that came back incomplete, until none is.
    fn completed(
        &self,
        prompts: &[&str],
        readout: &Readout,
        done: &(dyn Fn(usize) + Sync),
    ) -> Vec<Result<Reply, Refusal>> {
        let (max_tokens, stop) = match readout {
            Readout::NextToken => (1, &[][..]),
            Readout::Generate { max_tokens, stop } => (*max_tokens, &stop[..]),
        };
        let limits = Limits { max_tokens, stop };
        let first = self.endpoint.ask(prompts, &limits, done);
        let mut attempts: Vec<Attempt> = first
            .into_iter()
            .map(|reply| Attempt {
                reply,
                max_tokens,
                with_stop: !stop.is_empty(),
            })
            .collect();
        for at in 0..attempts.len() {
            while let Some(limits) = again(&attempts[at], readout) {
                let mut replies = self.endpoint.ask(&prompts[at..=at], &limits, &|_| ());
                if let Some(reply) = replies.pop() {
                    attempts[at] = Attempt {
                        reply,
                        max_tokens: limits.max_tokens,
                        with_stop: false,
                    };
                }
            }
        }
        attempts.into_iter().map(|attempt| attempt.reply).collect()
    }
}

impl Runner for EndpointRunner<'_> {
    fn identity(&self) -> &str {
        self.endpoint.identity()
    }

    fn engine(&self) -> String {
        format!(
            "kinprobe {}, asking {}: {}",
            env!("CARGO_PKG_VERSION"),
            self.endpoint.address(),
            self.endpoint.facts().words()
        )
    }

    fn prompt_form(&self) -> &str {
        match self.endpoint.facts().api {
            Api::Completions => "plain text, no chat template",
            Api::Chat => "one user message in the server's chat template",
        }
    }

    fn absent(&self) -> BTreeMap<String, String> {
        let mut absent = BTreeMap::from([("tokens".to_owned(), NO_IDS.to_owned())]);
        if let Err(reason) = &self.endpoint.facts().logprobs {
            absent.insert("top".to_owned(), reason.clone());
        }
        absent
    }

    fn answer(&self, prompt: &str, readout: &Readout) -> Result<Answer, Failure> {
        let question = Question {
            prompt,
            picture: None,
        };
        let mut answers = self.answers(&[question], readout, &|_| ());
        let nothing = || Failure::Item("the server was not asked".to_owned());
        answers.pop().unwrap_or_else(|| Err(nothing()))
    }

    fn together(&self, _questions: &[Question<'_>], _readout: &Readout) -> usize {
        TOGETHER.max(self.endpoint.concurrency())
    }

    fn answers(
        &self,
        questions: &[Question<'_>],
        readout: &Readout,
        done: &(dyn Fn(usize) + Sync),
    ) -> Vec<Result<Answer, Failure>> {
        let prompts: Vec<&str> = questions.iter().map(|question| question.prompt).collect();
        let replies = self.completed(&prompts, readout, done).into_iter();
        replies
            .map(|reply| match reply {
                Ok(reply) => Ok(answer(reply, readout)),
                Err(Refusal::Prompt(reason)) => Err(Failure::Item(reason)),
                Err(Refusal::Server(error)) => Err(Failure::Run(error.into())),
            })
            .collect()
    }
}

/// How to ask again where a reply is not what a model on this machine would have been let say.
fn again(attempt: &Attempt, readout: &Readout) -> Option<Limits<'static>> {
    let reply = attempt.reply.as_ref().ok()?;
    match readout {
        // Inside a character: servers write a mark for its bytes, or hold them back.
        Readout::NextToken => {
            let inside = reply.text.ends_with(char::REPLACEMENT_CHARACTER)
                || reply.text.is_empty() && !reply.stopped;
            (inside && attempt.max_tokens < MAX_CONTINUED).then(|| Limits {
                max_tokens: attempt.max_tokens + 1,
                stop: &[],
            })
        }
        // Stop strings count after text only, which no server is told.
        Readout::Generate { .. } => {
            let nothing = attempt.with_stop && reply.stopped && reply.text.trim().is_empty();
            nothing.then_some(Limits {
                max_tokens: attempt.max_tokens,
                stop: &[],
            })
        }
    }
}

fn answer(reply: Reply, readout: &Readout) -> Answer {
    let mut text = reply.text;
    if let Readout::Generate { stop, .. } = readout
        && let Some(end) = stopped(&text, stop)
    {
        text.truncate(end);
    }
    Answer {
        prompt_tokens: reply.prompt_tokens,
        text,
        tokens: Vec::new(),
        top: reply.first.into_iter().take(TOP).map(candidate).collect(),
        margins: Vec::new(),
        inside: None,
        places: Vec::new(),
    }
}

fn candidate(likely: Likely) -> Candidate {
    Candidate {
        token: likely.id,
        text: likely.text,
        logprob: likely.logprob,
    }
}
