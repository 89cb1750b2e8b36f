//! Variables in configurations: `#{namespace.name}` (CodePipeline User Guide, "Variables reference").

use std::collections::BTreeMap;

use crate::record::Execution;

/// What the execution itself is called.
pub const OF_THE_EXECUTION: &str = "codepipeline";
/// What the pipeline declares.
pub const OF_THE_PIPELINE: &str = "variables";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// Where it stands in the text, with its braces.
    begin: usize,
    end: usize,
}

/// Every `#{a.b}` of a text. What has no dot is not one.
pub fn references(text: &str) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(begin) = text[from..].find("#{").map(|it| it + from) {
        let Some(end) = text[begin..].find('}').map(|it| it + begin) else {
            break;
        };
        if let Some((namespace, name)) = text[begin + 2..end].split_once('.') {
            found.push(Reference {
                namespace,
                name,
                begin,
                end: end + 1,
            });
        }
        from = end + 1;
    }
    found
}

/// A text with its variables' values, or the first variable that has none.
pub fn resolve(text: &str, execution: &Execution) -> Result<String, String> {
    let mut out = String::new();
    let mut from = 0;
    for it in references(text) {
        out.push_str(&text[from..it.begin]);
        let value =
            value(&it, execution).ok_or_else(|| format!("#{{{}.{}}}", it.namespace, it.name))?;
        out.push_str(&value);
        from = it.end;
    }
    out.push_str(&text[from..]);
    Ok(out)
}

fn value(it: &Reference<'_>, execution: &Execution) -> Option<String> {
    match (it.namespace, it.name) {
        (OF_THE_EXECUTION, "PipelineExecutionId") => Some(execution.id.clone()),
        (OF_THE_EXECUTION, _) => None,
        (OF_THE_PIPELINE, name) => execution.variables.get(name).cloned(),
        (namespace, name) => execution.namespaces.get(namespace)?.get(name).cloned(),
    }
}

/// A whole configuration, resolved.
pub fn resolve_all(
    configuration: &BTreeMap<String, String>,
    execution: &Execution,
) -> Result<BTreeMap<String, String>, String> {
    let each = configuration.iter();
    each.map(|(name, text)| Ok((name.clone(), resolve(text, execution)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_where_they_stand() {
        let found = references("a #{Source.CommitId}-#{nothing}-#{b.c");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].namespace, found[0].name), ("Source", "CommitId"));
    }
}
