//! `neargate doctor`: what this machine lacks, with the fix.

mod holder;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use console::style;
use network::Severity;
use serde::Serialize;

use crate::config::Config;
use crate::{descriptors, say};

#[derive(Debug, Serialize)]
pub struct Finding {
    pub what: String,
    /// `fine`, `warning` or `broken`.
    pub state: &'static str,
    pub message: String,
    pub fix: Option<String>,
}

impl Finding {
    fn new(what: &str, outcome: Result<String, (&'static str, String, &str)>) -> Self {
        match outcome {
            Ok(message) => Self {
                what: what.into(),
                state: "fine",
                message,
                fix: None,
            },
            Err((state, message, fix)) => Self {
                what: what.into(),
                state,
                message,
                fix: Some(fix.into()),
            },
        }
    }
}

/// What is found of the machine, by whoever asks: the command line, or the console.
pub fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        root(),
        overlay(),
        control_groups(),
        disks(),
        room(config),
        unused_images(config),
        open_files(),
        git(),
    ];
    findings.extend(network::doctor().into_iter().map(|it| Finding {
        what: it.what.into(),
        state: match it.severity {
            Severity::Fine => "fine",
            Severity::Warning => "warning",
            Severity::Broken => "broken",
        },
        message: it.message,
        fix: it.fix,
    }));
    findings.push(port(
        config,
        "API address",
        config.listen,
        "give another with --listen, or `neargate stop`",
    ));
    let edge = SocketAddr::new(config.edge, 80);
    findings.push(port(
        config,
        "load balancers' port 80",
        edge,
        "stop the program that has it, or give another address with --edge 127.0.0.2",
    ));
    findings
}

/// Exits with 1 when something is broken.
pub fn run(config: &Config) -> Result<ExitCode> {
    let findings = findings(config);
    let broken = findings.iter().any(|it| it.state == "broken");
    if config.json {
        say::line(serde_json::to_string_pretty(&findings)?);
    } else {
        for it in &findings {
            print_finding(it);
        }
        say::line("");
        say::line(if broken {
            "neargate cannot work here yet."
        } else {
            "neargate can work here."
        });
    }
    Ok(if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print_finding(it: &Finding) {
    let mark = match it.state {
        "fine" => style("✓").green(),
        "warning" => style("!").yellow(),
        _ => style("✗").red(),
    };
    say::line(format_args!("{mark} {}: {}", it.what, it.message));
    if let Some(fix) = &it.fix {
        say::line(format_args!("    {fix}"));
    }
}

fn root() -> Finding {
    let is_root = nix::unistd::geteuid().is_root();
    Finding::new(
        "root",
        if is_root {
            Ok("running as root".into())
        } else {
            Err((
                "broken",
                "not running as root".into(),
                "run with sudo: containers and networks need it",
            ))
        },
    )
}

fn overlay() -> Finding {
    let known =
        std::fs::read_to_string("/proc/filesystems").is_ok_and(|it| it.contains("\toverlay\n"));
    Finding::new(
        "overlayfs",
        if known {
            Ok("the kernel has it".into())
        } else {
            Err((
                "broken",
                "the kernel does not know overlayfs".into(),
                "modprobe overlay",
            ))
        },
    )
}

/// Tasks run without a bound on what they write where there are none.
fn disks() -> Finding {
    Finding::new(
        "disks of tasks",
        match runtime::lack_of_disks() {
            None => Ok("what a task writes is bounded (loop devices, ext4)".into()),
            Some(lack) => Err((
                "warning",
                format!("what a task writes is not bounded, and no size can be asked for: {lack}"),
                "`modprobe loop ext4`; in a container, give it the devices `/dev/loop*`",
            )),
        },
    )
}

fn room(config: &Config) -> Finding {
    // It is made with the first start.
    let mut there = config.state.ancestors().filter(|it| it.is_dir());
    let directory = there.next().unwrap_or(Path::new("/"));
    let room = engine::room_in(directory);
    Finding::new(
        "room on the disk",
        match room.and_then(|room| room.check("anything new").map(|()| room)) {
            Ok(room) => Ok(format!(
                "{} to give",
                engine::bytes_in_words(room.to_give())
            )),
            Err(error) => Err((
                "warning",
                error.message,
                "remove files, or give another place with --state",
            )),
        },
    )
}

/// What was removed for want of room is not there any more when somebody asks for it offline.
fn unused_images(config: &Config) -> Finding {
    let said = match images::GivenUp::read(&config.state.join("images")) {
        None => "none was removed for want of room".to_owned(),
        Some(it) => format!(
            "{} and {} ({}) that nobody used were removed when the disk was short of room, {} ago{}{}",
            say::counted(it.images, "image"),
            say::counted(it.layers, "unpacked layer"),
            engine::bytes_in_words(it.bytes),
            say::counted(minutes_since(it.at_ms), "minute"),
            if it.names.is_empty() { "" } else { ": " },
            it.names.join(", ")
        ),
    };
    Finding::new("unused images", Ok(said))
}

fn minutes_since(at_ms: i64) -> usize {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let at = std::time::Duration::from_millis(u64::try_from(at_ms).unwrap_or_default());
    usize::try_from(since.saturating_sub(at).as_secs() / 60).unwrap_or(usize::MAX)
}

/// Fewer tasks than this at a time are few for a machine that is worth having.
const TASKS_MIN: u64 = 1000;

fn open_files() -> Finding {
    let outcome = match descriptors::hard_limit() {
        Ok(limit) => {
            let tasks = descriptors::tasks(limit);
            let said = format!("the hard limit of {limit} carries about {tasks} tasks at a time");
            match tasks < TASKS_MIN {
                true => Err(said),
                false => Ok(said),
            }
        }
        Err(error) => Err(format!("the limit cannot be read: {error}")),
    };
    let fix = "raise it before the daemon starts: `ulimit -Hn 65536` in its shell, or \
               `LimitNOFILE=65536` in its unit of systemd";
    Finding::new(
        "open files",
        outcome.map_err(|message| ("warning", message, fix)),
    )
}

fn control_groups() -> Finding {
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let v1 = |name: &str| Path::new("/sys/fs/cgroup").join(name).is_dir();
    let missing: Vec<&str> = ["memory", "cpu", "pids"]
        .into_iter()
        .filter(|it| !v1(it))
        .collect();
    Finding::new(
        "control groups",
        if v2 {
            Ok("version 2".into())
        } else if missing.is_empty() {
            Ok("version 1".into())
        } else {
            Err((
                "broken",
                format!("controllers are missing: {}", missing.join(", ")),
                "boot with cgroup_enable=memory, or with control groups version 2",
            ))
        },
    )
}

/// Repositories are kept and read with it; nothing else needs it.
fn git() -> Finding {
    Finding::new(
        "git",
        ::git::version().map_err(|error| {
            (
                "warning",
                format!("{error}: CodeCommit and pipelines from Git cannot work"),
                "install it: apt install git",
            )
        }),
    )
}

/// A port that the daemon itself has is as it should be.
fn port(config: &Config, what: &str, address: SocketAddr, fix: &str) -> Finding {
    let Err(error) = TcpListener::bind(address) else {
        return Finding::new(what, Ok(format!("{address} is free")));
    };
    let (state, run) = (config.state.display(), config.run_dir());
    let own = [
        format!("--state {state} "),
        format!("edge {} ", run.join("edge").display()),
    ];
    let outcome = match holder::find(address) {
        Some(it)
            if own
                .iter()
                .any(|text| format!("{} ", it.command).contains(text)) =>
        {
            Ok(format!(
                "{address} is the daemon's that runs here (process {})",
                it.id
            ))
        }
        Some(it) => Err(format!("process {} has {address}: `{}`", it.id, it.command)),
        None => Err(format!("{address} cannot be listened at ({error})")),
    };
    Finding::new(what, outcome.map_err(|message| ("warning", message, fix)))
}
