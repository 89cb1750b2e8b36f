//! Launch templates: what instances are to be like, in numbered versions (EC2 User Guide, "Store instance
//! launch parameters in Amazon EC2 launch templates").
//!
//! A version is never changed. What launches by a template says which version: a number, `$Latest`, `$Default`
//! or none, which is the default; [`fill`] puts what that version holds into a launch. What an instance cannot be here
//! is refused by name when a version is made, and not when it is launched: a version's data is made of the
//! members that launching takes.

mod change;
mod data;
mod describe;
mod permission;
mod record;
mod version;

pub use change::{create_launch_template, delete_launch_template, modify_launch_template};
pub use data::{fill, filled};
pub use describe::{describe_launch_template_versions, describe_launch_templates};
pub use permission::{on_changed_template, on_template, touched_template};
pub use record::TemplateRecord;
pub use version::{create_launch_template_version, delete_launch_template_versions};
