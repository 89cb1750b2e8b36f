//! The doctor sees what there is.

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::harness::*;
use crate::batch::{Batch, HookPoint, Policy};
use crate::nftables::Tables;
use crate::{Severity, doctor};

#[test]
fn the_doctor_finds_another_firewall_and_nothing_else() {
    on_a_machine(|_lab| async {
        let findings = doctor();
        let broken = |severity| findings.iter().any(|finding| finding.severity == severity);
        assert!(!broken(Severity::Broken), "{findings:#?}");
        assert!(!broken(Severity::Warning), "{findings:#?}");

        let mut batch = Batch::new("strict");
        batch.make_table();
        let hook = HookPoint {
            hook: InetHookNumber::Forward,
            priority: 0,
            kind: "filter",
            policy: Policy::Drop,
        };
        batch.make_chain("no-way", Some(hook));
        Tables::open().unwrap().commit(batch).unwrap();
        let warnings: Vec<_> = doctor()
            .into_iter()
            .filter(|finding| finding.severity == Severity::Warning)
            .collect();
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0]
                .message
                .contains("`no-way` of the table `strict`")
        );
        assert!(warnings[0].fix.as_ref().unwrap().contains("-i ng+"));

        let mut batch = Batch::new("strict");
        batch.remove_table();
        Tables::open().unwrap().commit(batch).unwrap();
    });
}

#[test]
fn the_doctor_says_that_a_machine_without_root_can_have_no_network() {
    std::thread::spawn(|| {
        // A thread of its own, because it gives its capabilities up for good.
        drop_capabilities();
        let findings = doctor();
        assert_eq!(findings[0].severity, Severity::Broken, "{findings:#?}");
        assert!(findings[0].fix.as_ref().unwrap().contains("run as root"));
    })
    .join()
    .unwrap();
}

#[allow(unsafe_code)]
fn drop_capabilities() {
    // SAFETY: the raw call changes the ids of this thread alone, unlike the library's, which
    // changes every thread's; the numbers are valid ids.
    let changed = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
    assert_eq!(changed, 0);
}
