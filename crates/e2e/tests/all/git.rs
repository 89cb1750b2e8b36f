//! Repositories that are pushed to.
