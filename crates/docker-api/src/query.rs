//! A request's query, and the filters that docker puts into it.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::answer::Refusal;
use crate::clock;

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
    /// `label` must match all of its values: `key` or `key=value`. `label!` must not.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let matches = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|it| it == value),
            None => labels.contains_key(wanted),
        };
        let unwanted = self.get("label!");
        self.get("label").iter().all(matches)
            && (unwanted.is_empty() || !unwanted.iter().all(matches))
    }
    /// A filter whose values are regular expressions, as names and ids are.
    pub fn patterns(&self, name: &str) -> Patterns {
        Patterns::new(self.get(name))
    }
    /// What `until` says: a time, or how long ago (`24h`).
    pub fn until(&self, now_ms: i64) -> Result<Until, Refusal> {
        let text = match self.get("until") {
            [] => return Ok(Until(None)),
            [text] => text,
            _ => return Err(Refusal::bad("more than one until filter specified")),
        };
        let until = clock::parse_or_ago(text, now_ms);
        let bad = || Refusal::bad(format!("`until` is not a time: `{text}`"));
        Ok(Until(Some(until.ok_or_else(bad)?)))
    }
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.get(name).first()?;
        Some(matches!(value.as_str(), "1" | "true" | "True" | "t"))
    }
}

/// See [`Filters::until`].
pub struct Until(Option<i64>);

impl Until {
    /// Whether what was made then is old enough, or any age is.
    pub fn takes(&self, made_ms: i64) -> bool {
        self.0.is_none_or(|until| made_ms < until)
    }

    /// None: any age will do.
    pub fn time_ms(&self) -> Option<i64> {
        self.0
    }
}

/// What a compiled expression may take of memory. Matching takes time in proportion to the text.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Values of a filter of names: each is a whole name, or a regular expression that is found in it. One
/// that is no expression matches nothing else, as in docker.
pub struct Patterns {
    exact: Vec<String>,
    expressions: Vec<Regex>,
}

impl Patterns {
    fn new(values: &[String]) -> Self {
        let compile = |it: &String| RegexBuilder::new(it).size_limit(PATTERN_BYTES_MAX).build();
        Self {
            exact: values.to_vec(),
            expressions: values.iter().flat_map(compile).collect(),
        }
    }
    /// Whether there is no such filter, or it fits.
    pub fn fits(&self, text: &str) -> bool {
        self.exact.is_empty()
            || self.exact.iter().any(|it| it == text)
            || self.expressions.iter().any(|it| it.is_match(text))
    }
    /// A container's name, which has a `/` in front when docker sees it.
    pub fn fits_name(&self, name: &str) -> bool {
        self.fits(name) || self.fits(&format!("/{name}"))
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

    #[test]
    fn names_are_expressions() {
        let fits = |pattern: &str, name: &str| {
            let filters = Filters(BTreeMap::from([("name".into(), vec![pattern.to_owned()])]));
            filters.patterns("name").fits_name(name)
        };
        for (pattern, expect) in [
            ("ea", true),
            ("^rea$", true),
            ("^/rea$", true),
            ("^ea", false),
            ("re$", false),
            ("^r.a", true),
            ("^(rea|web)-[0-9]+$", false),
            ("[", false),
        ] {
            assert_eq!(fits(pattern, "rea"), expect, "{pattern}");
        }
        assert!(fits("^(rea|web)-[0-9]+$", "web-12"));
        assert!(fits("a[", "a["), "what is written may be a name");
        assert!(!fits("(a{1000}){1000}", "a"), "too large to be one");
        assert!(!fits("(a*)*b", &"a".repeat(5000)));
    }

    #[test]
    fn labels_and_times_leave_out() {
        let filters = |text: &str| Filters::parse(text, &["label", "label!", "until"]).unwrap();
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        for (text, expect) in [
            (r#"{"label!":["a"]}"#, false),
            (r#"{"label!":["a=c"]}"#, true),
            (r#"{"label!":["a=b","x"]}"#, true),
            (r#"{"label":["a"],"label!":["x"]}"#, true),
        ] {
            assert_eq!(filters(text).labels(&labels), expect, "{text}");
        }
        let until = |text: &str, made_ms| {
            let text = format!(r#"{{"until":["{text}"]}}"#);
            Some(filters(&text).until(100_000).ok()?.takes(made_ms))
        };
        assert_eq!(until("1m30s", 9_999), Some(true));
        assert_eq!(until("1m30s", 10_000), Some(false));
        assert_eq!(until("50", 49_999), Some(true));
        assert_eq!(until("soon", 0), None);
        assert!(filters("{}").until(0).unwrap().takes(i64::MAX));
    }
}
