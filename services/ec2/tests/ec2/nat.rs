//! Elastic IP addresses and NAT gateways.

use engine::RouteTarget;
use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, text, until};

struct Ground {
    world: World,
    vpc: String,
    public: String,
    private: String,
    public_table: String,
    private_table: String,
    internet: String,
}

async fn ground() -> Ground {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let public = world.subnet(&vpc, "10.0.1.0/24").await;
    let private = world.subnet(&vpc, "10.0.2.0/24").await;
    let internet = world.gateway().await;
    let (public_table, private_table) = (world.table(&vpc).await, world.table(&vpc).await);
    for (table, subnet) in [(&public_table, &public), (&private_table, &private)] {
        world
            .ok::<AssociateRouteTableInput>(json!({"RouteTableId": table, "SubnetId": subnet}))
            .await;
    }
    Ground {
        world,
        vpc,
        public,
        private,
        public_table,
        private_table,
        internet,
    }
}

impl Ground {
    async fn open(&self) {
        let both = json!({"InternetGatewayId": self.internet, "VpcId": self.vpc});
        self.world.ok::<AttachInternetGatewayInput>(both).await;
        self.world
            .ok::<CreateRouteInput>(json!({"RouteTableId": self.public_table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": self.internet}))
            .await;
    }

    async fn allocate(&self) -> Json {
        self.world
            .ok::<AllocateAddressInput>(json!({"Domain": "vpc"}))
            .await
    }

    async fn nat(&self, subnet: &str) -> String {
        let address = self.allocate().await;
        let input = json!({"AllocationId": address["allocationId"], "SubnetId": subnet});
        let made = self.world.ok::<CreateNatGatewayInput>(input).await;
        text(&made["natGateway"]["natGatewayId"])
    }

    async fn described(&self, id: &str) -> Json {
        let input = json!({"NatGatewayIds": [id]});
        self.world.ok::<DescribeNatGatewaysInput>(input).await["natGatewaySet"][0].clone()
    }

    async fn becomes(&self, id: &str, state: &str) {
        for _ in 0..1000 {
            if self.described(id).await["state"] == state {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{}", self.described(id).await);
    }

    /// Where the private subnet's default route leads.
    fn way(&self) -> Option<RouteTarget> {
        let spec = self.world.in_engine(&self.vpc)?;
        let table = spec
            .route_tables
            .into_iter()
            .find(|it| it.id == self.private_table)?;
        table.routes.first().map(|it| it.target)
    }

    async fn route(&self, nat: &str) {
        self.world
            .ok::<CreateRouteInput>(json!({"RouteTableId": self.private_table, "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": nat}))
            .await;
    }
}

#[tokio::test]
async fn a_private_subnet_gets_out_through_a_gateway_in_a_public_one() {
    let ground = ground().await;
    ground.open().await;
    let nat = ground.nat(&ground.public).await;
    ground.becomes(&nat, "available").await;
    let shown = ground.described(&nat).await;
    let address = &shown["natGatewayAddressSet"][0];
    assert!(
        text(&address["publicIp"]).starts_with("198.51.100."),
        "{shown}"
    );
    assert!(
        text(&address["privateIp"]).starts_with("10.0.1."),
        "{shown}"
    );
    ground.route(&nat).await;
    until("it leads out", || {
        ground.way() == Some(RouteTarget::NatGateway)
    })
    .await;
    let tables = ground
        .world
        .ok::<DescribeRouteTablesInput>(
            json!({"Filters": [{"Name": "route.nat-gateway-id", "Values": [nat]}]}),
        )
        .await;
    let route = &tables["routeTableSet"][0]["routeSet"][1];
    assert_eq!(
        (&route["natGatewayId"], &route["state"]),
        (&json!(nat), &json!("active")),
        "{tables}"
    );

    // Its interface is its own, and so is its address.
    let eni = json!({"NetworkInterfaceId": address["networkInterfaceId"]});
    let (code, _) = ground
        .world
        .ask::<DeleteNetworkInterfaceInput>(eni)
        .await
        .unwrap_err();
    assert_eq!(code, "InvalidParameterValue");
    let release = json!({"AllocationId": address["allocationId"]});
    let (code, _) = ground
        .world
        .ask::<ReleaseAddressInput>(release.clone())
        .await
        .unwrap_err();
    assert_eq!(code, "InvalidIPAddress.InUse");

    // The public subnet loses its own way, and everybody behind it does.
    let gone = json!({"RouteTableId": ground.public_table, "DestinationCidrBlock": "0.0.0.0/0"});
    ground.world.ok::<DeleteRouteInput>(gone).await;
    until("it leads nowhere", || {
        ground.way() == Some(RouteTarget::Blackhole)
    })
    .await;

    ground
        .world
        .ok::<DeleteNatGatewayInput>(json!({"NatGatewayId": nat}))
        .await;
    // It is gone when the network knows, and not because somebody asked for it.
    assert_eq!(ground.described(&nat).await["state"], "deleting");
    ground.becomes(&nat, "deleted").await;
    ground.world.ok::<ReleaseAddressInput>(release).await;
    let tables = ground
        .world
        .ok::<DescribeRouteTablesInput>(json!({"RouteTableIds": [ground.private_table]}))
        .await;
    assert_eq!(
        tables["routeTableSet"][0]["routeSet"][1]["state"], "blackhole",
        "{tables}"
    );
}

#[tokio::test]
async fn a_gateway_in_a_private_subnet_leads_nowhere() {
    let ground = ground().await;
    ground.open().await;
    let nat = ground.nat(&ground.private).await;
    ground.becomes(&nat, "available").await;
    ground.route(&nat).await;
    until("it leads nowhere", || {
        ground.way() == Some(RouteTarget::Blackhole)
    })
    .await;
}

#[tokio::test]
async fn a_network_without_internet_gateway_has_no_use_for_one() {
    let ground = ground().await;
    let nat = ground.nat(&ground.public).await;
    let shown = ground.described(&nat).await;
    assert_eq!(shown["state"], "failed", "{shown}");
    let message = format!("Network {} has no Internet gateway attached", ground.vpc);
    assert_eq!(shown["failureMessage"], json!(message));
}

#[tokio::test]
async fn an_address_comes_goes_and_belongs_to_one_interface() {
    let ground = ground().await;
    let world = &ground.world;
    let address = ground.allocate().await;
    let id = text(&address["allocationId"]);
    let interface = |made: Json| text(&made["networkInterface"]["networkInterfaceId"]);
    let subnet = json!({"SubnetId": ground.public});
    let one = interface(
        world
            .ok::<CreateNetworkInterfaceInput>(subnet.clone())
            .await,
    );
    let both = json!({"AllocationId": id, "NetworkInterfaceId": one});
    let made = world.ok::<AssociateAddressInput>(both.clone()).await;
    assert_eq!(world.ok::<AssociateAddressInput>(both).await, made);
    let shown = world
        .ok::<DescribeAddressesInput>(json!({"AllocationIds": [id]}))
        .await;
    assert_eq!(
        shown["addressesSet"][0]["networkInterfaceId"],
        json!(one),
        "{shown}"
    );
    let shown = world
        .ok::<DescribeNetworkInterfacesInput>(json!({"NetworkInterfaceIds": [one]}))
        .await;
    assert_eq!(
        shown["networkInterfaceSet"][0]["association"]["publicIp"],
        address["publicIp"]
    );
    // Another takes its place, and it stays allocated.
    let other = ground.allocate().await;
    let other_id = text(&other["allocationId"]);
    let both = json!({"AllocationId": other_id, "NetworkInterfaceId": one});
    let mut kept = both.clone();
    kept["AllowReassociation"] = json!(false);
    let (code, _) = world.ask::<AssociateAddressInput>(kept).await.unwrap_err();
    assert_eq!(code, "Resource.AlreadyAssociated");
    world.ok::<AssociateAddressInput>(both).await;
    world
        .ok::<ReleaseAddressInput>(json!({"AllocationId": id}))
        .await;
    // It is let go with its interface.
    world
        .ok::<DeleteNetworkInterfaceInput>(json!({"NetworkInterfaceId": one}))
        .await;
    let two = interface(world.ok::<CreateNetworkInterfaceInput>(subnet).await);
    for _ in 0..1000 {
        let shown = world
            .ok::<DescribeAddressesInput>(json!({"AllocationIds": [other_id]}))
            .await;
        if shown["addressesSet"][0]["associationId"].is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let both =
        json!({"AllocationId": other_id, "NetworkInterfaceId": two, "AllowReassociation": false});
    let made = world.ok::<AssociateAddressInput>(both).await;
    let (id, address) = (other_id, other);
    let gone = json!({"AssociationId": made["associationId"]});
    world.ok::<DisassociateAddressInput>(gone).await;
    world
        .ok::<ReleaseAddressInput>(json!({"PublicIp": address["publicIp"]}))
        .await;
    let (code, _) = world
        .ask::<DescribeAddressesInput>(json!({"AllocationIds": [id]}))
        .await
        .unwrap_err();
    assert_eq!(code, "InvalidAllocationID.NotFound");
}
