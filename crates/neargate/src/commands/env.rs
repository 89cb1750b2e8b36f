//! `neargate env`: what a shell needs, so that `aws`, the SDKs and `docker` speak to the daemon.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::say;

/// For how long a daemon that was just started is waited for: `neargate serve &` and `env` stand one after
/// the other in scripts. The key pair is written within its first moments.
const START_WAIT: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The key pair, once there is one.
fn credentials(config: &Config) -> Result<Option<Credentials>> {
    let until = Instant::now() + START_WAIT;
    loop {
        let found = Credentials::read(&config.state)?;
        if found.is_some() || Instant::now() >= until {
            return Ok(found);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

pub fn run(config: &Config) -> Result<ExitCode> {
    let credentials = credentials(config)?.ok_or_else(|| {
        anyhow!(
            "no daemon has run with `{}` yet: start one with `neargate up DIR` or `neargate serve`",
            config.state.display()
        )
    })?;
    let docker_socket = crate::daemon::docker_socket(config);
    let variables = [
        ("AWS_ENDPOINT_URL", format!("http://{}", config.listen)),
        ("AWS_ACCESS_KEY_ID", credentials.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
        ("AWS_DEFAULT_REGION", config.region.clone()),
        ("AWS_REGION", config.region.clone()),
        ("DOCKER_HOST", format!("unix://{}", docker_socket.display())),
    ];
    if config.json {
        let map: serde_json::Map<String, serde_json::Value> = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        say::output(serde_json::to_string_pretty(&map)?);
    } else {
        for (name, value) in variables {
            say::output(format_args!("export {name}={}", quoted(&value)));
        }
        // A session token of another account would be sent along; another engine would be asked.
        say::output("unset AWS_SESSION_TOKEN AWS_PROFILE DOCKER_CONTEXT DOCKER_TLS_VERIFY");
    }
    Ok(ExitCode::SUCCESS)
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn values_survive_the_shell() {
        assert_eq!(quoted("http://127.0.0.1:4566"), "http://127.0.0.1:4566");
        assert_eq!(quoted("a+b'c"), r"'a+b'\''c'");
    }
}
