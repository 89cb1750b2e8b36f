//! The real clients against the real executable. One binary, so that it is linked once.

mod at_rest;
mod autoscaling;
mod bounds;
mod cli;
mod codebuild;
mod daemon;
mod delivery;
mod docker;
mod docker_answers;
mod docker_running;
mod door;
mod faults;
mod full_disk;
mod git;
mod ground;
mod hostile;
mod iam;
mod pipeline;
mod records;
mod registry;
mod s3;
mod stacks;
mod tasks;
mod torment;
mod truth;
mod walk;
