//! Pipelines, from a push to a deployment.
