//! Where the shipped probes and data sets are.

use std::path::Path;
use std::path::PathBuf;

use super::Error;

/// The folder that holds `probes/` and `datasets/`.
///
/// An explicit folder (or `KINPROBE_DATA`) is taken or refused, never searched around. Without one:
/// the working directory and its parents, the folder of the executable and its parents (a build in
/// `target/` lies below the data), `share/kinprobe` beside it, and the folder the program was built in.
///
/// # Errors
/// [`Error::DataRoot`] if none of them holds both folders.
pub fn data_root(explicit: Option<&Path>) -> Result<PathBuf, Error> {
    let named = explicit
        .map(Path::to_owned)
        .or_else(|| std::env::var_os("KINPROBE_DATA").map(PathBuf::from))
        .filter(|path| !path.as_os_str().is_empty());
    if let Some(named) = named {
        return first_of(&[named]);
    }
    let mut places = Vec::new();
    if let Ok(cwd) = std::env::current_dir() {
        places.extend(cwd.ancestors().map(Path::to_owned));
    }
    if let Ok(executable) = std::env::current_exe()
        && let Some(folder) = executable.parent()
    {
        places.extend(folder.ancestors().map(Path::to_owned));
        places.push(folder.join("../share/kinprobe"));
    }
    places.push(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    first_of(&places)
}

fn first_of(places: &[PathBuf]) -> Result<PathBuf, Error> {
    match places.iter().find(|place| is_data_root(place)) {
        Some(found) => Ok(found.clone()),
        None => Err(Error::DataRoot {
            tried: described(places),
        }),
    }
}

fn is_data_root(path: &Path) -> bool {
    path.join("probes").is_dir() && path.join("datasets").is_dir()
}

fn described(places: &[PathBuf]) -> String {
    match places {
        [only] => only.display().to_string(),
        _ => "the working directory, the executable's folder and those above them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_folder_is_taken_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let message = data_root(Some(dir.path())).unwrap_err().to_string();
        assert!(
            message.contains(&dir.path().display().to_string())
                && message.contains("KINPROBE_DATA"),
            "{message}"
        );
        std::fs::create_dir(dir.path().join("probes")).unwrap();
        std::fs::create_dir(dir.path().join("datasets")).unwrap();
        assert_eq!(data_root(Some(dir.path())).unwrap(), dir.path());
    }
}
