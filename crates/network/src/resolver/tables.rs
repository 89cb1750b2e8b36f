//! What a network's names are. A table says what it knows; the first that knows a name is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use engine::ResolverSpec;
use ipnet::Ipv4Net;

/// What a table knows of a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Addresses(Vec<Ipv4Addr>),
    /// The name would be this table's, and does not exist.
    Nothing,
    /// It is not this table's to say.
    Unknown,
}

/// One source of names. Names are in lower case and end without a dot.
pub(crate) trait Table {
    fn addresses_of(&self, name: &str) -> Found;
    fn name_of(&self, address: Ipv4Addr) -> Option<String>;
}

/// All names of one network. Another source of names is another [`Table`] here.
pub(crate) struct Names {
    /// Whether anybody else may be asked.
    pub leads_out: bool,
    ranges: Vec<Ipv4Net>,
    interfaces: InterfaceNames,
    addresses: Option<AddressNames>,
    /// What those who ask call others, by their address.
    aliases: BTreeMap<Ipv4Addr, BTreeMap<String, String>>,
}

impl Names {
    pub fn new(spec: &ResolverSpec, ranges: Vec<Ipv4Net>, leads_out: bool) -> Self {
        let addresses = spec.address_domain.as_ref().map(|domain| AddressNames {
            domain: domain.to_ascii_lowercase(),
            ranges: ranges.clone(),
        });
        Self {
            leads_out,
            ranges,
            interfaces: InterfaceNames {
                domain: spec
                    .interface_domain
                    .as_deref()
                    .map(str::to_ascii_lowercase),
                ..InterfaceNames::default()
            },
            addresses,
            aliases: BTreeMap::new(),
        }
    }

    /// Whoever asks from this address calls others so.
    pub fn put_aliases(&mut self, from: Ipv4Addr, aliases: &BTreeMap<String, String>) {
        let lower = aliases.iter().map(|(alias, name)| {
            let lower = str::to_ascii_lowercase;
            (lower(alias), lower(name))
        });
        match aliases.is_empty() {
            true => drop(self.aliases.remove(&from)),
            false => drop(self.aliases.insert(from, lower.collect())),
        }
    }

    /// What somebody has a name of his own for.
    pub fn alias(&self, from: Ipv4Addr, name: &str) -> Option<&str> {
        self.aliases.get(&from)?.get(name).map(String::as_str)
    }

    /// What has this address is called so, and no longer what it was called.
    pub fn put(&mut self, address: Ipv4Addr, names: &[String]) {
        self.interfaces.put(address, names);
    }

    fn tables(&self) -> impl Iterator<Item = &dyn Table> {
        let addresses = self.addresses.as_ref().map(|it| it as &dyn Table);
        std::iter::once(&self.interfaces as &dyn Table).chain(addresses)
    }

    pub fn addresses_of(&self, name: &str) -> Found {
        let mut found = self.tables().map(|it| it.addresses_of(name));
        found
            .find(|it| *it != Found::Unknown)
            .unwrap_or(Found::Unknown)
    }

    /// Of an address of the network; others' names are others' to say.
    pub fn name_of(&self, address: Ipv4Addr) -> Option<String> {
        self.tables().find_map(|it| it.name_of(address))
    }

    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.ranges.iter().any(|it| it.contains(&address))
    }
}

/// What interfaces are called, each by names of its own that others may share.
#[derive(Default)]
struct InterfaceNames {
    /// The names are known below this domain as well.
    domain: Option<String>,
    addresses: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    names: BTreeMap<Ipv4Addr, Vec<String>>,
}

impl InterfaceNames {
    fn put(&mut self, address: Ipv4Addr, names: &[String]) {
        for name in self.names.remove(&address).unwrap_or_default() {
            if let Some(others) = self.addresses.get_mut(&name) {
                others.remove(&address);
                if others.is_empty() {
                    self.addresses.remove(&name);
                }
            }
        }
        if names.is_empty() {
            return;
        }
        let names: Vec<String> = names.iter().map(|it| it.to_ascii_lowercase()).collect();
        for name in &names {
            let addresses = self.addresses.entry(name.clone()).or_default();
            addresses.insert(address);
        }
        self.names.insert(address, names);
    }
}

impl Table for InterfaceNames {
    fn addresses_of(&self, name: &str) -> Found {
        let domain = self.domain.as_deref();
        let short = domain.and_then(|it| name.strip_suffix(it)?.strip_suffix('.'));
        let found = self
            .addresses
            .get(name)
            .or_else(|| self.addresses.get(short?));
        match found {
            Some(addresses) => Found::Addresses(addresses.iter().copied().collect()),
            None => Found::Unknown,
        }
    }

    fn name_of(&self, address: Ipv4Addr) -> Option<String> {
        let name = self.names.get(&address)?.first()?;
        Some(match &self.domain {
            Some(domain) => format!("{name}.{domain}"),
            None => name.clone(),
        })
    }
}

/// Every address of the network has a name that says it: `ip-10-0-1-23.DOMAIN`, whoever has it, and if
/// nobody does.
struct AddressNames {
    domain: String,
    ranges: Vec<Ipv4Net>,
}

impl AddressNames {
    fn has(&self, address: Ipv4Addr) -> bool {
        self.ranges.iter().any(|it| it.contains(&address))
    }
}

impl Table for AddressNames {
    fn addresses_of(&self, name: &str) -> Found {
        let Some(label) = name.strip_suffix(&self.domain) else {
            return Found::Unknown;
        };
        let Some(label) = label.strip_suffix('.') else {
            return if label.is_empty() {
                Found::Nothing
            } else {
                Found::Unknown
            };
        };
        let address = label.strip_prefix("ip-").map(|it| it.replace('-', "."));
        let address = address.and_then(|it| it.parse::<Ipv4Addr>().ok());
        match address.filter(|it| self.has(*it)) {
            Some(address) => Found::Addresses(vec![address]),
            None => Found::Nothing,
        }
    }

    fn name_of(&self, address: Ipv4Addr) -> Option<String> {
        let [a, b, c, d] = address.octets();
        self.has(address)
            .then(|| format!("ip-{a}-{b}-{c}-{d}.{}", self.domain))
    }
}
