//! CodePipeline on a machine that is not there, beside the least of the services that it calls.

mod cloudformation;
mod crashes;
mod deliveries;
mod flow;
mod refusals;
mod sources;
mod support;
