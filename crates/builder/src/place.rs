//! Where in a Dockerfile something stands, and errors that say so.

use std::sync::Arc;

use engine::EngineError;

/// A place in a Dockerfile: the file's name as the user knows it, the line (from 1), and the
/// instruction's text on one line.
#[derive(Debug, Clone)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
    pub text: String,
}

/// An instruction's text is cut to this in messages.
const TEXT_CHARS_MAX: usize = 120;

impl Place {
    /// The Dockerfile is wrong here.
    pub fn invalid(&self, message: impl std::fmt::Display) -> EngineError {
        EngineError::invalid(self.sentence(&message))
    }

    /// Something else failed while this instruction ran.
    pub fn wrap(&self, error: EngineError) -> EngineError {
        let message = self.sentence(&error.message);
        EngineError {
            message,
            fault: error.fault,
            lack: error.lack,
            source: error.source,
        }
    }

    fn sentence(&self, message: &dyn std::fmt::Display) -> String {
        format!(
            "{}:{}: {message} (in `{}`)",
            self.file,
            self.line,
            self.short_text()
        )
    }

    pub fn short_text(&self) -> String {
        let line = self.text.lines().next().unwrap_or_default();
        let mut short: String = line.chars().take(TEXT_CHARS_MAX).collect();
        if short.len() < self.text.len() {
            short.push('…');
        }
        short
    }
}

/// Attaches what was being done to an error of the file system.
pub trait During<T> {
    fn during(self, what: impl FnOnce() -> String) -> engine::Result<T>;
}

impl<T, E: Into<std::io::Error>> During<T> for Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> engine::Result<T> {
        self.map_err(|error| {
            let error: std::io::Error = error.into();
            let cause = EngineError::from(std::io::Error::from(error.kind()));
            EngineError::new(cause.fault, format!("{}: {error}", what())).because(error)
        })
    }
}
