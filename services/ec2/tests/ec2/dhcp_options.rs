//! Sets of DHCP options: recorded, and told to the machine.

use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, text, until};

fn set(options: &[(&str, &[&str])]) -> Json {
    let options = options
        .iter()
        .map(|(key, values)| json!({"Key": key, "Values": values}));
    json!({"DhcpConfigurations": options.collect::<Vec<_>>()})
}

async fn make(world: &World, options: &[(&str, &[&str])]) -> String {
    let made = world.ok::<CreateDhcpOptionsInput>(set(options)).await;
    text(&made["dhcpOptions"]["dhcpOptionsId"])
}

async fn of_vpc(world: &World, vpc: &str) -> String {
    let found = world
        .ok::<DescribeVpcsInput>(json!({"VpcIds": [vpc]}))
        .await;
    text(&found["vpcSet"][0]["dhcpOptionsId"])
}

#[tokio::test]
async fn what_interfaces_are_told_follows_the_set_of_their_vpc() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16").await;
    let own = of_vpc(&world, &vpc).await;
    let found = (world.ok::<DescribeDhcpOptionsInput>(json!({"DhcpOptionsIds": [own]}))).await;
    let options = found["dhcpOptionsSet"][0]["dhcpConfigurationSet"].clone();
    assert_eq!(
        options,
        json!([
            {"key": "domain-name", "valueSet": [{"value": "ec2.internal"}]},
            {"key": "domain-name-servers", "valueSet": [{"value": "AmazonProvidedDNS"}]},
        ])
    );
    let amazon = ("domain-name-servers", &["AmazonProvidedDNS"][..]);
    let other = make(
        &world,
        &[("domain-name", &["example.com shop.example"]), amazon],
    )
    .await;
    let nameless = make(&world, &[("domain-name", &["example.com"])]).await;
    let search = || {
        world
            .in_engine(&vpc)
            .map(|it| it.resolver.map(|it| it.search))
    };
    for (id, expected) in [
        (&*other, Some(vec!["example.com", "shop.example"])),
        (&*nameless, None),
        (&*own, Some(vec!["ec2.internal"])),
        ("default", None),
    ] {
        let both = json!({"DhcpOptionsId": id, "VpcId": vpc});
        world.ok::<AssociateDhcpOptionsInput>(both).await;
        assert_eq!(of_vpc(&world, &vpc).await, id);
        let expected = expected.map(|it| it.into_iter().map(str::to_owned).collect());
        until("interfaces are told so", || {
            search() == Some(expected.clone())
        })
        .await;
    }
}

#[tokio::test]
async fn a_set_that_is_in_use_stays() {
    let world = World::unmoving();
    let vpc = world.vpc("10.0.0.0/16").await;
    let own = of_vpc(&world, &vpc).await;
    let id = make(&world, &[("ntp-servers", &["169.254.169.123"])]).await;
    let both = json!({"DhcpOptionsId": id, "VpcId": vpc});
    world.ok::<AssociateDhcpOptionsInput>(both).await;
    let used = format!("The dhcpOptions '{id}' has dependencies and cannot be deleted.");
    let input = json!({"DhcpOptionsId": id});
    (world.refused::<DeleteDhcpOptionsInput>(input.clone(), "DependencyViolation", &used)).await;
    let both = json!({"DhcpOptionsId": own, "VpcId": vpc});
    world.ok::<AssociateDhcpOptionsInput>(both).await;
    world.ok::<DeleteDhcpOptionsInput>(input.clone()).await;
    let gone = format!("The dhcpOption ID '{id}' does not exist");
    (world.refused::<DeleteDhcpOptionsInput>(input, "InvalidDhcpOptionID.NotFound", &gone)).await;
    // The region's own is in use by what has none of its own.
    let used = format!("The dhcpOptions '{own}' has dependencies and cannot be deleted.");
    let input = json!({"DhcpOptionsId": own});
    (world.refused::<DeleteDhcpOptionsInput>(input.clone(), "DependencyViolation", &used)).await;
    // It stays also where nothing uses it.
    let none = json!({"DhcpOptionsId": "default", "VpcId": vpc});
    world.ok::<AssociateDhcpOptionsInput>(none).await;
    let stays = "deleting a region's own set of DHCP options is not supported by neargate";
    (world.refused::<DeleteDhcpOptionsInput>(input, "UnsupportedOperation", stays)).await;
}

#[tokio::test]
async fn what_nobody_here_would_heed_is_refused() {
    let world = World::unmoving();
    type Options = &'static [(&'static str, &'static [&'static str])];
    let cases: [(Options, &str, &str); 4] = [
        (
            &[("domain-name-servers", &["10.0.0.2"])],
            "UnsupportedOperation",
            "a name server other than AmazonProvidedDNS in DHCP options is not supported by neargate",
        ),
        (
            &[("domain-name", &["a/b"])],
            "InvalidParameterValue",
            "Value (a/b) for parameter domain-name is invalid. Invalid DHCP option value.",
        ),
        (
            &[("colour", &["red"])],
            "InvalidParameterValue",
            "Value (colour) for parameter key is invalid. Unknown DHCP option.",
        ),
        (
            &[],
            "MissingParameter",
            "The request must contain the parameter DhcpConfigurations",
        ),
    ];
    for (options, code, message) in cases {
        (world.refused::<CreateDhcpOptionsInput>(set(options), code, message)).await;
    }
}
