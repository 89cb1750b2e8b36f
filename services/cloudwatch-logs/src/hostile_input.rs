//! Hostile filter patterns, and messages that they are held against.

use fuzz::{Target, shape_of};

use crate::pattern::Pattern;

#[test]
fn fuzz_filter() {
    Target::new("filter", env!("CARGO_MANIFEST_DIR"))
        .seeds([
            "{ ($.a = \"b*\") && ($.c[0].d >= 5 || $.e IS TRUE) && $.f NOT EXISTS }",
            "[ip, user=*a*, status = 4*, bytes > 10, ...]",
            "?ERROR ?\"a b\" -debug %re[a-z]+%",
        ])
        .words(["$.", "&&", "||", "IS NULL", "%", "[", "...", "!=", "*****"])
        .run(
            |input| match Pattern::parse(&String::from_utf8_lossy(input)) {
                Ok(pattern) => format!(
                    "{} {}",
                    pattern.matches("{\"a\": \"bb\", \"c\": [{\"d\": 5}]}"),
                    pattern.matches("127.0.0.1 ann 404 99 ERROR a b")
                ),
                Err(error) => shape_of(&error.message),
            },
        );
}
