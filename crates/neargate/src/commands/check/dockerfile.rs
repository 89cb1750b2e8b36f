//! Dockerfiles: whether what their image starts will be in it, and can be started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use builder::{Outline, OutlineCopy, OutlineKind};
use engine::ImageFile;
use why::ahead::{Known, Wanted, WantedImage};
use why::facts::{ContainerFacts, ImageFacts, ProgramFacts, Situation};
use why::{Place, Severity, ahead, elf, rows};

use super::Part;
use super::outcome::{self, Outcome};

/// How the image is called that nobody has named yet.
const BUILT: &str = "built-from-it";
/// What a file has that a Dockerfile itself writes.
const PLAIN_FILE: u32 = 0o644;
/// What is not executed and yet run by a shell.
const EXECUTABLE: u32 = 0o755;

/// A build that somebody else asks for.
#[derive(Debug, Default)]
pub struct Build {
    pub context: PathBuf,
    pub args: BTreeMap<String, String>,
    pub target: Option<String>,
}

/// An image that will be built, and that is to be looked at once it is known what it begins with.
pub struct Planned {
    file: PathBuf,
    outline: Outline,
    context: PathBuf,
}

pub fn read(file: &Path, text: &str, build: Option<Build>, outcome: &mut Outcome) -> Vec<Part> {
    outcome.looked(file.display().to_string());
    let build = build.unwrap_or_else(|| Build {
        context: file.parent().map(Path::to_owned).unwrap_or_default(),
        ..Build::default()
    });
    let shown = file.display().to_string();
    let outline = match builder::outline(&shown, text, &build.args, build.target.as_deref()) {
        Ok(outline) => outline,
        Err(error) => {
            let (line, message) = placed(&shown, &error.message);
            if message.contains("was not given to this build") {
                outcome.not(format!(
                    "{shown}, which needs what a build is given: {message}"
                ));
                return Vec::new();
            }
            let place = Place::new(shown.clone(), line, 1);
            let row = match message.contains("not supported") {
                true => &rows::NOT_BUILT,
                false => &rows::DOCKERFILE,
            };
            outcome
                .findings
                .push(outcome::finding(row, shown, message, place));
            return Vec::new();
        }
    };
    let planned = Planned {
        file: file.to_owned(),
        outline,
        context: build.context,
    };
    planned.look_for_sources(outcome);
    vec![Part::Images(planned)]
}

/// The line and the rest of `Dockerfile:3: …`.
fn placed(file: &str, message: &str) -> (u32, String) {
    let rest = message
        .strip_prefix(file)
        .and_then(|it| it.strip_prefix(':'));
    let found = rest.and_then(|it| it.split_once(": "));
    match found.and_then(|(line, rest)| Some((line.parse().ok()?, rest))) {
        Some((line, rest)) => (line, rest.to_owned()),
        None => (1, message.to_owned()),
    }
}

/// Where a path of the image comes from.
enum Origin {
    /// A file of the context, or of the Dockerfile itself.
    Known {
        mode: u32,
        head: Vec<u8>,
        line: usize,
    },
    /// The context is known to have none.
    Missing,
    /// Somebody else makes it, or may.
    Unknown,
    Base,
}

impl Planned {
    fn place(&self, line: usize) -> Option<Place> {
        let line = u32::try_from(line).unwrap_or(1);
        Some(Place::new(self.file.display().to_string(), line, 1))
    }

    /// Sources that are neither in the context nor where it may be meant to be.
    fn look_for_sources(&self, outcome: &mut Outcome) {
        let above = self
            .context
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        let roots = [self.context.clone(), above, PathBuf::from(".")];
        for step in &self.outline.steps {
            let OutlineKind::Copy(copy) = &step.kind else {
                continue;
            };
            for source in copy.sources.iter().filter(|_| !copy.is_from_elsewhere) {
                let is_plain = !source.contains(['*', '?', '[', '$', ':']);
                let path = source.trim_start_matches('/');
                if !is_plain || roots.iter().any(|it| it.join(path).exists()) {
                    continue;
                }
                let cause =
                    format!("`{source}`, which COPY is to take, is not in the build's context");
                let place = Place::new(
                    self.file.display().to_string(),
                    u32::try_from(step.line).unwrap_or(1),
                    1,
                );
                let thing = self.file.display().to_string();
                outcome
                    .findings
                    .push(outcome::finding(&rows::COPY_MISSING, thing, cause, place));
            }
        }
    }

    fn last<T>(&self, of: impl Fn(&OutlineKind) -> Option<T>) -> Option<(usize, T)> {
        let steps = self.outline.steps.iter().rev();
        steps
            .into_iter()
            .find_map(|it| Some((it.line, of(&it.kind)?)))
    }

    /// The line and words of what the image starts.
    fn command(&self) -> Option<(usize, Vec<String>)> {
        let entry = self.last(|it| match it {
            OutlineKind::Entrypoint(words) if !words.is_empty() => Some(words.clone()),
            _ => None,
        });
        let cmd = self.last(|it| match it {
            OutlineKind::Cmd(words) if !words.is_empty() => Some(words.clone()),
            _ => None,
        });
        match (entry, cmd) {
            (Some((line, entry)), Some((_, cmd))) => Some((line, [entry, cmd].concat())),
            (entry, cmd) => entry.or(cmd),
        }
    }

    fn runs_mention(&self, word: &str) -> bool {
        self.outline
            .steps
            .iter()
            .any(|it| matches!(&it.kind, OutlineKind::Run(text) if text.contains(word)))
    }

    fn has_runs(&self) -> bool {
        self.outline
            .steps
            .iter()
            .any(|it| matches!(it.kind, OutlineKind::Run(_)))
    }

    /// The program as a path of the image, when it is given as one. A shell's line begins with it.
    fn program(&self, words: &[String]) -> Option<String> {
        let first = match words {
            [shell, option, line, ..] if shell == "/bin/sh" && option == "-c" => {
                let line = line.trim_start_matches("exec ");
                line.split_whitespace().next()?.to_owned()
            }
            [first, ..] => first.clone(),
            [] => return None,
        };
        let is_plain = !first.contains(['$', '"', '\'', ';', '&', '|', '(', '`']);
        match (is_plain, first.starts_with('/'), first.contains('/')) {
            (true, true, _) => Some(first),
            (true, false, true) => Some(joined(&self.workdir(), &first)),
            _ => None,
        }
    }

    fn workdir(&self) -> String {
        let mut folder = "/".to_owned();
        for step in &self.outline.steps {
            if let OutlineKind::Workdir(path) = &step.kind {
                folder = joined(&folder, path);
            }
        }
        folder
    }

    /// Where a path of the image comes from; what is copied last counts.
    fn origin(&self, path: &str) -> Origin {
        let mut folder = "/".to_owned();
        let mut found = Origin::Base;
        for step in &self.outline.steps {
            match &step.kind {
                OutlineKind::Workdir(to) => folder = joined(&folder, to),
                OutlineKind::Copy(copy) => {
                    if let Some(origin) = self.copied(copy, &folder, path, step.line) {
                        found = origin;
                    }
                }
                OutlineKind::Run(text) => {
                    let name = path.rsplit('/').next().unwrap_or(path);
                    let names = text.contains(name);
                    found = match found {
                        Origin::Known { head, line, .. } if text.contains("chmod") => {
                            Origin::Known {
                                mode: EXECUTABLE,
                                head,
                                line,
                            }
                        }
                        Origin::Known { .. } if names => Origin::Unknown,
                        Origin::Base | Origin::Missing if names || text.contains("install") => {
                            Origin::Unknown
                        }
                        other => other,
                    };
                }
                _ => {}
            }
        }
        found
    }

    /// What a COPY makes of a path; None when it is not about it.
    fn copied(&self, copy: &OutlineCopy, folder: &str, path: &str, line: usize) -> Option<Origin> {
        let to = joined(folder, &copy.to);
        let is_folder = copy.to.ends_with('/') || copy.to == "." || copy.to.ends_with("/.");
        let below = match to.as_str() {
            "/" => path.strip_prefix('/'),
            to => path.strip_prefix(to).and_then(|it| it.strip_prefix('/')),
        };
        if below.is_none() && path != to {
            return None;
        }
        if copy.is_from_elsewhere || copy.unpacks {
            return Some(Origin::Unknown);
        }
        let mode = copy
            .chmod
            .as_ref()
            .map(|it| u32::from_str_radix(it, 8).unwrap_or(EXECUTABLE));
        for (name, body) in &copy.written {
            let own = match is_folder {
                true => below == Some(name.as_str()),
                false => path == to,
            };
            if own {
                let head = body.bytes().take(ImageFile::HEAD_BYTES_MAX).collect();
                let mode = mode.unwrap_or(PLAIN_FILE);
                return Some(Origin::Known { mode, head, line });
            }
        }
        let mut is_of_folder = false;
        for source in &copy.sources {
            if source.contains(['*', '?', '[', '$']) {
                return Some(Origin::Unknown);
            }
            let from = self.context.join(source.trim_start_matches('/'));
            let file = match (from.is_dir(), below) {
                (true, Some(below)) => {
                    is_of_folder = true;
                    from.join(below)
                }
                (false, Some(below)) if from.file_name().is_some_and(|it| it == below) => from,
                (false, None) if !is_folder => from,
                _ => continue,
            };
            if let Some((own, head)) = looked(&file) {
                let mode = mode.unwrap_or(own);
                return Some(Origin::Known { mode, head, line });
            }
        }
        is_of_folder.then_some(Origin::Missing)
    }

    fn user(&self) -> Option<(usize, String)> {
        let (line, user) = self.last(|it| match it {
            OutlineKind::User(user) => Some(user.clone()),
            _ => None,
        })?;
        let name = user.split(':').next().unwrap_or_default();
        // Somebody who is made by a step is there.
        let is_made =
            self.runs_mention(name) || self.runs_mention("useradd") || self.runs_mention("adduser");
        (!name.is_empty() && !is_made).then_some((line, user))
    }

    fn health(&self) -> Option<Vec<String>> {
        self.last(|it| match it {
            OutlineKind::HealthCheck(words) => Some(words.clone()),
            _ => None,
        })?
        .1
    }

    pub fn has_health_check(&self) -> bool {
        self.health().is_some()
    }

    fn health_program(&self) -> Option<String> {
        let words = self.health()?;
        let mut command = vec!["CMD".to_owned()];
        match &words[..] {
            [shell, option, line] if shell == "/bin/sh" && option == "-c" => {
                command = vec!["CMD-SHELL".to_owned(), line.clone()];
            }
            words => command.extend(words.iter().cloned()),
        }
        why::ahead::health_program(&command).filter(|it| !self.runs_mention(it))
    }

    fn interpreter(&self, program: &str) -> Option<String> {
        let Origin::Known { head, .. } = self.origin(program) else {
            return None;
        };
        let line = why::ahead::first_line(&head)?;
        let runner = elf::interpreter_of(line.trim_end_matches('\r'))?;
        let name = runner.rsplit('/').next().unwrap_or(&runner).to_owned();
        (!self.runs_mention(&name)).then_some(runner)
    }

    /// What is asked of the image that it begins with.
    fn base(&self) -> Option<WantedImage> {
        let name = self.outline.base.as_ref()?.to_string();
        let command = self.command();
        let program = command.as_ref().and_then(|it| self.program(&it.1));
        let runner = program.as_ref().and_then(|it| self.interpreter(it));
        Some(WantedImage {
            name,
            is_entry_point: program.is_some(),
            starts: program,
            user: self.user().map(|it| it.1),
            programs: runner.into_iter().chain(self.health_program()).collect(),
        })
    }

    pub fn wanted(&self) -> Wanted {
        Wanted {
            images: self.base().into_iter().collect(),
            ..Wanted::default()
        }
    }

    pub fn look(&self, known: Option<&Known>, outcome: &mut Outcome) {
        let base = self.base();
        let found = base.as_ref().and_then(|it| known?.images.get(&it.key()));
        let is_here = found.is_some_and(|it| it.program.is_some() || it.says_nothing);
        let found = found.filter(|_| is_here);
        if let (Some(base), None) = (&base, found) {
            outcome.not(format!(
                "what {} brings from {}, which is not here",
                self.file.display(),
                base.name
            ));
        }
        let situation = self.situation(found);
        let mut findings = ahead::find(&[situation]);
        // It was read in a file, and not seen in an image.
        for it in findings.iter_mut().filter(|it| it.severity.is_none()) {
            it.severity = Some(Severity::Error);
        }
        outcome.found(findings);
    }

    fn situation(&self, base: Option<&ImageFacts>) -> Situation {
        let shown = self.file.display().to_string();
        let command = self.command();
        let line = command.as_ref().map_or(1, |it| it.0);
        let words = command.map(|it| it.1).unwrap_or_default();
        let program = self.program(&words);
        let (program, at) = match &program {
            Some(path) => self.facts(path, base),
            None => (None, None),
        };
        let is_empty = self.outline.base.is_none();
        let lacks: Vec<String> = base.map(|it| it.lacks.clone()).unwrap_or_default();
        let container = ContainerFacts {
            name: shown.clone(),
            image: ImageFacts {
                name: BUILT.to_owned(),
                program,
                says_nothing: words.is_empty()
                    && (is_empty || base.is_some_and(|it| it.says_nothing)),
                lacks_user: base.and_then(|it| it.lacks_user.clone()),
                place: self.place(at.unwrap_or(line)),
                ..ImageFacts::default()
            },
            is_essential: true,
            lacks_for_health: self.health_program().filter(|it| lacks.contains(it)),
            health_command: self.health().unwrap_or_default(),
            command: words,
            place: self.place(self.user().map_or(line, |it| it.0)),
            ..ContainerFacts::default()
        };
        Situation {
            thing: shown,
            is_ahead: true,
            place: self.place(line),
            containers: vec![container],
            ..Situation::default()
        }
    }

    /// The program as it will be in the image, and the line that brings it there.
    fn facts(
        &self,
        path: &str,
        base: Option<&ImageFacts>,
    ) -> (Option<ProgramFacts>, Option<usize>) {
        let missing = ProgramFacts {
            path: path.to_owned(),
            ..ProgramFacts::default()
        };
        match self.origin(path) {
            Origin::Unknown => (None, None),
            Origin::Missing if !self.has_runs() => (Some(missing), None),
            Origin::Missing => (None, None),
            Origin::Base => match (&self.outline.base, base) {
                (None, _) => (Some(missing), None),
                (Some(_), Some(base)) => (base.program.clone(), None),
                (Some(_), None) => (None, None),
            },
            Origin::Known { mode, head, line } => {
                let shebang = why::ahead::first_line(&head);
                let header = elf::read(&head);
                let is_mended = self.runs_mention("dos2unix") || self.runs_mention("sed -i");
                let shebang = shebang.map(|it| match is_mended {
                    true => it.trim_end_matches('\r').to_owned(),
                    false => it,
                });
                let lacks = base.map(|it| it.lacks.as_slice()).unwrap_or_default();
                let runner = self.interpreter(path).filter(|it| lacks.contains(it));
                let facts = ProgramFacts {
                    path: path.to_owned(),
                    is_there: true,
                    mode,
                    is_no_program: shebang.is_none() && header.is_none(),
                    foreign_machine: header.and_then(|it| it.foreign_machine()),
                    lacks_interpreter: runner,
                    shebang,
                };
                (Some(facts), Some(line))
            }
        }
    }
}

/// A path of the image, from a folder of it.
fn joined(folder: &str, path: &str) -> String {
    let whole = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{folder}/{path}"),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The mode and the beginning of a file.
fn looked(file: &Path) -> Option<(u32, Vec<u8>)> {
    let facts = fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
    let mut head = Vec::new();
    let limit = u64::try_from(ImageFile::HEAD_BYTES_MAX).unwrap_or_default();
    File::open(file)
        .ok()?
        .take(limit)
        .read_to_end(&mut head)
        .ok()?;
    Some((facts.permissions().mode(), head))
}
