//! A build's log: a stream of CloudWatch Logs. Its container writes there by itself; what is done
//! outside the container is told in the same words.

use std::io::Write;
use std::path::PathBuf;

use cloud::{Cx, Error, Need, Touched};
use engine::LogQuery;
use flate2::Compression;
use flate2::write::GzEncoder;
use shapes::codebuild::{CloudWatchLogsConfig, LogsConfigStatusType};
use shapes::logs::errors::{ResourceAlreadyExistsException, ResourceNotFoundException};
use shapes::logs::{CreateLogGroupInput, CreateLogStreamInput};
use wire::Timestamp;

use crate::record::BuildRecord;
use crate::s3;
use crate::source::Failure;

/// Group and stream of a build; None when its project wants no log.
pub fn place(build: &BuildRecord) -> Option<(String, String)> {
    let asked = build.shape.logs.as_ref()?.cloud_watch_logs.as_ref();
    if asked.is_some_and(|it| it.status == LogsConfigStatusType::Disabled) {
        return None;
    }
    let given = |it: Option<&String>| it.filter(|it| !it.is_empty()).cloned();
    let group = given(asked.and_then(|it| it.group_name.as_ref()))
        .unwrap_or_else(|| format!("/aws/codebuild/{}", build.project));
    let stream = match given(asked.and_then(|it| it.stream_name.as_ref())) {
        Some(prefix) => format!("{prefix}/{}", build.uuid),
        None => build.uuid.clone(),
    };
    Some((group, stream))
}

/// Makes the stream, and the group if there is none, in the role's name, and says in the build where they
/// are. What the build prints is delivered by the machine: whether the role may is asked here.
pub async fn open(cx: &Cx, build: &mut BuildRecord) -> Result<Option<PathBuf>, Error> {
    let Some((group, stream)) = place(build) else {
        return Ok(None);
    };
    let new_stream = CreateLogStreamInput {
        log_group_name: group.clone(),
        log_stream_name: stream.clone(),
    };
    match cx.call(new_stream.clone()).await {
        Err(error) if error.is(ResourceNotFoundException) => {
            let made = cx.call(CreateLogGroupInput {
                log_group_name: group.clone(),
                ..Default::default()
            });
            known_or_made(made.await)?;
            known_or_made(cx.call(new_stream).await)?;
        }
        outcome => known_or_made(outcome)?,
    }
    may_deliver(cx, &group, &stream)?;
    let logs = build.shape.logs.get_or_insert_default();
    logs.cloud_watch_logs_arn =
        Some(cx.arn("logs", &format!("log-group:{group}:log-stream:{stream}")));
    logs.deep_link = Some(format!(
        "https://console.aws.amazon.com/cloudwatch/home?region={}#logsV2:log-groups/log-group/{}/log-events/{}",
        cx.region,
        group.replace('/', "$252F"),
        stream.replace('/', "$252F")
    ));
    logs.cloud_watch_logs.get_or_insert(CloudWatchLogsConfig {
        status: LogsConfigStatusType::Enabled,
        ..Default::default()
    });
    let file = cx
        .engine()
        .logs
        .stream_file(&format!("{}/{group}", cx.region), &stream)
        .await
        .map_err(cloud::internal)?;
    logs.group_name = Some(group);
    logs.stream_name = Some(stream);
    Ok(Some(file))
}

fn may_deliver(cx: &Cx, group: &str, stream: &str) -> Result<(), Error> {
    let of_group = cx.find_resource("logs", group);
    let touched = Touched {
        arn: cx.arn("logs", &format!("log-group:{group}:log-stream:{stream}")),
        ..of_group.unwrap_or_else(|| Touched::named(""))
    };
    cx.authorize_one("logs", Need::new("logs:PutLogEvents", Some(touched)))
}

fn known_or_made<T>(outcome: Result<T, Error>) -> Result<(), Error> {
    match outcome {
        Err(error) if !error.is(ResourceAlreadyExistsException) => Err(error),
        _ => Ok(()),
    }
}

/// `2026/11/26 17:00:00`
fn clock_time(seconds: f64) -> String {
    let text = Timestamp(seconds.floor()).to_string();
    text.trim_end_matches('Z')
        .chars()
        .take(19)
        .map(|it| match it {
            '-' => '/',
            'T' => ' ',
            it => it,
        })
        .collect()
}

/// Says something in the build's log. A log that is gone keeps no build from going on.
pub async fn say(cx: &Cx, build: &BuildRecord, lines: &[String]) {
    let Some((group, stream)) = place(build) else {
        return;
    };
    let now_ms = cx.clock().now_ms();
    let time = clock_time(cx.clock().now());
    let events: Vec<(i64, String)> = lines
        .iter()
        .map(|it| (now_ms, format!("[Container] {time} {it}")))
        .collect();
    let group = format!("{}/{group}", cx.region);
    if let Err(error) = cx.engine().logs.append(&group, &stream, &events).await {
        tracing::debug!(%error, build = build.uuid, "a build's log cannot be written");
    }
}

/// What AWS says at the end of a phase.
pub async fn say_phase(cx: &Cx, build: &BuildRecord) {
    let Some(phase) = build.shape.phases.iter().flatten().last() else {
        return;
    };
    let context = phase.contexts.iter().flatten().next();
    let part = |it: Option<&String>| it.cloned().unwrap_or_default();
    let lines = [
        format!(
            "Phase complete: {} State: {}",
            phase
                .phase_type
                .map(|it| it.to_string())
                .unwrap_or_default(),
            phase
                .phase_status
                .map(|it| it.to_string())
                .unwrap_or_default(),
        ),
        format!(
            "Phase context status code: {} Message: {}",
            part(context.and_then(|it| it.status_code.as_ref())),
            part(context.and_then(|it| it.message.as_ref())),
        ),
    ];
    say(cx, build, &lines).await;
}

/// Events that are read at once.
const PAGE: usize = 1000;

/// The whole log as a packed object, when the project wants it there as well.
pub async fn upload(cx: &Cx, build: &mut BuildRecord) -> Result<(), Failure> {
    let asked = build.shape.logs.as_ref().and_then(|it| it.s3_logs.clone());
    let Some(asked) = asked.filter(|it| it.status == LogsConfigStatusType::Enabled) else {
        return Ok(());
    };
    let Some((group, stream)) = place(build) else {
        return Ok(());
    };
    let group = format!("{}/{group}", cx.region);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    let mut query = LogQuery {
        limit: PAGE,
        ..Default::default()
    };
    loop {
        let events = cx.engine().logs.read(&group, &stream, &query).await?;
        let Some(last) = events.last() else { break };
        query.offset = Some(last.offset + 1);
        for event in &events {
            // What is written to memory does not fail.
            let _ = writeln!(packed, "{}", event.message);
        }
    }
    let location = asked.location.unwrap_or_default();
    let location = format!("{}/{}.gz", location.trim_end_matches('/'), build.uuid);
    let (bucket, key) = s3::split(&location)
        .ok_or_else(|| Failure::client(format!("Invalid location of logs `{location}`")))?;
    let bytes = packed.finish().unwrap_or_default();
    let kms_key = s3::own_key(build).filter(|_| asked.encryption_disabled != Some(true));
    s3::put(cx, &bucket, &key, bytes, kms_key).await?;
    let logs = build.shape.logs.get_or_insert_default();
    logs.s3_logs_arn = Some(format!("arn:aws:s3:::{bucket}/{key}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_written_as_the_agent_writes_them() {
        assert_eq!(super::clock_time(1_795_712_400.9), "2026/11/26 17:00:00");
    }
}
