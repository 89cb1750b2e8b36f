//! Nested stacks, drift, signals, as typed by people.
