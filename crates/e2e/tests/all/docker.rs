//! Docker's own client.
