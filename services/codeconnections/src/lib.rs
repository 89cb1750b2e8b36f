//! AWS CodeConnections, and CodeStar Connections, as it was called before.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::codeconnections::MODEL)
}

pub fn codestar_service() -> Service {
    Service::new(&shapes::codestar_connections::MODEL)
}
