//! How models are opened: what the environment and the command line say.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Progress;
use super::Silent;

/// The hub that `hf:` means unless `HF_ENDPOINT` says otherwise.
const HUB: &str = "https://huggingface.co";

/// How to open models.
///
/// `default()` looks at nothing outside the program; the command line starts from [`Self::from_env`].
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// Send no request at all; hub models come from the cache or not at all.
    pub offline: bool,
    /// The folder with `probes/` and `datasets/`, where it is not to be searched for.
    pub data_root: Option<PathBuf>,
    /// Who is told how far hashing and downloads are.
    pub progress: Option<Arc<dyn Progress>>,
    /// Where hub models come from.
    pub hub: HubOptions,
    /// Read parts of the weight files only, where all of them have more bytes than this.
    pub sample: Option<u64>,
    /// How served models are asked; without it they are refused, as whoever needs a model's files does.
    pub endpoint: Option<EndpointOptions>,
}

/// How models behind a server are asked.
#[derive(Debug, Clone)]
pub struct EndpointOptions {
    /// Sent with every request, to the address that was named and nowhere else.
    pub key: Option<Secret>,
    /// The environment variable that it stands in, for messages.
    pub key_name: String,
    /// Whether it may be sent where others can read it, over plain http to another machine.
    pub key_in_clear: bool,
    /// Requests in flight, from 1.
    pub concurrency: usize,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a whole answer.
    pub timeout: Duration,
    /// How often a request that failed for a passing reason is repeated.
    pub retries: usize,
    /// First pause before a request is repeated; it doubles.
    pub pause: Duration,
    /// Longest pause, also where the server asks for a longer one.
    pub longest_pause: Duration,
}

/// Where hub models come from and how long to wait for them.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Base address of the hub.
    pub endpoint: String,
    /// The cache folder, in the layout of the `huggingface_hub` Python package.
    pub cache: Option<PathBuf>,
    /// Access token.
    pub token: Option<Secret>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest silence of the server, at any point of an answer.
    pub read_timeout: Duration,
    /// How often a request that failed for a passing reason is repeated.
    pub retries: usize,
}

/// A text that is sent but never shown or stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl OpenOptions {
    /// Reads `HF_HUB_OFFLINE`, `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_TOKEN`,
    /// `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN` and `KINPROBE_DATA`, each once.
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// [`Self::from_env`] over any lookup, so that tests need not touch the process environment.
    fn from_lookup(get: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| get(name).and_then(|value| value.into_string().ok());
        let home = get("HOME")
            .or_else(|| get("USERPROFILE"))
            .map(PathBuf::from);
        let hf_home = get("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| get("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("huggingface")))
            .or_else(|| home.map(|dir| dir.join(".cache/huggingface")));
        let cache = get("HF_HUB_CACHE")
            .or_else(|| get("HUGGINGFACE_HUB_CACHE"))
            .map(PathBuf::from)
            .or_else(|| hf_home.as_ref().map(|dir| dir.join("hub")));
        let token = if text("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|v| is_true(&v)) {
            None
        } else {
            text("HF_TOKEN").or_else(|| {
                let path = get("HF_TOKEN_PATH")
                    .map(PathBuf::from)
                    .or_else(|| hf_home.map(|dir| dir.join("token")))?;
                std::fs::read_to_string(path).ok()
            })
        };
        OpenOptions {
            offline: text("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            data_root: get("KINPROBE_DATA").map(PathBuf::from),
            progress: None,
            sample: None,
            endpoint: None,
            hub: HubOptions {
                endpoint: text("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned()),
                cache,
                token: token.and_then(|token| Secret::new(&token)),
                ..HubOptions::default()
            },
        }
    }

    pub(super) fn progress(&self) -> &dyn Progress {
        match &self.progress {
            Some(progress) => progress.as_ref(),
            None => &Silent,
        }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("offline", &self.offline)
            .field("data_root", &self.data_root)
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

impl Default for HubOptions {
    fn default() -> Self {
        HubOptions {
            endpoint: HUB.to_owned(),
            cache: None,
            token: None,
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(60),
            retries: 3,
        }
    }
}

impl Default for EndpointOptions {
    fn default() -> Self {
        EndpointOptions {
            key: None,
            key_name: "OPENAI_API_KEY".to_owned(),
            key_in_clear: false,
            concurrency: 4,
            connect_timeout: Duration::from_secs(15),
            timeout: Duration::from_secs(120),
            retries: 4,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

impl Secret {
    /// The text without surrounding white space; `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Secret(text.to_owned()))
    }

    #[cfg(any(test, feature = "hub", feature = "endpoint"))]
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The spellings that the Python package takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> OpenOptions {
        OpenOptions::from_lookup(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_cache_is_where_other_tools_look() {
        let cache = |pairs: &[(&str, &str)]| with(pairs).hub.cache;
        let home = ("HOME", "/h");
        assert_eq!(cache(&[home]), Some("/h/.cache/huggingface/hub".into()));
        assert_eq!(
            cache(&[home, ("XDG_CACHE_HOME", "/x")]),
            Some("/x/huggingface/hub".into())
        );
        assert_eq!(cache(&[home, ("HF_HOME", "/f")]), Some("/f/hub".into()));
        assert_eq!(
            cache(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]),
            Some("/c".into())
        );
        assert_eq!(cache(&[]), None);
    }

    #[test]
    fn offline_takes_the_usual_spellings() {
        for (value, offline) in [
            ("1", true),
            ("TRUE", true),
            ("on", true),
            ("0", false),
            ("no", false),
        ] {
            assert_eq!(
                with(&[("HF_HUB_OFFLINE", value)]).offline,
                offline,
                "{value}"
            );
        }
        assert!(!with(&[]).offline);
    }

    #[test]
    fn the_token_is_found_but_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "hf_from_file\n").unwrap();
        let home = dir.path().to_str().unwrap();
        let token = |pairs: &[(&str, &str)]| {
            let options = with(pairs);
            assert!(!format!("{options:?}").contains("hf_from"));
            options.hub.token.map(|token| token.expose().to_owned())
        };
        assert_eq!(token(&[("HF_HOME", home)]), Some("hf_from_file".into()));
        assert_eq!(
            token(&[("HF_HOME", home), ("HF_TOKEN", "hf_from_env")]),
            Some("hf_from_env".into())
        );
        assert_eq!(
            token(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]),
            None
        );
        assert_eq!(token(&[]), None);
    }
}
