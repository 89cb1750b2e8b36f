//! Buckets and objects, with the clients that people use.
