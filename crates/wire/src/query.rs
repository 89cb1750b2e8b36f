//! Form parameters as a tree: `Tags.member.1.Key=a` is the path `Tags`, `member`, `1`, `Key`.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::error::{Error, codes};
use crate::node::Node;

/// The largest request here is a security group's rules, well under a thousand parameters.
const MAX_PARAMETERS: usize = 10_000;
/// Branches of the tree: names that have others below them. A security group's rules have three each.
/// A branch takes some hundred bytes, where its name may take two.
const MAX_BRANCHES: usize = 50_000;
/// The deepest path of the models is a launch template's, twelve parts.
const MAX_DEPTH: usize = 32;

/// Splits `a=b&c=d` and decodes both sides.
pub(crate) fn split_form(form: &str) -> Result<Vec<(String, String)>, Error> {
    let parts = || form.split('&').filter(|part| !part.is_empty());
    if parts().take(MAX_PARAMETERS + 1).count() > MAX_PARAMETERS {
        return Err(malformed(format!("more than {MAX_PARAMETERS} parameters")));
    }
    parts()
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode_form_text(name)?, decode_form_text(value)?))
        })
        .collect()
}

/// A form writes a space as `+`.
pub(crate) fn decode_form_text(text: &str) -> Result<String, Error> {
    let spaced = text.replace('+', "%20");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| malformed("a parameter is not UTF-8".into()))
}

fn malformed(why: String) -> Error {
    codes::MalformedQueryString.because(format!("The query string contains a syntax error: {why}"))
}

enum Tree {
    Leaf(String),
    Branch(BTreeMap<String, Tree>),
}

/// The tree of the parameters.
pub fn read_query(parameters: Vec<(String, String)>) -> Result<Node, Error> {
    let mut root = BTreeMap::new();
    let mut branches = 0;
    for (name, value) in parameters {
        insert(&mut root, &name, value, &mut branches)?;
    }
    Ok(into_node(Tree::Branch(root)))
}

fn insert(
    root: &mut BTreeMap<String, Tree>,
    name: &str,
    value: String,
    branches: &mut usize,
) -> Result<(), Error> {
    let clash = || malformed(format!("`{name}` clashes with another parameter"));
    let mut parts: Vec<&str> = name.split('.').take(MAX_DEPTH + 1).collect();
    if parts.len() > MAX_DEPTH {
        return Err(malformed("a parameter's name has too many parts".into()));
    }
    let last = parts.pop().expect("splitting gives at least one part");
    let mut at = root;
    for part in parts {
        let next = at.entry(part.to_owned()).or_insert_with(|| {
            *branches += 1;
            Tree::Branch(BTreeMap::new())
        });
        match next {
            Tree::Branch(branch) => at = branch,
            Tree::Leaf(_) => return Err(clash()),
        }
    }
    if *branches > MAX_BRANCHES {
        return Err(malformed(format!(
            "more than {MAX_BRANCHES} parts of names"
        )));
    }
    match at.insert(last.to_owned(), Tree::Leaf(value)) {
        None => Ok(()),
        Some(_) => Err(clash()),
    }
}

fn into_node(tree: Tree) -> Node {
    match tree {
        Tree::Leaf(text) => Node::Str(text),
        Tree::Branch(branch) => Node::Map(
            branch
                .into_iter()
                .map(|(name, tree)| (name.into(), into_node(tree)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Result<Node, String> {
        split_form(form)
            .and_then(read_query)
            .map_err(|error| error.message)
    }

    #[test]
    fn names_become_paths() {
        let node = read("Name=a+b%26c&Tags.member.1.Key=k&Tags.member.1.Value=").unwrap();
        assert_eq!(node.member("Name"), Some(&Node::text("a b&c")));
        let tag = node
            .member("Tags")
            .and_then(|it| it.member("member"))
            .and_then(|it| it.member("1"));
        assert_eq!(tag.and_then(|it| it.member("Value")), Some(&Node::text("")));
    }

    #[test]
    fn what_makes_no_tree_is_refused() {
        let deep = format!("{}=1", ["a"; 40].join("."));
        let many = vec!["a=1"; MAX_PARAMETERS + 1].join("&");
        let branched: Vec<String> = (0..2_000)
            .map(|it| format!("{it}.{}=1", ["a"; 30].join(".")))
            .collect();
        let branched = branched.join("&");
        assert!(read(&branched).unwrap_err().contains("parts of names"));
        for bad in ["A=1&A=2", "A=1&A.B=2", "A.B=1&A=2", "A=%ff", &deep, &many] {
            assert!(read(bad).is_err(), "{}", &bad[..bad.len().min(40)]);
        }
    }
}
