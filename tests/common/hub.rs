//! A small model hub on the loopback interface, with faults on demand.
//!
//! It answers what a client of the Hugging Face hub asks for: a revision's listing
//! (`/api/models/…/revision/…?blobs=true`) and files (`/…/resolve/…`), large ones through a redirect
//! to a second address that plays the storage network.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use sha2::Digest;

use super::http;
use super::http::plain;
use super::http::write_all;

/// The commit that `main` stands for.
pub const COMMIT: &str = "00112233445566778899aabbccddeeff00112233";

/// Longer than any test waits.
const STALL: Duration = Duration::from_secs(20);

/// What goes wrong when a file's bytes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error page instead of the bytes, after a good answer to HEAD.
    Forbidden,
    /// The connection ends after so many bytes, each time.
    Truncate(usize),
    /// The connection ends after so many bytes, once.
    TruncateOnce(usize),
    /// The first byte is another one.
    WrongByte,
    /// A shorter file, with headers that agree with it.
    Shorter,
    /// A longer file, with headers that agree with it.
    Longer,
    /// Some bytes, then nothing more.
    Stall,
    /// The whole file although a range was asked for.
    IgnoreRange,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    /// Whether it went to the storage address.
    pub storage: bool,
}

/// A repository's files, and which of them are in large-file storage.
type Files = BTreeMap<String, (Vec<u8>, bool)>;

#[derive(Default)]
struct State {
    repos: BTreeMap<String, Files>,
    /// Bytes of files that went out.
    sent: u64,
    faults: BTreeMap<String, Fault>,
    token: Option<String>,
    down: Option<u16>,
    log: Vec<Request>,
}

/// Runs until the test process ends; its threads sleep in `accept`.
pub struct Hub {
    state: Arc<Mutex<State>>,
    pub endpoint: String,
}

impl Hub {
    /// Serves `owner/name` with these files; those in `large` as large-file storage does.
    pub fn start(files: &[(&str, &[u8])], large: &[&str]) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let storage = serve(&state, None);
        let endpoint = serve(&state, Some(storage));
        let hub = Hub { state, endpoint };
        hub.add("owner/name", files, large);
        hub
    }

    /// Serves another repository as well.
    pub fn add(&self, repo: &str, files: &[(&str, &[u8])], large: &[&str]) {
        let entry = |(name, bytes): &(&str, &[u8])| {
            ((*name).to_owned(), (bytes.to_vec(), large.contains(name)))
        };
        let files = files.iter().map(entry).collect();
        self.state
            .lock()
            .unwrap()
            .repos
            .insert(repo.to_owned(), files);
    }

    /// Bytes of files that were sent since the last call.
    pub fn take_sent(&self) -> u64 {
        std::mem::take(&mut self.state.lock().unwrap().sent)
    }

    pub fn fault(&self, name: &str, fault: Fault) {
        self.state
            .lock()
            .unwrap()
            .faults
            .insert(name.to_owned(), fault);
    }

    pub fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        state.faults.clear();
        state.down = None;
    }

    /// Answers every request with this status.
    pub fn fail_with(&self, status: u16) {
        self.state.lock().unwrap().down = Some(status);
    }

    /// Takes requests and answers none.
    pub fn fall_silent(&self) {
        self.fail_with(0);
    }

    pub fn require_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    /// The requests since the last call.
    pub fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    /// The GET requests for bytes since the last call, by file name.
    pub fn take_downloads(&self) -> Vec<Request> {
        let mut log = self.take_log();
        // A redirected file shows up at the storage address.
        log.retain(|r| r.method == "GET" && !r.target.starts_with("/api/"));
        log
    }
}

/// Starts a listener and gives its base address.
fn serve(state: &Arc<Mutex<State>>, storage: Option<String>) -> String {
    let state = Arc::clone(state);
    http::serve(move |stream| answer(stream, &state, storage.as_deref()))
}

fn answer(stream: &TcpStream, shared: &Mutex<State>, storage: Option<&str>) -> std::io::Result<()> {
    let request = read_request(stream, storage.is_none())?;
    let mut state = shared.lock().unwrap();
    state.log.push(request.clone());
    let echo = format!("no access for {:?}", request.authorization);
    if let Some(status) = state.down {
        drop(state);
        if status == 0 {
            std::thread::sleep(STALL);
        }
        return plain(stream, status, &echo);
    }
    if storage.is_some() && state.token.is_some() {
        let expected = state.token.as_ref().map(|token| format!("Bearer {token}"));
        if request.authorization != expected {
            drop(state);
            return plain(stream, 401, &echo);
        }
    }
    let path = request.target.split('?').next().unwrap_or_default();
    let asked = path.strip_prefix("/api/models/");
    if let Some((repo, revision)) = asked.and_then(|asked| asked.split_once("/revision/")) {
        let body = state.repos.get(repo).map(|files| listing(repo, files));
        drop(state);
        let Some(body) = body else {
            return plain(stream, 404, "no such model");
        };
        return match revision {
            "main" | "feature%2Fx" | COMMIT => plain(stream, 200, &body),
            _ => plain(stream, 404, "no such revision"),
        };
    }
    let resolve = format!("/resolve/{COMMIT}/");
    let place = path
        .strip_prefix("/storage")
        .unwrap_or(path)
        .strip_prefix('/');
    let place = place.and_then(|place| place.split_once(resolve.as_str()));
    let found = place.and_then(|(repo, name)| {
        let file = state.repos.get(repo)?.get(name)?.clone();
        Some((repo.to_owned(), name.to_owned(), file))
    });
    let Some((repo, name, (bytes, large))) = found else {
        drop(state);
        return plain(stream, 404, "no such file");
    };
    if let (true, Some(storage)) = (large, storage) {
        drop(state);
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {storage}/storage/{repo}{resolve}{name}\r\nX-Repo-Commit: {COMMIT}\r\n\
             X-Linked-Size: {}\r\nX-Linked-ETag: \"{}\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            bytes.len(),
            sha256(&bytes),
        );
        return write_all(stream, head.as_bytes());
    }
    let fault = state.faults.get(&name).copied();
    if matches!(fault, Some(Fault::TruncateOnce(_))) && request.method == "GET" {
        state.faults.remove(&name);
    }
    drop(state);
    let sent = file(stream, &request, bytes, fault)?;
    shared.lock().unwrap().sent += sent;
    Ok(())
}

fn file(
    stream: &TcpStream,
    request: &Request,
    mut bytes: Vec<u8>,
    fault: Option<Fault>,
) -> std::io::Result<u64> {
    let head_only = request.method == "HEAD";
    let etag = if bytes.len() > 200 {
        sha256(&bytes)
    } else {
        git_blob(&bytes)
    };
    match fault {
        Some(Fault::Forbidden) if !head_only => {
            return plain(stream, 403, "<html>Access denied</html>").map(|()| 0);
        }
        Some(Fault::WrongByte) => bytes[0] ^= 1,
        Some(Fault::Shorter) => bytes.truncate(bytes.len() / 2),
        Some(Fault::Longer) => bytes.extend_from_slice(b"more"),
        _ => {}
    }
    let ranged = fault != Some(Fault::IgnoreRange) && !head_only;
    let total = bytes.len();
    let range = request.range.as_deref().filter(|_| ranged);
    let range = range.and_then(|range| {
        let (from, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let end = last
            .parse::<usize>()
            .map_or(total, |last| (last + 1).min(total));
        Some((from.parse::<usize>().ok()?, end))
    });
    let (status, body) = match range {
        Some((from, end)) if from >= end => return plain(stream, 416, "").map(|()| 0),
        Some((from, end)) => (
            format!(
                "206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}",
                end - 1
            ),
            &bytes[from..end],
        ),
        None => ("200 OK".to_owned(), &bytes[..]),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len(),
    );
    write_all(stream, head.as_bytes())?;
    if head_only {
        return Ok(0);
    }
    match fault {
        Some(Fault::Truncate(n) | Fault::TruncateOnce(n)) => {
            write_all(stream, &body[..n.min(body.len())])?;
            Ok(n.min(body.len()) as u64)
        }
        Some(Fault::Stall) => {
            write_all(stream, &body[..body.len() / 2])?;
            std::thread::sleep(STALL);
            Ok(0)
        }
        _ => write_all(stream, body).map(|()| body.len() as u64),
    }
}

fn listing(repo: &str, files: &Files) -> String {
    let siblings: Vec<serde_json::Value> = files
        .iter()
        .map(|(name, (bytes, large))| {
            let lfs = serde_json::json!({"sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134});
            serde_json::json!({
                "rfilename": name,
                "size": bytes.len(),
                "blobId": if *large { git_blob(b"pointer") } else { git_blob(bytes) },
                "lfs": if *large { lfs } else { serde_json::Value::Null },
            })
        })
        .collect();
    serde_json::json!({"id": repo, "sha": COMMIT, "gated": false, "siblings": siblings}).to_string()
}

fn read_request(stream: &TcpStream, storage: bool) -> std::io::Result<Request> {
    let request = http::read_request(stream)?;
    Ok(Request {
        authorization: request.header("authorization"),
        range: request.header("range"),
        method: request.method,
        target: request.target,
        storage,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

pub fn git_blob(bytes: &[u8]) -> String {
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}
