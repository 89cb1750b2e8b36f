//! What a resource type says of its properties, and whether given ones are of that form.

use serde_json::{Number, Value as Json};

/// What changing a property does (the CloudFormation resource schemas' `createOnlyProperties` and
/// `conditionalCreateOnlyProperties`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Update requires: no interruption.
    InPlace,
    /// Update requires: replacement.
    Replacement,
}

/// What stands at a property, as the schemas have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyForm {
    Text,
    Number,
    Flag,
    Texts,
    Numbers,
    /// A structure; one without members is a map of names that nobody knows beforehand.
    Object,
    Objects,
    /// A document: an object, or its text.
    Any,
}

/// A property that a resource type knows.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    pub name: &'static str,
    pub form: PropertyForm,
    pub required: bool,
    pub update: Update,
    /// The members of a structure (or of each structure in a list). Empty: anything may stand here.
    pub members: &'static [Property],
    /// It is the resource's name, which no two have at one time.
    pub is_name: bool,
}

/// The members of one of a resource's tags.
const TAG: &[Property] = &[
    Property::text("Key").required(),
    Property::text("Value").required(),
];

impl Property {
    /// `Tags`, a list of `Key` and `Value`.
    pub const TAGS: Self = Self::objects("Tags").members(TAG);

    /// Optional, and updated in place.
    const fn new(name: &'static str, form: PropertyForm) -> Self {
        Self {
            name,
            form,
            required: false,
            update: Update::InPlace,
            members: &[],
            is_name: false,
        }
    }
    pub const fn text(name: &'static str) -> Self {
        Self::new(name, PropertyForm::Text)
    }
    pub const fn number(name: &'static str) -> Self {
        Self::new(name, PropertyForm::Number)
    }
    pub const fn flag(name: &'static str) -> Self {
        Self::new(name, PropertyForm::Flag)
    }
    pub const fn texts(name: &'static str) -> Self {
        Self::new(name, PropertyForm::Texts)
    }
    pub const fn numbers(name: &'static str) -> Self {
        Self::new(name, PropertyForm::Numbers)
    }
    pub const fn object(name: &'static str) -> Self {
        Self::new(name, PropertyForm::Object)
    }
    pub const fn objects(name: &'static str) -> Self {
        Self::new(name, PropertyForm::Objects)
    }
    pub const fn any(name: &'static str) -> Self {
        Self::new(name, PropertyForm::Any)
    }
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    pub const fn replaces(mut self) -> Self {
        self.update = Update::Replacement;
        self
    }
    /// A name of the owner's choice: whoever else wants it has to wait until this one is gone.
    pub const fn names(mut self) -> Self {
        self.is_name = true;
        self.replaces()
    }
    pub const fn members(mut self, members: &'static [Property]) -> Self {
        self.members = members;
        self
    }
}

/// A property that is not what its schema says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("#{}: {what}", self.path.iter().map(|it| format!("/{it}")).collect::<String>())]
pub struct Mismatch {
    /// From the properties down: names and indexes.
    pub path: Vec<String>,
    pub what: String,
}

impl Mismatch {
    fn new(what: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            what: what.into(),
        }
    }

    fn expected(form: &str, found: &Json) -> Self {
        let found = match found {
            Json::Null => "Null",
            Json::Bool(_) => "Boolean",
            Json::Number(it) if it.is_f64() => "BigDecimal",
            Json::Number(_) => "Integer",
            Json::String(_) => "String",
            Json::Array(_) => "JSONArray",
            Json::Object(_) => "JSONObject",
        };
        Self::new(format!("expected type: {form}, found: {found}"))
    }

    fn within(mut self, name: impl ToString) -> Self {
        self.path.insert(0, name.to_string());
        self
    }
}

/// Brings properties to the form that their types say, as CloudFormation does: scalars are written one for
/// the other, and one object stands for a list of one. `is_open` says of which texts nobody knows yet what
/// they stand for.
pub fn conform(
    table: &[Property],
    properties: &mut Json,
    is_open: &dyn Fn(&str) -> bool,
) -> Result<(), Mismatch> {
    match properties {
        Json::Null => Ok(()),
        properties => object(table, properties, is_open),
    }
}

fn object(
    table: &[Property],
    value: &mut Json,
    is_open: &dyn Fn(&str) -> bool,
) -> Result<(), Mismatch> {
    if matches!(value, Json::String(text) if is_open(text)) {
        return Ok(());
    }
    let Json::Object(members) = value else {
        return Err(Mismatch::expected("JSONObject", value));
    };
    for property in table {
        match members.get_mut(property.name) {
            None | Some(Json::Null) if property.required => {
                let name = property.name;
                return Err(Mismatch::new(format!("required key [{name}] not found")));
            }
            None | Some(Json::Null) => {}
            Some(value) => {
                one(property, value, is_open).map_err(|it| it.within(property.name))?;
            }
        }
    }
    Ok(())
}

fn one(
    property: &Property,
    value: &mut Json,
    is_open: &dyn Fn(&str) -> bool,
) -> Result<(), Mismatch> {
    match property.form {
        PropertyForm::Any => Ok(()),
        PropertyForm::Text => text(value),
        PropertyForm::Number => number(value, is_open),
        PropertyForm::Flag => flag(value, is_open),
        PropertyForm::Object => object(property.members, value, is_open),
        PropertyForm::Texts => each(value, is_open, &text),
        PropertyForm::Numbers => each(value, is_open, &|it| number(it, is_open)),
        PropertyForm::Objects => {
            if value.is_object() {
                *value = Json::Array(vec![value.take()]);
            }
            each(value, is_open, &|it| object(property.members, it, is_open))
        }
    }
}

fn each(
    value: &mut Json,
    is_open: &dyn Fn(&str) -> bool,
    check: &dyn Fn(&mut Json) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    match value {
        Json::String(text) if is_open(text) => Ok(()),
        Json::Array(items) => (items.iter_mut().enumerate())
            .try_for_each(|(index, it)| check(it).map_err(|it| it.within(index))),
        other => Err(Mismatch::expected("JSONArray", other)),
    }
}

fn text(value: &mut Json) -> Result<(), Mismatch> {
    *value = match value {
        Json::String(_) => return Ok(()),
        Json::Number(it) => it.to_string().into(),
        Json::Bool(it) => it.to_string().into(),
        other => return Err(Mismatch::expected("String", other)),
    };
    Ok(())
}

fn number(value: &mut Json, is_open: &dyn Fn(&str) -> bool) -> Result<(), Mismatch> {
    let Json::String(text) = value else {
        return match value {
            Json::Number(_) => Ok(()),
            other => Err(Mismatch::expected("Number", other)),
        };
    };
    if is_open(text) {
        return Ok(());
    }
    let text = text.trim();
    let whole = text.parse::<i64>().ok().map(Number::from);
    let number = whole.or_else(|| text.parse().ok().and_then(Number::from_f64));
    match number {
        Some(number) => {
            *value = number.into();
            Ok(())
        }
        None => Err(Mismatch::expected("Number", value)),
    }
}

fn flag(value: &mut Json, is_open: &dyn Fn(&str) -> bool) -> Result<(), Mismatch> {
    *value = match value {
        Json::Bool(_) => return Ok(()),
        Json::String(text) if is_open(text) => return Ok(()),
        Json::String(text) if text.eq_ignore_ascii_case("true") => true.into(),
        Json::String(text) if text.eq_ignore_ascii_case("false") => false.into(),
        other => return Err(Mismatch::expected("Boolean", other)),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULE: &[Property] = &[
        Property::number("Port").required(),
        Property::texts("Hosts"),
    ];
    const TABLE: &[Property] = &[
        Property::text("Name").required(),
        Property::number("Size"),
        Property::flag("On"),
        Property::texts("Groups"),
        Property::numbers("Ports"),
        Property::object("Net").members(RULE),
        Property::object("Options"),
        Property::objects("Rules").members(RULE),
        Property::any("Policy"),
    ];

    fn conformed(mut properties: Json) -> Result<Json, String> {
        let is_open = |text: &str| text.contains('?');
        conform(TABLE, &mut properties, &is_open).map_err(|it| it.to_string())?;
        Ok(properties)
    }

    #[test]
    fn scalars_stand_for_each_other_and_one_object_for_a_list() {
        for (given, expect) in [
            (json!({"Name": 1}), json!({"Name": "1"})),
            (json!({"Name": true}), json!({"Name": "true"})),
            (
                json!({"Name": "a", "Size": "80"}),
                json!({"Name": "a", "Size": 80}),
            ),
            (
                json!({"Name": "a", "Size": " 0.5 "}),
                json!({"Name": "a", "Size": 0.5}),
            ),
            (
                json!({"Name": "a", "On": "True"}),
                json!({"Name": "a", "On": true}),
            ),
            (
                json!({"Name": "a", "Groups": [1, "b"]}),
                json!({"Name": "a", "Groups": ["1", "b"]}),
            ),
            (
                json!({"Name": "a", "Ports": ["1"]}),
                json!({"Name": "a", "Ports": [1]}),
            ),
            (
                json!({"Name": "a", "Rules": {"Port": "1"}}),
                json!({"Name": "a", "Rules": [{"Port": 1}]}),
            ),
            (
                json!({"Name": "a", "Policy": [1]}),
                json!({"Name": "a", "Policy": [1]}),
            ),
            (
                json!({"Name": "a", "Options": {"b": []}}),
                json!({"Name": "a", "Options": {"b": []}}),
            ),
        ] {
            assert_eq!(conformed(given), Ok(expect));
        }
        for open in ["Size", "On", "Groups", "Ports", "Net", "Rules"] {
            let given = json!({"Name": "a", open: "?"});
            assert_eq!(conformed(given.clone()), Ok(given));
        }
    }

    #[test]
    fn what_is_of_another_form_is_told_with_its_place() {
        for (given, expect) in [
            (json!({}), "#: required key [Name] not found"),
            (
                json!({"Name": {}}),
                "#/Name: expected type: String, found: JSONObject",
            ),
            (
                json!({"Name": "a", "Size": "x"}),
                "#/Size: expected type: Number, found: String",
            ),
            (
                json!({"Name": "a", "Size": true}),
                "#/Size: expected type: Number, found: Boolean",
            ),
            (
                json!({"Name": "a", "On": 1}),
                "#/On: expected type: Boolean, found: Integer",
            ),
            (
                json!({"Name": "a", "Groups": "b"}),
                "#/Groups: expected type: JSONArray, found: String",
            ),
            (
                json!({"Name": "a", "Groups": {}}),
                "#/Groups: expected type: JSONArray, found: JSONObject",
            ),
            (
                json!({"Name": "a", "Groups": [[]]}),
                "#/Groups/0: expected type: String, found: JSONArray",
            ),
            (
                json!({"Name": "a", "Net": 1.5}),
                "#/Net: expected type: JSONObject, found: BigDecimal",
            ),
            (
                json!({"Name": "a", "Net": {}}),
                "#/Net: required key [Port] not found",
            ),
            (
                json!({"Name": "a", "Rules": [1]}),
                "#/Rules/0: expected type: JSONObject, found: Integer",
            ),
            (
                json!({"Name": "a", "Rules": [{"Port": 1, "Hosts": "h"}]}),
                "#/Rules/0/Hosts: expected type: JSONArray, found: String",
            ),
            (json!([]), "#: expected type: JSONObject, found: JSONArray"),
        ] {
            assert_eq!(conformed(given), Err(expect.to_owned()));
        }
    }
}
