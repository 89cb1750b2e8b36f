//! What a Dockerfile says, without building anything: for whoever looks at it beforehand.

use std::collections::BTreeMap;

use engine::{ImageName, Result};

use crate::instruction::{Command, CopySource, Kind};
use crate::lines;
use crate::stages::{Base, Plan, platform_arg};
use crate::words::Expander;

/// The stages that the target consists of, as one list of steps.
#[derive(Debug)]
pub struct Outline {
    /// None: it begins with nothing.
    pub base: Option<ImageName>,
    pub steps: Vec<OutlineStep>,
}

#[derive(Debug)]
pub struct OutlineStep {
    /// From one.
    pub line: usize,
    pub kind: OutlineKind,
}

#[derive(Debug)]
pub enum OutlineKind {
    Copy(OutlineCopy),
    /// All of its text, also what stands below its line.
    Run(String),
    Workdir(String),
    User(String),
    /// The words, or the shell's line as one.
    Entrypoint(Vec<String>),
    Cmd(Vec<String>),
    /// None: NONE.
    HealthCheck(Option<Vec<String>>),
}

#[derive(Debug)]
pub struct OutlineCopy {
    /// From another stage or image.
    pub is_from_elsewhere: bool,
    /// Archives may be unpacked, and addresses fetched.
    pub unpacks: bool,
    pub sources: Vec<String>,
    /// Name and text of files that the Dockerfile itself holds.
    pub written: Vec<(String, String)>,
    pub to: String,
    pub chmod: Option<String>,
}

/// What a shell's line is started by when no SHELL says otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

pub fn outline(
    file: &str,
    text: &str,
    args: &BTreeMap<String, String>,
    target: Option<&str>,
) -> Result<Outline> {
    let plan = Plan::new(lines::read(file, text)?, file, args, target, None)?;
    // Stages that begin with each other, the innermost first.
    let mut chain = vec![plan.target];
    let base = loop {
        let last = chain.last().copied().unwrap_or_default();
        match &plan.stages[last].base {
            Base::Stage(inner) => chain.push(*inner),
            Base::Scratch => break None,
            Base::Image(name) => break Some(name.clone()),
        }
    };
    let mut reader = Reader {
        variables: plan.global_args.clone(),
        args,
        escape: plan.escape,
        shell: SHELL.map(str::to_owned).to_vec(),
        steps: Vec::new(),
    };
    for stage in chain.into_iter().rev() {
        for it in &plan.stages[stage].instructions {
            reader.add(it.place.line, &it.kind);
        }
    }
    Ok(Outline {
        base,
        steps: reader.steps,
    })
}

struct Reader<'a> {
    variables: BTreeMap<String, String>,
    args: &'a BTreeMap<String, String>,
    escape: char,
    shell: Vec<String>,
    steps: Vec<OutlineStep>,
}

impl Reader<'_> {
    /// What cannot be expanded stays as it is written.
    fn expand(&self, text: &str) -> String {
        let lookup = |name: &str| {
            let own = self.variables.get(name).cloned();
            own.or_else(|| platform_arg(name).map(str::to_owned))
        };
        let expander = Expander {
            escape: self.escape,
            lookup: &lookup,
        };
        expander.word(text).unwrap_or_else(|_| text.to_owned())
    }

    fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(line) => self.shell.iter().cloned().chain([line.clone()]).collect(),
        }
    }

    fn add(&mut self, line: usize, kind: &Kind) {
        let kind = match kind {
            Kind::Arg(declared) => {
                for (name, default) in declared {
                    let given = self.args.get(name).cloned();
                    let value = given.or_else(|| default.as_ref().map(|it| self.expand(it)));
                    if let Some(value) = value {
                        self.variables.insert(name.clone(), value);
                    }
                }
                return;
            }
            Kind::Env(pairs) => {
                for (name, value) in pairs {
                    let value = self.expand(value);
                    self.variables.insert(name.clone(), value);
                }
                return;
            }
            Kind::Shell(words) => {
                self.shell.clone_from(words);
                return;
            }
            Kind::Copy(copy) => {
                let mut own = OutlineCopy {
                    is_from_elsewhere: copy.from.is_some(),
                    unpacks: copy.is_add || copy.unpack == Some(true),
                    sources: Vec::new(),
                    written: Vec::new(),
                    to: self.expand(&copy.to),
                    chmod: copy.chmod.as_ref().map(|it| self.expand(it)),
                };
                for source in &copy.sources {
                    match source {
                        CopySource::Path(path) => own.sources.push(self.expand(path)),
                        CopySource::Heredoc(it) => {
                            own.written.push((it.name.clone(), it.body.clone()));
                        }
                    }
                }
                OutlineKind::Copy(own)
            }
            Kind::Run(run) => {
                let mut text = self.words(&run.command).join(" ");
                for it in &run.heredocs {
                    text.push('\n');
                    text.push_str(&it.raw_body);
                }
                OutlineKind::Run(text)
            }
            Kind::Workdir(path) => OutlineKind::Workdir(self.expand(path)),
            Kind::User(user) => OutlineKind::User(self.expand(user)),
            Kind::Entrypoint(command) => OutlineKind::Entrypoint(self.words(command)),
            Kind::Cmd(command) => OutlineKind::Cmd(self.words(command)),
            Kind::HealthCheck(it) => {
                OutlineKind::HealthCheck(it.command.as_ref().map(|it| self.words(it)))
            }
            _ => return,
        };
        self.steps.push(OutlineStep { line, kind });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_outlined_with_what_it_begins_with() {
        let text = "ARG TAG=3.19\nFROM alpine:$TAG AS base\nARG DIR=/app\nWORKDIR $DIR\nFROM base\nCOPY --chmod=755 run.sh ${DIR}/\nCOPY <<EOF /etc/motd\nhello\nEOF\nUSER app\nENTRYPOINT [\"./run.sh\"]\nCMD --port 80\n";
        let found = outline("Dockerfile", text, &BTreeMap::new(), None).unwrap();
        assert!(found.base.unwrap().to_string().contains("alpine:3.19"));
        let shown: Vec<String> = found
            .steps
            .iter()
            .map(|it| format!("{} {:?}", it.line, it.kind))
            .collect();
        for (at, part) in [
            (0, "4 Workdir(\"/app\")"),
            (1, "to: \"/app/\", chmod: Some(\"755\")"),
            (2, "written: [(\"EOF\", \"hello\\n\")]"),
            (3, "User(\"app\")"),
            (4, "Entrypoint([\"./run.sh\"])"),
            (5, "Cmd([\"/bin/sh\", \"-c\", \"--port 80\"])"),
        ] {
            assert!(shown[at].contains(part), "{part} is not in {}", shown[at]);
        }
    }
}
