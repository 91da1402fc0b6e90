//! Where a server is: an http address without anything secret in it.

use std::fmt;
use std::str::FromStr;

/// Longest address that is read, in bytes.
const LONGEST: usize = 300;

/// `http(s)://host[:port][/path]` in one spelling: scheme and host in lower case, no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    host: String,
}

impl Address {
    /// As it is sent to and shown.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what is sent there cannot be read on the way: it is encrypted, or does not leave this machine.
    pub fn is_private(&self) -> bool {
        self.text.starts_with("https://") || self.is_loopback()
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host == "[::1]" || self.is_loopback_v4()
    }

    /// `127.x.y.z` in numbers: a name may begin like that and lead elsewhere.
    fn is_loopback_v4(&self) -> bool {
        let address: Result<std::net::Ipv4Addr, _> = self.host.parse();
        address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let wrong = |reason: &str| Err(format!("the address {reason}"));
        let Some((scheme, rest)) = given.split_once("://") else {
            return wrong("begins with `http://` or `https://`");
        };
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if rest.contains('@') && without_secrets(given) != given {
            return wrong(
                "holds a user's name or a key, which does not belong on a command line: set OPENAI_API_KEY",
            );
        }
        if given.contains(['?', '#']) {
            return wrong("has no `?` and no `#`: a key is set in OPENAI_API_KEY");
        }
        if given.len() > LONGEST {
            return wrong("is longer than 300 bytes");
        }
        let (host, port) = split_port(authority);
        let host = host.to_ascii_lowercase();
        if !is_host(&host) || !port.is_none_or(is_port) {
            return wrong("is `http(s)://host[:port]/v1`");
        }
        let path = path.trim_end_matches('/');
        if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') || path.contains("..") {
            return wrong("has a path of plain characters, as `/v1`");
        }
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self {
            text: format!("{scheme}://{host}{port}{path}"),
            host,
        })
    }
}

/// `text` with what stands before an `@`, or behind a `?`, of every address in it left out.
///
/// For what somebody typed: a message about an address must not carry its password on.
pub fn without_secrets(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace);
    words.map(without_secret).collect()
}

fn without_secret(word: &str) -> String {
    let Some(start) = word.find("://").map(|at| at + 3) else {
        return word.to_owned();
    };
    let (scheme, rest) = word.split_at(start);
    let (rest, query) = match rest.find('?') {
        Some(at) => (&rest[..at], "?***"),
        None => (rest, ""),
    };
    let tail = match query {
        "" => "",
        _ => &word[word.trim_end().len()..],
    };
    let (user, rest) = match rest.rfind('@') {
        Some(at) => ("***", &rest[at..]),
        None => ("", rest),
    };
    format!("{scheme}{user}{rest}{query}{tail}")
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    let end_of_v6 = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[end_of_v6..].rfind(':') {
        Some(at) => (
            &authority[..end_of_v6 + at],
            Some(&authority[end_of_v6 + at + 1..]),
        ),
        None => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            !host.is_empty() && host.bytes().all(plain)
        }
    }
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::Address;
    use super::without_secrets;

    #[test]
    fn what_leaves_the_machine_in_the_clear_is_known() {
        for (text, private) in [
            ("http://127.0.0.1:8000/v1", true),
            ("http://localhost/v1", true),
            ("http://[::1]:1/v1", true),
            ("https://example.org/v1", true),
            ("http://example.org/v1", false),
            ("http://127.example.org/v1", false),
            ("http://10.0.0.1/v1", false),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.is_private(), private, "{text}");
        }
    }

    #[test]
    fn secrets_are_left_out_wherever_they_stand() {
        for (text, shown) in [
            ("m@http://u:p@h/v1 and more", "m@http://***@h/v1 and more"),
            ("http://u:p@q@h/v1?k=1\n", "http://***@h/v1?***\n"),
            ("a b", "a b"),
            ("http://h/v1", "http://h/v1"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
