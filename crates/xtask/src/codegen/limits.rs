//! The limits of the shapes that requests reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, ensure};

use super::model::{Model, Shape};
use super::names::snake;

/// The `static` of each shape that has limits.
pub struct LimitsTable<'a> {
    rows: BTreeMap<&'a str, Row>,
}

struct Row {
    ident: String,
    text: String,
}

impl<'a> LimitsTable<'a> {
    pub fn new(model: &'a Model, inputs: &BTreeSet<&'a str>) -> anyhow::Result<Self> {
        let mut table = Self {
            rows: BTreeMap::new(),
        };
        for name in inputs {
            table.add(model, name)?;
        }
        let idents: BTreeSet<&str> = table.rows.values().map(|row| row.ident.as_str()).collect();
        ensure!(
            idents.len() == table.rows.len(),
            "two limits have the same name"
        );
        Ok(table)
    }

    /// The name of the shape's limits, if it has any.
    pub fn name_of(&self, shape: &str) -> Option<&str> {
        self.rows.get(shape).map(|row| row.ident.as_str())
    }

    fn add(&mut self, model: &'a Model, name: &'a str) -> anyhow::Result<()> {
        let shape = model.shape(name)?;
        if self.rows.contains_key(name) || shape.kind == "structure" || shape.names.is_some() {
            return Ok(());
        }
        let mut fields = own_limits(shape).with_context(|| format!("the limits of `{name}`"))?;
        let inner = shape.member.as_ref().or(shape.value.as_ref());
        for (field, inner) in [("member", inner), ("key", shape.key.as_ref())] {
            if let Some(inner) = inner {
                self.add(model, &inner.shape)?;
                if let Some(limits) = self.name_of(&inner.shape) {
                    fields.push(format!("{field}: Some(&{limits})"));
                }
            }
        }
        if !fields.is_empty() {
            let ident = snake(name).to_ascii_uppercase();
            let text = format!(
                "    pub static {ident}: Limits = Limits {{ {}, ..Limits::NONE }};\n",
                fields.join(", ")
            );
            self.rows.insert(name, Row { ident, text });
        }
        Ok(())
    }

    pub fn write(&self) -> String {
        let mut out = String::new();
        if self.rows.is_empty() {
            return out;
        }
        let rows: String = self.rows.values().map(|row| row.text.as_str()).collect();
        let patterns = if rows.contains("Pattern::new") {
            "{Limits, Pattern}"
        } else {
            "Limits"
        };
        writeln!(out, "pub mod limits {{\n    //! What the model allows.\n\n    use wire::{patterns};\n\n{rows}}}\n")
            .expect("writing to a string does not fail");
        out
    }
}

fn own_limits(shape: &Shape) -> anyhow::Result<Vec<String>> {
    let mut fields = Vec::new();
    let is_number = matches!(shape.kind.as_str(), "integer" | "long" | "float" | "double");
    let (lowest, highest) = match shape.kind.as_str() {
        "integer" => (f64::from(i32::MIN), f64::from(i32::MAX)),
        "long" => (i64::MIN as f64, i64::MAX as f64),
        _ => (f64::MIN, f64::MAX),
    };
    for (field, limit) in [("min", shape.min), ("max", shape.max)] {
        let Some(limit) = limit else { continue };
        ensure!(
            limit.fract() == 0.0,
            "`{field}` is {limit}, not a whole number"
        );
        // Limits that the type sets already, or that every length keeps, say nothing.
        let idle = if is_number {
            limit <= lowest || limit >= highest
        } else {
            limit == 0.0 && field == "min"
        };
        if !idle {
            fields.push(format!("{field}: Some({limit})"));
        }
    }
    // Patterns that the engine cannot compile refuse nothing: the length beside them still holds.
    if let Some(pattern) = shape.pattern.as_deref().filter(|it| refuses_something(it)) {
        fields.push(format!(
            "pattern: {{ static PATTERN: Pattern = Pattern::new({pattern:?}); Some(&PATTERN) }}"
        ));
    }
    Ok(fields)
}

fn refuses_something(pattern: &str) -> bool {
    let anything = [
        ".*",
        "^.*$",
        "[\\s\\S]*",
        "^[\\s\\S]*$",
        "[\\S\\s]*",
        "(?s).*",
        "(?s)^.*$",
    ];
    !anything.contains(&pattern) && wire::compile_pattern(pattern).is_some()
}
