//! AWS CodeCommit.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::codecommit::MODEL)
}
