//! The stages of a Dockerfile, and which of them a target needs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::{BuildSecret, EngineError, Foreseen, ImageName, Result, StepNetwork};

use crate::instruction::{self, From, Instruction, Kind};
use crate::lines::Lines;
use crate::mounts::{MountFlag, MountKind};
use crate::place::Place;
use crate::words::Expander;

/// The machine that images are built for is the machine they are built on.
pub const PLATFORM: &str = "linux/amd64";

#[derive(Debug)]
pub struct Plan {
    pub escape: char,
    /// ARGs before the first FROM, with their values.
    pub global_args: BTreeMap<String, String>,
    pub stages: Vec<Stage>,
    pub target: usize,
}

#[derive(Debug)]
pub struct Stage {
    pub place: Place,
    /// `builder`, or `stage-2` when it has no name.
    pub name: String,
    pub base: Base,
    pub instructions: Vec<Instruction>,
    /// Stages that must be built before, in order and without doubles.
    pub needs: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    Scratch,
    Stage(usize),
    Image(ImageName),
}

impl Plan {
    pub fn new(
        lines: Lines,
        file: &str,
        args: &BTreeMap<String, String>,
        target: Option<&str>,
        given: Option<&Given<'_>>,
    ) -> Result<Self> {
        let escape = lines.escape;
        let mut plan = Self {
            escape,
            global_args: BTreeMap::new(),
            stages: Vec::new(),
            target: 0,
        };
        for line in lines.lines {
            let instruction = instruction::parse(line, escape)?;
            match (&instruction.kind, plan.stages.is_empty()) {
                (Kind::From(from), _) => plan.open_stage(from, &instruction.place)?,
                (Kind::Arg(declared), true) => plan
                    .global_arg(declared, args)
                    .map_err(|error| instruction.place.wrap(error))?,
                (_, true) => {
                    return Err(instruction
                        .place
                        .invalid("a Dockerfile begins with FROM (only ARG may stand before it)"));
                }
                (_, false) => plan.add(instruction, given)?,
            }
        }
        if plan.stages.is_empty() {
            return Err(EngineError::invalid(format!(
                "`{file}` has no FROM, so there is nothing to build"
            )));
        }
        plan.target = match target {
            None => plan.stages.len() - 1,
            Some(name) => stage_among(&plan.stages, name).ok_or_else(|| {
                EngineError::invalid(format!("`{file}` has no stage `{name}` to build"))
            })?,
        };
        Ok(plan)
    }

    /// What the target asks for from outside.
    pub fn foresee(&self) -> Result<Foreseen> {
        let mut foreseen = Foreseen::default();
        for index in self.needed() {
            let stage = &self.stages[index];
            if let Base::Image(name) = &stage.base {
                foreseen.images.insert(name.clone());
            }
            for instruction in &stage.instructions {
                for from in sources(&instruction.kind, None)? {
                    if let Base::Image(name) = self.source(&from, index)? {
                        foreseen.images.insert(name);
                    }
                }
                let Kind::Run(run) = &instruction.kind else {
                    continue;
                };
                for mount in &run.mounts {
                    // One with variables in it is read when they are known; its name seldom has any.
                    let Ok(flag) = MountFlag::parse(mount, &|value| Ok(value.to_owned())) else {
                        continue;
                    };
                    let name = flag.given_name().to_owned();
                    match flag.kind {
                        MountKind::Secret => foreseen.secrets.insert(name),
                        MountKind::Ssh => foreseen.agents.insert(name),
                        _ => false,
                    };
                }
            }
        }
        Ok(foreseen)
    }

    /// How BuildKit counts a stage's step (0 is its FROM): `[builder 2/3]`. None for what it does not count.
    pub fn counted(&self, index: usize, step: usize) -> Option<String> {
        let stage = &self.stages[index];
        let begins = usize::from(matches!(stage.base, Base::Image(_)));
        let counts =
            |it: &&Instruction| matches!(it.kind, Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_));
        let number = match step.checked_sub(1) {
            None => begins,
            Some(last) => {
                stage.instructions.get(last).filter(counts)?;
                begins + stage.instructions[..step].iter().filter(counts).count()
            }
        };
        let total = begins + stage.instructions.iter().filter(counts).count();
        let name = match self.stages.len() {
            1 => String::new(),
            _ => format!("{} ", stage.name),
        };
        (number > 0).then(|| format!("[{name}{number}/{total}]"))
    }

    /// The stages that the target needs, in the order of the file, the target last.
    pub fn needed(&self) -> Vec<usize> {
        let mut needed = vec![false; self.stages.len()];
        let mut ahead = vec![self.target];
        while let Some(stage) = ahead.pop() {
            if !needed[stage] {
                needed[stage] = true;
                ahead.extend(&self.stages[stage].needs);
            }
        }
        (0..needed.len()).filter(|stage| needed[*stage]).collect()
    }

    fn global_arg(
        &mut self,
        declared: &[(String, Option<String>)],
        args: &BTreeMap<String, String>,
    ) -> Result<()> {
        for (name, default) in declared {
            let value = match (args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(default)?),
                (None, None) => None,
            };
            if let Some(value) = value {
                self.global_args.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    fn expand(&self, text: &str) -> Result<String> {
        let lookup = |name: &str| {
            self.global_args
                .get(name)
                .cloned()
                .or_else(|| platform_arg(name).map(str::to_owned))
        };
        Expander {
            escape: self.escape,
            lookup: &lookup,
        }
        .word(text)
    }

    fn open_stage(&mut self, from: &From, place: &Place) -> Result<()> {
        let expand = |text: &str| self.expand(text).map_err(|error| place.wrap(error));
        if let Some(platform) = &from.platform {
            let platform = expand(platform)?;
            if platform != PLATFORM && !platform.is_empty() {
                return Err(place.invalid(format!(
                    "the platform `{platform}` cannot be built here; this machine is `{PLATFORM}`"
                )));
            }
        }
        let image = expand(&from.image)?;
        if image.is_empty() {
            return Err(place.invalid(format!("`{}` is empty here", from.image)));
        }
        let base = match self.stage_by_name(&image) {
            Some(stage) => Base::Stage(stage),
            None if image == "scratch" => Base::Scratch,
            None => Base::Image(image.parse().map_err(|error| place.wrap(error))?),
        };
        let name = match &from.alias {
            Some(alias) => alias.clone(),
            None => format!("stage-{}", self.stages.len()),
        };
        self.stages.push(Stage {
            place: place.clone(),
            name,
            needs: match base {
                Base::Stage(stage) => vec![stage],
                _ => Vec::new(),
            },
            base,
            instructions: Vec::new(),
        });
        Ok(())
    }

    /// FROM takes a stage by its name only: `FROM 1` is an image.
    fn stage_by_name(&self, name: &str) -> Option<usize> {
        self.stages
            .iter()
            .rposition(|stage| stage.name.eq_ignore_ascii_case(name))
    }

    /// What `--from` stands for, from within stage `current`: an earlier stage, or an image.
    pub fn source(&self, from: &str, current: usize) -> Result<Base> {
        let own_name = &self.stages[current].name;
        match stage_among(&self.stages[..current], from) {
            Some(stage) => Ok(Base::Stage(stage)),
            None if own_name.eq_ignore_ascii_case(from) => Err(EngineError::invalid(format!(
                "the stage `{from}` cannot copy from itself"
            ))),
            None if from.contains('$') => Err(EngineError::invalid(format!(
                "variables are not replaced in `--from={from}`; name a stage with `FROM … AS name`"
            ))),
            None => Ok(Base::Image(from.parse()?)),
        }
    }

    fn add(&mut self, instruction: Instruction, given: Option<&Given<'_>>) -> Result<()> {
        let current = self.stages.len() - 1;
        let sources =
            sources(&instruction.kind, given).map_err(|error| instruction.place.wrap(error))?;
        for from in sources {
            let base = self
                .source(&from, current)
                .map_err(|error| instruction.place.wrap(error))?;
            if let Base::Stage(stage) = base
                && !self.stages[current].needs.contains(&stage)
            {
                self.stages[current].needs.push(stage);
            }
        }
        self.stages[current].instructions.push(instruction);
        Ok(())
    }
}

/// What a build was given that an instruction may need; what it was not is missed before anything runs.
pub struct Given<'a> {
    pub network: StepNetwork,
    pub secrets: &'a BTreeMap<String, BuildSecret>,
    pub agents: &'a BTreeMap<String, PathBuf>,
}

/// The stages and images that an instruction copies or mounts from. Where it is said what the build was
/// given, an instruction that needs more is an error.
pub fn sources(kind: &Kind, given: Option<&Given<'_>>) -> Result<Vec<String>> {
    let mut sources = Vec::new();
    match kind {
        Kind::Copy(copy) => sources.extend(copy.from.clone()),
        Kind::Run(run) => {
            let has_network = given.is_none_or(|it| it.network == StepNetwork::Host);
            if run.network == Some(StepNetwork::Host) && !has_network {
                return Err(EngineError::invalid(
                    "`--network=host` is the machine's own network, which this build was not given; build with `docker build --network host`",
                ));
            }
            for mount in &run.mounts {
                if let Some(flag) = MountFlag::foresee(mount)?
                    && let Some(given) = given
                {
                    given.check(&flag)?;
                }
                sources.extend(MountFlag::source_stage(mount)?);
            }
        }
        _ => {}
    }
    Ok(sources)
}

impl Given<'_> {
    /// A secret or an agent that is required and was not given is an error.
    pub fn check(&self, flag: &MountFlag) -> Result<()> {
        let name = flag.given_name();
        let missing = match flag.kind {
            MountKind::Secret if !self.secrets.contains_key(name) => "secret",
            MountKind::Ssh if !self.agents.contains_key(name) => "SSH agent",
            _ => return Ok(()),
        };
        match flag.required {
            false => Ok(()),
            true => Err(EngineError::invalid(format!(
                "the {missing} `{name}` was not given to this build; give it with `--{}`",
                match flag.kind {
                    MountKind::Secret => "secret",
                    _ => "ssh",
                }
            ))),
        }
    }
}

/// A stage by name or, as docker allows, by number.
fn stage_among(stages: &[Stage], name: &str) -> Option<usize> {
    let by_name = stages
        .iter()
        .rposition(|stage| stage.name.eq_ignore_ascii_case(name));
    by_name.or_else(|| name.parse().ok().filter(|number| *number < stages.len()))
}

/// ARGs that are there without being given, once a stage declares them.
pub fn platform_arg(name: &str) -> Option<&'static str> {
    match name {
        "TARGETPLATFORM" | "BUILDPLATFORM" => Some(PLATFORM),
        "TARGETOS" | "BUILDOS" => Some("linux"),
        "TARGETARCH" | "BUILDARCH" => Some("amd64"),
        "TARGETVARIANT" | "BUILDVARIANT" => Some(""),
        _ => None,
    }
}
