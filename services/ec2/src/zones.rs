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

/// `us-east-1-zg-1`, which all zones of a region are of.
fn group(region: &str) -> String {
    format!("{region}-zg-1")
}

/// The places that regions are named after (AWS General Reference, "Regions and Zones").
const PLACES: &[(&str, &str)] = &[
    ("af-south-1", "Africa (Cape Town)"),
    ("ap-east-1", "Asia Pacific (Hong Kong)"),
    ("ap-east-2", "Asia Pacific (Taipei)"),
    ("ap-northeast-1", "Asia Pacific (Tokyo)"),
    ("ap-northeast-2", "Asia Pacific (Seoul)"),
    ("ap-northeast-3", "Asia Pacific (Osaka)"),
    ("ap-south-1", "Asia Pacific (Mumbai)"),
    ("ap-south-2", "Asia Pacific (Hyderabad)"),
    ("ap-southeast-1", "Asia Pacific (Singapore)"),
    ("ap-southeast-2", "Asia Pacific (Sydney)"),
    ("ap-southeast-3", "Asia Pacific (Jakarta)"),
    ("ap-southeast-4", "Asia Pacific (Melbourne)"),
    ("ap-southeast-5", "Asia Pacific (Malaysia)"),
    ("ap-southeast-6", "Asia Pacific (New Zealand)"),
    ("ap-southeast-7", "Asia Pacific (Thailand)"),
    ("ca-central-1", "Canada (Central)"),
    ("ca-west-1", "Canada West (Calgary)"),
    ("eu-central-1", "Europe (Frankfurt)"),
    ("eu-central-2", "Europe (Zurich)"),
    ("eu-north-1", "Europe (Stockholm)"),
    ("eu-south-1", "Europe (Milan)"),
    ("eu-south-2", "Europe (Spain)"),
    ("eu-west-1", "Europe (Ireland)"),
    ("eu-west-2", "Europe (London)"),
    ("eu-west-3", "Europe (Paris)"),
    ("il-central-1", "Israel (Tel Aviv)"),
    ("me-central-1", "Middle East (UAE)"),
    ("me-south-1", "Middle East (Bahrain)"),
    ("mx-central-1", "Mexico (Central)"),
    ("sa-east-1", "South America (Sao Paulo)"),
    ("us-east-1", "US East (N. Virginia)"),
    ("us-east-2", "US East (Ohio)"),
    ("us-west-1", "US West (N. California)"),
    ("us-west-2", "US West (Oregon)"),
];

fn long_group(region: &str) -> String {
    let found = PLACES.iter().find(|(name, _)| *name == region);
    format!("{} 1", found.map_or(region, |(_, place)| place))
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
        "group-long-name",
        "group-name",
        "message",
        "parent-zone-id",
        "parent-zone-name",
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
            "region-name" => self.region.clone(),
            "group-name" => group(&self.region),
            "group-long-name" => long_group(&self.region),
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
            group_name: Some(group(&zone.region)),
            group_long_name: Some(long_group(&zone.region)),
            messages: Some(Vec::new()),
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
