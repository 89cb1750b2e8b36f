//! What is said, by the numbers of its fields. Of the public definitions, only what is read or written
//! here: whatever else a peer sends is left unread.

mod build;
mod control;
mod gateway;
mod session;

pub use build::*;
pub use control::*;
pub use gateway::*;
pub use session::*;
