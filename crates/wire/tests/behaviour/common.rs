//! Three small services, one per protocol, with the same operation.

use std::collections::BTreeMap;

use wire::{
    Constraints, ErrorCode, Limits, Operation, Pattern, Protocol, ServiceModel, Shape, codes,
};

pub static NAME: Limits = Limits {
    min: Some(1),
    max: Some(8),
    pattern: {
        static PATTERN: Pattern = Pattern::new("[a-z]+");
        Some(&PATTERN)
    },
    ..Limits::NONE
};
pub static NAMES: Limits = Limits {
    max: Some(2),
    member: Some(&NAME),
    ..Limits::NONE
};
pub static PORT: Limits = Limits {
    min: Some(1),
    max: Some(65_535),
    ..Limits::NONE
};

wire::string_enum!(Colour { Red = "RED", Green = "GREEN" });

macro_rules! service {
    ($module:ident, $service:literal, $style:meta) => {
        pub mod $module {
            use super::*;

            #[derive(Debug, Clone, Default, PartialEq, Shape)]
            #[$style]
            pub struct Tag {
                pub key: String,
                #[aws(keeps_empty)]
                pub value: Option<String>,
            }

            #[derive(wire::DebugWithoutSecrets, Clone, Default, PartialEq, Shape)]
            #[$style]
            pub struct MakeInput {
                #[aws(limits = NAME)]
                pub name: String,
                #[aws(limits = NAMES)]
                pub names: Option<Vec<String>>,
                #[aws(limits = PORT)]
                pub port: Option<i32>,
                pub colour: Option<Colour>,
                pub tags: Option<Vec<Tag>>,
                pub labels: Option<BTreeMap<String, String>>,
                #[aws(limits = NAME, sensitive)]
                pub secret: Option<String>,
            }

            impl Operation for MakeInput {
                const SERVICE: &'static str = $service;
                const NAME: &'static str = "Make";
                type Output = Tag;
            }
        }
    };
}
service!(json_service, "json-service", aws(names = "camelCase"));
service!(query_service, "query-service", aws(names = "PascalCase"));
service!(
    ec2_service,
    "ec2-service",
    aws(names = "PascalCase", output = "camelCase")
);

const fn model(name: &'static str, protocol: Protocol, validation: ErrorCode) -> ServiceModel {
    let operations = &["Destroy", "Make"];
    ServiceModel {
        signing_name: name,
        protocol,
        api_version: name,
        validation,
        unbuilt: validation,
        constraints: Constraints::USUAL,
        unsigned: &["Destroy"],
        operations,
    }
}

pub static JSON: ServiceModel = model(
    "json-service",
    Protocol::Json {
        version: "1.1",
        target_prefix: "Json_1",
    },
    codes::ValidationException,
);
pub static QUERY: ServiceModel = model(
    "query-service",
    Protocol::Query {
        xml_namespace: "urn:query",
    },
    codes::ValidationError,
);
pub static EC2: ServiceModel = model(
    "ec2-service",
    Protocol::Ec2 {
        xml_namespace: "urn:ec2",
    },
    codes::InvalidParameterValue,
);
pub static MODELS: &[&ServiceModel] = &[&JSON, &QUERY, &EC2];
