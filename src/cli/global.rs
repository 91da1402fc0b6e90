//! Flags every verb has, and the two streams: results on stdout, everything else on stderr.

use std::io::IsTerminal;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use crate::report;
use crate::report::Style;

/// Flags every verb has.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// Print the result as one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Colour on the terminal
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Never use the network
    #[arg(long, global = true)]
    pub offline: bool,
    /// Folder that holds probes/ and datasets/ [default: searched from here upwards]
    #[arg(long, global = true, value_name = "DIR", env = "KINPROBE_DATA")]
    pub data: Option<PathBuf>,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Global {
    /// How stdout wants its text.
    pub fn style(&self) -> Style {
        Style {
            color: self.coloured(),
            width: report::COLUMNS,
        }
    }

    fn coloured(&self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }

    /// Writes a result to stdout.
    ///
    /// # Errors
    /// When stdout is closed early (`kinprobe … | head`).
    pub fn result(&self, text: &str) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        Ok(stdout.flush()?)
    }

    /// Writes a result as pretty JSON to stdout.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn json_result(&self, value: &impl serde::Serialize) -> Result<()> {
        self.result(&serde_json::to_string_pretty(value)?)
    }

    /// Tells the user something on stderr, unless quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // A closed stderr must not end the work.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}
