//! AWS CodePipeline.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::codepipeline::MODEL)
}
