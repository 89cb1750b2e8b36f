//! R5: the program was ended by a signal.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;
use crate::texts::last_lines;

pub const RULE: Rule = Rule {
    id: "R5",
    name: "segv-or-abort",
    layer: Layer::Running,
    needs: &[Fact::Exit],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let container = situation.failed_container()?;
    let code = container.exit_code?;
    let is_over_memory = container
        .reason
        .as_deref()
        .is_some_and(|it| it.contains("OutOfMemory"));
    let what = match code {
        134 => "aborted itself (SIGABRT)",
        136 => "computed something impossible (SIGFPE)",
        139 => "touched memory that is not its own (SIGSEGV)",
        132 => "met an instruction that this processor does not have (SIGILL)",
        _ => return None,
    };
    if is_over_memory {
        return None;
    }
    Some(
        Clue::observed(
            format!("the program of container `{}` {what}", container.name),
            format!("Essential container in task exited (exit code {code})"),
        )
        .because(format!("container {}", container.name), format!("exit code {code}; {}", last_lines(&container.printed)))
        .mend(Mend::template("that is a fault of the program or of a library in its image: run it under a debugger, or with another version")),
    )
}
