//! The Docker Engine API over the engine.
