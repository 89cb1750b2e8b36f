//! What names may be, before they become arguments.

use engine::{EngineError, Result};

use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};

/// The id of a repository that is kept here: it becomes a folder's name.
pub fn check_id(id: &str) -> Result<()> {
    let plain = |it: char| it.is_ascii_alphanumeric() || it == '-';
    if id.is_empty() || id.len() > 64 || id.starts_with('-') || !id.chars().all(plain) {
        return Err(EngineError::invalid(format!(
            "`{id}` is not a repository's id"
        )));
    }
    Ok(())
}

/// A branch or tag, by the rules of `git check-ref-format`, and never what looks like an option.
pub fn check_ref(name: &str) -> Result<()> {
    let bad_char = |it: char| it.is_control() || " ~^:?*[\\\u{7f}".contains(it);
    let bad_part = |it: &str| {
        it.is_empty() || it.starts_with('.') || it.ends_with(".lock") || it.ends_with('.')
    };
    let bad = name.len() > NAME_BYTES_MAX
        || name.starts_with('-')
        || name == "@"
        || name.contains("..")
        || name.contains("@{")
        || name.contains(bad_char)
        || name.split('/').any(bad_part);
    if bad {
        return Err(EngineError::invalid(format!(
            "`{name}` is not the name of a branch, a tag or a commit"
        )));
    }
    Ok(())
}

/// A whole object id.
pub fn is_object_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// A path in a repository: relative, plain, and none of Git's own.
pub fn check_path(path: &str) -> Result<()> {
    let bad_part =
        |it: &str| it.is_empty() || it == "." || it == ".." || it.eq_ignore_ascii_case(".git");
    if path.len() > PATH_BYTES_MAX || path.contains('\0') || path.split('/').any(bad_part) {
        return Err(EngineError::invalid(format!(
            "`{path}` is not a path in a repository"
        )));
    }
    Ok(())
}

/// The place of a remote repository: HTTP only, and who logs in is not part of it.
pub fn check_url(url: &str) -> Result<()> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or_else(|| {
            EngineError::invalid("a remote repository's address begins with https:// or http://")
        })?;
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || host.contains('@') {
        return Err(EngineError::invalid(
            "a remote repository's address names a host and nobody who logs in",
        ));
    }
    reach::Target::of(url)?;
    if url.len() > PATH_BYTES_MAX || url.contains(|it: char| it.is_control() || it == ' ') {
        return Err(EngineError::invalid(
            "a remote repository's address has no spaces",
        ));
    }
    Ok(())
}

/// `https://host:port`, for what counts for this host only.
pub fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_options_or_lead_elsewhere_are_refused() {
        for good in ["main", "feature/a-b", "v1.0", "a@b"] {
            check_ref(good).unwrap();
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a.lock",
            "a@{1}",
            "@",
            "a\nb",
        ] {
            check_ref(bad).unwrap_err();
        }
        for bad in ["", "/a", "a/../b", ".git/config", "a/.GIT/b", "a//b", "."] {
            check_path(bad).unwrap_err();
        }
        check_path("src/main.rs").unwrap();
        for bad in ["", "-a", "../a", "a/b", "a.b"] {
            check_id(bad).unwrap_err();
        }
    }

    #[test]
    fn addresses_are_of_http_without_a_login() {
        check_url("https://example.com/a/b.git").unwrap();
        check_url("http://127.0.0.1:80/a").unwrap();
        for bad in [
            "ssh://a/b",
            "file:///a",
            "/a",
            "ext::sh",
            "https://u:p@h/a",
            "https:///a",
            "--upload-pack=x",
            "https://a/b c",
        ] {
            check_url(bad).unwrap_err();
        }
        assert_eq!(origin("https://a.b:1/c/d"), "https://a.b:1");
        assert_eq!(origin("https://a.b"), "https://a.b");
    }
}
