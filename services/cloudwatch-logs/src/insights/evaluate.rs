//! What a query makes of events: rows of fields, one after the other through its commands.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::syntax::{Aggregate, By, Command, Parse, Predicate, Stats};

/// Fields of a JSON message that are found without being asked for (User Guide, "Supported logs and discovered
/// fields").
const FIELDS_MAX: usize = 200;
/// Members within members: what is deeper stays text.
const DEPTH_MAX: usize = 16;

/// An event, or what was made of several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub timestamp_ms: i64,
    pub fields: BTreeMap<String, String>,
}

impl Row {
    fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// What it takes in memory: a field has the names of all that it is in, so that a row may be many times
    /// as long as the message that it was found in.
    pub fn bytes(&self) -> usize {
        let fields = self.fields.iter();
        fields.map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Adds the members of a message that is JSON, by their paths.
pub fn discover(row: &mut Row, message: &str) {
    if !message.trim_start().starts_with('{') {
        return;
    }
    if let Ok(json) = serde_json::from_str::<Json>(message) {
        add(row, "", &json, 0);
    }
}

fn add(row: &mut Row, path: &str, json: &Json, depth: usize) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match json {
        _ if row.fields.len() >= FIELDS_MAX => {}
        Json::Object(members) if depth < DEPTH_MAX => {
            for (name, json) in members {
                add(row, &below(name), json, depth + 1);
            }
        }
        Json::Array(items) if depth < DEPTH_MAX => {
            for (at, json) in items.iter().enumerate() {
                add(row, &below(&at.to_string()), json, depth + 1);
            }
        }
        Json::Null => {}
        Json::String(text) => {
            row.fields.insert(path.to_owned(), text.clone());
        }
        other => {
            row.fields.insert(path.to_owned(), other.to_string());
        }
    }
}

/// The commands that look at one row alone, at a query's beginning: what they drop need not be kept.
pub fn passes(commands: &[Command], row: &mut Row) -> bool {
    for command in commands {
        match command {
            Command::Filter(condition) if !condition.holds(row) => return false,
            Command::Filter(_) => {}
            Command::Parse(parse) => parse.add_to(row),
            Command::Fields(fields) => rename(fields, row),
            _ => return true,
        }
    }
    true
}

/// How many commands [`passes`] looks at.
pub fn leading(commands: &[Command]) -> usize {
    let is_alone = |it: &&Command| {
        matches!(
            it,
            Command::Filter(_) | Command::Parse(_) | Command::Fields(_)
        )
    };
    commands.iter().take_while(is_alone).count()
}

fn rename(fields: &[(String, Option<String>)], row: &mut Row) {
    for (field, name) in fields {
        if let (Some(name), Some(value)) = (name, row.fields.get(field).cloned()) {
            row.fields.insert(name.clone(), value);
        }
    }
}

/// The rows that a query answers, as lists of fields and values.
pub fn finish(
    commands: &[Command],
    mut rows: Vec<Row>,
    limit: usize,
) -> Vec<Vec<(String, String)>> {
    let skip = leading(commands);
    let mut shown: Option<Vec<String>> = None;
    let (mut is_sorted, mut most) = (false, limit);
    for (at, command) in commands.iter().enumerate() {
        match command {
            Command::Fields(fields) => {
                if at >= skip {
                    rows.iter_mut().for_each(|row| rename(fields, row));
                }
                let names = fields.iter();
                let names = names.map(|(field, name)| name.as_ref().unwrap_or(field).clone());
                shown.get_or_insert_default().extend(names);
            }
            Command::Display(fields) => shown = Some(fields.clone()),
            Command::Filter(condition) if at >= skip => rows.retain(|row| condition.holds(row)),
            Command::Parse(parse) => {
                if at >= skip {
                    rows.iter_mut().for_each(|row| parse.add_to(row));
                }
                if shown.is_some() {
                    shown
                        .get_or_insert_default()
                        .extend(parse.names.iter().cloned());
                }
            }
            Command::Filter(_) => {}
            Command::Stats(stats) => {
                rows = stats.of(&rows);
                let by = stats.by.iter().map(By::name);
                let values = stats.values.iter().map(|(_, name)| name.as_str());
                shown = Some(by.chain(values).map(str::to_owned).collect());
                is_sorted = true;
            }
            Command::Sort(by) => {
                sort(&mut rows, by);
                is_sorted = true;
            }
            Command::Limit(count) => {
                if !std::mem::replace(&mut is_sorted, true) {
                    rows.sort_by_key(|row| std::cmp::Reverse(row.timestamp_ms));
                }
                rows.truncate(*count);
                most = most.max(*count);
            }
        }
    }
    if !is_sorted {
        // Newest first, where nothing else is asked for.
        rows.sort_by_key(|row| std::cmp::Reverse(row.timestamp_ms));
    }
    rows.truncate(most);
    let usual = || vec!["@timestamp".to_owned(), "@message".to_owned()];
    let mut shown = shown.unwrap_or_else(usual);
    let mut seen = BTreeSet::new();
    shown.retain(|it| seen.insert(it.clone()));
    if !seen.contains("@ptr") {
        shown.push("@ptr".to_owned());
    }
    let of_row = |row: Row| {
        let fields = shown.iter();
        let found = fields.filter_map(|it| Some((it.clone(), row.get(it)?.to_owned())));
        found.collect()
    };
    rows.into_iter().map(of_row).collect()
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|it: &f64| it.is_finite())
}

/// Numbers as numbers, where both are; what is absent comes first.
fn order(a: Option<&str>, b: Option<&str>) -> std::cmp::Ordering {
    match (a.and_then(number), b.and_then(number)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.cmp(&b),
    }
}

fn sort(rows: &mut [Row], by: &[(String, bool)]) {
    rows.sort_by(|a, b| {
        let orders = by.iter().map(|(field, descending)| {
            let order = order(a.get(field), b.get(field));
            match descending {
                true => order.reverse(),
                false => order,
            }
        });
        orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
}

impl Predicate {
    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Any(all) => all.iter().any(|it| it.holds(row)),
            Self::All(all) => all.iter().all(|it| it.holds(row)),
            Self::Not(inner) => !inner.holds(row),
            Self::Present(field) => row.get(field).is_some(),
            Self::In(field, values) => {
                (row.get(field)).is_some_and(|found| values.iter().any(|it| it == found))
            }
            Self::Has(field, part) => row.get(field).is_some_and(|it| it.contains(part.as_str())),
            Self::Matches(field, how) => row.get(field).is_some_and(|it| how.is_match(it)),
            Self::Compare(field, comparison, value) => {
                let order = (row.get(field)).map(|found| order(Some(found), Some(value)));
                comparison.holds(order.is_some_and(std::cmp::Ordering::is_eq), order)
            }
        }
    }
}

impl Parse {
    fn add_to(&self, row: &mut Row) {
        let Some(text) = row.fields.get(&self.field) else {
            return;
        };
        let Some(found) = self.how.captures(text) else {
            return;
        };
        let groups = found
            .iter()
            .skip(1)
            .map(|it| it.map(|it| it.as_str().to_owned()));
        let found: Vec<_> = self.names.iter().cloned().zip(groups).collect();
        for (name, value) in found {
            if let Some(value) = value {
                row.fields.insert(name, value);
            }
        }
    }
}

impl By {
    pub fn name(&self) -> &str {
        match self {
            Self::Field(name) | Self::Bin { name, .. } => name,
        }
    }

    fn of(&self, row: &Row) -> Option<String> {
        match self {
            Self::Field(name) => row.get(name).map(str::to_owned),
            Self::Bin { ms, .. } => Some(super::time_text(row.timestamp_ms.div_euclid(*ms) * ms)),
        }
    }
}

impl Stats {
    fn of(&self, rows: &[Row]) -> Vec<Row> {
        let mut groups: BTreeMap<Vec<Option<String>>, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            let key = self.by.iter().map(|it| it.of(row)).collect();
            groups.entry(key).or_default().push(row);
        }
        if groups.is_empty() && self.by.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        let row = |(key, rows): (Vec<Option<String>>, Vec<&Row>)| {
            let mut made = Row::default();
            for (by, value) in self.by.iter().zip(key) {
                if let Some(value) = value {
                    made.fields.insert(by.name().to_owned(), value);
                }
            }
            for (aggregate, name) in &self.values {
                if let Some(value) = aggregate.of(&rows) {
                    made.fields.insert(name.clone(), value);
                }
            }
            made
        };
        groups.into_iter().map(row).collect()
    }
}

impl Aggregate {
    fn of(&self, rows: &[&Row]) -> Option<String> {
        let texts = |field: &'_ String| -> Vec<&str> {
            rows.iter().filter_map(|row| row.get(field)).collect()
        };
        let numbers = |field: &'_ String| -> Vec<f64> {
            let mut all: Vec<f64> = texts(field).into_iter().filter_map(number).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        match self {
            Self::Count(None) => Some(rows.len().to_string()),
            Self::Count(Some(field)) => Some(texts(field).len().to_string()),
            Self::CountDistinct(field) => {
                let distinct: BTreeSet<&str> = texts(field).into_iter().collect();
                Some(distinct.len().to_string())
            }
            Self::Sum(field) => Some(numbers(field).iter().sum::<f64>().to_string()),
            Self::Avg(field) => {
                let all = numbers(field);
                (!all.is_empty()).then(|| (all.iter().sum::<f64>() / all.len() as f64).to_string())
            }
            Self::Min(field) => numbers(field).first().map(f64::to_string),
            Self::Max(field) => numbers(field).last().map(f64::to_string),
            Self::Pct(field, percent) => {
                let all = numbers(field);
                let rank = (percent / 100.0 * all.len() as f64).ceil() as usize;
                all.get(rank.saturating_sub(1)).map(f64::to_string)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::syntax::parse;
    use super::*;

    const LINES: [&str; 5] = [
        r#"{"level": "error", "ms": 30, "user": {"name": "ann"}}"#,
        r#"{"level": "info", "ms": 10, "user": {"name": "bob"}}"#,
        r#"{"level": "error", "ms": 50}"#,
        "GET /index.html took 7 ms",
        "GET /a took 12 ms",
    ];

    fn answer(query: &str) -> Vec<Vec<String>> {
        let commands = parse(query).unwrap();
        let rows = LINES.iter().enumerate().filter_map(|(at, line)| {
            let mut row = Row {
                timestamp_ms: at as i64 * 60_000,
                ..Row::default()
            };
            discover(&mut row, line);
            row.fields.insert("@message".into(), (*line).into());
            row.fields.insert("@timestamp".into(), at.to_string());
            passes(&commands, &mut row).then_some(row)
        });
        let rows = finish(&commands, rows.collect(), 1000);
        let texts = |row: Vec<(String, String)>| row.into_iter().map(|(_, value)| value).collect();
        rows.into_iter().map(texts).collect()
    }

    #[test]
    fn a_row_takes_what_its_fields_take() {
        let mut row = Row::default();
        discover(&mut row, r#"{"outer": {"a": 1, "b": "two"}}"#);
        // `outer.a`, `1`, `outer.b` and `two`.
        assert_eq!(row.bytes(), 7 + 1 + 7 + 3);
    }

    #[test]
    fn queries_answer() {
        for (query, expected) in [
            (
                "fields level, ms | filter level = \"error\" | sort ms desc",
                vec!["error 50", "error 30"],
            ),
            (
                "filter ispresent(user.name) | fields user.name as who | sort who",
                vec!["ann", "bob"],
            ),
            ("filter level in ['info', 'warn'] | display ms", vec!["10"]),
            (
                "filter ms >= 30 and not level = 'info' | stats count(*) as n",
                vec!["2"],
            ),
            (
                "filter @message like /took \\d+/ | parse @message \"GET * took * ms\" as path, took | display path, took | sort took",
                vec!["/index.html 7", "/a 12"],
            ),
            (
                "filter @message like 'took' | parse /took (?<took>\\d+)/ | stats sum(took), max(took) as most",
                vec!["19 12"],
            ),
            (
                "stats avg(ms), count(ms), pct(ms, 50) by level | sort level desc",
                vec!["info 10 1 10", "error 40 2 30", "0 "],
            ),
            (
                "stats count(*) by bin(2m)",
                vec![
                    "1970-01-01 00:00:00.000 2",
                    "1970-01-01 00:02:00.000 2",
                    "1970-01-01 00:04:00.000 1",
                ],
            ),
            ("fields @timestamp | limit 2", vec!["4", "3"]),
            (
                "fields @timestamp | sort @timestamp asc | head 1",
                vec!["0"],
            ),
            (
                "stats count_distinct(level) as kinds # of all\n| display kinds",
                vec!["2"],
            ),
            (
                "filter level not like /^err/ or ms != 50 | stats count(*)",
                vec!["4"],
            ),
        ] {
            let found: Vec<String> = answer(query).into_iter().map(|it| it.join(" ")).collect();
            let expected: Vec<&str> = expected.iter().map(|it| it.trim()).collect();
            assert_eq!(found, expected, "{query}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused_and_what_is_not_built_is_named() {
        for (query, why) in [
            ("", "a command is missing"),
            ("filter", "a field is missing"),
            ("fields a |", "a command is missing"),
            (
                "dedup a",
                "the command `dedup` is not supported by neargate",
            ),
            ("fields strlen(a)", "the function `strlen` is not supported"),
            ("stats stddev(a)", "the function `stddev` is not supported"),
            ("filter a like /(/", "is not a regular expression"),
            (
                "filter a like /x{999}{999}{999}/",
                "is not a regular expression",
            ),
            ("parse 'a * b *' as one", "1 names are given for 2"),
            ("parse /(a)/", "each group of the expression needs a name"),
            ("fields 'a", "is not closed"),
            ("stats count(*) by bin(5x)", "is no span of time"),
        ] {
            let error = parse(query).unwrap_err();
            assert!(error.contains(why), "{query}: {error}");
        }
        let deep = format!("filter {}a = 1", "(".repeat(1000));
        assert!(parse(&deep).unwrap_err().contains("too many"));
    }
}
