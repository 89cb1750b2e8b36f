//! Large networks are still one step, and an interface in them still a small one.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::harness::*;
use crate::firewall::Firewall;
use crate::namespaces;
use crate::records::InterfaceRecord;

#[test]
fn thousands_of_interfaces_are_one_batch() {
    const INTERFACES: u32 = 5000;
    const GROUPS: u32 = 200;
    let name = |number: u32| format!("group-{}", number % GROUPS);
    let groups = (0..GROUPS).map(|number| {
        let ingress = (1..20).map(|port| tcp(port, &name(number + u32::from(port))));
        group(&name(number), ingress.collect(), everything())
    });
    let vpc = vpc("v", groups.collect());
    let record = |number: u32| {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 1, 0)) + number);
        let groups = [&*name(number), &*name(number * 7)];
        InterfaceRecord {
            number: 0,
            spec: interface("v", &format!("i-{number}"), &address.to_string(), &groups),
            index: 1000 + number,
        }
    };
    let records: Vec<InterfaceRecord> = (0..INTERFACES).map(record).collect();
    namespaces::apart(|| {
        let mut firewall = Firewall::open()?;
        for what in ["made", "made again"] {
            let start = Instant::now();
            firewall.converge(&vpc, records.iter())?;
            println!("{INTERFACES} interfaces: {what} in {:?}", start.elapsed());
        }
        let start = Instant::now();
        let one_more = record(INTERFACES);
        firewall.put_interface(&vpc, None, &one_more)?;
        println!("one more: {:?}", start.elapsed());
        assert_eq!(firewall.mark_of(&one_more)?, Some(0));
        firewall.remove_interface(&one_more)?;
        assert_eq!(firewall.mark_of(&one_more)?, None);
        assert_eq!(firewall.mark_of(&records[4321])?, Some(0));
        Ok(())
    })
    .unwrap();
}
