//! Load balancers.

use cloud::{Cx, Error, Record, Records};
use shapes::ec2::DescribeSecurityGroupsInput;
use shapes::elbv2::errors::{
    DuplicateLoadBalancerNameException, InvalidConfigurationRequestException,
    InvalidSecurityGroupException, LoadBalancerNotFoundException, OperationNotPermittedException,
};
use shapes::elbv2::{
    CreateLoadBalancerInput, CreateLoadBalancerOutput, DeleteLoadBalancerInput,
    DeleteLoadBalancerOutput, DescribeLoadBalancersInput, DescribeLoadBalancersOutput,
    IpAddressType, LoadBalancer, LoadBalancerSchemeEnum, LoadBalancerState, LoadBalancerStateEnum,
    LoadBalancerTypeEnum, SetSecurityGroupsInput, SetSecurityGroupsOutput,
};

use crate::linked_role;
use crate::names::{self, check_name};
use crate::paging::Asked;
use crate::places::{check_address_type, places, shown_zones, subnet_ids, subnets_asked_for};
use crate::record::{self, Attributes, Balancer, EDGE_KEY, EdgeApplied, Listener};
use crate::tags;

/// An error for what ALBs can do and this version cannot.
pub fn unsupported(what: &str) -> Error {
    shapes::elbv2::MODEL.unsupported(what)
}

pub async fn create_load_balancer(
    cx: Cx,
    input: CreateLoadBalancerInput,
) -> Result<CreateLoadBalancerOutput, Error> {
    check_name(&input.name, "The load balancer", "and")?;
    if input.name.starts_with("internal-") {
        return Err(wire::codes::ValidationError.because(format!(
            "The load balancer name '{}' cannot begin with 'internal-'",
            input.name
        )));
    }
    match input.r#type {
        None | Some(LoadBalancerTypeEnum::Application) => {}
        Some(other) => return Err(unsupported(&format!("a load balancer of type '{other}'"))),
    }
    check_address_type(input.ip_address_type)?;
    let tags = tags::given(input.tags.as_ref())?;
    let asked = subnets_asked_for(input.subnets.as_ref(), input.subnet_mappings.as_ref())?;
    let (vpc, subnets) = places(&cx, asked).await?;
    let groups = security_groups(&cx, input.security_groups.clone(), &vpc).await?;
    linked_role::ensure(&cx).await?;
    cx.write(|tx| {
        let all = tx.list::<Balancer>(&cx.key("app/"))?;
        if let Some(existing) = all.iter().find(|it| it.name == input.name && !it.deleting) {
            let scheme = input
                .scheme
                .unwrap_or(LoadBalancerSchemeEnum::InternetFacing);
            // The same once more is the same balancer, but not for a stack, which would delete it
            // with what it has made.
            let same = existing.scheme == scheme
                && same_of(&existing.groups, &groups)
                && same_of(&subnet_ids(&existing.subnets), &subnet_ids(&subnets));
            let known = match &cx.token {
                None => same,
                token => existing.made_by == *token,
            };
            if known {
                return Ok(CreateLoadBalancerOutput {
                    load_balancers: Some(vec![shown(&cx, tx, existing)?]),
                });
            }
            return Err(DuplicateLoadBalancerNameException.because(format!(
                "A load balancer with the same name '{}' exists, but with different settings",
                input.name
            )));
        }
        let balancer = Balancer {
            region: cx.region.clone(),
            name: input.name.clone(),
            id: cx.new_id("", 16),
            scheme: input
                .scheme
                .unwrap_or(LoadBalancerSchemeEnum::InternetFacing),
            vpc: vpc.clone(),
            subnets: subnets.clone(),
            leaving: vec![],
            groups: groups.clone(),
            attributes: Attributes::new(),
            tags: tags.clone(),
            created: cx.clock().now(),
            provisioned: false,
            deleting: false,
            made_by: cx.token.clone(),
        };
        tx.put(&balancer)?;
        record::touch(tx)?;
        Ok(CreateLoadBalancerOutput {
            load_balancers: Some(vec![shown(&cx, tx, &balancer)?]),
        })
    })
}

/// In whatever order.
fn same_of(some: &[String], others: &[String]) -> bool {
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    sorted(some) == sorted(others)
}

/// The groups, checked; the VPC's own when none is given.
async fn security_groups(
    cx: &Cx,
    given: Option<Vec<String>>,
    vpc: &str,
) -> Result<Vec<String>, Error> {
    let filter = |name: &str, value: &str| shapes::ec2::Filter {
        name: Some(name.into()),
        values: Some(vec![value.into()]),
    };
    let given = given.filter(|it| !it.is_empty());
    let request = match &given {
        Some(ids) => DescribeSecurityGroupsInput {
            group_ids: Some(ids.clone()),
            ..Default::default()
        },
        None => DescribeSecurityGroupsInput {
            filters: Some(vec![filter("vpc-id", vpc), filter("group-name", "default")]),
            ..Default::default()
        },
    };
    let found = cx
        .call(request)
        .await
        .map_err(|error| InvalidSecurityGroupException.because(error.message))?;
    let found = found.security_groups.unwrap_or_default();
    if let Some(foreign) = found.iter().find(|it| it.vpc_id.as_deref() != Some(vpc)) {
        let id = foreign.group_id.clone().unwrap_or_default();
        return Err(InvalidConfigurationRequestException.because(format!(
            "One or more security groups are invalid: '{id}' is not in VPC '{vpc}'"
        )));
    }
    Ok(found.into_iter().filter_map(|it| it.group_id).collect())
}

pub fn shown(cx: &Cx, tx: &Records<'_>, balancer: &Balancer) -> Result<LoadBalancer, Error> {
    let applied = tx.get::<EdgeApplied>(EDGE_KEY)?.unwrap_or_default();
    let listeners = tx.list::<Listener>(&format!("{}/", balancer.key()))?;
    let problem = listeners.iter().find_map(|it| applied.problem_of(it.port));
    let (code, reason) = match problem.cloned() {
        _ if !balancer.is_ready() || applied.is_first_waiting(&balancer.key()) => {
            (LoadBalancerStateEnum::Provisioning, None)
        }
        Some(problem) => (LoadBalancerStateEnum::ActiveImpaired, Some(problem)),
        None => (LoadBalancerStateEnum::Active, None),
    };
    Ok(LoadBalancer {
        load_balancer_arn: Some(balancer.arn(cx)),
        dns_name: Some(balancer.dns_name()),
        canonical_hosted_zone_id: Some("Z35SXDOTRQ7X7K".into()),
        created_time: Some(wire::Timestamp(balancer.created)),
        load_balancer_name: Some(balancer.name.clone()),
        scheme: Some(balancer.scheme),
        vpc_id: Some(balancer.vpc.clone()),
        state: Some(LoadBalancerState {
            code: Some(code),
            reason,
        }),
        r#type: Some(LoadBalancerTypeEnum::Application),
        availability_zones: Some(shown_zones(&balancer.subnets)),
        security_groups: Some(balancer.groups.clone()),
        ip_address_type: Some(IpAddressType::Ipv4),
        ..Default::default()
    })
}

/// Of ARNs, and of names, in one request.
const ASKED_MAX: usize = 20;

pub async fn describe_load_balancers(
    cx: Cx,
    input: DescribeLoadBalancersInput,
) -> Result<DescribeLoadBalancersOutput, Error> {
    let arns = names::asked(input.load_balancer_arns.as_ref());
    let names = names::asked(input.names.as_ref());
    if arns.is_some() && names.is_some() {
        return Err(wire::codes::ValidationError
            .because("Load balancer names and load balancer ARNs cannot be specified together"));
    }
    names::check_count(arns, "load balancer ARNs", ASKED_MAX)?;
    names::check_count(names, "load balancer names", ASKED_MAX)?;
    cx.read(|tx| {
        let find = |arn: &String| {
            let found = record::balancer(&cx, tx, arn);
            record::among(found, LoadBalancerNotFoundException, "load balancers")
        };
        let mut found: Vec<Balancer> = match arns {
            Some(arns) => arns.iter().map(find).collect::<Result<_, _>>()?,
            None => tx.list(&cx.key("app/"))?,
        };
        found.retain(|it| !it.deleting);
        if let Some(names) = names {
            let there = |name: &&String| found.iter().any(|it| it.name == **name);
            let missing: Vec<&str> = (names.iter())
                .filter(|it| !there(it))
                .map(String::as_str)
                .collect();
            if !missing.is_empty() {
                return Err(LoadBalancerNotFoundException.because(format!(
                    "Load balancers '[{}]' not found",
                    missing.join(", ")
                )));
            }
            found.retain(|it| names.contains(&it.name));
        }
        let asked = Asked {
            of: "load-balancers",
            size: input.page_size,
            marker: input.marker.as_ref(),
        };
        let (page, next_marker) = asked.page_of(found, Balancer::full_name)?;
        let shown = page
            .iter()
            .map(|it| shown(&cx, tx, it))
            .collect::<Result<_, _>>()?;
        Ok(DescribeLoadBalancersOutput {
            load_balancers: Some(shown),
            next_marker,
        })
    })
}

pub async fn delete_load_balancer(
    cx: Cx,
    input: DeleteLoadBalancerInput,
) -> Result<DeleteLoadBalancerOutput, Error> {
    cx.write(|tx| {
        // AWS answers success for one that is gone.
        let found = record::balancer(&cx, tx, &input.load_balancer_arn);
        let Some(mut balancer) = record::or_gone(found, LoadBalancerNotFoundException)? else {
            return Ok(DeleteLoadBalancerOutput {});
        };
        if balancer
            .attributes
            .get("deletion_protection.enabled")
            .is_some_and(|it| it == "true")
        {
            return Err(OperationNotPermittedException.because(format!(
                "Load balancer '{}' cannot be deleted because deletion protection is enabled",
                input.load_balancer_arn
            )));
        }
        for listener in tx.list::<Listener>(&format!("{}/", balancer.key()))? {
            tx.delete::<Listener>(&listener.key())?;
        }
        balancer.deleting = true;
        tx.put(&balancer)?;
        record::touch(tx)?;
        Ok(DeleteLoadBalancerOutput {})
    })
}

pub async fn set_security_groups(
    cx: Cx,
    input: SetSecurityGroupsInput,
) -> Result<SetSecurityGroupsOutput, Error> {
    let balancer = cx.read(|tx| record::balancer(&cx, tx, &input.load_balancer_arn))?;
    let groups = security_groups(&cx, Some(input.security_groups.clone()), &balancer.vpc).await?;
    cx.write(|tx| {
        let mut balancer = record::balancer(&cx, tx, &input.load_balancer_arn)?;
        balancer.groups.clone_from(&groups);
        // Its interfaces get them in the reconciler.
        balancer.provisioned = false;
        tx.put(&balancer)?;
        record::touch(tx)?;
        Ok(SetSecurityGroupsOutput {
            security_group_ids: Some(groups.clone()),
            ..Default::default()
        })
    })
}
