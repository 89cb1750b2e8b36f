//! Internet gateways.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    self, AttachInternetGatewayInput, AttachInternetGatewayOutput, CreateInternetGatewayInput,
    CreateInternetGatewayOutput, DeleteInternetGatewayInput, DeleteInternetGatewayOutput,
    DescribeInternetGatewaysInput, DescribeInternetGatewaysOutput, DetachInternetGatewayInput,
    DetachInternetGatewayOutput, InternetGatewayAttachment, ResourceType,
};

use crate::default_vpc;
use crate::errors::{
    DependencyViolation, GatewayNotAttached, InvalidInternetGatewayIdNotFound,
    ResourceAlreadyAssociated,
};
use crate::filters::{Filtered, page, select};
use crate::interface::Interface;
use crate::tags::{self, Tags};
use crate::vpc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InternetGateway {
    pub id: String,
    pub region: String,
    pub vpc: Option<String>,
    pub tags: Tags,
}

impl Record for InternetGateway {
    const KIND: &'static str = "ec2.internet-gateway";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<InternetGateway, Error> {
    tx.get(&cx.key(id))?.ok_or_else(|| {
        InvalidInternetGatewayIdNotFound
            .because(format!("The internetGateway ID '{id}' does not exist"))
    })
}

fn shown(cx: &Cx, gateway: &InternetGateway) -> ec2::InternetGateway {
    let attachment = gateway.vpc.as_ref().map(|vpc| InternetGatewayAttachment {
        state: Some("available".into()),
        vpc_id: Some(vpc.clone()),
    });
    ec2::InternetGateway {
        attachments: Some(attachment.into_iter().collect()),
        internet_gateway_id: Some(gateway.id.clone()),
        owner_id: Some(cx.account().to_owned()),
        tags: tags::shown(&gateway.tags),
    }
}

pub async fn create_internet_gateway(
    cx: Cx,
    input: CreateInternetGatewayInput,
) -> Result<CreateInternetGatewayOutput, Error> {
    let tags = tags::specified(
        input.tag_specifications.as_ref(),
        ResourceType::InternetGateway,
    )?;
    cx.write(|tx| {
        let id = cx.new_id("igw-", 17);
        let gateway = match tx.get::<InternetGateway>(&cx.key(&id))? {
            Some(existing) => existing,
            None => InternetGateway {
                id,
                region: cx.region.clone(),
                vpc: None,
                tags: tags.clone(),
            },
        };
        tx.put(&gateway)?;
        Ok(CreateInternetGatewayOutput {
            internet_gateway: Some(shown(&cx, &gateway)),
        })
    })
}

impl Filtered for InternetGateway {
    const FILTERS: &'static [&'static str] = &[
        "internet-gateway-id",
        "attachment.vpc-id",
        "attachment.state",
        "owner-id",
    ];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "internet-gateway-id" => vec![self.id.clone()],
            "attachment.vpc-id" => self.vpc.clone().into_iter().collect(),
            "attachment.state" => self.vpc.iter().map(|_| "available".to_owned()).collect(),
            _ => vec![],
        }
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_internet_gateways(
    cx: Cx,
    input: DescribeInternetGatewaysInput,
) -> Result<DescribeInternetGatewaysOutput, Error> {
    default_vpc::before_listing(
        &cx,
        input.internet_gateway_ids.as_ref(),
        input.filters.as_ref(),
    )?;
    let found = cx.read(|tx| match &input.internet_gateway_ids {
        Some(ids) => ids.iter().map(|id| get(&cx, tx, id)).collect(),
        None => tx.list::<InternetGateway>(&cx.key("")),
    })?;
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeInternetGatewaysOutput {
        internet_gateways: Some(found.iter().map(|it| shown(&cx, it)).collect()),
        next_token,
    })
}

pub async fn attach_internet_gateway(
    cx: Cx,
    input: AttachInternetGatewayInput,
) -> Result<AttachInternetGatewayOutput, Error> {
    let (id, vpc_id) = (&input.internet_gateway_id, &input.vpc_id);
    cx.write(|tx| {
        let mut gateway = get(&cx, tx, id)?;
        vpc::get(&cx, tx, vpc_id)?;
        if cx.token.is_some() && gateway.vpc.as_ref() == Some(vpc_id) {
            return Ok(AttachInternetGatewayOutput {});
        }
        if let Some(other) = &gateway.vpc {
            return Err(ResourceAlreadyAssociated.because(format!(
                "resource {id} is already attached to network {other}"
            )));
        }
        let others = tx.list::<InternetGateway>(&cx.key(""))?;
        if others.iter().any(|it| it.vpc.as_ref() == Some(vpc_id)) {
            return Err(
                cloud::ErrorCode::sender("InvalidParameterValue", 400).because(format!(
                    "Network {vpc_id} already has an internet gateway attached"
                )),
            );
        }
        gateway.vpc = Some(vpc_id.clone());
        tx.put(&gateway)?;
        vpc::touch(&cx, tx, vpc_id)?;
        Ok(AttachInternetGatewayOutput {})
    })
}

pub async fn detach_internet_gateway(
    cx: Cx,
    input: DetachInternetGatewayInput,
) -> Result<DetachInternetGatewayOutput, Error> {
    let (id, vpc_id) = (&input.internet_gateway_id, &input.vpc_id);
    cx.write(|tx| {
        let mut gateway = get(&cx, tx, id)?;
        if gateway.vpc.as_ref() != Some(vpc_id) {
            return Err(GatewayNotAttached
                .because(format!("resource {id} is not attached to network {vpc_id}")));
        }
        let interfaces = tx.list::<Interface>(&cx.key(""))?;
        if interfaces.iter().any(|it| it.vpc == *vpc_id && it.public_address.is_some() && !it.deleting) {
            return Err(DependencyViolation.because(format!(
                "Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
            )));
        }
        gateway.vpc = None;
        tx.put(&gateway)?;
        vpc::touch(&cx, tx, vpc_id)?;
        Ok(DetachInternetGatewayOutput {})
    })
}

pub async fn delete_internet_gateway(
    cx: Cx,
    input: DeleteInternetGatewayInput,
) -> Result<DeleteInternetGatewayOutput, Error> {
    let id = &input.internet_gateway_id;
    cx.write(|tx| {
        let gateway = get(&cx, tx, id)?;
        if gateway.vpc.is_some() {
            return Err(DependencyViolation.because(format!(
                "The internetGateway '{id}' has dependencies and cannot be deleted."
            )));
        }
        tx.delete::<InternetGateway>(&gateway.key())?;
        Ok(DeleteInternetGatewayOutput {})
    })
}
