//! What the hub promises about a file's content, and the check of it.

use sha1::Sha1;
use sha2::Digest;
use sha2::Sha256;

use super::super::pin::hex;

/// The name of a content: also the name of the file in the cache's blob folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ObjectId {
    /// sha256 of the bytes, 64 hex digits: files in large-file storage.
    Sha256(String),
    /// Git's name of a blob, 40 hex digits: sha1 of `blob <size>\0` and the bytes; small files.
    GitBlob(String),
}

/// A file as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// Bytes.
    pub size: u64,
    /// What they hash to.
    pub id: ObjectId,
}

/// A hash under way.
#[derive(Clone)]
pub(super) enum Check {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl ObjectId {
    /// Lower-case hex digits only, so that the text is harmless as a file name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_hex = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match text.len() {
            64 if is_hex => Some(ObjectId::Sha256(text.to_owned())),
            40 if is_hex => Some(ObjectId::GitBlob(text.to_owned())),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            ObjectId::Sha256(text) | ObjectId::GitBlob(text) => text,
        }
    }
}

impl Check {
    pub(super) fn new(object: &Object) -> Self {
        match object.id {
            ObjectId::Sha256(_) => Check::Sha256(Sha256::new()),
            ObjectId::GitBlob(_) => {
                let mut hash = Sha1::new();
                hash.update(format!("blob {}\0", object.size));
                Check::GitBlob(hash)
            }
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Check::Sha256(hash) => hash.update(bytes),
            Check::GitBlob(hash) => hash.update(bytes),
        }
    }

    pub(super) fn matches(self, id: &ObjectId) -> bool {
        let digest = match self {
            Check::Sha256(hash) => hex(&hash.finalize()),
            Check::GitBlob(hash) => hex(&hash.finalize()),
        };
        digest == id.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_names_blobs_as_git_does() {
        // `printf 'hello\n' | git hash-object --stdin`
        let id = ObjectId::parse("ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        let object = Object { size: 6, id };
        let mut check = Check::new(&object);
        check.update(b"hel");
        check.update(b"lo\n");
        assert!(check.matches(&object.id));
        assert!(!Check::new(&object).matches(&object.id));
    }

    #[test]
    fn only_digests_are_names() {
        let sha256 = "a".repeat(64);
        assert!(matches!(
            ObjectId::parse(&sha256),
            Some(ObjectId::Sha256(_))
        ));
        for text in [
            "",
            "../x",
            &"A".repeat(40),
            &"g".repeat(64),
            &"a".repeat(41),
        ] {
            assert_eq!(ObjectId::parse(text), None, "{text}");
        }
    }
}
