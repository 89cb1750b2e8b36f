//! Instructions that change an image's configuration and make no layer.

use engine::{EngineError, HealthCheck, ImageConfig, Result};

use crate::instruction::{self, Command, Kind};
use crate::lines::Flag;
use crate::words::Expander;

const DEFAULT_SHELL: &[&str] = &["/bin/sh", "-c"];
/// Every port of a range is listed in the image.
const PORTS_IN_RANGE_MAX: u16 = 1_024;

/// Applies `kind` to `config`; `false` when it is none of this file's instructions. `own_cmd` says
/// whether the CMD was set by this Dockerfile.
pub fn apply(
    kind: &Kind,
    config: &mut ImageConfig,
    own_cmd: &mut bool,
    expander: &Expander<'_>,
) -> Result<bool> {
    match kind {
        Kind::Env(pairs) => {
            // All values see the variables as they were before the instruction.
            for (name, value) in expand_pairs(pairs, expander)? {
                set_env(&mut config.env, &name, &value);
            }
        }
        Kind::Label(pairs) => config.labels.extend(expand_pairs(pairs, expander)?),
        Kind::Maintainer(name) => config.author = Some(name.clone()),
        Kind::Cmd(command) => {
            config.cmd = argv(command, config);
            *own_cmd = true;
        }
        Kind::Entrypoint(command) => {
            config.entrypoint = argv(command, config);
            // A command that the image below set was meant for its own entry point.
            if !*own_cmd {
                config.cmd = Vec::new();
            }
        }
        Kind::Shell(words) => config.shell = words.clone(),
        Kind::Expose(words) => {
            for word in words {
                for port in expander.word(word)?.split_whitespace() {
                    expose(config, port)?;
                }
            }
        }
        Kind::Volume(words) => {
            for word in words {
                let path = expander.word(word)?;
                if path.is_empty() {
                    return Err(EngineError::invalid("a VOLUME needs a path"));
                }
                if !config.volumes.contains(&path) {
                    config.volumes.push(path);
                }
            }
        }
        Kind::User(user) => {
            config.user = expander.word(user)?;
            if config.user.is_empty() {
                return Err(EngineError::invalid("the USER is empty here"));
            }
        }
        Kind::StopSignal(signal) => {
            config.stop_signal = Some(stop_signal(&expander.word(signal)?)?)
        }
        Kind::OnBuild(text) => config.on_build.push(text.clone()),
        Kind::HealthCheck(check) => config.healthcheck = Some(health_check(check, config)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn expand_pairs(
    pairs: &[(String, String)],
    expander: &Expander<'_>,
) -> Result<Vec<(String, String)>> {
    pairs
        .iter()
        .map(|(name, value)| Ok((expander.word(name)?, expander.word(value)?)))
        .collect()
}

pub fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    let same = |entry: &&mut String| entry.split_once('=').is_some_and(|(key, _)| key == name);
    match env.iter_mut().find(same) {
        Some(entry) => *entry = line,
        None => env.push(line),
    }
}

/// Where programs are looked for when nothing else is said; every image built says it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub fn ensure_path(env: &mut Vec<String>) {
    if get_env(env, "PATH").is_none() {
        env.push(format!("PATH={DEFAULT_PATH}"));
    }
}

pub fn get_env(env: &[String], name: &str) -> Option<String> {
    env.iter()
        .filter_map(|entry| entry.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// The shell that the shell form of a command is given to.
pub fn shell(config: &ImageConfig) -> Vec<String> {
    if config.shell.is_empty() {
        DEFAULT_SHELL
            .iter()
            .map(|word| (*word).to_owned())
            .collect()
    } else {
        config.shell.clone()
    }
}

pub fn argv(command: &Command, config: &ImageConfig) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) if text.is_empty() => Vec::new(),
        Command::Shell(text) => {
            let mut argv = shell(config);
            argv.push(text.clone());
            argv
        }
    }
}

fn expose(config: &mut ImageConfig, text: &str) -> Result<()> {
    let bad = || EngineError::invalid(format!("`{text}` is not a port, like `80` or `53/udp`"));
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, protocol.to_ascii_lowercase()),
        None => (text, "tcp".to_owned()),
    };
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(bad());
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let first: u16 = first.parse().map_err(|_| bad())?;
    let last: u16 = last.parse().map_err(|_| bad())?;
    if first == 0 || last < first {
        return Err(bad());
    }
    if last - first >= PORTS_IN_RANGE_MAX {
        return Err(EngineError::invalid(format!(
            "`{text}` is more than {PORTS_IN_RANGE_MAX} ports"
        )));
    }
    for port in first..=last {
        let port = format!("{port}/{protocol}");
        if !config.exposed_ports.contains(&port) {
            config.exposed_ports.push(port);
        }
    }
    Ok(())
}

/// A signal by name or number; the range is Linux's.
fn stop_signal(text: &str) -> Result<String> {
    const NAMES: &[&str] = &[
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
        "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS", "RTMIN",
        "RTMAX",
    ];
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let base = name.split(['+', '-']).next().unwrap_or(name);
    let is_number = text
        .parse::<u8>()
        .is_ok_and(|number| (1..=64).contains(&number));
    if is_number || NAMES.contains(&base) {
        return Ok(text.to_owned());
    }
    Err(EngineError::invalid(format!(
        "`{text}` is not a signal, like `SIGTERM` or `15`"
    )))
}

fn health_check(check: &instruction::HealthCheck, config: &ImageConfig) -> Result<HealthCheck> {
    let Some(command) = &check.command else {
        return Ok(HealthCheck {
            command: vec!["NONE".to_owned()],
            ..HealthCheck::default()
        });
    };
    let command = match command {
        Command::Exec(words) => {
            let mut argv = vec!["CMD".to_owned()];
            argv.extend(words.iter().cloned());
            argv
        }
        Command::Shell(text) if config.shell.is_empty() => {
            vec!["CMD-SHELL".to_owned(), text.clone()]
        }
        shell_form @ Command::Shell(_) => {
            let mut argv_with_shell = vec!["CMD".to_owned()];
            argv_with_shell.extend(argv(shell_form, config));
            argv_with_shell
        }
    };
    // What is left open is zero, and whoever runs the image decides.
    let mut health_check = HealthCheck {
        command,
        ..HealthCheck::default()
    };
    for Flag { name, value } in &check.flags {
        let value = value.as_deref().unwrap_or_default();
        match name.as_str() {
            "interval" => health_check.interval_ms = duration_ms(value)?,
            "timeout" => health_check.timeout_ms = duration_ms(value)?,
            "start-period" => health_check.start_period_ms = duration_ms(value)?,
            "start-interval" => health_check.start_interval_ms = duration_ms(value)?,
            _ => {
                health_check.retries = value
                    .parse()
                    .ok()
                    .filter(|retries| *retries > 0)
                    .ok_or_else(|| {
                        EngineError::invalid(format!("`--retries={value}` is not a number above 0"))
                    })?;
            }
        }
    }
    Ok(health_check)
}

/// `1m30s`, `500ms`, `1.5h`.
fn duration_ms(text: &str) -> Result<u64> {
    let bad = || EngineError::invalid(format!("`{text}` is not a duration, like `30s` or `1m30s`"));
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| character != '.' && !character.is_ascii_digit())
            .ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let units: [(&str, f64); 6] = [
            ("ms", 1.0),
            ("us", 0.001),
            ("ns", 0.000_001),
            ("s", 1_000.0),
            ("m", 60_000.0),
            ("h", 3_600_000.0),
        ];
        let (unit, factor) = units
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))
            .ok_or_else(bad)?;
        total += number * factor;
        rest = &rest[unit.len()..];
    }
    let year_ms = 366.0 * 24.0 * 3_600_000.0;
    if text.is_empty() || total > year_ms {
        return Err(bad());
    }
    // Bounded above, and never negative, so the conversion keeps the value.
    Ok(total as u64)
}
