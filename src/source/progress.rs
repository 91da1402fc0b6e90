//! How long-running stages tell how far they are.

/// Receives the progress of stages that take a while; several may run at once.
///
/// The command line shows bars; everything else leaves it out.
pub trait Progress: Send + Sync {
    /// A stage begins: what it does, and how many bytes it will go through.
    fn start(&self, label: &str, total_bytes: u64) -> Box<dyn ProgressTask>;
}

/// One running stage; dropping it ends the stage.
pub trait ProgressTask: Send + Sync {
    /// So many more bytes are done.
    fn advance(&self, bytes: u64);
}

/// Receives progress and shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _label: &str, _total_bytes: u64) -> Box<dyn ProgressTask> {
        Box::new(Silent)
    }
}

impl ProgressTask for Silent {
    fn advance(&self, _bytes: u64) {}
}
