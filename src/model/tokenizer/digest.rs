//! What a tokenizer does, as one hash.

use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;

use super::Tokenizer;

impl Tokenizer {
    /// `sha256:…` over kind, vocabulary, merges, added tokens and the rules around them (normaliser, splitting,
    /// what is added before and after, decoding), keys sorted: the same however the file was laid out.
    pub fn digest(&self) -> String {
        let part = |value: Result<Value, serde_json::Error>| value.map(sorted).unwrap_or_default();
        let rules = [
            part(serde_json::to_value(self.inner.get_normalizer())),
            part(serde_json::to_value(self.inner.get_pre_tokenizer())),
            part(serde_json::to_value(self.inner.get_post_processor())),
            part(serde_json::to_value(self.inner.get_decoder())),
        ];
        let canonical = serde_json::json!([self.kind, rules, self.added, self.merges]);
        let mut hash = Sha256::new();
        hash.update(canonical.to_string());
        for (token, id) in &self.vocab {
            hash.update((token.len() as u64).to_le_bytes());
            hash.update(token);
            hash.update(id.to_le_bytes());
        }
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        format!("sha256:{hex}")
    }
}

/// The same value with the keys of every object in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            let pairs = pairs.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(pairs.collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}
