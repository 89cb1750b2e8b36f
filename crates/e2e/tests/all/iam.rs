//! Who may do what, found out and enforced.
