//! The build specification: what a build does, as YAML or JSON in the source or in the project.
//! Pure. What is not carried out is refused by name, and so is what is misspelt.

use template::{Content, Node, read_yaml};

/// A larger one is not written by hand.
pub const BYTES_MAX: u64 = 1 << 20;
/// AWS's limit of exported variables is far above what anybody names.
const NAMES_MAX: usize = 200;

/// The phases that have commands, in their order.
pub const PHASES: [&str; 4] = ["install", "pre_build", "build", "post_build"];

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buildspec {
    /// In version 0.1 every command has a shell of its own.
    pub one_shell: bool,
    /// `sh` or `bash`.
    pub shell: String,
    pub variables: Vec<(String, String)>,
    pub parameters: Vec<(String, String)>,
    pub secrets: Vec<(String, String)>,
    pub exported: Vec<String>,
    pub phases: Vec<Phase>,
    /// Runtimes that are asked for, and their versions.
    pub runtimes: Vec<(String, String)>,
    pub artifacts: Option<Artifacts>,
    pub secondary_artifacts: Vec<(String, Artifacts)>,
    pub reports: Vec<Report>,
    pub cache_paths: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Phase {
    /// As in [`PHASES`].
    pub name: String,
    pub commands: Vec<String>,
    pub finally: Vec<String>,
    pub on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// BUILD goes on with POST_BUILD, other phases end the build.
    #[default]
    AsUsual,
    Abort,
    Continue,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Artifacts {
    pub files: Vec<String>,
    pub exclude: Vec<String>,
    pub base: String,
    pub discard_paths: bool,
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// A group's name or ARN.
    pub group: String,
    pub files: Vec<String>,
    pub base: String,
    pub discard_paths: bool,
    pub format: String,
}

/// What is wrong, in the words of the phase's message.
type Parsed<T> = Result<T, String>;

pub fn parse(text: &str) -> Parsed<Buildspec> {
    let root = read_yaml(text).map_err(|error| error.to_string())?;
    let mut spec = Buildspec {
        shell: "sh".into(),
        ..Default::default()
    };
    let mut version = None;
    for (key, node) in mapping(&root, "the buildspec")? {
        match key {
            "version" => version = Some(scalar(node, "version")?),
            "env" => env(&mut spec, node)?,
            "phases" => phases(&mut spec, node)?,
            "artifacts" => all_artifacts(&mut spec, node)?,
            "reports" => reports(&mut spec, node)?,
            "cache" => cache(&mut spec, node)?,
            "run-as" | "proxy" | "batch" => return Err(unsupported(key)),
            other => return Err(unknown(other, node)),
        }
    }
    match version.as_deref() {
        Some("0.2") => spec.one_shell = true,
        Some("0.1") => spec.one_shell = false,
        Some(other) => return Err(format!("unknown buildspec version `{other}`: use 0.2")),
        None => return Err("the buildspec has no version: write `version: 0.2`".into()),
    }
    if spec.phases.iter().all(|it| it.commands.is_empty()) {
        return Err("No commands were specified in the buildspec's phases".into());
    }
    Ok(spec)
}

fn unsupported(what: &str) -> String {
    format!("`{what}` in a buildspec is not supported by neargate")
}

fn unknown(what: &str, node: &Node) -> String {
    format!("`{what}` at {} is not known", node.span)
}

fn mapping<'a>(node: &'a Node, what: &str) -> Parsed<Vec<(&'a str, &'a Node)>> {
    match &node.content {
        Content::Map(entries) => Ok(entries
            .iter()
            .map(|(key, node)| (key.text.as_str(), node))
            .collect()),
        _ if node.is_null() => Ok(Vec::new()),
        _ => Err(format!("expected {what} to be a mapping at {}", node.span)),
    }
}

fn scalar(node: &Node, what: &str) -> Parsed<String> {
    match node.scalar_text() {
        Some(text) => Ok(text),
        None if node.is_null() => Ok(String::new()),
        None => Err(format!(
            "expected {what} to be of string type at {}",
            node.span
        )),
    }
}

fn flag(node: &Node, what: &str) -> Parsed<bool> {
    match scalar(node, what)?.to_lowercase().as_str() {
        "yes" | "true" | "on" => Ok(true),
        "no" | "false" | "off" | "" => Ok(false),
        other => Err(format!("`{what}` is neither yes nor no but `{other}`")),
    }
}

/// A list of texts; one text alone stands for a list of it.
fn texts(node: &Node, what: &str) -> Parsed<Vec<String>> {
    let Content::List(items) = &node.content else {
        let one = scalar(node, what)?;
        return Ok(Some(one).filter(|it| !it.is_empty()).into_iter().collect());
    };
    let mut out = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.scalar_text() {
            Some(text) => out.push(text),
            None if item.is_null() => out.push(String::new()),
            None => {
                return Err(format!(
                    "Expected {what}[{index}] to be of string type: found subkeys instead at {}, \
                     quote the whole text if it holds a colon",
                    item.span
                ));
            }
        }
    }
    Ok(out)
}

fn pairs(node: &Node, what: &str) -> Parsed<Vec<(String, String)>> {
    mapping(node, what)?
        .into_iter()
        .map(|(key, node)| Ok((variable(key)?, scalar(node, key)?)))
        .collect()
}

/// A name that a shell takes for a variable.
fn variable(name: &str) -> Parsed<String> {
    let valid = !name.is_empty()
        && !name.starts_with(|it: char| it.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid {
        Ok(name.to_owned())
    } else {
        Err(format!("`{name}` is not a name of a variable"))
    }
}

fn env(spec: &mut Buildspec, node: &Node) -> Parsed<()> {
    for (key, node) in mapping(node, "env")? {
        match key {
            "shell" => {
                spec.shell = match scalar(node, key)?.as_str() {
                    "sh" | "/bin/sh" => "sh".into(),
                    "bash" => "bash".into(),
                    other => return Err(unsupported(&format!("shell: {other}"))),
                }
            }
            "variables" => spec.variables = pairs(node, key)?,
            "parameter-store" => spec.parameters = pairs(node, key)?,
            "secrets-manager" => spec.secrets = pairs(node, key)?,
            "exported-variables" => {
                spec.exported = texts(node, key)?
                    .iter()
                    .map(|it| variable(it))
                    .collect::<Parsed<_>>()?;
                if spec.exported.len() > NAMES_MAX {
                    return Err(format!("more than {NAMES_MAX} variables are exported"));
                }
            }
            "git-credential-helper" => {
                if flag(node, key)? {
                    return Err(unsupported(key));
                }
            }
            other => return Err(unknown(other, node)),
        }
    }
    Ok(())
}

fn phases(spec: &mut Buildspec, node: &Node) -> Parsed<()> {
    let given = mapping(node, "phases")?;
    if let Some((name, node)) = given.iter().find(|(name, _)| !PHASES.contains(name)) {
        return Err(unknown(name, node));
    }
    for name in PHASES {
        let mut phase = Phase {
            name: name.into(),
            ..Default::default()
        };
        if let Some((_, node)) = given.iter().find(|it| it.0 == name) {
            for (key, node) in mapping(node, name)? {
                match key {
                    "commands" => phase.commands = texts(node, "Commands")?,
                    "finally" => phase.finally = texts(node, "Finally")?,
                    "on-failure" => phase.on_failure = on_failure(&scalar(node, key)?)?,
                    "runtime-versions" if name == "install" => {
                        spec.runtimes = pairs(node, key)?;
                    }
                    "run-as" => return Err(unsupported(key)),
                    other => return Err(unknown(other, node)),
                }
            }
        }
        spec.phases.push(phase);
    }
    Ok(())
}

fn on_failure(text: &str) -> Parsed<OnFailure> {
    match text {
        "ABORT" => Ok(OnFailure::Abort),
        "CONTINUE" => Ok(OnFailure::Continue),
        other => Err(unsupported(&format!("on-failure: {other}"))),
    }
}

fn all_artifacts(spec: &mut Buildspec, node: &Node) -> Parsed<()> {
    for (key, node) in mapping(node, "artifacts")? {
        if key == "secondary-artifacts" {
            for (id, node) in mapping(node, key)? {
                let artifacts = artifacts(node)?;
                spec.secondary_artifacts.push((id.to_owned(), artifacts));
            }
        }
    }
    let own = artifacts(node)?;
    spec.artifacts = Some(own).filter(|it| !it.files.is_empty());
    Ok(())
}

fn artifacts(node: &Node) -> Parsed<Artifacts> {
    let mut out = Artifacts::default();
    for (key, node) in mapping(node, "artifacts")? {
        match key {
            "files" => out.files = texts(node, "Files")?,
            "exclude-paths" => out.exclude = texts(node, key)?,
            "base-directory" => out.base = scalar(node, key)?,
            "discard-paths" => out.discard_paths = flag(node, key)?,
            "name" => out.name = Some(scalar(node, key)?).filter(|it| !it.is_empty()),
            // Links within are always kept as links.
            "enable-symlinks" => drop(flag(node, key)?),
            "secondary-artifacts" => {}
            "s3-prefix" => return Err(unsupported(key)),
            other => return Err(unknown(other, node)),
        }
    }
    Ok(out)
}

fn reports(spec: &mut Buildspec, node: &Node) -> Parsed<()> {
    for (group, node) in mapping(node, "reports")? {
        let mut report = Report {
            group: group.to_owned(),
            format: "JUNITXML".into(),
            ..Default::default()
        };
        for (key, node) in mapping(node, group)? {
            match key {
                "files" => report.files = texts(node, "Files")?,
                "base-directory" => report.base = scalar(node, key)?,
                "discard-paths" => report.discard_paths = flag(node, key)?,
                "file-format" => report.format = scalar(node, key)?.to_uppercase(),
                other => return Err(unknown(other, node)),
            }
        }
        if report.format != "JUNITXML" {
            return Err(unsupported(&format!("file-format: {}", report.format)));
        }
        if report.files.is_empty() {
            return Err(format!("the report `{group}` names no files"));
        }
        spec.reports.push(report);
    }
    Ok(())
}

fn cache(spec: &mut Buildspec, node: &Node) -> Parsed<()> {
    for (key, node) in mapping(node, "cache")? {
        match key {
            "paths" => spec.cache_paths = texts(node, "Paths")?,
            "key" | "fallback-keys" | "action" => return Err(unsupported(&format!("cache {key}"))),
            other => return Err(unknown(other, node)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildspec_of_the_usual_kind_is_read() {
        let spec = parse(
            "version: 0.2\nenv:\n  variables:\n    A: 1\n  exported-variables: [TAG]\nphases:\n  \
             pre_build:\n    commands:\n      - $(aws ecr get-login --no-include-email)\n      - TAG=x\n  \
             build:\n    on-failure: ABORT\n    commands: make\n    finally:\n      - echo done\n\
             artifacts:\n  files: images.json\n  discard-paths: yes\n",
        )
        .unwrap();
        assert!(spec.one_shell);
        assert_eq!(spec.variables, [("A".into(), "1".into())]);
        assert_eq!(spec.exported, ["TAG"]);
        assert_eq!(spec.phases.len(), 4);
        assert_eq!(spec.phases[1].commands.len(), 2);
        assert_eq!(spec.phases[2].commands, ["make"]);
        assert_eq!(spec.phases[2].on_failure, OnFailure::Abort);
        let artifacts = spec.artifacts.unwrap();
        assert_eq!(artifacts.files, ["images.json"]);
        assert!(artifacts.discard_paths);
    }

    #[test]
    fn json_is_read_as_well() {
        let text = r#"{"version": "0.2", "phases": {"build": {"commands": ["ls", "true"]}}}"#;
        assert_eq!(parse(text).unwrap().phases[2].commands, ["ls", "true"]);
    }

    #[test]
    fn what_is_wrong_or_not_built_is_said() {
        let build = "\nphases: {build: {commands: [ls]}}";
        let cases = [
            ("phases: {build: {commands: [ls]}}".to_owned(), "no version"),
            (format!("version: 0.3{build}"), "0.3"),
            (format!("version: 0.2\nrun-as: me{build}"), "run-as"),
            (format!("version: 0.2\nphase: {{}}{build}"), "`phase`"),
            ("version: 0.2".into(), "No commands"),
            (
                "version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b".into(),
                "Commands[0]",
            ),
            (
                "version: 0.2\nphases: {bild: {commands: [ls]}}".into(),
                "bild",
            ),
            (
                format!("version: 0.2\nenv: {{exported-variables: ['$(ls)']}}{build}"),
                "$(ls)",
            ),
            ("version: [".into(), ""),
        ];
        for (text, part) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
