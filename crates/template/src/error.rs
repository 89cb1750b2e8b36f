//! What is wrong with a template, in AWS's words, with the place where it is.

use std::fmt;

use crate::Span;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The sentence, as AWS writes it.
    pub message: String,
    pub span: Option<Span>,
    /// What AWS leaves out: shown after the place.
    pub detail: Option<String>,
}

impl std::error::Error for TemplateError {}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(span) = self.span {
            write!(f, " ({span})")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl TemplateError {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            detail: None,
        }
    }

    /// A template whose form is wrong: `Template format error: …`.
    pub fn format(span: Span, message: impl fmt::Display) -> Self {
        Self::new(format!("Template format error: {message}")).at(span)
    }

    /// A template whose form is right and whose meaning is not: `Template error: …`.
    pub fn meaning(span: Span, message: impl fmt::Display) -> Self {
        Self::new(format!("Template error: {message}")).at(span)
    }

    /// Something that AWS has and neargate lacks.
    pub fn unsupported(span: Span, what: impl fmt::Display) -> Self {
        Self::meaning(span, format!("{what} is not supported by neargate"))
    }

    /// Gives the error a place, unless it has a nearer one already.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

pub type Result<T, E = TemplateError> = std::result::Result<T, E>;
