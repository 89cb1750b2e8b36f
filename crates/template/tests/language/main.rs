//! The language as templates use it, as tables: a template's text in, a value or a sentence out.

mod constraints;
mod forms;
mod functions;
mod graph;
mod hostile;
mod mistakes;
mod transforms;
mod whole;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use template::{Environment, Instance, Scope, Template};

pub fn environment() -> Environment {
    Environment {
        account_id: "000000000000".into(),
        region: "eu-west-1".into(),
        partition: "aws".into(),
        url_suffix: "amazonaws.com".into(),
        stack_id: "arn:aws:cloudformation:eu-west-1:000000000000:stack/web/1".into(),
        stack_name: "web".into(),
        notification_arns: vec!["arn:topic".into()],
    }
}

/// A world where everything exists: `Ref X` is `x-id`, `X.Attr` is `x/Attr`.
pub struct World;

impl Scope for World {
    fn reference(&self, logical_id: &str) -> Result<Json, String> {
        Ok(format!("{}-id", logical_id.to_lowercase()).into())
    }
    fn attribute(&self, logical_id: &str, attribute: &str) -> Result<Json, String> {
        match attribute {
            "List" => Ok(json!(["one", "two"])),
            _ => Ok(format!("{}/{attribute}", logical_id.to_lowercase()).into()),
        }
    }
    fn export(&self, name: &str) -> Result<Json, String> {
        match name {
            "web-vpc" => Ok("vpc-1".into()),
            _ => Err(format!("No export named {name} found")),
        }
    }
    fn availability_zones(&self, region: &str) -> Result<Vec<String>, String> {
        Ok(["a", "b", "c"].map(|it| format!("{region}{it}")).into())
    }
}

pub fn parameters(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub fn instance<'a>(template: &'a Template, given: &[(&str, &str)]) -> Instance<'a> {
    let values = template.resolve_parameters(&parameters(given)).unwrap();
    template.instantiate(values, environment()).unwrap()
}

/// What goes wrong first: while reading, with the parameters, with the conditions, or while computing.
pub fn error(text: &str, given: &[(&str, &str)]) -> String {
    fn all(text: &str, given: &[(&str, &str)]) -> Result<(), template::TemplateError> {
        let template = Template::parse(text)?;
        let values = template.resolve_parameters(&parameters(given))?;
        let instance = template.instantiate(values, environment())?;
        for id in template.resources.keys() {
            instance.properties(id, &World)?;
        }
        instance.outputs(&World)?;
        Ok(())
    }
    all(text, given).expect_err("an error").to_string()
}

/// The properties of the resource `It`.
pub fn properties(text: &str, given: &[(&str, &str)]) -> Json {
    let template = Template::parse(text).unwrap();
    let it = instance(&template, given).properties("It", &World).unwrap();
    it.expect("the resource is not left out").value
}
