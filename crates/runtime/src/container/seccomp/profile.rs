//! Docker's default profile, as data.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// `docker.json`. What it says of itself (`source`, `revision`, `read_on`) is for people.
#[derive(Deserialize)]
pub(super) struct Profile {
    allowed: Vec<String>,
    /// Allowed with a capability, named as in `CAP_CHOWN`.
    pub allowed_with: BTreeMap<String, Vec<String>>,
    /// Ranges of address families that `socket` may be called with, both ends included, ascending.
    pub socket: Vec<(u64, u64)>,
    /// What `personality` may be called with.
    pub personality: Vec<u64>,
    /// Flags of which `clone` may be called with none, where it is not allowed altogether.
    pub clone_refuses: u64,
    #[serde(skip)]
    numbers: HashMap<String, u32>,
}

impl Profile {
    pub fn docker() -> Self {
        let profile = serde_json::from_str(include_str!("docker.json"));
        let mut profile: Self = profile.expect("the committed profile is well-formed");
        let numbers = serde_json::from_str(include_str!("x86_64.json"));
        profile.numbers = numbers.expect("the committed table is well-formed");
        profile
    }

    /// Numbers of the system calls that are allowed whatever their arguments.
    pub fn allowed(&self, capabilities: &[String]) -> impl Iterator<Item = u32> {
        let with = capabilities
            .iter()
            .filter_map(|it| self.allowed_with.get(it))
            .flatten();
        self.allowed
            .iter()
            .chain(with)
            .map(|name| self.number(name))
    }

    /// The highest number that the profile names.
    pub fn newest(&self) -> u32 {
        let with = self.allowed_with.values().flatten();
        let names = self.allowed.iter().chain(with);
        let numbers = names.map(|name| self.number(name));
        numbers.max().unwrap_or_default()
    }

    fn number(&self, name: &str) -> u32 {
        self.numbers[name]
    }
}
