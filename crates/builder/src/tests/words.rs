use crate::words::Expander;

fn expand(text: &str, escape: char) -> Result<String, String> {
    let lookup = |name: &str| match name {
        "name" => Some("value".to_owned()),
        "empty" => Some(String::new()),
        "path" => Some("/usr/local/lib/a.tar.gz".to_owned()),
        "star" => Some("*b*".to_owned()),
        "other" => Some("name".to_owned()),
        _ => None,
    };
    Expander {
        escape,
        lookup: &lookup,
    }
    .word(text)
    .map_err(|error| error.message)
}

fn check(text: &str, expected: &str) {
    assert_eq!(expand(text, '\\').as_deref(), Ok(expected), "{text}");
}

#[test]
fn variables_quotes_and_escapes() {
    check("plain", "plain");
    check("$name", "value");
    check("a$name-b", "avalue-b");
    check("${name}s", "values");
    check("$missing", "");
    check("${missing}", "");
    check("\\$name", "$name");
    check("'$name'", "$name");
    check("\"$name x\"", "value x");
    check("\"\\$name \\\" \\n\"", "$name \" \\n");
    check("a\\ b", "a b");
    check("'a\\b'", "a\\b");
    check("$", "$");
    check("a$1b", "ab");
    check("$12x", "x");
    check("${1}|${2:-two}", "|two");
    check("$@ $* $# $? $- $! $$", "      ");
    check("a\\", "a");
    check("100$ ", "100$ ");
    check("${name:-x}", "value");
    check("${empty:-x}", "x");
    check("${empty-x}", "");
    check("${missing-x}", "x");
    check("${missing:-${name}}", "value");
    check("${missing:-${gone:-deep}}", "deep");
    check("${missing:-'a b'}", "a b");
    check("${name:+x}", "x");
    check("${empty:+x}", "");
    check("${empty+x}", "x");
    check("${missing:+x}", "");
    check("${name:?is needed}", "value");
    check("${path#*/}", "usr/local/lib/a.tar.gz");
    check("${path##*/}", "a.tar.gz");
    check("${path%.*}", "/usr/local/lib/a.tar");
    check("${path%%.*}", "/usr/local/lib/a");
    check("${name#x}", "value");
    check("${path/local/share}", "/usr/share/lib/a.tar.gz");
    check("${name//[ae]/-}", "value");
    check("${path/\\/usr/X}", "X/local/lib/a.tar.gz");
    check("${star#\\*}", "b*");
    check("${star##*\\*}", "");
    check("${path%\\*}", "/usr/local/lib/a.tar.gz");
    check("${name/v*/x}", "x");
    check("ünïcode $name ✓", "ünïcode value ✓");
}

#[test]
fn the_backtick_as_escape() {
    assert_eq!(expand("`$name c:\\x", '`').as_deref(), Ok("$name c:\\x"));
}

#[test]
fn mistakes_have_names() {
    for (text, message) in [
        ("${name", "`${` is not closed by `}`"),
        ("${}", "`${` needs the name of a variable"),
        ("${:-x}", "`${` needs the name of a variable"),
        ("${name#\\x}", "`\\x` has no meaning in the pattern `\\x`"),
        ("${name!x}", "`!` has no meaning within `${name…}`"),
        (
            "${name:x}",
            "`${name:…}` takes `-`, `+` or `?` after the colon",
        ),
        ("'open", "a `'` is not closed"),
        ("\"open", "a `\"` is not closed"),
        (
            "${missing:?is needed}",
            "the variable `missing` is not set: is needed",
        ),
    ] {
        assert_eq!(
            expand(text, '\\').as_ref().map_err(String::as_str),
            Err(message),
            "{text}"
        );
    }
}

#[test]
fn depth_and_growth_are_bounded() {
    let deep = format!("{}x{}", "${a:-".repeat(1000), "}".repeat(1000));
    let error = expand(&deep, '\\').unwrap_err();
    assert_eq!(error, "variables are nested more than 16 deep");

    let long = "y".repeat(100 * 1024);
    let lookup = |_: &str| Some(long.clone());
    let expander = Expander {
        escape: '\\',
        lookup: &lookup,
    };
    let error = expander.word("$a$a$a$a").unwrap_err();
    assert!(error.message.contains("grows by more than"), "{error}");
    let error = expander.word("${a//*a*a*a*b/x}").unwrap_err();
    assert!(error.message.contains("too long for a pattern"), "{error}");
}

#[test]
fn a_heredocs_body_keeps_its_quotes_and_loses_its_backslashes() {
    let lookup = |name: &str| (name == "a").then(|| "1".to_owned());
    for escape in ['\\', '`'] {
        let expander = Expander {
            escape,
            lookup: &lookup,
        };
        for (body, expected) in [
            ("it's \"$a\" ${a:-2} `x`\n", "it's \"1\" 1 `x`\n"),
            ("\\\n", "\n"),
            ("\\\\\n", "\\\n"),
            ("\\$a\n", "$a\n"),
            ("\\n $1\n", "n \n"),
        ] {
            assert_eq!(expander.body(body).unwrap(), expected, "{body:?}");
        }
    }
}
