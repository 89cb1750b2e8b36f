//! Options of a network's driver: those that say what is so anyway are taken, those that change nothing that
//! a program sees are warned about, and all others of the driver are refused by name.

use std::collections::BTreeMap;

use crate::answer::Refusal;

const DRIVER: &str = "com.docker.network.";

/// What is so.
const AS_IT_IS: &[(&str, &str)] = &[
    ("com.docker.network.bridge.enable_icc", "true"),
    ("com.docker.network.bridge.enable_ip_masquerade", "true"),
    ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
    ("com.docker.network.bridge.default_bridge", "false"),
    ("com.docker.network.bridge.gateway_mode_ipv4", "nat"),
    ("com.docker.network.bridge.inhibit_ipv4", "false"),
    ("com.docker.network.driver.mtu", "1500"),
];

/// How links are called, and how much they carry at once.
const HARMLESS: &[&str] = &[
    "com.docker.network.bridge.name",
    "com.docker.network.container_iface_prefix",
    "com.docker.network.driver.mtu",
];

/// What is to be said of options that are not acted on.
pub fn check(options: &BTreeMap<String, String>) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    for (name, value) in options {
        let lower = value.to_ascii_lowercase();
        if AS_IT_IS.contains(&(name.as_str(), lower.as_str())) {
            continue;
        }
        if name.starts_with(DRIVER) && !HARMLESS.contains(&name.as_str()) {
            return Err(Refusal::not_built(format!(
                "the option `{name}` ({value}) of a network's driver"
            )));
        }
        warnings.push(format!(
            "the option {name} is not supported by neargate: it has no effect"
        ));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_something_is_refused_by_name() {
        let check =
            |name: &str, value: &str| check(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        let icc = "com.docker.network.bridge.enable_icc";
        assert_eq!(check(icc, "true").unwrap(), Vec::<String>::new());
        assert!(check(icc, "false").unwrap_err().message.contains(icc));
        let name = "com.docker.network.bridge.name";
        assert!(check(name, "br0").unwrap()[0].contains(name));
        assert_eq!(check("foo", "bar").unwrap().len(), 1);
    }
}
