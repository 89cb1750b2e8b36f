//! Made, found again, changed and removed.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::{Fault, Network, RouteTarget};

use super::harness::*;
use crate::links::Links;

fn groups() -> Vec<engine::GroupSpec> {
    vec![
        group("client", vec![], everything()),
        group("server", vec![tcp(80, "client")], everything()),
    ]
}

async fn client_and_server(lab: &Lab) {
    for (id, address) in [("client", "10.0.1.10"), ("server", "10.0.2.10")] {
        let interface = interface("v", id, address, &[id]);
        lab.machine.attach(interface).await.unwrap();
    }
}

#[test]
fn a_new_daemon_finds_everything() {
    on_a_machine(|lab| async move {
        let spec = with_default_route(vpc("v", groups()), RouteTarget::NatGateway);
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        client_and_server(&lab).await;
        lab.serve("server", 80).await;
        let before = lab.machine.list().await.unwrap();

        let lab = lab.reopen();
        assert_eq!(lab.machine.list().await.unwrap(), before);
        assert_eq!(before.1, ["client", "server"]);
        lab.expect_open("client", "10.0.2.10:80").await;
        lab.expect_silence("server", "10.0.1.10:80").await;
        assert!(lab.machine.has_way_out("client").await.unwrap());
        // Asked again for the same, nothing is made anew: the server still listens.
        lab.machine.apply_vpc(spec).await.unwrap();
        client_and_server(&lab).await;
        lab.expect_open("client", "10.0.2.10:80").await;
        let third = interface("v", "third", "10.0.1.12", &["client"]);
        lab.machine.attach(third).await.unwrap();
        lab.expect_open("third", "10.0.2.10:80").await;
    });
}

/// Names of abstract sockets are whoever's comes first, and no permission guards them.
#[test]
fn nobody_can_take_the_machine_s_lock_by_its_name() {
    on_a_machine(|lab| async move {
        let name = std::os::unix::net::SocketAddr::from_abstract_name("neargate-uplinks").unwrap();
        let _squatter = std::os::unix::net::UnixListener::bind_addr(&name).unwrap();
        let spec = with_default_route(vpc("v", groups()), RouteTarget::NatGateway);
        let began = Instant::now();
        lab.machine.apply_vpc(spec).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5));
        let lock = std::fs::metadata("/run/neargate-uplinks.lock").unwrap();
        assert_eq!((lock.mode() & 0o077, lock.uid()), (0, 0));
        let sockets = std::fs::read_to_string("/proc/thread-self/net/unix").unwrap();
        let abstract_ones = sockets.lines().filter(|line| line.contains(" @neargate"));
        assert_eq!(abstract_ones.count(), 1, "the squatter's alone: {sockets}");
    });
}

#[test]
fn nothing_is_lost_while_rules_change_and_daemons_come_and_go() {
    on_a_machine(|lab| async move {
        let spec = with_default_route(vpc("v", groups()), RouteTarget::NatGateway);
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        client_and_server(&lab).await;
        lab.serve("server", 80).await;
        let stop = Arc::new(AtomicBool::new(false));
        let client = lab.namespace("client").await;
        let asking = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let ask_until_told = || {
                    let mut answers = 0;
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(ask("10.0.2.10:80")?, "10.0.1.10");
                        answers += 1;
                    }
                    Ok(answers)
                };
                crate::namespaces::enter(&client, ask_until_told)
            }
        });
        let mut lab = lab;
        for round in 0..30u8 {
            let mut changed = spec.clone();
            changed.groups[1]
                .ingress
                .push(tcp(8000 + u16::from(round), "client"));
            if round % 3 == 0 {
                changed.route_tables[0].routes.clear();
            }
            lab.machine.apply_vpc(changed).await.unwrap();
            let guest = format!("10.0.1.{}", 100 + round);
            let guest = interface("v", "guest", &guest, &["client", "server"]);
            lab.machine.attach(guest).await.unwrap();
            if round % 5 == 0 {
                lab = lab.reopen();
            }
            lab.machine.detach("guest").await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let answers: usize = asking.join().unwrap().expect("a request was lost");
        assert!(answers > 30, "only {answers} requests");
    });
}

#[test]
fn rules_that_were_lost_are_made_whole_by_the_next_daemon() {
    on_a_machine(|lab| async move {
        lab.machine.apply_vpc(vpc("v", groups())).await.unwrap();
        client_and_server(&lab).await;
        lab.serve("server", 80).await;
        let namespace = std::fs::File::open(lab.file("vpc", "v")).unwrap();
        crate::namespaces::enter(&namespace, || {
            let mut batch = crate::batch::Batch::new(crate::ruleset::TABLE);
            batch.remove_table();
            Ok(crate::nftables::Tables::open()?.commit(batch)?)
        })
        .unwrap();
        let lab = lab.reopen();
        lab.expect_open("client", "10.0.2.10:80").await;
        lab.expect_silence("server", "10.0.1.10:80").await;
    });
}

#[test]
fn what_is_half_made_or_from_before_a_reboot_is_cleared() {
    on_a_machine(|lab| async move {
        lab.machine.apply_vpc(vpc("v", groups())).await.unwrap();
        client_and_server(&lab).await;
        // A pin without a record, a record without a pin, and an interface whose network is gone.
        std::fs::remove_file(lab.file("netns", "client.json")).unwrap();
        nix::mount::umount(&lab.file("netns", "server")).unwrap();
        std::fs::write(lab.file("vpc", "w"), "").unwrap();
        std::fs::write(lab.file("vpc", "w.json"), "{").unwrap();
        let lab = lab.reopen();
        let (vpcs, interfaces) = lab.machine.list().await.unwrap();
        assert_eq!((vpcs, interfaces), (vec!["v".into()], vec![]));
        assert!(!lab.file("netns", "client").exists());
        client_and_server(&lab).await;
        lab.serve("server", 80).await;
        lab.expect_open("client", "10.0.2.10:80").await;
    });
}

#[test]
fn removing_twice_is_fine_and_what_is_gone_is_not_found() {
    on_a_machine(|lab| async move {
        let machine = &lab.machine;
        machine.apply_vpc(vpc("v", groups())).await.unwrap();
        client_and_server(&lab).await;
        let path = machine.namespace("client").await.unwrap();
        machine.detach("client").await.unwrap();
        machine.detach("client").await.unwrap();
        assert!(!path.exists());
        let missing = machine.namespace("client").await.unwrap_err();
        assert_eq!(missing.fault, Fault::NotFound);
        // Its address is free again.
        let heir = interface("v", "heir", "10.0.1.10", &["client"]);
        machine.attach(heir).await.unwrap();
        machine.remove_vpc("v").await.unwrap();
        machine.remove_vpc("v").await.unwrap();
        assert_eq!(machine.list().await.unwrap(), (vec![], vec![]));
        let missing = machine.has_way_out("server").await.unwrap_err();
        assert_eq!(missing.fault, Fault::NotFound);
    });
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    on_a_machine(|lab| async move {
        let machine = &lab.machine;
        let client = interface("v", "client", "10.0.1.10", &["client"]);
        let refused = |fault, what: &'static str| {
            move |result: engine::Result<()>| {
                let error = result.expect_err(what);
                assert_eq!(error.fault, fault, "{error}");
                assert!(error.message.contains(what), "{error}");
            }
        };
        refused(Fault::NotFound, "network `v`")(machine.attach(client.clone()).await);
        machine.apply_vpc(vpc("v", groups())).await.unwrap();
        machine.attach(client.clone()).await.unwrap();

        let mut other = client.clone();
        other.id = "../escape".into();
        refused(Fault::Invalid, "`../escape`")(machine.attach(other.clone()).await);
        other.id = "other".into();
        refused(Fault::Conflict, "`10.0.1.10`")(machine.attach(other.clone()).await);
        other.address = "10.0.3.10".parse().unwrap();
        refused(Fault::Invalid, "`10.0.3.10`")(machine.attach(other.clone()).await);
        other.address = "10.0.1.11".parse().unwrap();
        other.groups = vec!["nobody".into()];
        refused(Fault::NotFound, "`nobody`")(machine.attach(other.clone()).await);
        other.id = "client".into();
        other.address = "10.0.2.11".parse().unwrap();
        other.groups = vec!["client".into()];
        refused(Fault::Invalid, "`10.0.2.11`")(machine.attach(other.clone()).await);
        other.subnet = "b".into();
        refused(Fault::Conflict, "`client`")(machine.attach(other).await);

        let mut lost = vpc("v", groups());
        lost.groups.remove(0);
        refused(Fault::Conflict, "group `client`")(machine.apply_vpc(lost).await);
        let mut dangling = vpc("v", groups());
        dangling.subnets[0].route_table = "none".into();
        refused(Fault::NotFound, "`none`")(machine.apply_vpc(dangling).await);
    });
}

#[test]
fn a_hundred_interfaces_come_and_go() {
    on_a_machine(|lab| async move {
        const COUNT: usize = 100;
        lab.machine.apply_vpc(vpc("v", groups())).await.unwrap();
        let namespace = std::fs::File::open(lab.file("vpc", "v")).unwrap();
        let links = || {
            crate::namespaces::enter(&namespace, || Ok(Links::open()?.all_links()?.len())).unwrap()
        };
        let links_before = links();
        let mut attached = Vec::new();
        for number in 0..COUNT {
            let address = format!("10.0.1.{}", number + 10);
            let group = if number % 2 == 0 { "client" } else { "server" };
            let interface = interface("v", &format!("i-{number}"), &address, &[group]);
            let start = Instant::now();
            lab.machine.attach(interface).await.unwrap();
            attached.push(start.elapsed());
        }
        assert_eq!(links(), links_before + COUNT);
        lab.serve("i-99", 80).await;
        lab.expect_open("i-0", "10.0.1.109:80").await;
        lab.expect_silence("i-1", "10.0.1.109:80").await;
        let mut detached = Vec::new();
        for number in 0..COUNT {
            let start = Instant::now();
            lab.machine.detach(&format!("i-{number}")).await.unwrap();
            detached.push(start.elapsed());
        }
        // The test's own server keeps its namespace; the kernel removes the others when it can.
        let give_up = Instant::now() + Duration::from_secs(10);
        while links() > links_before + 1 {
            assert!(Instant::now() < give_up, "links are left");
            std::thread::sleep(Duration::from_millis(5));
        }
        println!(
            "{COUNT} interfaces: attach p50 {:?} p99 {:?}; detach p50 {:?} p99 {:?}",
            at(&mut attached, 50),
            at(&mut attached, 99),
            at(&mut detached, 50),
            at(&mut detached, 99),
        );
    });
}

fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() - 1) * percent / 100]
}
