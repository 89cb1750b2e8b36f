//! Names of load balancers and target groups, and lists of what is asked for.

use cloud::Error;

const NAME_LENGTH_MAX: usize = 32;

/// Letters, digits and hyphens, at most 32, no hyphen at either end. AWS joins the two kinds of characters
/// by another word for each kind of thing.
pub fn check_name(name: &str, what: &str, joined: &str) -> Result<(), Error> {
    let invalid = |text: &str| {
        Err(wire::codes::ValidationError.because(format!("{what} name '{name}' {text}")))
    };
    if name.is_empty() {
        return invalid("cannot be empty");
    }
    if name.chars().count() > NAME_LENGTH_MAX {
        return invalid(&format!(
            "cannot be longer than '{NAME_LENGTH_MAX}' characters"
        ));
    }
    let known = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
    if !name.bytes().all(known) {
        return invalid(&format!(
            "can only contain characters that are alphanumeric characters {joined} hyphens(-)"
        ));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return invalid("cannot begin or end with '-'");
    }
    Ok(())
}

/// An empty list asks for nothing in particular, as none does.
pub fn asked(list: Option<&Vec<String>>) -> Option<&Vec<String>> {
    list.filter(|it| !it.is_empty())
}

pub fn check_count(asked: Option<&Vec<String>>, what: &str, max: usize) -> Result<(), Error> {
    match asked {
        Some(asked) if asked.len() > max => Err(wire::codes::ValidationError.because(format!(
            "At most '{max}' {what} can be specified in a request"
        ))),
        _ => Ok(()),
    }
}
