//! `--memory`: how much of it a model may take.

use std::fs;
use std::path::Path;

use crate::model::decoder::Footprint;
use crate::text::ModelText;

/// Share of what the machine has left that a model takes unasked.
const SHARE: f64 = 0.75;

/// Flag of the verbs that run models.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Memory {
    /// Memory that a model may take, as in 4GB; one whose weights are larger in 32 bits is run layer by
    /// layer from its files [default: three quarters of what is free]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
}

impl Memory {
    /// In bytes; `None` where neither the flag nor the machine says.
    pub fn limit(self) -> Option<u64> {
        self.memory
            .or_else(|| Some((available()? as f64 * SHARE) as u64))
    }
}

/// How a model that is not held is run.
pub fn words(footprint: &Footprint, limit: u64) -> String {
    format!(
        "{} of weights in 32 bits, more than {} (--memory): runs layer by layer: about {} of memory and \
         what the prompts take, {} read per token step",
        gigabytes(footprint.held),
        gigabytes(limit),
        gigabytes(footprint.streamed),
        gigabytes(footprint.read),
    )
}

fn gigabytes(bytes: u64) -> String {
    match bytes as f64 / 1e9 {
        few if few < 0.1 => format!("{:.1} MB", few * 1e3),
        some => format!("{some:.1} GB"),
    }
}

/// A number of bytes, with a unit in thousands or, with an `i`, in 1024.
fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: f64 = match &lower[digits.len()..] {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => f64::from(1 << 10),
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        "tib" => f64::from(1 << 20) * f64::from(1 << 20),
        _ => f64::NAN,
    };
    let bytes = digits.trim().parse::<f64>().map(|number| number * unit);
    match bytes {
        Ok(bytes) if (1.0..1e18).contains(&bytes) => Ok(bytes as u64),
        _ => Err(format!(
            "{} is no amount of memory; give one as in 4GB or 512MiB",
            ModelText::new(text).clipped(40)
        )),
    }
}

/// What the machine has left, and no more than a control group allows; `None` where it does not say.
fn available() -> Option<u64> {
    let left = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let allowed = allowed(Path::new("/sys/fs/cgroup"), &group);
    Some(allowed.map_or(left, |allowed| allowed.min(left)))
}

/// Bytes of a line in kB.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The least that the control groups (of version 2 or 1) allow which `groups`, the text of
/// `/proc/self/cgroup`, names, and those above them.
fn allowed(root: &Path, groups: &str) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(kinds), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match kinds {
            "" => (root.to_path_buf(), "memory.max"),
            kinds if kinds.split(',').any(|kind| kind == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        for group in own.ancestors().take_while(|group| group.starts_with(&root)) {
            let text = fs::read_to_string(group.join(file)).unwrap_or_default();
            // `max` where there is no limit.
            if let Ok(limit) = text.trim().parse::<u64>() {
                least = Some(least.map_or(limit, |least: u64| least.min(limit)));
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::allowed;
    use super::field;
    use super::size;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("4GB", 4_000_000_000),
            ("4 gib", 4 << 30),
            ("1.5g", 1_500_000_000),
            ("512MiB", 512 << 20),
            ("1000", 1000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "GB", "0", "-1GB", "4 elephants", "nan", "1e30"] {
            assert!(size(bad).unwrap_err().contains("as in 4GB"), "{bad}");
        }
    }

    #[test]
    fn the_least_of_nested_control_groups_counts() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        let found = || allowed(folder.path(), "0::/a/b\n");
        assert_eq!(found(), None);
        fs::write(folder.path().join("a/memory.max"), "4096\n").unwrap();
        assert_eq!(found(), Some(4096));
        fs::write(inner.join("memory.max"), "1024\n").unwrap();
        assert_eq!(found(), Some(1024));
        let first = folder.path().join("memory/c");
        fs::create_dir_all(&first).unwrap();
        fs::write(first.join("memory.limit_in_bytes"), "512\n").unwrap();
        let groups = "4:memory,blkio:/c\n2:cpu:/\nnonsense\n";
        assert_eq!(allowed(folder.path(), groups), Some(512));
    }

    #[test]
    fn what_is_free_is_read() {
        let text = "MemTotal:  9 kB\nMemAvailable:    23 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(23 * 1024));
        assert_eq!(field(text, "SwapFree:"), None);
    }
}
