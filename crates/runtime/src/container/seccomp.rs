//! Which system calls a container may make: all that are known, but for those that reach beyond a
//! container, unless a capability says otherwise.
//!
//! Two filters work together. The first, a few instructions, answers "no such system call" to
//! everything newer than this list (and to the x32 numbers, which would otherwise be a way around
//! the second), so that programs fall back to what they did before. The second answers "not
//! permitted" to the list below.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::error::{Context, Result};

/// The newest system call that was looked at: `file_setattr`, Linux 6.17.
const SYSCALL_MAX: u32 = 469;

/// Linux 5.17 to 6.x, not named by the C library yet.
const SYS_SET_MEMPOLICY_HOME_NODE: c_long = 450;
const SYS_OPEN_TREE_ATTR: c_long = 467;

/// Refused to every container: the kernel's own controls, other processes' memory placement, keys
/// (which are not namespaced), and interfaces with a long record of holes.
const ALWAYS: &[c_long] = &[
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS__sysctl,
    libc::SYS_nfsservctl,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
];

/// Refused unless the container has the capability.
const BY_CAPABILITY: &[(&str, &[c_long])] = &[
    (
        "CAP_SYS_ADMIN",
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            SYS_OPEN_TREE_ATTR,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_pivot_root,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_lookup_dcookie,
            libc::SYS_fanotify_init,
        ],
    ),
    ("CAP_SYS_BOOT", &[libc::SYS_reboot]),
    (
        "CAP_SYS_MODULE",
        &[
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
        ],
    ),
    ("CAP_SYS_PACCT", &[libc::SYS_acct]),
    (
        "CAP_SYS_PTRACE",
        &[
            libc::SYS_kcmp,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
        ],
    ),
    ("CAP_SYS_RAWIO", &[libc::SYS_iopl, libc::SYS_ioperm]),
    (
        "CAP_SYS_TIME",
        &[
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_clock_adjtime,
        ],
    ),
    ("CAP_SYS_TTY_CONFIG", &[libc::SYS_vhangup]),
    (
        "CAP_SYS_NICE",
        &[
            libc::SYS_get_mempolicy,
            libc::SYS_set_mempolicy,
            libc::SYS_mbind,
            SYS_SET_MEMPOLICY_HOME_NODE,
        ],
    ),
    ("CAP_SYSLOG", &[libc::SYS_syslog]),
    ("CAP_DAC_READ_SEARCH", &[libc::SYS_open_by_handle_at]),
    ("CAP_BPF", &[libc::SYS_bpf]),
    ("CAP_PERFMON", &[libc::SYS_perf_event_open]),
];

/// What `clone` may not make anew: a new user namespace, above all, gives powers over parts of the
/// kernel that a container otherwise never meets. (A new time namespace takes `clone3`.)
const NAMESPACE_FLAGS: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The filters for a container with these capabilities, to be installed in this order.
pub(crate) fn filters(capabilities: &[String]) -> Result<Vec<BpfProgram>> {
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALWAYS.iter().map(|number| (*number, Vec::new())).collect();
    for (capability, numbers) in BY_CAPABILITY {
        // CAP_SYS_ADMIN is the older name of what was split off as these two.
        let older = matches!(*capability, "CAP_BPF" | "CAP_PERFMON" | "CAP_SYSLOG");
        let allowed = has(capability) || (older && has("CAP_SYS_ADMIN"));
        if !allowed {
            rules.extend(numbers.iter().map(|number| (*number, Vec::new())));
        }
    }
    let administrator = has("CAP_SYS_ADMIN");
    if !administrator {
        rules.insert(libc::SYS_clone, namespace_rules()?);
    }
    let denied = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        TargetArch::x86_64,
    );
    let denied = denied.and_then(BpfProgram::try_from);
    let denied = denied.context(|| "could not compile the seccomp filter".to_owned())?;
    Ok(vec![known_only(!administrator), denied])
}

/// `clone` with any of the flags: conditions within a rule must all hold, so each has its own.
fn namespace_rules() -> Result<Vec<SeccompRule>> {
    NAMESPACE_FLAGS
        .iter()
        .map(|flag| {
            let flag = u64::from(*flag as u32);
            let condition = SeccompCondition::new(
                0,
                SeccompCmpArgLen::Qword,
                SeccompCmpOp::MaskedEq(flag),
                flag,
            );
            condition.and_then(|condition| SeccompRule::new(vec![condition]))
        })
        .collect::<std::result::Result<_, _>>()
        .context(|| "could not make the seccomp rules".to_owned())
}

/// "No such system call" above the newest known one, and for `clone3` if asked: its flags are in
/// memory, where no filter can look, and every C library falls back to `clone`.
fn known_only(without_clone3: bool) -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_GREATER: u16 = 0x25;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let clone3 = if without_clone3 {
        libc::SYS_clone3 as u32
    } else {
        u32::MAX
    };
    vec![
        instruction(LOAD_NUMBER, 0, 0, 0),
        instruction(JUMP_IF_GREATER, 2, 0, SYSCALL_MAX),
        instruction(JUMP_IF_EQUAL, 1, 0, clone3),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_open_what_they_are_for() {
        let instructions = |capabilities: &[&str]| {
            let owned: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
            let filters = filters(&owned).unwrap();
            assert_eq!(filters.len(), 2);
            filters[1].len()
        };
        assert!(instructions(&[]) > instructions(&["CAP_SYS_TIME"]));
        assert!(instructions(&["CAP_SYS_TIME"]) > instructions(&["CAP_SYS_ADMIN"]));
    }
}
