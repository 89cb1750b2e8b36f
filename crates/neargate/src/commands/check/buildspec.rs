//! Build specifications: whether they can be read, and what of their commands is known to fail.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use codebuild::Buildspec;
use template::{Content, Node, Span, read_yaml};
use why::rows::{self, Row};
use why::{Place, Severity};

use super::outcome::{self, Outcome};

/// What a deployment to ECS reads (CodePipeline User Guide, "Image definitions file reference").
const DEFINITIONS: &str = "imagedefinitions.json";
const EXECUTABLE: u32 = 0o111;

pub fn read(file: &Path, text: &str, outcome: &mut Outcome) {
    outcome.looked(file.display().to_string());
    let spec = match codebuild::parse_buildspec(text) {
        Ok(spec) => spec,
        Err(message) => {
            let row = match message.contains("not supported by neargate") {
                true => &rows::NOT_BUILT,
                false => &rows::BUILDSPEC,
            };
            let place = outcome::place(file, outcome::span_in(&message));
            add(outcome, file, row, message, place, Severity::Error);
            return;
        }
    };
    let root = read_yaml(text).ok();
    let commands: Vec<&String> = spec
        .phases
        .iter()
        .flat_map(|it| it.commands.iter().chain(&it.finally))
        .collect();
    let at = |command: &str| {
        let span = root.as_ref().and_then(|it| span_of(it, command));
        outcome::place(file, span)
    };
    let find = |word: &str| commands.iter().find(|it| it.contains(word));
    let logs_in = find("docker login").is_some() || find("get-login").is_some();
    if let Some(push) =
        find("docker push").filter(|_| !logs_in && is_first_without_script(&commands))
    {
        let cause = "an image is pushed, and no command logs in to a registry before".to_owned();
        add(
            outcome,
            file,
            &rows::LOGIN,
            cause,
            at(push),
            Severity::Error,
        );
    }
    if let Some(build) = find("docker build").or(find("docker push")) {
        let cause = "the build uses Docker, which only a privileged environment has".to_owned();
        add(
            outcome,
            file,
            &rows::UNPRIVILEGED,
            cause,
            at(build),
            Severity::Note,
        );
    }
    if let Some(writes) = find(DEFINITIONS).filter(|_| !keeps(&spec)) {
        let cause = format!("{DEFINITIONS} is written, and no artifact takes it along");
        add(
            outcome,
            file,
            &rows::IMAGE_DEFINITIONS,
            cause,
            at(writes),
            Severity::Error,
        );
    }
    let goes_elsewhere = commands.iter().any(|it| it.starts_with("cd "));
    for command in commands.iter().filter(|_| !goes_elsewhere) {
        if let Some(cause) = fails(file, command) {
            add(
                outcome,
                file,
                &rows::COMMAND,
                cause,
                at(command),
                Severity::Warning,
            );
        }
    }
}

fn add(
    outcome: &mut Outcome,
    file: &Path,
    row: &Row,
    cause: String,
    place: Place,
    severity: Severity,
) {
    let thing = format!("buildspec {}", file.display());
    let mut found = outcome::finding(row, thing, cause, place);
    found.severity = Some(severity);
    outcome.findings.push(found);
}

/// A script of one's own may log in.
fn is_first_without_script(commands: &[&String]) -> bool {
    !commands
        .iter()
        .any(|it| script_of(it).is_some() || it.starts_with("make"))
}

fn keeps(spec: &Buildspec) -> bool {
    let all = spec
        .artifacts
        .iter()
        .chain(spec.secondary_artifacts.iter().map(|it| &it.1));
    let mut files = all.flat_map(|it| &it.files);
    files.any(|it| it.ends_with(DEFINITIONS) || it.contains('*'))
}

/// The script that a command runs, and whether it runs it by itself.
fn script_of(command: &str) -> Option<(&str, bool)> {
    let mut words = command.split_whitespace();
    let first = words.next()?;
    if first.starts_with("./") {
        return Some((first, true));
    }
    let is_shell = ["sh", "bash", "."].contains(&first) || first == "source";
    let script = words.next().filter(|it| is_shell && it.ends_with(".sh"))?;
    Some((script, false))
}

fn fails(file: &Path, command: &str) -> Option<String> {
    let (script, is_executed) = script_of(command)?;
    if script.contains('$') || script.starts_with('/') {
        return None;
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let path = folder.join(script.trim_start_matches("./"));
    // What an earlier command makes is not there yet; what is a script by its name is no such thing.
    let Ok(found) = path.metadata() else {
        let is_source = script.ends_with(".sh");
        return is_source.then(|| format!("`{script}` is run, and is not in the source"));
    };
    let is_open = found.permissions().mode() & EXECUTABLE != 0;
    (is_executed && found.is_file() && !is_open)
        .then(|| format!("`{script}` is run, and is not executable (permission denied)"))
}

/// Where a command is written.
fn span_of(node: &Node, command: &str) -> Option<Span> {
    match &node.content {
        Content::Map(entries) => entries.iter().find_map(|(_, it)| span_of(it, command)),
        Content::List(items) => items.iter().find_map(|it| span_of(it, command)),
        Content::Plain(text) | Content::Quoted(text) => (text == command).then_some(node.span),
    }
}
