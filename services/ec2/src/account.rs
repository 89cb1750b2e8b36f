//! What EC2 says of the account: the regions it may use, and its attributes.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use shapes::ec2::{
    AccountAttribute, AccountAttributeValue, DescribeAccountAttributesInput,
    DescribeAccountAttributesOutput, DescribeRegionsInput, DescribeRegionsOutput,
};

use crate::default_vpc;
use crate::errors::InvalidParameterValue;
use crate::filters::{Filtered, select};

/// Every region works, on this machine; these are the ones that AWS enables in every account.
const REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Regions that an account has to ask for on AWS; `DescribeRegions` shows them when it is asked for them.
const OPT_IN_REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
];

struct Region {
    name: &'static str,
    none: BTreeMap<String, String>,
}

impl Region {
    fn opt_in(&self) -> &'static str {
        match OPT_IN_REGIONS.contains(&self.name) {
            true => "not-opted-in",
            false => "opt-in-not-required",
        }
    }

    fn endpoint(&self) -> String {
        format!("ec2.{}.amazonaws.com", self.name)
    }
}

impl Filtered for Region {
    const FILTERS: &'static [&'static str] = &["region-name", "endpoint", "opt-in-status"];
    fn unique(&self) -> &str {
        self.name
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "region-name" => self.name.to_owned(),
            "endpoint" => self.endpoint(),
            "opt-in-status" => self.opt_in().to_owned(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &BTreeMap<String, String> {
        &self.none
    }
}

pub async fn describe_regions(
    cx: Cx,
    input: DescribeRegionsInput,
) -> Result<DescribeRegionsOutput, Error> {
    let asked = input.region_names.as_deref();
    let unknown = asked
        .into_iter()
        .flatten()
        .find(|it| !REGIONS.contains(&it.as_str()) && !OPT_IN_REGIONS.contains(&it.as_str()));
    if let Some(unknown) = unknown {
        return Err(InvalidParameterValue.because(format!("Invalid region names: [{unknown}]")));
    }
    let all = input.all_regions == Some(true);
    let regions = REGIONS
        .iter()
        .chain(OPT_IN_REGIONS)
        .filter(|name| match asked {
            Some(asked) => asked.iter().any(|it| it == *name),
            None => all || REGIONS.contains(name),
        })
        .map(|name| Region {
            name,
            none: BTreeMap::new(),
        });
    let regions = select(&cx, regions.collect(), input.filters.as_ref())?
        .into_iter()
        .map(|it| shapes::ec2::Region {
            endpoint: Some(it.endpoint()),
            region_name: Some(it.name.to_owned()),
            opt_in_status: Some(it.opt_in().to_owned()),
            ..Default::default()
        });
    Ok(DescribeRegionsOutput {
        regions: Some(regions.collect()),
    })
}

/// An account of today: VPCs only.
pub async fn describe_account_attributes(
    cx: Cx,
    input: DescribeAccountAttributesInput,
) -> Result<DescribeAccountAttributesOutput, Error> {
    default_vpc::ensure(&cx)?;
    let default_vpc = cx.read(|tx| default_vpc::find(&cx, tx))?;
    let default_vpc = default_vpc.map_or_else(|| "none".to_owned(), |it| it.id);
    let known = [
        ("supported-platforms", "VPC"),
        ("vpc-max-security-groups-per-interface", "5"),
        ("max-elastic-ips", "5"),
        ("max-instances", "0"),
        ("vpc-max-elastic-ips", "5"),
        ("default-vpc", default_vpc.as_str()),
    ];
    let asked = |name: &str| {
        let asked = input.attribute_names.as_ref();
        asked.is_none_or(|it| it.iter().any(|it| it.as_str() == name))
    };
    let attributes = known
        .into_iter()
        .filter(|(name, _)| asked(name))
        .map(|(name, value)| AccountAttribute {
            attribute_name: Some(name.to_owned()),
            attribute_values: Some(vec![AccountAttributeValue {
                attribute_value: Some(value.to_owned()),
            }]),
        });
    Ok(DescribeAccountAttributesOutput {
        account_attributes: Some(attributes.collect()),
    })
}
