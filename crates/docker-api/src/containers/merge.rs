//! What a container's configuration becomes with what its image says.

use std::collections::{BTreeMap, BTreeSet};

use engine::ImageConfig;
use serde_json::Value;

use super::record::{Config, Health};

/// An image's configuration, from docker's form of it.
pub fn image_config(config: &Value) -> ImageConfig {
    let list = |name: &str| serde_json::from_value(config[name].clone()).unwrap_or_default();
    let keys = |name: &str| -> Vec<String> {
        let members = config[name].as_object().into_iter().flatten();
        members.map(|it| it.0.clone()).collect()
    };
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    ImageConfig {
        entrypoint: list("Entrypoint"),
        cmd: list("Cmd"),
        env: list("Env"),
        working_dir: text("WorkingDir"),
        user: text("User"),
        exposed_ports: keys("ExposedPorts"),
        volumes: keys("Volumes"),
        labels: serde_json::from_value(config["Labels"].clone()).unwrap_or_default(),
        stop_signal: Some(text("StopSignal")).filter(|it| !it.is_empty()),
        ..ImageConfig::default()
    }
    .with_health(config)
}

/// Keeps docker's own form of the health check beside the engine's.
trait WithHealth {
    fn with_health(self, config: &Value) -> Self;
}

impl WithHealth for ImageConfig {
    fn with_health(mut self, config: &Value) -> Self {
        const NS_PER_MS: u64 = 1_000_000;
        let health: Option<Health> = serde_json::from_value(config["Healthcheck"].clone()).ok();
        self.healthcheck = health.map(|it| engine::HealthCheck {
            command: it.test,
            interval_ms: it.interval / NS_PER_MS,
            timeout_ms: it.timeout / NS_PER_MS,
            start_period_ms: it.start_period / NS_PER_MS,
            start_interval_ms: it.start_interval / NS_PER_MS,
            retries: it.retries,
        });
        self
    }
}

/// What the client did not say, the image says.
pub fn merge(mut config: Config, image: &ImageConfig) -> Config {
    // An empty entry point takes the image's away; so does any of one's own the image's command.
    let own_entrypoint = config.entrypoint.take();
    if own_entrypoint.is_none() && config.cmd.as_ref().is_none_or(Vec::is_empty) {
        config.cmd = Some(image.cmd.clone()).filter(|it| !it.is_empty());
    }
    config.entrypoint = match own_entrypoint {
        Some(words) => Some(words).filter(|it| !it.is_empty() && *it != [""]),
        None => Some(image.entrypoint.clone()).filter(|it| !it.is_empty()),
    };
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let own: BTreeSet<String> = config.env.iter().map(|it| name(it)).collect();
    let of_image = image.env.iter().filter(|it| !own.contains(&name(it)));
    config.env.extend(of_image.cloned());
    let or = |own: String, image: &String| if own.is_empty() { image.clone() } else { own };
    config.working_dir = or(config.working_dir, &image.working_dir);
    config.user = or(config.user, &image.user);
    let signal = image.stop_signal.clone().unwrap_or_default();
    config.stop_signal = or(config.stop_signal, &signal);
    for (key, value) in &image.labels {
        config
            .labels
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    let empty = |key: &String| (key.clone(), BTreeMap::new());
    config
        .exposed_ports
        .extend(image.exposed_ports.iter().map(empty));
    config.volumes.extend(image.volumes.iter().map(empty));
    if let Some(check) = &image.healthcheck {
        const NS_PER_MS: u64 = 1_000_000;
        let own = config.healthcheck.get_or_insert_default();
        let or = |own: u64, ms: u64| if own == 0 { ms * NS_PER_MS } else { own };
        if own.test.is_empty() {
            own.test = check.command.clone();
        }
        own.interval = or(own.interval, check.interval_ms);
        own.timeout = or(own.timeout, check.timeout_ms);
        own.start_period = or(own.start_period, check.start_period_ms);
        if own.retries == 0 {
            own.retries = check.retries;
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn the_image_says_what_the_client_does_not() {
        let image = ImageConfig {
            entrypoint: words(&["/entry"]),
            cmd: words(&["serve"]),
            env: words(&["PATH=/bin", "A=image", "B=image"]),
            user: "app".to_owned(),
            ..ImageConfig::default()
        };
        let check = |entrypoint: Option<&[&str]>, cmd: Option<&[&str]>, expect: &[&str]| {
            let config = Config {
                entrypoint: entrypoint.map(words),
                cmd: cmd.map(words),
                env: words(&["A=own", "PATH"]),
                ..Config::default()
            };
            let merged = merge(config, &image);
            let argv: Vec<String> = [merged.entrypoint.clone(), merged.cmd.clone()]
                .into_iter()
                .flatten()
                .flatten()
                .collect();
            assert_eq!(argv, expect);
            // A name alone takes a variable away, and is seen to do so.
            assert_eq!(merged.env, ["A=own", "PATH", "B=image"]);
            assert_eq!(merged.variables(), ["A=own", "B=image"]);
            assert_eq!(merged.user, "app");
        };
        check(None, None, &["/entry", "serve"]);
        check(None, Some(&["run"]), &["/entry", "run"]);
        check(Some(&["/own"]), None, &["/own"]);
        check(Some(&[""]), Some(&["run"]), &["run"]);
    }
}
