//! Properties as templates write them: scalars may stand as text.

use serde_json::Value as Json;

pub fn text(of: &Json, name: &str) -> Option<String> {
    match &of[name] {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

pub fn number<T: std::str::FromStr>(of: &Json, name: &str) -> Result<Option<T>, String> {
    let text = text(of, name);
    let number = text.map(|it| it.trim().parse()).transpose();
    number.map_err(|_| format!("{name} must be a number"))
}

pub fn flag(of: &Json, name: &str) -> bool {
    text(of, name).is_some_and(|it| it.eq_ignore_ascii_case("true"))
}

/// A list, or the one thing that stands for a list of it.
pub fn list(of: &Json, name: &str) -> Vec<Json> {
    match &of[name] {
        Json::Array(list) => list.clone(),
        Json::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

pub fn texts(of: &Json, name: &str) -> Vec<String> {
    let list = list(of, name).into_iter();
    list.filter_map(|it| match it {
        Json::String(text) => Some(text),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    })
    .collect()
}
