//! Repositories.

use cloud::Cx;

/// The registry of the caller's region.
pub fn registry_host(cx: &Cx) -> String {
    format!("{}.dkr.ecr.{}.amazonaws.com", cx.account(), cx.region)
}
