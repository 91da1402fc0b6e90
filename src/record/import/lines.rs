//! Files of one JSON document per line, in bounded memory.

use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;

use super::Error;

/// Longest line; a longer one is no row of answers.
const LONGEST: u64 = 64 << 20;

/// Gives `each` the number (from 1) and the bytes of every line that is not blank.
pub(super) fn each_line(
    path: &Path,
    mut each: impl FnMut(usize, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        match read.map_err(|error| Error::io(path, error))? as u64 {
            0 => break,
            LONGEST => {
                let reason = format!("the line is longer than {} MiB", LONGEST >> 20);
                return Err(Error::line(path, number, reason));
            }
            _ => {}
        }
        let start = if number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        let text = line[start..].trim_ascii();
        if !text.is_empty() {
            each(number, text)?;
        }
    }
    Ok(())
}
