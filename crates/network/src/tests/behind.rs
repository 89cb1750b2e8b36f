//! Networks behind an interface, as Docker's default network is on a machine of its own.

use engine::{
    Fault, InterfaceSpec, Network, PublishedPort, PublishedProtocol, RouteTarget, VpcSpec,
};

use super::harness::*;

/// A network with a machine of its own in it, `node`, and somebody beside, `other`.
async fn with_a_node(lab: &Lab) {
    let groups = vec![
        group("open", everything(), everything()),
        group("web", vec![tcp(32768, "10.0.0.0/16")], everything()),
    ];
    lab.machine.apply_vpc(vpc("v", groups)).await.unwrap();
    let node = interface("v", "node", "10.0.1.10", &["web"]);
    lab.machine.attach(node).await.unwrap();
    let other = interface("v", "other", "10.0.2.10", &["open"]);
    lab.machine.attach(other).await.unwrap();
}

fn bridge() -> VpcSpec {
    VpcSpec::bridge("node-bridge", "172.17.0.0/16".parse().unwrap(), "node")
}

fn container(id: &str, address: [u8; 4], ports: &[(u16, u16)]) -> InterfaceSpec {
    let [_, _, c, d] = address;
    let published = ports.iter().map(|(host_port, port)| PublishedPort {
        protocol: PublishedProtocol::Tcp,
        host_port: *host_port,
        port: *port,
    });
    InterfaceSpec {
        id: id.into(),
        vpc: "node-bridge".into(),
        subnet: "node-bridge".into(),
        address: address.into(),
        mac: [2, 0x42, 172, 17, c, d],
        groups: vec!["node-bridge".into()],
        public: false,
        names: vec![],
        aliases: Default::default(),
        namespace: None,
        published: published.collect(),
    }
}

async fn seen(lab: &Lab, from: &str, to: &str) -> std::io::Result<String> {
    lab.inside(from, || ask(to)).await
}

#[test]
fn what_is_published_is_reached_at_the_interface_and_what_goes_out_is_its() {
    on_a_machine(|lab| async move {
        with_a_node(&lab).await;
        lab.machine.apply_vpc(bridge()).await.unwrap();
        let web = container("web", [172, 17, 0, 2], &[(32768, 80), (32769, 80)]);
        lab.machine.attach(web).await.unwrap();
        let api = container("api", [172, 17, 0, 3], &[(32770, 80)]);
        lab.machine.attach(api).await.unwrap();
        lab.serve("web", 80).await;
        lab.serve("api", 80).await;
        lab.serve("node", 9000).await;
        lab.serve("other", 9000).await;
        let mut lab = lab;
        for _ in 0..2 {
            // The container sees who asks, and the node's groups say who may.
            let asked = seen(&lab, "other", "10.0.1.10:32768").await.unwrap();
            assert_eq!(asked, "10.0.2.10");
            lab.expect_silence("other", "10.0.1.10:32769").await;
            lab.expect_silence("other", "172.17.0.2:80").await;
            // The node itself, by each of its addresses, and the container's own.
            for to in [
                "10.0.1.10:32769",
                "127.0.0.1:32769",
                "172.17.0.1:32769",
                "172.17.0.2:80",
            ] {
                seen(&lab, "node", to).await.expect(to);
            }
            // Containers: their neighbours, the node, and each other by the node's ports.
            assert_eq!(
                seen(&lab, "web", "172.17.0.3:80").await.unwrap(),
                "172.17.0.2"
            );
            for to in [
                "172.17.0.1:9000",
                "10.0.1.10:9000",
                "10.0.1.10:32770",
                "10.0.1.10:32768",
            ] {
                seen(&lab, "web", to).await.expect(to);
            }
            // Outside, they are the node.
            assert_eq!(
                seen(&lab, "web", "10.0.2.10:9000").await.unwrap(),
                "10.0.1.10"
            );
            lab = lab.reopen();
        }

        let taken = container("more", [172, 17, 0, 4], &[(32770, 80)]);
        let refused = lab.machine.attach(taken).await.unwrap_err();
        assert_eq!(refused.fault, Fault::Conflict);
        assert!(
            refused.message.contains("port is already allocated"),
            "{refused}"
        );
        lab.machine.detach("web").await.unwrap();
        assert!(
            lab.connect("other", "10.0.1.10:32768").await.is_err(),
            "what is published goes with its interface"
        );
    });
}

#[test]
fn it_leads_out_as_its_interface_does_and_goes_with_it() {
    on_a_machine(|lab| async move {
        with_a_node(&lab).await;
        lab.machine.apply_vpc(bridge()).await.unwrap();
        let web = container("web", [172, 17, 0, 2], &[]);
        lab.machine.attach(web).await.unwrap();
        assert!(!lab.machine.has_way_out("web").await.unwrap());
        let groups = vec![
            group("open", everything(), everything()),
            group("web", vec![], everything()),
        ];
        let open = with_default_route(vpc("v", groups), RouteTarget::NatGateway);
        lab.machine.apply_vpc(open).await.unwrap();
        assert!(lab.machine.has_way_out("web").await.unwrap());

        // It is no network of the machine's: another may have its range there.
        let ranges = lab.machine.ranges().await.unwrap();
        let mut own = ranges.iter().filter_map(|it| it.network.as_deref());
        assert!(own.all(|it| it == "v"));
        let second = VpcSpec::bridge("second", "172.18.0.0/16".parse().unwrap(), "node");
        let refused = lab.machine.apply_vpc(second).await.unwrap_err();
        assert_eq!(refused.fault, Fault::Conflict);
        let mut published = interface("v", "more", "10.0.1.11", &["open"]);
        published.published = container("x", [172, 17, 0, 9], &[(80, 80)]).published;
        let refused = lab.machine.attach(published).await.unwrap_err();
        assert_eq!(refused.fault, Fault::Invalid);

        lab.machine.detach("node").await.unwrap();
        let (vpcs, interfaces) = lab.machine.list().await.unwrap();
        assert_eq!((vpcs, interfaces), (vec!["v".into()], vec!["other".into()]));
        let again = lab.machine.apply_vpc(bridge()).await.unwrap_err();
        assert_eq!(again.fault, Fault::NotFound);
    });
}
