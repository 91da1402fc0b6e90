//! A path as SARIF names it.

use std::path::Component;
use std::path::Path;

use super::log::ArtifactLocation;

/// What a relative path is relative to, by the name that build servers know.
const ROOT: &str = "%SRCROOT%";

/// A relative path below the root of the sources, an absolute one as a `file:` URI.
pub(super) fn location(path: &Path) -> ArtifactLocation {
    let mut segments = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir => segments.push("..".to_owned()),
            Component::Normal(name) => segments.push(encoded(name.as_encoded_bytes())),
            Component::Prefix(drive) => {
                let drive = drive.as_os_str().to_string_lossy();
                segments.push(drive.trim_start_matches(r"\\?\").to_owned());
            }
        }
    }
    let path_of_uri = segments.join("/");
    match path.has_root() {
        true => ArtifactLocation {
            uri: format!("file:///{path_of_uri}"),
            uri_base_id: None,
        },
        false => ArtifactLocation {
            uri: path_of_uri,
            uri_base_id: Some(ROOT),
        },
    }
}

/// Everything but RFC 3986's unreserved characters, as `%` and two hex digits.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        let uri = |path: &str| location(Path::new(path)).uri;
        assert_eq!(uri("./a b/c:d#é?.json"), "a%20b/c%3Ad%23%C3%A9%3F.json");
        assert_eq!(uri("a//b/../100%.json"), "a/b/../100%25.json");
        assert_eq!(uri("/tmp/x.json"), "file:///tmp/x.json");
        assert!(location(Path::new("/tmp/x")).uri_base_id.is_none());
        assert_eq!(location(Path::new("x")).uri_base_id, Some("%SRCROOT%"));
    }
}
