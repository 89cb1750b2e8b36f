//! Hostile Dockerfiles and `.dockerignore`s.

use fuzz::{Target, bucket, shape_of};

use crate::ignore::Ignore;
use crate::{instruction, lines};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn fuzz_dockerfile() {
    Target::new("dockerfile", ROOT)
        .seeds([
            "# escape=`\nARG A=1\nFROM scratch AS base\nENV A=\"b c\" D=e\nCOPY --from=base --chown=1:1 [\"a b\", \"c\"]\n",
            "FROM a:b\nRUN <<EOF >x\necho $A\nEOF\nRUN --mount=type=cache,target=/x a \\\n  # no\n  b\nHEALTHCHECK --interval=5s CMD a\n",
            "FROM a\nCOPY <<-\"E\" <<F /x/\n\ta\nE\nb\nF\nEXPOSE 80/tcp 1-5\nENTRYPOINT [\"a\"]\nUSER a:b\nONBUILD RUN x\n",
        ])
        .words(["FROM ", "RUN ", "COPY ", "<<EOF", "EOF\n", "\\\n", "${A:-", "${A:+b}", "--mount=", "\"", "[\"", "# syntax=", "`"])
        .run(|input| {
            let read = match lines::read("Dockerfile", &String::from_utf8_lossy(input)) {
                Ok(read) => read,
                Err(error) => return shape_of(&error.to_string()),
            };
            let escape = read.escape;
            let count = bucket(read.lines.len());
            let mut parsed = read.lines.into_iter().map(|line| instruction::parse(line, escape));
            match parsed.find_map(Result::err) {
                Some(error) => shape_of(&error.to_string()),
                None => count.to_string(),
            }
        });
}

#[test]
fn fuzz_ignore() {
    Target::new("ignore", ROOT)
        .seeds(["# a\n*\n!src/**/*.rs\n/target/\na[b-d]?\\*\n"])
        .words(["**/", "!", "[", "]", "\\", "{a,b}", "../"])
        .run(
            |input| match Ignore::parse(&String::from_utf8_lossy(input)) {
                Ok(_) => String::new(),
                Err(error) => shape_of(&error.to_string()),
            },
        );
}
