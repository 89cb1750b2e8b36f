//! A parameter as the template declares it.

use crate::error::{Result, TemplateError};
use crate::node::{Content, Key, Node, Span};
use crate::pattern::Pattern;
use crate::section::entries;

#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub span: Span,
    pub parameter_type: ParameterType,
    pub default: Option<String>,
    pub description: Option<String>,
    pub allowed_values: Option<Vec<String>>,
    pub allowed_pattern: Option<String>,
    pub length_min: Option<u64>,
    pub length_max: Option<u64>,
    pub value_min: Option<f64>,
    pub value_max: Option<f64>,
    pub no_echo: bool,
    pub constraint_description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterType {
    String,
    Number,
    ListOfStrings,
    ListOfNumbers,
    CommaDelimitedList,
    /// `AWS::EC2::VPC::Id` and its like.
    Aws(String),
    /// `List<AWS::EC2::Subnet::Id>` and its like.
    ListOfAws(String),
    /// `AWS::SSM::Parameter::Value<…>`: what is given is the name under which the value is stored.
    Stored(Box<ParameterType>),
    /// `AWS::SSM::Parameter::Name`.
    StoredName,
}

const STORED_NAME: &str = "AWS::SSM::Parameter::Name";

const AWS_TYPES: [&str; 9] = [
    "AWS::EC2::AvailabilityZone::Name",
    "AWS::EC2::Image::Id",
    "AWS::EC2::Instance::Id",
    "AWS::EC2::SecurityGroup::GroupName",
    "AWS::EC2::SecurityGroup::Id",
    "AWS::EC2::Subnet::Id",
    "AWS::EC2::Volume::Id",
    "AWS::EC2::VPC::Id",
    "AWS::Route53::HostedZone::Id",
];
/// Exists as a parameter of its own, never in a list.
const KEY_PAIR: &str = "AWS::EC2::KeyPair::KeyName";

impl ParameterType {
    fn parse(text: &str, span: Span) -> Result<Self> {
        let unknown =
            || TemplateError::format(span, format!("Unrecognized parameter type: {text}"));
        if let Some(inner) = text.strip_prefix("AWS::SSM::Parameter::Value<") {
            let inner = inner.strip_suffix('>').ok_or_else(unknown)?;
            let inner = Self::parse(inner.trim(), span).map_err(|_| unknown())?;
            return match inner {
                Self::Stored(_) | Self::StoredName | Self::Number | Self::ListOfNumbers => {
                    Err(unknown())
                }
                inner => Ok(Self::Stored(Box::new(inner))),
            };
        }
        Ok(match text {
            STORED_NAME => Self::StoredName,
            "String" => Self::String,
            "Number" => Self::Number,
            "CommaDelimitedList" => Self::CommaDelimitedList,
            KEY_PAIR => Self::Aws(text.to_owned()),
            _ if AWS_TYPES.contains(&text) => Self::Aws(text.to_owned()),
            _ => match text
                .strip_prefix("List<")
                .and_then(|it| it.strip_suffix('>'))
                .map(str::trim)
            {
                Some("String") => Self::ListOfStrings,
                Some("Number") => Self::ListOfNumbers,
                Some(item) if AWS_TYPES.contains(&item) => Self::ListOfAws(item.to_owned()),
                _ => return Err(unknown()),
            },
        })
    }

    pub fn is_list(&self) -> bool {
        match self {
            Self::Stored(inner) => inner.is_list(),
            Self::String | Self::Number | Self::Aws(_) | Self::StoredName => false,
            Self::ListOfStrings
            | Self::ListOfNumbers
            | Self::CommaDelimitedList
            | Self::ListOfAws(_) => true,
        }
    }

    /// The kind of AWS's things that values of this type name: `AWS::EC2::VPC::Id`.
    pub fn named_kind(&self) -> Option<&str> {
        match self {
            Self::Aws(kind) | Self::ListOfAws(kind) => Some(kind),
            Self::Stored(inner) => inner.named_kind(),
            _ => None,
        }
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number | Self::ListOfNumbers)
    }
}

impl std::fmt::Display for ParameterType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::String => f.write_str("String"),
            Self::Number => f.write_str("Number"),
            Self::ListOfStrings => f.write_str("List<String>"),
            Self::ListOfNumbers => f.write_str("List<Number>"),
            Self::CommaDelimitedList => f.write_str("CommaDelimitedList"),
            Self::Aws(name) => f.write_str(name),
            Self::ListOfAws(name) => write!(f, "List<{name}>"),
            Self::Stored(inner) => write!(f, "AWS::SSM::Parameter::Value<{inner}>"),
            Self::StoredName => f.write_str(STORED_NAME),
        }
    }
}

impl Parameter {
    pub fn parse(name: &Key, node: &Node) -> Result<Self> {
        let members = entries(node).ok_or_else(|| {
            TemplateError::format(name.span, "Any Parameters member must be an object.")
        })?;
        let Some((_, type_node)) = members.iter().find(|(key, _)| key.text == "Type") else {
            return Err(TemplateError::format(
                name.span,
                "Every Parameters object must contain a Type member.",
            ));
        };
        let type_text = text(name, "Type", type_node)?;
        let mut parameter = Parameter {
            span: name.span,
            parameter_type: ParameterType::parse(&type_text, type_node.span)?,
            default: None,
            description: None,
            allowed_values: None,
            allowed_pattern: None,
            length_min: None,
            length_max: None,
            value_min: None,
            value_max: None,
            no_echo: false,
            constraint_description: None,
        };
        for (member, node) in members {
            let member_name = member.text.as_str();
            match member_name {
                "Type" => {}
                "Default" => parameter.default = Some(text(name, member_name, node)?),
                "Description" => parameter.description = Some(text(name, member_name, node)?),
                "ConstraintDescription" => {
                    parameter.constraint_description = Some(text(name, member_name, node)?)
                }
                "AllowedPattern" => {
                    let pattern = text(name, member_name, node)?;
                    Pattern::new(&pattern).map_err(|error| error.at(node.span))?;
                    parameter.allowed_pattern = Some(pattern);
                }
                "AllowedValues" => parameter.allowed_values = Some(allowed_values(name, node)?),
                "MinLength" => parameter.length_min = Some(number(name, member_name, node)?),
                "MaxLength" => parameter.length_max = Some(number(name, member_name, node)?),
                "MinValue" => parameter.value_min = Some(number(name, member_name, node)?),
                "MaxValue" => parameter.value_max = Some(number(name, member_name, node)?),
                "NoEcho" => parameter.no_echo = boolean(name, member_name, node)?,
                other => {
                    return Err(TemplateError::new(format!(
                        "Invalid template parameter property '{other}'"
                    ))
                    .at(member.span));
                }
            }
        }
        if !crate::constraint::is_default_allowed(&parameter) {
            return Err(TemplateError::format(
                name.span,
                format!(
                    "Parameter '{}' default value must be one of AllowedValues",
                    name.text
                ),
            ));
        }
        Ok(parameter)
    }
}

fn wrong(name: &Key, member: &str, span: Span, kind: &str) -> TemplateError {
    TemplateError::format(
        span,
        format!(
            "Parameter '{}': every {member} member must be {kind}.",
            name.text
        ),
    )
}

fn text(name: &Key, member: &str, node: &Node) -> Result<String> {
    node.scalar_text()
        .ok_or_else(|| wrong(name, member, node.span, "a string"))
}

fn number<T: std::str::FromStr>(name: &Key, member: &str, node: &Node) -> Result<T> {
    let number = node.scalar_text();
    (number.and_then(|it| it.trim().parse().ok()))
        .ok_or_else(|| wrong(name, member, node.span, "a number"))
}

fn boolean(name: &Key, member: &str, node: &Node) -> Result<bool> {
    match text(name, member, node)?.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(name, member, node.span, "a boolean")),
    }
}

fn allowed_values(name: &Key, node: &Node) -> Result<Vec<String>> {
    match &node.content {
        Content::List(items) if node.tag.is_none() => items
            .iter()
            .map(|it| text(name, "AllowedValues", it))
            .collect(),
        _ => Err(wrong(name, "AllowedValues", node.span, "a list of strings")),
    }
}
