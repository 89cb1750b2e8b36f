//! Resources as a file asks for them, in the form of CloudFormation's properties.

use std::collections::{BTreeMap, BTreeSet};

use cloud::KNOWN_LATER;
use serde_json::Value as Json;

use crate::report::Place;

/// Stands around the name of the resource that a value comes from. No template can write them: a value that
/// is not known yet begins with AWS's own word for it, and these follow at once.
const OPENS: char = '\u{2039}';
const CLOSES: char = '\u{203a}';
const PART: char = '|';

/// What a value is that a resource will have: its identifier, or an attribute.
pub fn reference(id: &str, attribute: Option<&str>) -> String {
    match attribute {
        None => format!("{KNOWN_LATER}{OPENS}{id}{CLOSES}"),
        Some(attribute) => format!("{KNOWN_LATER}{OPENS}{id}{PART}{attribute}{CLOSES}"),
    }
}

/// The resource that a text begins with, and what comes after it.
pub fn referred(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(KNOWN_LATER)?.strip_prefix(OPENS)?;
    let (inner, rest) = rest.split_once(CLOSES)?;
    Some((inner.split(PART).next().unwrap_or(inner), rest))
}

/// Everything that some files ask for.
#[derive(Debug, Default)]
pub struct Declared {
    pub region: String,
    pub account: String,
    /// By a name that is theirs alone: a nested stack's resources are `Network/Subnet`.
    pub resources: BTreeMap<String, DeclaredResource>,
}

#[derive(Debug, Default)]
pub struct DeclaredResource {
    /// `AWS::ECS::Service`.
    pub kind: String,
    /// Computed as far as it can be; what comes of another resource is a [`reference`].
    pub properties: Json,
    pub place: Option<Place>,
    /// Where properties are written, by their paths as `Rules.0.Port`.
    pub places: BTreeMap<String, Place>,
    /// Resources that are made before it.
    pub needs: BTreeSet<String>,
}

impl DeclaredResource {
    /// Where a property is written, or the nearest thing around it.
    pub fn place_of(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place.clone());
            }
            match path.rsplit_once('.') {
                Some((parent, _)) => path = parent,
                None => return self.place.clone(),
            }
        }
    }

    /// A text, or a number or flag as one. What is not known yet is a text, too.
    pub fn text(&self, path: &str) -> Option<String> {
        text(self.get(path))
    }

    pub fn get(&self, path: &str) -> &Json {
        let mut value = &self.properties;
        for name in path.split('.') {
            value = match (value, name.parse::<usize>()) {
                (Json::Array(items), Ok(index)) => items.get(index).unwrap_or(&Json::Null),
                _ => &value[name],
            };
        }
        value
    }

    pub fn list(&self, path: &str) -> &[Json] {
        self.get(path).as_array().map_or(&[], Vec::as_slice)
    }
}

/// A scalar as text; nothing for what is not there.
pub fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(it) => Some(it.to_string()),
        _ => None,
    }
}

/// A whole number, also where it is written as text. What is not known is none.
pub fn number(value: &Json) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

pub fn flag(value: &Json) -> Option<bool> {
    value.as_bool().or_else(|| match value.as_str()? {
        it if it.eq_ignore_ascii_case("true") => Some(true),
        it if it.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    })
}

/// Whether a text is known whole.
pub fn is_known(text: &str) -> bool {
    !text.contains(KNOWN_LATER) && !text.contains("{{resolve:")
}

/// A resource's name without those of the stacks around it.
pub fn short(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

impl Declared {
    pub fn of_kind<'a>(
        &'a self,
        kind: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a DeclaredResource)> {
        self.resources.iter().filter(move |(_, it)| it.kind == kind)
    }

    /// The resource that a value comes from.
    pub fn find(&self, value: &Json) -> Option<(&str, &DeclaredResource)> {
        self.find_text(value.as_str()?)
    }

    pub fn find_text(&self, text: &str) -> Option<(&str, &DeclaredResource)> {
        let (id, _) = referred(text)?;
        let (id, resource) = self.resources.get_key_value(id)?;
        Some((id.as_str(), resource))
    }

    /// How a value is shown: by the resource that it comes from, or as it is written.
    pub fn shown(&self, value: &Json) -> String {
        match self.find(value) {
            Some((id, _)) => short(id).to_owned(),
            None => text(value).unwrap_or_default(),
        }
    }

    /// Whether one value names a resource: by a reference, or by its own name.
    pub fn names(&self, value: &Json, id: &str, name: Option<&str>) -> bool {
        match value.as_str() {
            None => false,
            Some(text) => match referred(text) {
                Some((other, _)) => other == id,
                None => name == Some(text),
            },
        }
    }

    /// All that is made before a resource, however indirectly. A nested stack is all that is in it, and what is in
    /// one waits for what its stack waits for.
    pub fn made_before(&self, id: &str) -> BTreeSet<String> {
        let (mut before, mut ahead) = (BTreeSet::new(), vec![id.to_owned()]);
        while let Some(id) = ahead.pop() {
            let own = self.resources.get(&id).map(|it| it.needs.clone());
            let around = id.rsplit_once('/').map(|it| it.0);
            let of_stack = around.and_then(|it| Some(self.resources.get(it)?.needs.clone()));
            let needs = own.into_iter().chain(of_stack).flatten();
            for need in needs {
                if !before.insert(need.clone()) {
                    continue;
                }
                let within = format!("{need}/");
                let inner = self.resources.range(within.clone()..);
                let inner = inner.take_while(|(it, _)| it.starts_with(&within));
                ahead.extend(inner.map(|(it, _)| it.clone()));
                before.extend(
                    self.resources
                        .range(within.clone()..)
                        .take_while(|(it, _)| it.starts_with(&within))
                        .map(|(it, _)| it.clone()),
                );
                ahead.push(need);
            }
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_with_what_follows_it() {
        let one = reference("Network/Subnet", None);
        assert_eq!(referred(&one), Some(("Network/Subnet", "")));
        let image = format!("{}:latest", reference("Repository", Some("RepositoryUri")));
        assert_eq!(referred(&image), Some(("Repository", ":latest")));
        for other in ["subnet-1", KNOWN_LATER, ""] {
            assert_eq!(referred(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_nested_stack_waits_for_its_resources_do() {
        let resource = |needs: &[&str]| DeclaredResource {
            needs: needs.iter().map(|it| (*it).to_owned()).collect(),
            ..DeclaredResource::default()
        };
        let declared = Declared {
            resources: [
                ("Site", resource(&["Balancer"])),
                ("Site/Service", resource(&["Site/Role"])),
                ("Site/Role", resource(&[])),
                ("Balancer", resource(&[])),
                ("Balancer/Listener", resource(&[])),
                ("Other", resource(&[])),
            ]
            .map(|(id, it)| (id.to_owned(), it))
            .into(),
            ..Declared::default()
        };
        let before = declared.made_before("Site/Service");
        let names: Vec<&str> = before.iter().map(String::as_str).collect();
        assert_eq!(names, ["Balancer", "Balancer/Listener", "Site/Role"]);
    }
}
