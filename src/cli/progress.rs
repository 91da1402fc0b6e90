//! Progress bars on a terminal, nothing elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;

use indicatif::MultiProgress;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;

use crate::cli::Global;
use crate::source::Progress;
use crate::source::ProgressTask;
use crate::source::Silent;
use crate::text::ModelText;

/// One bar per running stage.
pub struct Bars(MultiProgress);

impl Bars {
    /// Bars where they can be seen, silence where they cannot or are not wanted.
    pub fn shared(global: &Global) -> Arc<dyn Progress> {
        if global.quiet || !std::io::stderr().is_terminal() {
            return Arc::new(Silent);
        }
        Arc::new(Self(MultiProgress::new()))
    }
}

impl Progress for Bars {
    fn start(&self, label: &str, total: u64) -> Box<dyn ProgressTask> {
        let bar = self.0.add(ProgressBar::new(total));
        let style = ProgressStyle::with_template("{msg:36!} {bar:24} {percent:>3} % {eta:>5}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(ModelText::new(label).clipped(36));
        Box::new(Running(bar))
    }
}

struct Running(ProgressBar);

impl ProgressTask for Running {
    fn advance(&self, amount: u64) {
        self.0.inc(amount);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
