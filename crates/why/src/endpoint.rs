//! A network's endpoints: other ways to AWS's services than out of it.

use serde::{Deserialize, Serialize};

use crate::facts::GroupFacts;
use crate::report::Place;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointFacts {
    /// As `ecr.api`.
    pub service: String,
    /// It stands in route tables, and has no interface.
    pub is_gateway: bool,
    /// Of a gateway: the route tables that it stands in, where all are known.
    pub tables: Option<Vec<String>>,
    /// Of an interface: its security groups, where all are known.
    pub groups: Option<Vec<GroupFacts>>,
    /// The service's usual name leads to it.
    pub has_private_names: bool,
    #[serde(skip)]
    pub place: Option<Place>,
}
