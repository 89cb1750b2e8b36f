//! R12: the program listens where nobody outside of the task gets to.

use super::listens_elsewhere::unreached;
use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::{Basis, Mend};

pub const RULE: Rule = Rule {
    id: "R12",
    name: "listens-on-loopback",
    layer: Layer::Running,
    needs: &[Fact::Program],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if let Some(clue) = ahead(situation) {
        return Some(clue);
    }
    let (target, listening) = unreached(situation)?;
    let here = || listening.iter().filter(|it| it.port() == target.port);
    let local = here().next()?;
    if here().any(|it| !it.ip().is_loopback()) {
        return None;
    }
    Some(
        Clue::observed(
            format!("the program listens on {local} only, where nothing outside of its task gets through"),
            "Health checks failed (Target.FailedHealthChecks)",
        )
        .because("the task's sockets", format!("port {} is open on {local} and on no other address", target.port))
        .because(format!("target group {}", target.group), format!("{}: {}", target.reason, target.description))
        .mend(Mend::template("let the program listen on 0.0.0.0 (often an option --host or --bind)")),
    )
}

/// A program that is told to listen there by its arguments, or does unless it is told otherwise.
fn ahead(situation: &Situation) -> Option<Clue> {
    let mut containers = situation.containers.iter();
    let (container, why) = containers.find_map(|it| {
        Some((
            it,
            loopback(&it.command).filter(|_| situation.is_ahead && it.is_essential)?,
        ))
    })?;
    Some(
        Clue::observed(
            format!(
                "the program of container `{}` will listen where nothing outside of its task gets through: {why}",
                container.name
            ),
            "Health checks failed (Target.FailedHealthChecks)",
        )
        .on(Basis::Guessed)
        .because(
            format!("container {}", container.name),
            format!("starts `{}`", container.command.join(" ")),
        )
        .warns()
        .at(&container.place)
        .mend(Mend::template("let the program listen on 0.0.0.0 (often an option --host or --bind)")),
    )
}

/// What in a command line says that it listens on loopback alone.
pub fn loopback(command: &[String]) -> Option<String> {
    const ADDRESSES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
    const OPTIONS: [&str; 8] = [
        "--host",
        "--bind",
        "--binding",
        "--address",
        "--listen",
        "--hostname",
        "-b",
        "-H",
    ];
    // A shell's line is one argument.
    let words: Vec<&str> = command
        .iter()
        .flat_map(|it| it.split_whitespace())
        .collect();
    let is_local = |it: &str| {
        let address = it
            .trim_start_matches("http://")
            .trim_start_matches("tcp://");
        ADDRESSES.iter().any(|local| {
            let rest = address.strip_prefix(local);
            rest.is_some_and(|it| it.is_empty() || it.starts_with(':'))
        })
    };
    for (at, word) in words.iter().enumerate() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (*word, words.get(at + 1).copied()),
        };
        if OPTIONS.contains(&option) {
            return value
                .filter(|it| is_local(it))
                .map(|it| format!("`{option} {it}`"));
        }
    }
    // Servers for development, which listen for whoever sits at the machine.
    let runs = |program: &str, verb: &str| {
        let mut pairs = words.windows(2);
        pairs.any(|it| it[0].rsplit('/').next() == Some(program) && it[1] == verb)
    };
    let known = [("flask", "run"), ("rails", "server"), ("rails", "s")];
    let found = known.iter().find(|(program, verb)| runs(program, verb));
    found.map(|(program, verb)| format!("`{program} {verb}` does unless it is given a host"))
}

#[cfg(test)]
mod tests {
    use super::loopback;

    #[test]
    fn a_command_that_listens_on_loopback_is_told() {
        for (line, is_local) in [
            ("gunicorn --bind 127.0.0.1:8000 app", true),
            ("uvicorn app --host=localhost", true),
            ("flask run", true),
            ("flask run --host 0.0.0.0", false),
            ("bundle exec rails server -b 0.0.0.0", false),
            ("/app/bin/rails s", true),
            ("server --redis 127.0.0.1:6379", false),
            ("python -m http.server", false),
        ] {
            let command = [line.to_owned()];
            assert_eq!(loopback(&command).is_some(), is_local, "{line}");
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(loopback(&words).is_some(), is_local, "{line}");
        }
    }
}
