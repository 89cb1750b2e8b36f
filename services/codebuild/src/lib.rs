//! AWS CodeBuild.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::codebuild::MODEL)
}
