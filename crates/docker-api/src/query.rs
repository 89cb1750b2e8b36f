//! A request's query, and the filters that docker puts into it.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::answer::Refusal;

#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Query {
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|it| !it.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| decode(&text.replace('+', " "));
            (plain(name), plain(value))
        });
        Self(pairs.collect())
    }
    /// Empty is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        let pairs = self.0.iter().filter(move |it| it.0 == name);
        pairs.map(|it| it.1.as_str())
    }
    pub fn flag(&self, name: &str) -> bool {
        self.flag_or(name, "0")
    }
    pub fn flag_or(&self, name: &str, default: &str) -> bool {
        let value = self.get(name).unwrap_or(default).to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }
    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let parse = |value: &str| {
            value
                .parse()
                .map_err(|_| Refusal::bad(format!("`{name}` is not a number: `{value}`")))
        };
        self.get(name).map(parse).transpose()
    }
    pub fn json<T: serde::de::DeserializeOwned + Default>(&self, name: &str) -> Result<T, Refusal> {
        match self.get(name) {
            None | Some("null") => Ok(T::default()),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Refusal::bad(format!("`{name}` cannot be read: {error}"))),
        }
    }
    /// Refuses parameters that mean something and are not built.
    pub fn refuse(&self, names: &[&str]) -> Result<(), Refusal> {
        let neutral = ["", "0", "false", "null", "[]", "{}"];
        let is_meant = |value: &str| !neutral.contains(&value.to_ascii_lowercase().as_str());
        let meant = |name: &&&str| self.all(name).any(is_meant);
        match names.iter().find(meant) {
            Some(name) => Err(Refusal::not_built(format!("the parameter `{name}`"))),
            None => Ok(()),
        }
    }
    pub fn filters(&self, known: &[&str]) -> Result<Filters, Refusal> {
        Filters::parse(self.get("filters").unwrap_or("{}"), known)
    }
}

/// `{"name":["x"]}`, or the older `{"name":{"x":true}}`. Names must all match, one value of each.
#[derive(Debug, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, Refusal> {
        let bad = || Refusal::bad(format!("invalid filters: `{text}`"));
        let value: Value = serde_json::from_str(text).map_err(|_| bad())?;
        let mut filters = BTreeMap::new();
        for (name, values) in value.as_object().ok_or_else(bad)? {
            if !known.contains(&name.as_str()) {
                return Err(Refusal::bad(format!("invalid filter '{name}'")));
            }
            let values = match values {
                Value::Array(values) => values
                    .iter()
                    .filter_map(|it| it.as_str().map(str::to_owned))
                    .collect(),
                Value::Object(values) => values.keys().cloned().collect(),
                _ => return Err(bad()),
            };
            filters.insert(name.clone(), values);
        }
        Ok(Self(filters))
    }
    pub fn get(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
    /// Whether there is no such filter, or one of its values fits.
    pub fn any(&self, name: &str, fits: impl Fn(&str) -> bool) -> bool {
        let values = self.get(name);
        values.is_empty() || values.iter().any(|it| fits(it))
    }
    /// `label` must match all of its values: `key` or `key=value`.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.get("label")
            .iter()
            .all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|it| it == value),
                None => labels.contains_key(wanted),
            })
    }
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.get(name).first()?;
        Some(matches!(value.as_str(), "1" | "true" | "True" | "t"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_both_forms_of_filters_are_read() {
        let query = Query::parse(
            "t=a%3Ab&t=c&nocache=1&q=false&filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D",
        );
        assert_eq!(query.all("t").collect::<Vec<_>>(), ["a:b", "c"]);
        assert!(query.flag("nocache") && !query.flag("q") && !query.flag("rm"));
        let filters = query.filters(&["label"]).unwrap();
        let labels = |value: &str| BTreeMap::from([("a".to_owned(), value.to_owned())]);
        assert!(filters.labels(&labels("b")) && !filters.labels(&labels("c")));
        assert!(query.filters(&["name"]).is_err());
        assert!(Query::parse("memory=5").refuse(&["memory"]).is_err());
        // As docker's client writes it, and as the one in Python does.
        assert!(
            Query::parse("memory=0&link=False")
                .refuse(&["memory", "link"])
                .is_ok()
        );
    }
}
