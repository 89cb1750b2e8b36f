//! Availability zones: three in every region, all of them this machine.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use shapes::ec2::{
    AvailabilityZone, AvailabilityZoneOptInStatus, AvailabilityZoneState,
    DescribeAvailabilityZonesInput, DescribeAvailabilityZonesOutput,
};

use crate::errors::InvalidParameterValue;
use crate::filters::{Filtered, select};

const LETTERS: [char; 3] = ['a', 'b', 'c'];

/// A zone's name.
pub fn names(region: &str) -> Vec<String> {
    LETTERS
        .iter()
        .map(|letter| format!("{region}{letter}"))
        .collect()
}

/// `us-east-1a` is `use1-az1`: the parts of the region's name by their first letters.
pub fn id(zone: &str) -> String {
    let (region, letter) = zone.split_at(zone.len().saturating_sub(1));
    let number = LETTERS
        .iter()
        .position(|it| letter.starts_with(*it))
        .unwrap_or(0)
        + 1;
    let mut parts = region.split('-');
    let mut short: String = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        short.push_str(match part {
            "northeast" => "ne",
            "southeast" => "se",
            "northwest" => "nw",
            "southwest" => "sw",
            part => &part[..part.len().min(1)],
        });
    }
    format!("{short}-az{number}")
}

struct Zone {
    name: String,
    region: String,
    none: BTreeMap<String, String>,
}

impl Filtered for Zone {
    const FILTERS: &'static [&'static str] = &[
        "zone-name",
        "zone-id",
        "region-name",
        "group-name",
        "state",
        "opt-in-status",
        "zone-type",
    ];
    fn unique(&self) -> &str {
        &self.name
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "zone-name" => self.name.clone(),
            "zone-id" => id(&self.name),
            "region-name" | "group-name" => self.region.clone(),
            "state" => "available".into(),
            "opt-in-status" => "opt-in-not-required".into(),
            "zone-type" => "availability-zone".into(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &BTreeMap<String, String> {
        &self.none
    }
}

pub async fn describe_availability_zones(
    cx: Cx,
    input: DescribeAvailabilityZonesInput,
) -> Result<DescribeAvailabilityZonesOutput, Error> {
    let known = names(&cx.region);
    if let Some(unknown) = input
        .zone_names
        .iter()
        .flatten()
        .find(|it| !known.contains(it))
    {
        return Err(
            InvalidParameterValue.because(format!("Invalid availability zone: [{unknown}]"))
        );
    }
    let wanted = |name: &str| {
        input
            .zone_names
            .as_ref()
            .is_none_or(|it| it.iter().any(|it| it == name))
            && input
                .zone_ids
                .as_ref()
                .is_none_or(|it| it.contains(&id(name)))
    };
    let zones = known
        .into_iter()
        .filter(|name| wanted(name))
        .map(|name| Zone {
            name,
            region: cx.region.clone(),
            none: BTreeMap::new(),
        });
    let zones = select(&cx, zones.collect(), input.filters.as_ref())?
        .into_iter()
        .map(|zone| AvailabilityZone {
            opt_in_status: Some(AvailabilityZoneOptInStatus::OptInNotRequired),
            region_name: Some(zone.region.clone()),
            group_name: Some(zone.region.clone()),
            network_border_group: Some(zone.region),
            zone_id: Some(id(&zone.name)),
            zone_name: Some(zone.name),
            zone_type: Some("availability-zone".into()),
            state: Some(AvailabilityZoneState::Available),
            ..Default::default()
        })
        .collect();
    Ok(DescribeAvailabilityZonesOutput {
        availability_zones: Some(zones),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn zone_ids_are_awss() {
        assert_eq!(super::id("us-east-1a"), "use1-az1");
        assert_eq!(super::id("eu-west-2c"), "euw2-az3");
        assert_eq!(super::id("ap-northeast-1b"), "apne1-az2");
    }
}
