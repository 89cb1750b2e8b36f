//! Metrics of real tasks, alarms, and services that grow and shrink.
