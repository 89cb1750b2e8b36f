//! Health probes: each target of a group in use is really asked, from where its balancer asks it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use engine::{ProbeFailure, TargetHealthCheck, TargetState};
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::channel::Channel;
use super::encrypt::encrypt;
use super::group::{Group, Target};
use super::namespace::Origin;

/// A target that was just registered is about to open its port: it is asked again this soon, then
/// twice as late each time until the interval is reached. Only answers count between intervals,
/// failures do not.
const EAGER_PAUSE: Duration = Duration::from_millis(20);
/// Shorter intervals would keep the machine busy with probes.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Of a probe's answer; the rest is not read.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Asks until dropped.
pub async fn probe_forever(
    group: Arc<Group>,
    target: Arc<Target>,
    check: TargetHealthCheck,
    origin: Origin,
) {
    let interval = Duration::from_millis(check.interval_ms).max(INTERVAL_MIN);
    let mut progress = Progress::default();
    let mut eager_pause = EAGER_PAUSE;
    let mut failure_counts_from = Instant::now();
    loop {
        let started = Instant::now();
        let outcome = probe(&check, &target, &origin).await;
        let before = target.health();
        let counts = outcome.is_ok() || started >= failure_counts_from;
        if outcome.is_err() && counts {
            failure_counts_from = started + interval;
        }
        if counts && let Some(state) = progress.observe(&before, outcome, &check) {
            group.set_health(&target, state);
        }
        let pause = if target.health() == TargetState::Initial {
            eager_pause = (eager_pause * 2).min(interval);
            eager_pause
        } else {
            interval
        };
        tokio::time::sleep_until(started + pause).await;
    }
}

/// Outcomes in a row.
#[derive(Default)]
struct Progress {
    successes: u32,
    failures: u32,
}

impl Progress {
    /// The state that follows, when it is another one.
    fn observe(
        &mut self,
        before: &TargetState,
        outcome: Result<(), ProbeFailure>,
        check: &TargetHealthCheck,
    ) -> Option<TargetState> {
        let after = match outcome {
            Ok(()) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                // A target that was just registered needs one passing probe only.
                let passed =
                    *before == TargetState::Initial || self.successes >= check.healthy_threshold;
                passed.then_some(TargetState::Healthy)
            }
            Err(failure) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                let failed = matches!(before, TargetState::Unhealthy(_))
                    || self.failures >= check.unhealthy_threshold;
                failed.then_some(TargetState::Unhealthy(failure))
            }
        };
        after.filter(|after| after != before)
    }
}

async fn probe(
    check: &TargetHealthCheck,
    target: &Target,
    origin: &Origin,
) -> Result<(), ProbeFailure> {
    let time_max = Duration::from_millis(check.timeout_ms);
    in_time(time_max, async {
        let mut address = target.address;
        if let Some(port) = check.port {
            address.set_port(port);
        }
        let socket = origin.enter(TcpSocket::new_v4).map_err(failed)?;
        let stream = socket.connect(address.into()).await.map_err(failed)?;
        if check.tcp_only {
            return Ok(());
        }
        let stream = match check.tls {
            false => Channel::Plain(stream),
            true => encrypt(stream, address).await.map_err(failed)?,
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let request = Request::get(check.path.as_str())
            .header(header::HOST, address.to_string())
            .header(header::USER_AGENT, "ELB-HealthChecker/2.0")
            .header(header::CONNECTION, "close")
            .body(Empty::<bytes::Bytes>::new())
            .map_err(failed)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            let status = response.status().as_u16();
            read_some(response.into_body()).await;
            Ok(status)
        };
        let status = beside(connection, answer).await?;
        let expected = |(from, to): &(u16, u16)| (*from..=*to).contains(&status);
        if check.matcher.iter().any(expected) {
            Ok(())
        } else {
            Err(ProbeFailure::ResponseCodeMismatch(status))
        }
    })
    .await
}

async fn in_time(
    time_max: Duration,
    probe: impl Future<Output = Result<(), ProbeFailure>>,
) -> Result<(), ProbeFailure> {
    let outcome = tokio::time::timeout(time_max, probe).await;
    outcome.unwrap_or(Err(ProbeFailure::Timeout))
}

/// Drives the connection for as long as the answer takes.
async fn beside<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = T>,
) -> T {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => return answer,
        _ = connection => {}
    }
    answer.await
}

/// Reads the body so that the target's server sees its answer taken, as a browser would.
async fn read_some(mut body: hyper::body::Incoming) {
    let mut read = 0;
    while read < BODY_BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
}

fn failed(error: impl std::error::Error) -> ProbeFailure {
    let mut text = error.to_string();
    if let Some(cause) = error.source() {
        text = format!("{text}: {cause}");
    }
    ProbeFailure::FailedHealthChecks(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> TargetHealthCheck {
        TargetHealthCheck {
            enabled: true,
            tcp_only: false,
            tls: false,
            path: "/".into(),
            port: None,
            interval_ms: 1,
            timeout_ms: 1,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            matcher: vec![(200, 299)],
        }
    }

    /// `.` is a probe that passed, `x` one that failed; the letters expected are the states after
    /// each: initial, healthy, unhealthy.
    fn run(probes: &str) -> String {
        let mut progress = Progress::default();
        let mut state = TargetState::Initial;
        let step = |probe: char| {
            let outcome = match probe {
                '.' => Ok(()),
                _ => Err(ProbeFailure::Timeout),
            };
            if let Some(next) = progress.observe(&state, outcome, &check()) {
                state = next;
            }
            match state {
                TargetState::Initial => 'i',
                TargetState::Healthy => 'h',
                _ => 'u',
            }
        };
        probes.chars().map(step).collect()
    }

    #[test]
    fn thresholds() {
        assert_eq!(run("."), "h");
        assert_eq!(run("xx.xx"), "iihhh");
        assert_eq!(run("xxx.x..x"), "iiuuuuhh");
        assert_eq!(run(".xx.xxx"), "hhhhhhu");
    }
}
