//! Why an application did not come up, in words that say what to do: from what was seen of its
//! containers. Pure, so that every usual mistake is a line of a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// What was seen of an application's containers while its stack failed.
#[derive(Default)]
pub struct Seen {
    /// Tasks that stopped and should not have, in their order.
    pub stopped: Vec<Stopped>,
    /// What the load balancer said of targets that it found unhealthy.
    pub unhealthy: Vec<String>,
    /// Where tasks listened, by their ids.
    pub listening: BTreeMap<String, BTreeSet<SocketAddr>>,
    /// The last lines of the container that stopped last.
    pub printed: Vec<String>,
}

pub struct Stopped {
    pub id: String,
    /// In ECS's words.
    pub reason: String,
    pub exit_code: Option<i32>,
    pub container_reason: Option<String>,
}

impl Stopped {
    /// In one line, for the moment when it happens.
    pub fn why(&self) -> String {
        // Which target group it was is no question here, and its name is long.
        let reason = self.reason.split(" in (target-group").next();
        let mut line = reason.unwrap_or_default().to_owned();
        match (self.exit_code, &self.container_reason) {
            (_, Some(reason)) if !self.reason.contains(reason.as_str()) => {
                let _ = write!(line, " ({reason})");
            }
            (Some(code), _) if !self.failed_probes() => {
                let _ = write!(line, " (exit code {code})");
            }
            _ => {}
        }
        line
    }

    /// It ran, but did not pass the load balancer's checks.
    fn failed_probes(&self) -> bool {
        self.reason.contains("ELB health checks")
    }
}

/// What `up` was asked for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub port: u16,
    pub health_path: &'a str,
    pub memory: u32,
    /// Whether the application ran before and its earlier version still does.
    pub is_update: bool,
    pub command: &'a str,
}

/// None when nothing was seen that explains a failure.
pub fn verdict(seen: &Seen, wanted: Wanted<'_>) -> Option<String> {
    let last = seen.stopped.last()?;
    let (why, advice) = if last.failed_probes() {
        probes(seen, last, wanted)
    } else {
        ended(last, wanted)
    };
    let mut text = why;
    if !seen.printed.is_empty() {
        text.push_str("\n\nThe container's last lines:");
        for line in &seen.printed {
            let _ = write!(text, "\n  | {line}");
        }
    } else if last.exit_code.is_some() {
        text.push_str("\n\nThe container printed nothing.");
    }
    let _ = write!(text, "\n\nWhat to do: {advice}");
    if wanted.is_update {
        text.push_str("\nUntil then the version before goes on serving.");
    }
    Some(text)
}

fn ended(last: &Stopped, wanted: Wanted<'_>) -> (String, String) {
    let again = format!("then `{}` again", wanted.command);
    let container_reason = last.container_reason.clone().unwrap_or_default();
    if container_reason.contains("OutOfMemory") {
        return (
            format!(
                "the container needs more than its {} MiB of memory and was killed",
                wanted.memory
            ),
            format!(
                "give it more, as in `--memory {}` (256 CPU units go up to 2048 MiB, more needs `--cpu 512`)",
                wanted.memory * 2
            ),
        );
    }
    if last.reason.starts_with("CannotStartContainerError") {
        return (
            format!("the container cannot be started: {}", last.reason),
            format!(
                "check the Dockerfile's ENTRYPOINT and CMD: the program must be in the image, executable, and so must the interpreter of a script and the libraries of a program; {again}"
            ),
        );
    }
    match last.exit_code {
        Some(0) => (
            "the container's program ended by itself with exit code 0, as if its work was done"
                .into(),
            format!(
                "a service's program stays in the foreground (no daemon mode, no `&`); {again}"
            ),
        ),
        Some(code) => (
            format!(
                "the container's program ended with exit code {code}{}",
                code_means(code)
            ),
            format!("mend what it says, {again}"),
        ),
        None => (
            format!("the task stopped: {}", last.reason),
            format!("mend that, {again}"),
        ),
    }
}

fn code_means(code: i32) -> String {
    match code {
        126 => " (the command cannot be executed)".into(),
        127 => " (the command was not found)".into(),
        129..=192 => format!(" (killed by signal {})", code - 128),
        _ => String::new(),
    }
}

pub enum Cure {
    OtherPort(u16),
    EveryAddress,
}

/// What is wrong with where a program listens, when it does listen somewhere.
pub fn misplaced(all: &BTreeSet<SocketAddr>, port: u16) -> Option<(String, Cure)> {
    let is_local = |it: &SocketAddr| it.ip().is_loopback();
    let here: Vec<&SocketAddr> = all.iter().filter(|it| it.port() == port).collect();
    if let Some(local) = here.first() {
        let why = format!(
            "the container listens on {local} only, where nothing outside of it gets through"
        );
        return here
            .iter()
            .all(|it| is_local(it))
            .then_some((why, Cure::EveryAddress));
    }
    let others: BTreeSet<u16> = (all.iter().filter(|it| !is_local(it)))
        .map(SocketAddr::port)
        .collect();
    let ports: Vec<String> = others.iter().map(u16::to_string).collect();
    let why = format!(
        "nothing listens on port {port} in the container; it listens on port {}",
        ports.join(", ")
    );
    Some((why, Cure::OtherPort(*others.first()?)))
}

/// The program runs and the load balancer does not like its answers.
fn probes(seen: &Seen, last: &Stopped, wanted: Wanted<'_>) -> (String, String) {
    let Wanted {
        port,
        health_path,
        command,
        ..
    } = wanted;
    let said = seen.unhealthy.last().cloned().unwrap_or_default();
    let all: BTreeSet<SocketAddr> = match seen.listening.get(&last.id) {
        Some(own) => own.clone(),
        None => seen.listening.values().flatten().copied().collect(),
    };
    if let Some((why, cure)) = misplaced(&all, port) {
        let again = match cure {
            Cure::OtherPort(port) => {
                format!("`{command} --port {port}`, or say `EXPOSE {port}` in the Dockerfile")
            }
            Cure::EveryAddress => {
                format!("let the program listen on 0.0.0.0 (every address), then `{command}` again")
            }
        };
        return (why, again);
    }
    let here = all.iter().any(|it| it.port() == port);
    if !here {
        return (
            format!("nothing listens on port {port} in the container: {said}"),
            format!(
                "let the program listen on 0.0.0.0:{port}, or say with `--port` where it does; when it only needs longer to start, allow it with `--grace 60`; then `{command}` again"
            ),
        );
    }
    (
        format!(
            "the container runs, but the health check of `{health_path}` on port {port} fails: {said}"
        ),
        format!(
            "choose a path that answers 200 to 399 with `--health-path`, or mend what `{health_path}` answers; then `{command}` again"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'_> = Wanted {
        port: 8080,
        health_path: "/healthz",
        memory: 512,
        is_update: false,
        command: "neargate up app",
    };

    fn stopped(reason: &str, exit_code: Option<i32>, container_reason: Option<&str>) -> Stopped {
        Stopped {
            id: "0123456789abcdef".into(),
            reason: reason.into(),
            exit_code,
            container_reason: container_reason.map(str::to_owned),
        }
    }

    /// A task whose probes failed, as `said`, while it listened at `listening`.
    fn unhealthy(said: &str, listening: &[&str]) -> Seen {
        let addresses: BTreeSet<SocketAddr> =
            listening.iter().map(|it| it.parse().unwrap()).collect();
        let reason = "Task failed ELB health checks in (target-group arn)";
        let mut seen = Seen {
            stopped: vec![stopped(reason, Some(143), None)],
            unhealthy: vec![said.to_owned()],
            ..Default::default()
        };
        if !addresses.is_empty() {
            seen.listening.insert("0123456789abcdef".into(), addresses);
        }
        seen
    }

    fn ended(reason: &str, code: Option<i32>, container_reason: Option<&str>) -> Seen {
        Seen {
            stopped: vec![stopped(reason, code, container_reason)],
            ..Default::default()
        }
    }

    fn check(seen: &Seen, expect: &[&str]) {
        let text = verdict(seen, WANTED).unwrap();
        for part in expect {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }

    #[test]
    fn usual_mistakes_are_named_with_what_to_do() {
        let exited = "Essential container in task exited";
        let mut crash = ended(exited, Some(3), None);
        crash.printed = vec!["no database".into()];
        check(
            &crash,
            &["exit code 3", "  | no database", "`neargate up app` again"],
        );
        check(
            &ended(exited, Some(0), None),
            &["exit code 0", "foreground", "printed nothing"],
        );
        check(&ended(exited, Some(127), None), &["was not found"]);
        let memory = "OutOfMemoryError: Container killed due to memory usage";
        check(
            &ended(exited, Some(137), Some(memory)),
            &["512 MiB", "--memory 1024"],
        );
        let start = "CannotStartContainerError: container web: exec: \"/x\": no such file";
        check(
            &ended(start, None, None),
            &["cannot be started", "\"/x\"", "ENTRYPOINT"],
        );
        let refused = "Health checks failed: Connection refused";
        check(
            &unhealthy(refused, &["0.0.0.0:9999"]),
            &["port 9999", "--port 9999"],
        );
        check(
            &unhealthy(refused, &["127.0.0.1:8080"]),
            &["127.0.0.1:8080 only", "0.0.0.0"],
        );
        check(
            &unhealthy(refused, &[]),
            &["nothing listens on port 8080", "refused"],
        );
        let codes = "Health checks failed with these codes: [404]";
        check(
            &unhealthy(codes, &["[::]:8080"]),
            &["[404]", "`/healthz`", "--health-path"],
        );
    }

    #[test]
    fn nothing_seen_explains_nothing() {
        assert_eq!(verdict(&Seen::default(), WANTED), None);
    }

    #[test]
    fn an_update_says_that_the_version_before_serves() {
        let wanted = Wanted {
            is_update: true,
            ..WANTED
        };
        let text = verdict(&ended("x", Some(1), None), wanted).unwrap();
        assert!(text.ends_with("goes on serving."), "{text}");
    }
}
