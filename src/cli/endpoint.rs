//! Flags of the verbs that ask models behind a server.

use std::time::Duration;

use anyhow::Result;

use crate::cli::exit;
use crate::source::EndpointOptions;
use crate::source::Secret;

/// How `openai:` models are asked.
#[derive(Debug, clap::Args)]
pub struct Asking {
    /// Environment variable that holds the key of an `openai:` model [default: OPENAI_API_KEY]; a key that is
    /// named here is sent over plain http, too
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
    /// Questions to an `openai:` model in flight
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = concurrency)]
    concurrency: usize,
    /// Longest wait for an answer of an `openai:` model, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0, value_parser = seconds)]
    timeout: f64,
}

impl Asking {
    /// What the flags and the environment say.
    ///
    /// # Errors
    /// A variable that was named and is not set.
    pub fn options(&self) -> Result<EndpointOptions> {
        let defaults = EndpointOptions::default();
        let name = self.api_key_env.as_deref();
        let key_name = name.unwrap_or(&defaults.key_name);
        let key = std::env::var(key_name).ok();
        let key = key.and_then(|text| Secret::new(&text));
        if let (Some(name), None) = (name, &key) {
            return Err(exit::usage(format!(
                "--api-key-env {name}: no such variable is set, or it is empty; set it to the key"
            )));
        }
        Ok(EndpointOptions {
            key,
            key_name: key_name.to_owned(),
            key_in_clear: name.is_some(),
            concurrency: self.concurrency,
            timeout: Duration::from_secs_f64(self.timeout),
            connect_timeout: defaults
                .connect_timeout
                .min(Duration::from_secs_f64(self.timeout)),
            ..defaults
        })
    }
}

fn concurrency(text: &str) -> Result<usize, String> {
    let count: Option<usize> = text.parse().ok();
    count
        .filter(|count| (1..=64).contains(count))
        .ok_or_else(|| "a number from 1 to 64".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: Option<f64> = text.parse().ok();
    seconds
        .filter(|seconds| (0.1..=86_400.0).contains(seconds))
        .ok_or_else(|| "seconds, from 0.1 to a day".to_owned())
}
