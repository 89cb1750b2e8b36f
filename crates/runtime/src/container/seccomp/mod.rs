//! Which system calls a container may make: those of Docker's default profile, no more and no fewer.
//!
//! `docker.json` says what that profile says, and the filters are computed from it, so that what is
//! allowed can be read (and compared with the next edition of the profile) in one place. A call that
//! the profile does not name is refused.
//!
//! Two filters work together. The first, a few instructions, answers "no such system call" to
//! everything newer than the newest call of the profile, as `runc` does (and to the x32 numbers,
//! which would otherwise be a way around the second), so that programs fall back to what they did
//! before. The second answers "not permitted" to what the profile does not allow. It lists what is
//! refused and not what is allowed, because that is the shorter program: the kernel runs it for
//! every number once when it is installed.
//!
//! One thing is stricter than in Docker: programs of 32 bits are killed, where Docker applies the
//! profile to their system calls.

mod profile;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::error::{Context, Result};
use profile::Profile;

/// The filters for a container with these capabilities (`CAP_CHOWN`), to be installed in this order.
pub(crate) fn filters(capabilities: &[String]) -> Result<Vec<BpfProgram>> {
    let profile = Profile::docker();
    let filter = SeccompFilter::new(
        refused(&profile, capabilities)?,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        TargetArch::x86_64,
    );
    let program = filter.and_then(BpfProgram::try_from);
    let program = program.context(|| "could not compile the seccomp filter".to_owned())?;
    Ok(vec![known_only(&profile, capabilities), program])
}

/// What is refused, by number: always, or with arguments that match one of the rules.
fn refused(profile: &Profile, capabilities: &[String]) -> Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let allowed: BTreeSet<u32> = profile.allowed(capabilities).collect();
    let numbers = 0..=profile.newest();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = numbers
        .filter(|number| !allowed.contains(number))
        .map(|number| (i64::from(number), Vec::new()))
        .collect();
    // Of two errors the kernel gives that of the filter installed last, and this one has another.
    rules.remove(&libc::SYS_clone3);
    let by_arguments = [
        (libc::SYS_socket, sockets(&profile.socket)),
        (libc::SYS_personality, personalities(&profile.personality)),
    ];
    for (number, wanted) in by_arguments {
        rules.insert(number, rules_of(wanted)?);
    }
    if !allowed.contains(&(libc::SYS_clone as u32)) {
        rules.insert(libc::SYS_clone, rules_of(clones(profile.clone_refuses))?);
    }
    Ok(rules)
}

/// A comparison with the first argument, all 64 bits of it, as the profile's are.
type Comparison = (SeccompCmpOp, u64);

/// Rules of which one must match, each of comparisons that must all hold.
fn rules_of(rules: Vec<Vec<Comparison>>) -> Result<Vec<SeccompRule>> {
    let condition = |(operator, value): Comparison| {
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, operator, value)
    };
    let rule = |comparisons: Vec<Comparison>| {
        let conditions: std::result::Result<_, _> =
            comparisons.into_iter().map(condition).collect();
        conditions.and_then(SeccompRule::new)
    };
    let rules: std::result::Result<_, _> = rules.into_iter().map(rule).collect();
    rules.context(|| "could not make the seccomp rules".to_owned())
}

/// The gaps between the ranges of address families that are allowed, and what is above the last.
/// Among them are AF_VSOCK, which reaches the machine's hypervisor and its guests, and AF_ALG.
fn sockets(allowed: &[(u64, u64)]) -> Vec<Vec<Comparison>> {
    let mut rules = Vec::new();
    let mut next = 0;
    for (first, last) in allowed {
        if *first > next {
            rules.push(vec![(SeccompCmpOp::Ge, next), (SeccompCmpOp::Lt, *first)]);
        }
        next = last + 1;
    }
    rules.push(vec![(SeccompCmpOp::Ge, next)]);
    rules
}

/// All but the values that are allowed.
fn personalities(allowed: &[u64]) -> Vec<Vec<Comparison>> {
    vec![allowed.iter().map(|it| (SeccompCmpOp::Ne, *it)).collect()]
}

/// `clone` with any of the flags: a new user namespace, above all, gives powers over parts of the
/// kernel that a container otherwise never meets. (A new time namespace takes `clone3`.)
fn clones(flags: u64) -> Vec<Vec<Comparison>> {
    let single = (0..u64::BITS).map(|bit| 1u64 << bit);
    single
        .filter(|flag| flags & flag != 0)
        .map(|flag| vec![(SeccompCmpOp::MaskedEq(flag), flag)])
        .collect()
}

/// "No such system call" above the newest of the profile, and for `clone3` unless it is allowed: its
/// flags are in memory, where no filter can look, and every C library falls back to `clone`.
fn known_only(profile: &Profile, capabilities: &[String]) -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_GREATER: u16 = 0x25;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let clone3 = libc::SYS_clone3 as u32;
    let may_clone3 = profile.allowed(capabilities).any(|it| it == clone3);
    let refused = if may_clone3 { u32::MAX } else { clone3 };
    vec![
        instruction(LOAD_NUMBER, 0, 0, 0),
        instruction(JUMP_IF_GREATER, 2, 0, profile.newest()),
        instruction(JUMP_IF_EQUAL, 1, 0, refused),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}
