//! A suite of pictures that somebody has: a folder of them, and a table that says what they show.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use super::Rendered;
use crate::probe::error::Error;
use crate::probe::load;
use crate::probe::manifest::is_id;
use crate::probe::picture;
use crate::probe::picture::Picture;

/// What is asked where nothing else is said.
pub const PROMPT: &str = "What does this picture show? Answer with one word.";

/// Largest table.
const MAX_TABLE: u64 = 16 * 1024 * 1024;

/// Pictures with labels.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Id of the suite.
    pub id: &'a str,
    /// Folder of PNG and JPEG files.
    pub pictures: &'a Path,
    /// CSV with a header: `file`, `label` (empty where there is no truth) and, where several pictures show
    /// one thing, `group`.
    pub labels: &'a Path,
    /// What is asked of each.
    pub prompt: &'a str,
}

/// A suite, and the files that lie in the folder of its id beside it.
#[derive(Debug)]
pub struct Gathered {
    /// The suite.
    pub rendered: Rendered,
    /// Name in that folder, and where it is now.
    pub files: Vec<(String, PathBuf)>,
}

/// A row of the table.
#[derive(Deserialize)]
struct Row {
    file: String,
    label: String,
    group: Option<String>,
}

/// Reads the table and every picture that it names.
///
/// # Errors
/// [`Error`] with the file and line: a broken picture, a label without a picture or a picture without a label.
pub fn gather(wish: &Wish<'_>) -> Result<Gathered, Error> {
    if !is_id(wish.id) {
        let reason = "the id must be 1-64 characters of a-z, 0-9 and `-`";
        return Err(Error::invalid(Path::new(wish.id), None, reason));
    }
    let mut left = pictures(wish.pictures)?;
    let rows = rows(wish.labels)?;
    let truths = rows.iter().filter(|(_, row)| !row.label.is_empty()).count();
    if truths > 0 && truths < rows.len() {
        let reason = "some labels are empty and some are not: a suite has a truth for all of its pictures or for none";
        return Err(Error::invalid(wish.labels, None, reason));
    }
    let (mut dataset, mut files) = (String::new(), Vec::new());
    for (line, row) in &rows {
        let Some(path) = left.remove(&row.file) else {
            let reason = format!(
                "no picture `{}` in {}, or it is named twice: correct the name or delete the row",
                crate::text::ModelText::new(row.file.as_str()).clipped(80),
                wish.pictures.display()
            );
            return Err(Error::invalid(wish.labels, Some(*line), reason));
        };
        let bytes = load::read(&path, picture::MAX_BYTES)?;
        Picture::new(bytes).map_err(|reason| Error::invalid(&path, None, reason))?;
        dataset.push_str(&Value::Object(item(wish, files.len(), row)).to_string());
        dataset.push('\n');
        files.push((row.file.clone(), path));
    }
    if let Some((name, path)) = left.first_key_value() {
        let reason = format!(
            "{} of the pictures have no label, `{}` among them: give each a row in {} or move it away",
            left.len(),
            crate::text::ModelText::new(name.as_str()).clipped(80),
            wish.labels.display()
        );
        return Err(Error::invalid(path, None, reason));
    }
    let sha256 = load::hash(dataset.as_bytes());
    Ok(Gathered {
        rendered: Rendered {
            id: wish.id.to_owned(),
            manifest: manifest(wish, &rows, truths > 0, &sha256),
            dataset,
            sha256,
        },
        files,
    })
}

/// PNG and JPEG files by name.
fn pictures(folder: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| Error::io(folder, error))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_picture = ending.is_some_and(|ending| {
            ["png", "jpg", "jpeg"].contains(&ending.to_ascii_lowercase().as_str())
        });
        let name = path.file_name().and_then(|name| name.to_str());
        if let (true, Some(name)) = (is_picture, name) {
            found.insert(name.to_owned(), path);
        }
    }
    if found.is_empty() {
        let reason = "no PNG or JPEG file in this folder: name the folder of the pictures";
        return Err(Error::invalid(folder, None, reason));
    }
    Ok(found)
}

fn rows(path: &Path) -> Result<Vec<(u64, Row)>, Error> {
    let bytes = load::read(path, MAX_TABLE)?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let mut rows = Vec::new();
    let mut records = reader.deserialize();
    while let Some(row) = records.next() {
        let line = records.reader().position().line();
        let row: Row = row.map_err(|error| {
            let reason = crate::text::ModelText::new(error.to_string());
            let reason = format!(
                "not a table of `file,label` (and `group`): {}",
                reason.clipped(120)
            );
            Error::invalid(path, None, reason)
        })?;
        rows.push((line.saturating_sub(1), row));
    }
    match rows.is_empty() {
        true => Err(Error::invalid(path, None, "no picture is named in it")),
        false => Ok(rows),
    }
}

fn item(wish: &Wish<'_>, number: usize, row: &Row) -> Map<String, Value> {
    let mut item = Map::new();
    let mut put = |key: &str, text: String| item.insert(key.to_owned(), Value::from(text));
    put("id", format!("p{:05}", number + 1));
    if !row.label.is_empty() {
        put("target", row.label.clone());
    }
    if let Some(group) = &row.group {
        put("group", group.clone());
    }
    put("image", format!("{}/{}", wish.id, row.file));
    item
}

fn manifest(wish: &Wish<'_>, rows: &[(u64, Row)], truths: bool, sha256: &str) -> String {
    let grouped = rows.iter().all(|(_, row)| row.group.is_some());
    let line = |wanted: bool, line: &'static str| if wanted { line } else { "" };
    format!(
        "schema: kinprobe/suite/v1\n\
         suite: {id}\n\
         version: 1\n\
         description: {items} pictures{and}\n\
         license: LicenseRef-not-stated\n\
         dataset:\n  path: {id}.jsonl\n  sha256: {sha256}\n\
         prompt: {prompt}\n\
         image: image\n\
         {group}{target}\
         readout: {{kind: generate, max_tokens: 12, stop: [\"\\n\"]}}\n\
         score: {{kind: exact}}\n",
        id = wish.id,
        items = rows.len(),
        and = line(truths, ", each with its label"),
        prompt = Value::from(wish.prompt),
        group = line(grouped, "group: group\n"),
        target = line(truths, "target: target\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn png() -> Vec<u8> {
        use image::ImageEncoder;
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&[9; 4], 2, 2, image::ExtendedColorType::L8)
            .unwrap();
        bytes
    }

    fn gathered(files: &[(&str, &[u8])], table: &str) -> Result<Gathered, String> {
        let folder = folder(files);
        let labels = folder.path().join("labels.csv");
        fs::write(&labels, table).unwrap();
        let wish = Wish {
            id: "mine",
            pictures: folder.path(),
            labels: &labels,
            prompt: PROMPT,
        };
        gather(&wish).map_err(|error| error.to_string())
    }

    #[test]
    fn pictures_and_labels_belong_together() {
        let png = png();
        let two: [(&str, &[u8]); 2] = [("a.png", &png), ("b.PNG", &png)];
        let found = gathered(&two, "file,label,group\na.png,one,x\nb.PNG,two,x\n").unwrap();
        assert_eq!(found.files.len(), 2);
        assert!(found.rendered.dataset.contains(r#""image":"mine/a.png""#));
        assert!(
            found
                .rendered
                .manifest
                .contains("group: group\ntarget: target\n")
        );
        let untold = gathered(&two, "file,label\na.png,\nb.PNG,\n").unwrap();
        assert!(!untold.rendered.manifest.contains("target"));
        for (table, reason) in [
            (
                "file,label\na.png,one\n",
                "1 of the pictures have no label, `b.PNG`",
            ),
            (
                "file,label\na.png,one\nc.png,two\n",
                "labels.csv:3: no picture `c.png`",
            ),
            ("file,label\na.png,one\na.png,two\n", "named twice"),
            ("file,label\na.png,one\nb.PNG,\n", "some labels are empty"),
            ("name,label\na.png,one\n", "not a table of `file,label`"),
            ("file,label\n", "no picture is named"),
        ] {
            let error = gathered(&two, table).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let broken = gathered(&[("a.png", &png[..20])], "file,label\na.png,one\n").unwrap_err();
        assert!(broken.contains("a.png: the picture is broken"), "{broken}");
        let none = gathered(&[("a.txt", b"x")], "file,label\na.txt,one\n").unwrap_err();
        assert!(none.contains("no PNG or JPEG file"), "{none}");
    }
}
