//! What a user types to name a model.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Error;
use super::address::Address;
use super::address::without_secrets;

/// The forms that [`ModelRef`] reads, for error messages.
const FORMS: &str = "a path, `hf:owner/name[@revision]`, `gguf:path`, `zoo:name` or \
    `openai:model@http(s)://host[:port]/v1`, each with an optional `label=`";

/// Schemes of answers, which are no models.
const ANSWERS: [&str; 2] = ["run", "log"];

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// A folder with `config.json` and safetensors, or one safetensors or GGUF file.
    Local(PathBuf),
    /// A hub repository; `revision` is a branch, tag or commit.
    Hub {
        /// `owner/name`.
        repo: String,
        /// `main` when absent.
        revision: Option<String>,
    },
    /// A GGUF file, whatever its name.
    Gguf(PathBuf),
    /// A member of the shipped zoo.
    Zoo(String),
    /// A model behind a server that speaks the OpenAI protocol: it shows answers alone.
    Endpoint {
        /// What the server calls it.
        model: String,
        /// Where the server is.
        base: Address,
    },
}

/// `[label=]locator`.
///
/// `Display` writes a spelling that [`FromStr`] reads back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// The name the user gave it.
    pub label: Option<String>,
    /// Where it is.
    pub locator: Locator,
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self, Error> {
        parse(given).map_err(|reason| Error::Reference {
            given: without_secrets(given),
            reason,
        })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            write!(f, "{label}=")?;
        }
        write!(f, "{}", self.locator)
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Locator::Local(path) => {
                let text = path.to_string_lossy();
                // A bare name that reads as a label or a scheme is spelled as a path.
                let bare = text.contains(['=', ':']) && !text.contains(['/', '\\']);
                write!(f, "{}{text}", if bare { "./" } else { "" })
            }
            Locator::Hub { repo, revision } => {
                write!(f, "hf:{repo}")?;
                match revision {
                    Some(revision) => write!(f, "@{revision}"),
                    None => Ok(()),
                }
            }
            Locator::Gguf(path) => write!(f, "gguf:{}", path.display()),
            Locator::Zoo(name) => write!(f, "zoo:{name}"),
            Locator::Endpoint { model, base } => write!(f, "openai:{model}@{base}"),
        }
    }
}

/// Letters, digits, `.`, `_`, `-`; 1 to 64 of them; not `.` or `..`.
///
/// The rule for labels and for the names of zoo members, both of which become parts of paths.
pub(super) fn is_plain_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(is_name_byte) && text != "." && text != ".."
}

fn parse(given: &str) -> Result<ModelRef, String> {
    let (label, rest) = split_label(given)?;
    Ok(ModelRef {
        label,
        locator: parse_locator(rest)?,
    })
}

/// A `=` before any path separator or scheme ends a label.
pub(crate) fn split_label(given: &str) -> Result<(Option<String>, &str), String> {
    let Some((label, rest)) = given.split_once('=') else {
        return Ok((None, given));
    };
    if label.contains(['/', '\\', ':']) {
        return Ok((None, given));
    }
    if is_plain_name(label) {
        return Ok((Some(label.to_owned()), rest));
    }
    Err(
        "a label is 1 to 64 of A-Z a-z 0-9 . _ - (for a path with `=` in its name write `./` in front)"
            .to_owned(),
    )
}

fn parse_locator(text: &str) -> Result<Locator, String> {
    if text.is_empty() {
        return Err(format!("it is empty; write {FORMS}"));
    }
    if text.contains('\0') {
        return Err("it holds a NUL character".to_owned());
    }
    let Some((scheme, rest)) = split_scheme(text) else {
        return Ok(Locator::Local(PathBuf::from(text)));
    };
    match scheme {
        "hf" => parse_hub(rest),
        "gguf" if rest.is_empty() => Err("write `gguf:` and the path of a GGUF file".to_owned()),
        "gguf" => Ok(Locator::Gguf(PathBuf::from(rest))),
        "zoo" if is_plain_name(rest) => Ok(Locator::Zoo(rest.to_owned())),
        "zoo" => Err("a zoo name is 1 to 64 of A-Z a-z 0-9 . _ -".to_owned()),
        "openai" => parse_endpoint(rest),
        "http" | "https" => Err(format!(
            "addresses are not read; for a hub model write `hf:owner/name`, for a served one `openai:model@{}`; \
             known are {FORMS}",
            without_secrets(text)
        )),
        answers if ANSWERS.contains(&answers) => Err(format!(
            "`{answers}:` names recorded answers, which `kinprobe overlap` compares; models are {FORMS}"
        )),
        unknown => Err(format!(
            "unknown scheme `{unknown}:`; known are {FORMS} (for a path with `:` in its name write `./` in front)"
        )),
    }
}

/// `model@http://host/v1`; a model's name may hold `@`, so that the address begins at its scheme.
fn parse_endpoint(text: &str) -> Result<Locator, String> {
    // Letters of ASCII keep their places, so that what is found there is there in `text`.
    let lower = text.to_ascii_lowercase();
    let schemes = ["@http://", "@https://"];
    let at = schemes.iter().filter_map(|scheme| lower.find(scheme)).min();
    let Some(at) = at else {
        return Err(
            "a served model is `openai:model@http(s)://host[:port]/v1`: the server's name for it, and the address \
             before `/completions`"
                .to_owned(),
        );
    };
    let model = &text[..at];
    let plain = |c: char| !c.is_whitespace() && !crate::text::is_unsafe(c);
    if !(1..=200).contains(&model.len()) || !model.chars().all(plain) {
        return Err(
            "the server's name of a model is 1 to 200 bytes without white space".to_owned(),
        );
    }
    Ok(Locator::Endpoint {
        model: model.to_owned(),
        base: text[at + 1..].parse()?,
    })
}

/// `scheme:rest` where the scheme has two or more characters, so that `C:\` stays a path.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let first = bytes.next()?.is_ascii_alphabetic();
    let others = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'_'));
    (first && others && scheme.len() >= 2).then_some((scheme, rest))
}

fn parse_hub(text: &str) -> Result<Locator, String> {
    let (repo, revision) = match text.split_once('@') {
        Some((repo, revision)) => (repo, Some(revision)),
        None => (text, None),
    };
    match repo.split_once('/') {
        Some((owner, name)) if is_repo_part(owner) && is_repo_part(name) => {}
        _ => {
            return Err(
                "a hub model is `hf:owner/name`, optionally with `@` and a branch, tag or commit"
                    .to_owned(),
            );
        }
    }
    if let Some(revision) = revision
        && !is_revision(revision)
    {
        return Err(
            "a revision is a branch, tag or commit: 1 to 200 of A-Z a-z 0-9 . _ - + /".to_owned(),
        );
    }
    Ok(Locator::Hub {
        repo: repo.to_owned(),
        revision: revision.map(str::to_owned),
    })
}

/// The hub's own rule for owners and names; it also keeps them harmless as parts of cache paths.
fn is_repo_part(text: &str) -> bool {
    (1..=96).contains(&text.len())
        && text.bytes().all(is_name_byte)
        && !text.starts_with(['.', '-'])
        && !text.ends_with(['.', '-'])
        && !text.contains("..")
        && !text.contains("--")
}

fn is_revision(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && text
            .bytes()
            .all(|b| is_name_byte(b) || matches!(b, b'/' | b'+'))
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with(['.', '-']) && !part.contains(".."))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ModelRef {
        text.parse().unwrap()
    }

    fn refused(text: &str) -> String {
        text.parse::<ModelRef>().unwrap_err().to_string()
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "models/a",
            "./a=b",
            "./a:b",
            "C:\\models\\a",
            "/abs/x.safetensors",
            "hf:owner/name",
            "hf:owner/name@main",
            "ref=hf:owner/na_me.1@refs/pr/7",
            "gguf:models/a b.bin",
            "x.y-1=zoo:base-a",
            "label=models/x=y",
            "openai:llama@http://127.0.0.1:8000/v1",
            "x=openai:@cf/meta/llama-3:8b@https://api.example.org/client/v4/ai/v1",
            "openai:a=b@http://[::1]:80",
        ] {
            let reference = parsed(text);
            assert_eq!(reference.to_string(), text);
            assert_eq!(parsed(&reference.to_string()), reference);
        }
    }

    #[test]
    fn the_parts_are_where_they_belong() {
        assert_eq!(
            parsed("a=hf:o/n@v1.0"),
            ModelRef {
                label: Some("a".into()),
                locator: Locator::Hub {
                    repo: "o/n".into(),
                    revision: Some("v1.0".into())
                },
            }
        );
        assert_eq!(parsed("dir/a=b").label, None);
        assert_eq!(parsed("hf:o/n").label, None);
        let awkward = Locator::Local("run:1".into()).to_string();
        assert_eq!(parsed(&awkward).locator, Locator::Local("./run:1".into()));
    }

    #[test]
    fn what_is_not_understood_names_what_is() {
        for text in ["s3:bucket/x", "run:dir", "https://example.org/x", ""] {
            let message = refused(text);
            assert!(
                message.contains("hf:owner/name") && message.contains("zoo:name"),
                "{message}"
            );
            assert!(!message.contains('\n'));
        }
        assert!(refused("log:jsonl:x").contains("kinprobe overlap"));
        assert!(refused("openai:gpt").contains("openai:model@http(s)://host"));
    }

    #[test]
    fn names_that_could_steer_a_path_are_refused() {
        for text in [
            "hf:../x",
            "hf:a/..",
            "hf:a/b/c",
            "hf:name",
            "hf:a/b@../../x",
            "hf:a/b@/etc",
            "hf:a/b@",
            "hf:a/b@-x",
            "zoo:..",
            "zoo:a/b",
            "zoo:",
            "gguf:",
            "my label=x",
            "=x",
        ] {
            refused(text);
        }
        let long = format!("{}=x", "a".repeat(65));
        assert!(refused(&long).contains("1 to 64"));
    }

    #[test]
    fn an_address_is_in_one_spelling_and_carries_no_secret() {
        let same = parsed("openai:m@HTTP://Example.org:8000/v1//").to_string();
        assert_eq!(same, "openai:m@http://example.org:8000/v1");
        for text in [
            "openai:m@http://user:canary@host/v1",
            "openai:m@https://canary@host/v1",
            "openai:m@http://host/v1?api_key=canary",
            "http://user:canary@host/v1",
        ] {
            let message = refused(text);
            assert!(
                !message.contains("canary") && !message.contains('\n'),
                "{message}"
            );
        }
        for text in [
            "openai:@http://host/v1",
            "openai:a b@http://host/v1",
            "openai:m@http:///v1",
            "openai:m@http://host:0/v1",
            "openai:m@http://host:99999/v1",
            "openai:m@http://ho st/v1",
            "openai:m@http://host/v1#x",
            "openai:m@http://host/../v1",
            "openai:m@ftp://host/v1",
        ] {
            refused(text);
        }
    }

    #[test]
    fn hostile_text_is_shown_escaped_and_clipped() {
        let message = refused("hf:\u{1b}[31m\u{202e}");
        assert!(message.contains("\\u{1b}[31m\\u{202e}"), "{message}");
        assert!(refused(&format!("zz:{}", "x".repeat(5000))).len() < 700);
    }
}
