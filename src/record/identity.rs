//! What makes two recordings the same one.

use sha2::Digest;
use sha2::Sha256;

use super::Header;
use super::RECORDING_SCHEMA;
use super::runner::Runner;
use crate::probe::Item;
use crate::probe::Readout;
use crate::probe::Suite;

/// What a recording of `suite` by `runner` is filed under.
pub fn header(runner: &dyn Runner, suite: &Suite) -> Header {
    let decoding = decoding(&suite.readout, runner.prompt_form());
    let mut header = Header {
        schema: RECORDING_SCHEMA.to_owned(),
        key: String::new(),
        model_digest: runner.identity().to_owned(),
        suite: suite.id.clone(),
        suite_version: suite.version,
        suite_sha256: suite.sha256.clone(),
        decoding,
        engine: runner.engine(),
        absent: runner.absent(),
    };
    let canonical = serde_json::json!([
        header.schema,
        header.model_digest,
        header.suite,
        header.suite_version,
        header.suite_sha256,
        header.decoding,
        header.engine,
    ]);
    header.key = format!("sha256:{}", sha256(&canonical.to_string()));
    header
}

/// Lower-case hex sha256 of a rendered prompt, and of the picture that is shown with it.
pub(super) fn prompt_hash(item: &Item) -> String {
    match &item.picture {
        None => sha256(&item.prompt),
        Some(picture) => sha256(&format!("{}\n{}", picture.sha256, item.prompt)),
    }
}

/// The readout in words; part of a recording's identity.
fn decoding(readout: &Readout, prompt: &str) -> String {
    match readout {
        Readout::NextToken => {
            format!("greedy, next token (continued to whole characters); {prompt}")
        }
        Readout::Generate { max_tokens, stop } => format!(
            "greedy, at most {max_tokens} tokens, stop at {} after any text; {prompt}",
            serde_json::json!(stop)
        ),
    }
}

fn sha256(text: &str) -> String {
    use std::fmt::Write;
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
