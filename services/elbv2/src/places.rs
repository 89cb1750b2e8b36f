//! The subnets that a load balancer is in.

use cloud::{Cx, Error};
use shapes::ec2::DescribeSubnetsInput;
use shapes::elbv2::errors::{InvalidConfigurationRequestException, SubnetNotFoundException};
use shapes::elbv2::{
    AvailabilityZone, IpAddressType, SetIpAddressTypeInput, SetIpAddressTypeOutput,
    SetSubnetsInput, SetSubnetsOutput, SubnetMapping,
};

use crate::balancer::unsupported;
use crate::record::{self, SubnetPlace};

pub fn subnet_ids(places: &[SubnetPlace]) -> Vec<String> {
    places.iter().map(|it| it.subnet.clone()).collect()
}

pub fn shown_zones(places: &[SubnetPlace]) -> Vec<AvailabilityZone> {
    let zone = |it: &SubnetPlace| AvailabilityZone {
        zone_name: Some(it.zone.clone()),
        subnet_id: Some(it.subnet.clone()),
        load_balancer_addresses: Some(vec![]),
        ..Default::default()
    };
    places.iter().map(zone).collect()
}

/// The ids that a request names, in one of the two ways.
pub fn subnets_asked_for(
    subnets: Option<&Vec<String>>,
    mappings: Option<&Vec<SubnetMapping>>,
) -> Result<Vec<String>, Error> {
    let invalid = |text: &str| Err(wire::codes::ValidationError.because(text));
    let subnets = subnets.cloned().unwrap_or_default();
    let mappings = mappings.map(Vec::as_slice).unwrap_or_default();
    match (subnets.is_empty(), mappings.is_empty()) {
        (true, true) => invalid("You must specify at least one subnet"),
        (false, false) => {
            invalid("You must specify either subnets or subnet mappings, but not both")
        }
        (false, true) => Ok(subnets),
        (true, false) => {
            let ids = mappings.iter().map(|it| it.subnet_id.clone());
            let ids = ids.collect::<Option<_>>();
            ids.map_or_else(|| invalid("A subnet mapping needs a subnet ID"), Ok)
        }
    }
}

/// The VPC and the zones of the subnets: at least two zones, as AWS asks.
pub async fn places(cx: &Cx, ids: Vec<String>) -> Result<(String, Vec<SubnetPlace>), Error> {
    let request = DescribeSubnetsInput {
        subnet_ids: Some(ids),
        ..Default::default()
    };
    let found = cx
        .call(request)
        .await
        .map_err(|error| SubnetNotFoundException.because(error.message))?;
    let mut places: Vec<SubnetPlace> = Vec::new();
    let mut vpcs: Vec<String> = Vec::new();
    for subnet in found.subnets.unwrap_or_default() {
        vpcs.extend(subnet.vpc_id);
        let zone = subnet.availability_zone.unwrap_or_default();
        if places.iter().any(|it| it.zone == zone) {
            return Err(InvalidConfigurationRequestException
                .because("A load balancer cannot be attached to multiple subnets in the same Availability Zone"));
        }
        places.push(SubnetPlace {
            subnet: subnet.subnet_id.unwrap_or_default(),
            zone,
            interface: None,
        });
    }
    vpcs.dedup();
    let [vpc] = &vpcs[..] else {
        return Err(
            InvalidConfigurationRequestException.because("All subnets must belong to the same VPC")
        );
    };
    if places.len() < 2 {
        return Err(wire::codes::ValidationError.because(
            "At least two subnets in two different Availability Zones must be specified",
        ));
    }
    Ok((vpc.clone(), places))
}

/// The balancer goes on where it was until it has its new interfaces, in the reconciler.
pub async fn set_subnets(cx: Cx, input: SetSubnetsInput) -> Result<SetSubnetsOutput, Error> {
    check_address_type(input.ip_address_type)?;
    let known = cx.read(|tx| record::balancer(&cx, tx, &input.load_balancer_arn))?;
    let asked = subnets_asked_for(input.subnets.as_ref(), input.subnet_mappings.as_ref())?;
    let (vpc, wanted) = places(&cx, asked).await?;
    if vpc != known.vpc {
        return Err(InvalidConfigurationRequestException.because(format!(
            "The subnets must belong to the VPC '{}' of the load balancer",
            known.vpc
        )));
    }
    cx.write(|tx| {
        let mut balancer = record::balancer(&cx, tx, &input.load_balancer_arn)?;
        let mut before = std::mem::take(&mut balancer.subnets);
        before.append(&mut balancer.leaving);
        for mut place in wanted.clone() {
            if let Some(at) = before.iter().position(|it| it.subnet == place.subnet) {
                place = before.swap_remove(at);
            }
            balancer.subnets.push(place);
        }
        balancer.leaving = before;
        balancer.provisioned = false;
        tx.put(&balancer)?;
        record::touch(tx)?;
        Ok(SetSubnetsOutput {
            availability_zones: Some(shown_zones(&balancer.subnets)),
            ip_address_type: Some(IpAddressType::Ipv4),
            ..Default::default()
        })
    })
}

pub async fn set_ip_address_type(
    cx: Cx,
    input: SetIpAddressTypeInput,
) -> Result<SetIpAddressTypeOutput, Error> {
    cx.read(|tx| record::balancer(&cx, tx, &input.load_balancer_arn))?;
    check_address_type(Some(input.ip_address_type))?;
    Ok(SetIpAddressTypeOutput {
        ip_address_type: Some(IpAddressType::Ipv4),
    })
}

pub fn check_address_type(asked: Option<IpAddressType>) -> Result<(), Error> {
    match asked {
        None | Some(IpAddressType::Ipv4) => Ok(()),
        Some(_) => Err(unsupported("IPv6")),
    }
}
