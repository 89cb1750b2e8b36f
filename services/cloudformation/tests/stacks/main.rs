//! Stacks over fake resources, through the API.

mod bench;
mod change_sets;
mod crashes;
mod drift;
mod forms;
mod growth;
mod life;
mod nested;
mod random;
mod refusals;
mod updates;
mod waiting;
