//! What a revision holds, as the hub tells it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::cache::is_commit;
use super::object::Object;
use super::object::ObjectId;

/// A revision's commit and files.
pub(super) struct Listing {
    pub(super) commit: String,
    /// By path; without an object where the hub tells no size or hash.
    pub(super) files: BTreeMap<String, Option<Object>>,
}

#[derive(Deserialize)]
struct RepoInfo {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    size: Option<u64>,
    sha256: Option<String>,
    /// The name that some answers use for the same digest.
    oid: Option<String>,
}

/// Reads the answer to `/api/models/<repo>/revision/<revision>?blobs=true`.
///
/// # Errors
/// A fragment that continues "the hub …".
pub(super) fn parse_listing(body: &[u8]) -> Result<Listing, String> {
    let info: RepoInfo = serde_json::from_slice(body)
        .map_err(|e| format!("gave no listing of the model ({e}); check HF_ENDPOINT"))?;
    let commit = info
        .sha
        .filter(|sha| is_commit(sha))
        .ok_or("named no commit for the revision; check HF_ENDPOINT")?;
    let files = info
        .siblings
        .into_iter()
        .map(|file| (file.rfilename.clone(), object(file)))
        .collect();
    Ok(Listing { commit, files })
}

fn object(file: Sibling) -> Option<Object> {
    let (size, id) = match file.lfs {
        Some(lfs) => (lfs.size.or(file.size), lfs.sha256.or(lfs.oid)),
        None => (file.size, file.blob_id),
    };
    Some(Object {
        size: size?,
        id: ObjectId::parse(&id?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_the_large_file_digest_are_read() {
        let digest = "b".repeat(64);
        let git = "c".repeat(40);
        let body = format!(
            r#"{{"id":"o/n","sha":"{git}","siblings":[
                {{"rfilename":"a","size":1,"blobId":"{git}","lfs":{{"sha256":"{digest}","size":7,"pointerSize":9}}}},
                {{"rfilename":"b","size":7,"blobId":"{git}","lfs":{{"oid":"{digest}"}}}},
                {{"rfilename":"c","size":3,"blobId":"{git}"}},
                {{"rfilename":"d"}},
                {{"rfilename":"e","size":3,"blobId":"../../x"}}]}}"#
        );
        let listing = parse_listing(body.as_bytes()).unwrap();
        assert_eq!(listing.commit, git);
        let large = Some(Object {
            size: 7,
            id: ObjectId::Sha256(digest),
        });
        let small = Some(Object {
            size: 3,
            id: ObjectId::GitBlob(git),
        });
        let files: Vec<_> = listing.files.into_values().collect();
        assert_eq!(files, [large.clone(), large, small, None, None]);
    }

    #[test]
    fn an_answer_without_a_commit_is_no_listing() {
        for body in ["", "<html>", "{}", r#"{"sha":"main"}"#, r#"{"sha":"../x"}"#] {
            assert!(parse_listing(body.as_bytes()).is_err(), "{body}");
        }
    }
}
