//! From a container's marks to phases. Pure: the marks are read anew each time and everything from
//! INSTALL on is written again, so that nothing has to be remembered between two looks.

use shapes::codebuild::{BuildPhase, BuildPhaseType, StatusType};

use crate::buildspec::Buildspec;
use crate::driver;
use crate::marks::{Mark, TimedMark};
use crate::record::BuildRecord;

const ORDER: [(&str, BuildPhaseType); 4] = [
    ("INSTALL", BuildPhaseType::Install),
    ("PRE_BUILD", BuildPhaseType::PreBuild),
    ("BUILD", BuildPhaseType::Build),
    ("POST_BUILD", BuildPhaseType::PostBuild),
];

/// How the container ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Exited(i32),
    /// It never ran; why.
    NotStarted(String),
    /// Nobody knows how it ended.
    Lost,
}

fn command_failed(spec: &Buildspec, step: usize, status: i32) -> String {
    let steps = driver::steps(spec);
    let command = step.checked_sub(1).and_then(|it| steps.get(it));
    format!(
        "Error while executing command: {}. Reason: exit status {status}",
        command.map_or("", |it| it.command)
    )
}

/// Writes what the marks say. Times that make no sense are moved to where they do.
pub fn replay(build: &mut BuildRecord, spec: &Buildspec, marks: &[TimedMark], now: f64) {
    let before = build
        .shape
        .phases
        .iter()
        .flatten()
        .position(|it| it.phase_type == Some(BuildPhaseType::Install));
    let known = match (before, &mut build.shape.phases) {
        (Some(before), Some(phases)) => phases.split_off(before),
        _ => Vec::new(),
    };
    let mut last = build
        .shape
        .phases
        .iter()
        .flatten()
        .filter_map(|it| it.end_time)
        .map(|it| it.0)
        .fold(0.0, f64::max);
    let mut open: Option<usize> = None;
    let mut next = 0;
    let mut failure: Option<(usize, i32)> = None;
    for TimedMark { at, mark } in marks {
        let at = at.clamp(last, now.max(last));
        match mark {
            // Phases come in their order, and one at a time.
            Mark::Enter(name) if open.is_none() => {
                let found = ORDER.iter().skip(next).position(|it| it.0 == name);
                let Some(index) = found.map(|it| it + next) else {
                    continue;
                };
                build.enter(ORDER[index].1, at);
                (open, next, failure) = (Some(index), index + 1, None);
                last = at;
            }
            Mark::Failed { step, status } => failure = failure.or(Some((*step, *status))),
            Mark::Leave { phase, succeeded } => {
                if open.is_none_or(|it| ORDER[it].0 != phase) {
                    continue;
                }
                let failed = failure.or((!succeeded).then_some((0, 1)));
                match failed {
                    Some((step, status)) => {
                        let message = command_failed(spec, step, status);
                        let error = Some(("COMMAND_EXECUTION_ERROR", message));
                        build.leave(StatusType::Failed, error, at);
                    }
                    None => build.leave(StatusType::Succeeded, None, at),
                }
                open = None;
                last = at;
            }
            Mark::Enter(_) | Mark::Run(_) | Mark::Missing(_) | Mark::End => {}
        }
    }
    keep_times(build, &known);
}

/// Times that were written down once stay. A mark of the future is taken for one of now, and now is
/// another time with each look: the record would never come to rest.
fn keep_times(build: &mut BuildRecord, known: &[BuildPhase]) {
    let phases = build.shape.phases.iter_mut().flatten();
    for phase in phases {
        let same = known.iter().find(|it| it.phase_type == phase.phase_type);
        if let Some(same) = same {
            phase.start_time = same.start_time;
            if same.phase_status == phase.phase_status {
                phase.end_time = same.end_time;
                phase.duration_in_seconds = same.duration_in_seconds;
            }
        }
    }
}

/// Ends the phase that was under way when the container ended, or says in INSTALL why there was
/// none. Without anything wrong this does nothing.
pub fn conclude(
    build: &mut BuildRecord,
    spec: &Buildspec,
    marks: &[TimedMark],
    end: &End,
    now: f64,
) {
    let phases = || build.shape.phases.iter().flatten();
    let is_open = phases()
        .next_back()
        .is_some_and(|it| it.phase_status.is_none());
    let began = phases().any(|it| it.phase_type == Some(BuildPhaseType::Install));
    let ended = marks.last().is_some_and(|it| it.mark == Mark::End);
    let (status, error) = match why(build, spec, marks, end) {
        Some(why) if is_open || !began || !ended => why,
        _ => return,
    };
    if !is_open && !began {
        build.enter(BuildPhaseType::Install, now);
    } else if !is_open {
        // Between two phases: the one that would have come next.
        let next = ORDER
            .iter()
            .find(|it| !phases_have(build, it.1))
            .map_or(BuildPhaseType::PostBuild, |it| it.1);
        build.enter(next, now);
    }
    build.leave(status, Some(error), now);
}

fn phases_have(build: &BuildRecord, phase: BuildPhaseType) -> bool {
    let mut phases = build.shape.phases.iter().flatten();
    phases.any(|it| it.phase_type == Some(phase))
}

fn why(
    build: &BuildRecord,
    spec: &Buildspec,
    marks: &[TimedMark],
    end: &End,
) -> Option<(StatusType, (&'static str, String))> {
    if build.timed_out {
        let error = ("BUILD_TIMED_OUT", "Build has timed out. ".to_owned());
        return Some((StatusType::TimedOut, error));
    }
    if build.stop_asked {
        return Some((StatusType::Stopped, ("", String::new())));
    }
    let failed = |code, message: String| Some((StatusType::Failed, (code, message)));
    match end {
        End::NotStarted(message) => failed(
            "CLIENT_ERROR",
            format!("The container of the build could not be started: {message}"),
        ),
        End::Lost => Some((
            StatusType::Fault,
            (
                "INTERNAL_SERVICE_ERROR",
                "The supervisor of the build's container was lost".to_owned(),
            ),
        )),
        End::Exited(code) => match marks.last().map(|it| &it.mark) {
            Some(Mark::Missing(runtime)) => failed(
                "YAML_FILE_ERROR",
                format!(
                    "Unknown runtime named '{runtime}'. The image of this build does not have it: \
                     leave it out of runtime-versions, or build in an image that has it"
                ),
            ),
            // The shell was ended by the command itself.
            Some(Mark::Run(step)) => failed(
                "COMMAND_EXECUTION_ERROR",
                command_failed(spec, *step, *code),
            ),
            Some(Mark::End) if *code == 0 => None,
            Some(Mark::Failed { step, status }) => failed(
                "COMMAND_EXECUTION_ERROR",
                command_failed(spec, *step, *status),
            ),
            _ => failed(
                "COMMAND_EXECUTION_ERROR",
                format!(
                    "The shell of the build ended with exit status {code} before its commands did"
                ),
            ),
        },
    }
}

/// Whether there is anything to upload: BUILD was reached, and nobody ended the build.
pub fn may_upload(build: &BuildRecord) -> bool {
    !build.stop_asked && !build.timed_out && phases_have(build, BuildPhaseType::Build) && {
        let mut phases = build.shape.phases.iter().flatten();
        !phases.any(|it| it.phase_status == Some(StatusType::Fault))
    }
}
