//! Builds that run.
