//! The filters are run here, instruction by instruction, and compared with a literal reading of the
//! profile: each number with each capability, and each argument that matters.

use seccompiler::sock_filter;
use serde_json::Value;

use super::*;

const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
/// Numbers above the profile's, and the first of the x32 ones.
const NUMBERS_MAX: u32 = 520;
const X32: u32 = 0x4000_0000;

/// What the kernel does with a filter, as far as these programs go: the number is at 0, the
/// architecture at 4, the first argument at 16 and 20.
fn outcome(program: &[sock_filter], number: u32, argument: u64) -> u32 {
    const X86_64: u32 = 0xC000_003E;
    let (mut accumulator, mut at) = (0u32, 0usize);
    loop {
        let instruction = &program[at];
        let value = instruction.k;
        at += 1;
        let holds = match instruction.code {
            0x20 => {
                accumulator = match value {
                    0 => number,
                    4 => X86_64,
                    16 => argument as u32,
                    20 => (argument >> 32) as u32,
                    other => panic!("reads at {other}"),
                };
                continue;
            }
            0x54 => {
                accumulator &= value;
                continue;
            }
            0x05 => {
                at += value as usize;
                continue;
            }
            0x06 => return value,
            0x15 => accumulator == value,
            0x25 => accumulator > value,
            0x35 => accumulator >= value,
            other => panic!("unknown instruction {other:#x}"),
        };
        at += usize::from(if holds {
            instruction.jt
        } else {
            instruction.jf
        });
    }
}

/// Of several filters an error wins over being allowed, and of two errors that of the filter that
/// was installed last.
fn outcome_of_all(filters: &[BpfProgram], number: u32, argument: u64) -> u32 {
    let newest_first = filters.iter().rev();
    let mut outcomes = newest_first.map(|it| outcome(it, number, argument));
    outcomes.find(|it| *it != ALLOWED).unwrap_or(ALLOWED)
}

/// The profile, read a second time and plainly.
struct Reading {
    profile: Value,
    numbers: Value,
}

impl Reading {
    fn new() -> Self {
        Self {
            profile: serde_json::from_str(include_str!("docker.json")).unwrap(),
            numbers: serde_json::from_str(include_str!("x86_64.json")).unwrap(),
        }
    }

    fn name(&self, number: u32) -> Option<&str> {
        let numbers = self.numbers.as_object().unwrap();
        let found = numbers.iter().find(|(_, value)| **value == number);
        found.map(|(name, _)| name.as_str())
    }

    fn lists(list: &Value, name: &str) -> bool {
        list.as_array().unwrap().iter().any(|it| *it == name)
    }

    fn expected(&self, number: u32, argument: u64, capabilities: &[String]) -> u32 {
        let profile = &self.profile;
        // `removexattrat`.
        if number > 466 {
            return NO_SUCH_CALL;
        }
        let Some(name) = self.name(number) else {
            return REFUSED;
        };
        let with = |it: &String| {
            let list = profile["allowed_with"].get(it);
            list.is_some_and(|list| Self::lists(list, name))
        };
        if Self::lists(&profile["allowed"], name) || capabilities.iter().any(with) {
            return ALLOWED;
        }
        let fits = match name {
            "socket" => profile["socket"].as_array().unwrap().iter().any(|range| {
                let (first, last) = (range[0].as_u64().unwrap(), range[1].as_u64().unwrap());
                (first..=last).contains(&argument)
            }),
            "personality" => profile["personality"]
                .as_array()
                .unwrap()
                .iter()
                .any(|it| it.as_u64() == Some(argument)),
            "clone" => argument & profile["clone_refuses"].as_u64().unwrap() == 0,
            "clone3" => return NO_SUCH_CALL,
            _ => false,
        };
        if fits { ALLOWED } else { REFUSED }
    }
}

fn arguments(number: u32) -> Vec<u64> {
    let mut arguments: Vec<u64> = vec![0, u64::MAX];
    if [libc::SYS_socket, libc::SYS_personality, libc::SYS_clone].contains(&i64::from(number)) {
        arguments.extend(0..=64);
        arguments.extend((0..64).map(|bit| 1 << bit));
        arguments.extend([0x20008, 0x40000, 0xffff_ffff, 0x1_0000_0002, 0x1_0000_0028]);
        arguments.extend([libc::SIGCHLD as u64 | libc::CLONE_NEWUSER as u64]);
    }
    arguments
}

#[test]
fn the_filters_are_docker_s_profile() {
    let reading = Reading::new();
    let every: Vec<String> = Profile::docker().allowed_with.into_keys().collect();
    let mut sets: Vec<Vec<String>> = every.iter().map(|it| vec![it.clone()]).collect();
    sets.push(Vec::new());
    sets.push(every);
    sets.push(vec!["CAP_CHOWN".to_owned(), "CAP_SYS_CHROOT".to_owned()]);
    for capabilities in sets {
        let filters = filters(&capabilities).unwrap();
        for number in (0..NUMBERS_MAX).chain([X32, X32 + 41, u32::MAX]) {
            for argument in arguments(number) {
                assert_eq!(
                    outcome_of_all(&filters, number, argument),
                    reading.expected(number, argument, &capabilities),
                    "{:?} ({number}) with {argument:#x} and {capabilities:?}",
                    reading.name(number)
                );
            }
        }
    }
}

/// The data itself, where it would be noticed: said here in words, as Docker's documentation does.
#[test]
fn the_profile_refuses_what_docker_s_is_known_to_refuse() {
    let filters = filters(&["CAP_SYS_CHROOT".to_owned()]).unwrap();
    let refused = |number: libc::c_long, argument: u64| {
        let outcome = outcome_of_all(&filters, number as u32, argument);
        assert_eq!(outcome, REFUSED, "{number} with {argument:#x}");
    };
    refused(libc::SYS_socket, libc::AF_VSOCK as u64);
    refused(libc::SYS_socket, libc::AF_ALG as u64);
    refused(libc::SYS_personality, libc::ADDR_NO_RANDOMIZE as u64);
    refused(libc::SYS_personality, 0x0040_0000 | 0x8);
    for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET] {
        refused(libc::SYS_clone, flag as u64);
    }
    for number in [
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_open_by_handle_at,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_pivot_root,
        libc::SYS_settimeofday,
        libc::SYS_syslog,
        libc::SYS_sethostname,
    ] {
        refused(number, 0);
    }
    for number in [
        libc::SYS_ptrace,
        libc::SYS_chroot,
        libc::SYS_process_vm_readv,
    ] {
        assert_eq!(outcome_of_all(&filters, number as u32, 0), ALLOWED);
    }
}
