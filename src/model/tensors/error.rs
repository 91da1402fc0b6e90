//! What can go wrong between weight files and numbers.

/// One line each: the file, the tensor, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read, or became shorter while it was read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The header contradicts itself or the file.
    #[error("{file}: {reason}; the file is damaged or cut short: fetch it again")]
    Malformed {
        /// The file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// Well formed, but stored in a way that cannot be decoded.
    #[error("{file}: tensor `{tensor}` is stored as {dtype}, which cannot be decoded; {way_out}")]
    Undecodable {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its storage type.
        dtype: String,
        /// What to do.
        way_out: &'static str,
    },
    /// Bytes that were not planned to be read.
    #[error("{file}: bytes {start}..{end} are not in the sample; --depth standard reads all")]
    NotInSample {
        /// The file.
        file: String,
        /// First asked for.
        start: u64,
        /// One past the last asked for.
        end: u64,
    },
    /// Two files of one model hold a tensor of the same name.
    #[error(
        "{file}: tensor `{tensor}` is also in {other}; keep only the files of one checkpoint in the folder"
    )]
    Duplicate {
        /// The second file.
        file: String,
        /// The tensor.
        tensor: String,
        /// The first file.
        other: String,
    },
    /// No tensor of that name.
    #[error("no tensor is called `{tensor}`")]
    NoSuchTensor {
        /// The name asked for.
        tensor: String,
    },
    /// The model has no such role, or its tensor could not be bound.
    #[error("the model has no `{role}`")]
    NoSuchRole {
        /// The role.
        role: String,
    },
    /// More was asked for than a tensor has.
    #[error("tensor `{tensor}` has {len} {what}, not {start}..{end}")]
    OutOfRange {
        /// The tensor.
        tensor: String,
        /// `rows` or `elements`.
        what: &'static str,
        /// How many it has.
        len: usize,
        /// First asked for.
        start: usize,
        /// One past the last asked for.
        end: usize,
    },
}
