//! Other names for those whom a document names: an ARN is whoever has it, an id is one user or role.

use crate::tree::Tree;

/// The document with other names for its AWS principals, where `rename` knows any; None where nothing is
/// renamed, or the text is no document. The rest is as it was, without the white space.
pub fn rename_principals<E>(
    text: &str,
    rename: &mut dyn FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let Ok(mut tree) = Tree::parse(text) else {
        return Ok(None);
    };
    let mut renamed = false;
    for name in names_in(&mut tree) {
        if let Some(other) = rename(name)? {
            *name = other;
            renamed = true;
        }
    }
    Ok(renamed.then(|| tree.to_string()))
}

/// The names of users, roles, sessions and accounts, in the order in which they stand.
fn names_in(document: &mut Tree) -> Vec<&mut String> {
    let mut names = Vec::new();
    for statement in each(members(document, &["Statement"])) {
        for principals in members(statement, &["Principal", "NotPrincipal"]) {
            for name in each(members(principals, &["AWS"])) {
                if let Tree::Text(name) = name {
                    names.push(name);
                }
            }
        }
    }
    names
}

fn members<'a>(tree: &'a mut Tree, names: &[&str]) -> Vec<&'a mut Tree> {
    let Tree::Object(members) = tree else {
        return Vec::new();
    };
    (members.iter_mut())
        .filter(|it| names.contains(&it.0.as_str()))
        .map(|it| &mut it.1)
        .collect()
}

/// What lists hold, and what stands in the place of one.
fn each(trees: Vec<&mut Tree>) -> Vec<&mut Tree> {
    let mut all = Vec::new();
    for tree in trees {
        match tree {
            Tree::List(items) => all.extend(items),
            one => all.push(one),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(text: &str) -> Option<String> {
        let mut rename = |name: &str| -> Result<_, ()> {
            Ok(name.strip_prefix("arn:").map(|it| format!("id-{it}")))
        };
        rename_principals(text, &mut rename).unwrap()
    }

    #[test]
    fn principals_alone_are_renamed_and_the_rest_stays() {
        let text = r#"{"Version": "2012-10-17", "Statement": [
            {"Sid": "a", "Principal": {"AWS": ["arn:a", "1", "arn:b"], "Service": "arn:c"},
             "Condition": {"Bool": {"x": true}, "NumericLessThan": {"y": [1, 2.50, 18446744073709551615]}},
             "Resource": "arn:d\"\u0001"}, {"NotPrincipal": {"AWS": "arn:e"}}]}"#;
        let expected = r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Principal":{"AWS":["id-a","1","id-b"],"Service":"arn:c"},"Condition":{"Bool":{"x":true},"NumericLessThan":{"y":[1,2.5,18446744073709551615]}},"Resource":"arn:d\"\u0001"},{"NotPrincipal":{"AWS":"id-e"}}]}"#;
        assert_eq!(renamed(text).as_deref(), Some(expected));
        let one = r#"{"Statement": {"Principal": {"AWS": "arn:a"}}}"#;
        let expected = r#"{"Statement":{"Principal":{"AWS":"id-a"}}}"#;
        assert_eq!(renamed(one).as_deref(), Some(expected));
        for nothing in [
            r#"{"Statement": {"Principal": "*"}}"#,
            r#"{"Statement": {"Principal": {"AWS": "*"}, "Resource": "arn:a"}}"#,
            "no document",
        ] {
            assert_eq!(renamed(nothing), None, "{nothing}");
        }
    }
}
