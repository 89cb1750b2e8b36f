//! Which of root's powers a container has.

use crate::error::{Context, Failure, Result};

/// What Docker and every runtime after it leave to a container.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// All that Linux knows, by number.
const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Names in the form `CAP_CHOWN`. `may_give` are those that this process has itself, by number (the
/// machine may be a guest with fewer than all); `may_make_devices` is whether the kernel keeps the container from
/// the devices it could make files for; where it does not, it may make none.
pub(crate) fn capabilities(
    add: &[String],
    drop: &[String],
    privileged: bool,
    may_give: u64,
    may_make_devices: bool,
) -> Result<Vec<String>> {
    let given = |name: &str| {
        let number = ALL.iter().position(|known| *known == name);
        number.is_some_and(|number| may_give & (1 << number) != 0)
    };
    let all: Vec<&str> = ALL.into_iter().filter(|name| given(name)).collect();
    let mut names: Vec<&str> = if privileged {
        all.clone()
    } else {
        DEFAULT.into_iter().filter(|name| given(name)).collect()
    };
    if !privileged && !may_make_devices {
        names.retain(|name| *name != "MKNOD");
    }
    for text in drop {
        match known(text)? {
            None => names.clear(),
            Some(dropped) => names.retain(|name| *name != dropped),
        }
    }
    for text in add {
        match known(text)? {
            None => names.clone_from(&all),
            Some("MKNOD") if !may_make_devices => {
                return Err(Failure(
                    "the capability `MKNOD` needs a host with cgroup v1 device control".to_owned(),
                ));
            }
            Some(added) if !given(added) => {
                return Err(Failure(format!(
                    "this machine does not have the capability `{added}` to give"
                )));
            }
            Some(added) if names.contains(&added) => {}
            Some(added) => names.push(added),
        }
    }
    Ok(names.iter().map(|name| format!("CAP_{name}")).collect())
}

/// What this process may pass on, by number.
pub(crate) fn own_capabilities() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status");
    let status = status.context(|| "could not read `/proc/self/status`".to_owned())?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    u64::from_str_radix(line.unwrap_or_default().trim(), 16)
        .context(|| "could not understand `/proc/self/status`".to_owned())
}

/// The name as the kernel has it; None for `ALL`.
fn known(text: &str) -> Result<Option<&'static str>> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name == "ALL" {
        return Ok(None);
    }
    let found = ALL.iter().find(|candidate| **candidate == name);
    found
        .map(|name| Some(*name))
        .ok_or_else(|| Failure(format!("`{text}` is not a capability")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(add: &[&str], drop: &[&str]) -> Vec<String> {
        let owned = |list: &[&str]| {
            list.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        capabilities(&owned(add), &owned(drop), false, u64::MAX, true).unwrap()
    }

    #[test]
    fn additions_and_removals_apply_to_the_default_set() {
        assert_eq!(names(&[], &[]).len(), DEFAULT.len());
        assert_eq!(names(&["net_admin"], &["ALL"]), ["CAP_NET_ADMIN"]);
        assert!(!names(&[], &["CAP_NET_RAW"]).contains(&"CAP_NET_RAW".to_owned()));
        assert!(capabilities(&["FLY".into()], &[], false, u64::MAX, true).is_err());
    }

    #[test]
    fn what_the_machine_lacks_is_not_given() {
        let without_admin = !(1 << 21);
        let all = capabilities(&["ALL".into()], &[], false, without_admin, true).unwrap();
        assert_eq!(all.len(), ALL.len() - 1);
        let admin = ["SYS_ADMIN".to_owned()];
        assert!(capabilities(&admin, &[], false, without_admin, true).is_err());
        assert!(capabilities(&admin, &[], false, u64::MAX, true).is_ok());
    }

    #[test]
    fn no_devices_are_made_where_nothing_guards_them() {
        let without = capabilities(&[], &[], false, u64::MAX, false).unwrap();
        assert!(!without.contains(&"CAP_MKNOD".to_owned()));
        assert!(capabilities(&["MKNOD".into()], &[], false, u64::MAX, false).is_err());
    }
}
