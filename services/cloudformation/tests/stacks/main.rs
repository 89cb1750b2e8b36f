//! Stacks over fake resources, through the API.

mod bench;
mod change_sets;
mod crashes;
mod life;
mod nested;
mod random;
mod refusals;
mod updates;
