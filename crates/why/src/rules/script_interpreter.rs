//! S3: the program is there, and what is to run it is not.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S3",
    name: "bad-shebang",
    layer: Layer::Start,
    needs: &[Fact::Program],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (container, program, why) = situation.not_started(|why, found| {
        let is_there = found.is_some_and(|it| it.is_there && it.foreign_machine.is_none());
        let cannot = why.contains("no such file") || why.contains("exec format error");
        is_there && cannot
    })?;
    let found = container.image.program.as_ref()?;
    let (seen, mend) = match &found.shebang {
        Some(line) if line.ends_with('\r') => (
            "its first line ends with a carriage return, so that its interpreter's name does".to_owned(),
            "give the script Unix line ends (`sed -i 's/\\r$//'`, or `* text eol=lf` in .gitattributes)".to_owned(),
        ),
        Some(line) => (
            format!("its first line is `{line}`, and that program is not in the image"),
            "install the interpreter in the image, or name one that is there".to_owned(),
        ),
        None if why.contains("exec format error") => (
            "it has no first line that begins with #! and is no program of this machine".to_owned(),
            "begin the script with `#!/bin/sh`".to_owned(),
        ),
        None => (
            "it is there, and its loader or a library of it is not".to_owned(),
            "build it statically, or on the same base image that it runs in (musl and glibc differ)".to_owned(),
        ),
    };
    Some(
        Clue::observed(
            format!("`{program}` is in the image of container `{}` and cannot be run there", container.name),
            format!("CannotStartContainerError: … exec {program}: no such file or directory, or: exec format error"),
        )
        .because(format!("`{}` in image {}", found.path, container.image.name), seen)
        .with_what_the_task_says(situation)
        .at(&container.image.place)
        .mend(Mend::template(mend)),
    )
}
