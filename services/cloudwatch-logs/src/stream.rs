//! Log streams: a stream exists when the engine has it.

use cloud::{Cx, Error, Record};
use engine::StreamInfo;
use shapes::logs::errors::ResourceAlreadyExistsException;
use shapes::logs::{
    CreateLogStreamInput, CreateLogStreamOutput, DeleteLogStreamInput, DeleteLogStreamOutput,
    DescribeLogStreamsInput, DescribeLogStreamsOutput, LogStream, OrderBy,
};

use crate::group::Group;
use crate::names::{engine_error, find, find_either, group_arn, invalid, no_group, no_stream};
use crate::page::page;

pub async fn create_log_stream(
    cx: Cx,
    input: CreateLogStreamInput,
) -> Result<CreateLogStreamOutput, Error> {
    let name = &input.log_stream_name;
    if name.contains([':', '*']) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*"
        )));
    }
    let group = cx.read(|tx| find(&cx, tx, &input.log_group_name))?;
    let logs = &cx.engine().logs;
    if logs.stream_file(&group.key(), name).await.is_ok() {
        return Err(
            ResourceAlreadyExistsException.because("The specified log stream already exists")
        );
    }
    logs.create_stream(&group.key(), name)
        .await
        .map_err(engine_error)?;
    // The group may have been deleted meanwhile: its streams are to go with it.
    if cx.read(|tx| tx.get::<Group>(&group.key()))?.is_none() {
        logs.delete_stream(&group.key(), name)
            .await
            .map_err(engine_error)?;
        return Err(no_group());
    }
    Ok(CreateLogStreamOutput {})
}

pub async fn delete_log_stream(
    cx: Cx,
    input: DeleteLogStreamInput,
) -> Result<DeleteLogStreamOutput, Error> {
    let group = cx.read(|tx| find(&cx, tx, &input.log_group_name))?;
    let logs = &cx.engine().logs;
    logs.stream_file(&group.key(), &input.log_stream_name)
        .await
        .map_err(|_| no_stream())?;
    logs.delete_stream(&group.key(), &input.log_stream_name)
        .await
        .map_err(engine_error)?;
    Ok(DeleteLogStreamOutput {})
}

pub async fn describe_log_streams(
    cx: Cx,
    input: DescribeLogStreamsInput,
) -> Result<DescribeLogStreamsOutput, Error> {
    let by_time = input.order_by == Some(OrderBy::LastEventTime);
    let prefix = input.log_stream_name_prefix.as_deref();
    if by_time && prefix.is_some() {
        return Err(invalid(
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ));
    }
    let group = find_either(
        &cx,
        input.log_group_name.as_deref(),
        input.log_group_identifier.as_deref(),
    )?;
    let mut streams = cx
        .engine()
        .logs
        .streams(&group.key())
        .await
        .map_err(engine_error)?;
    streams.retain(|it| prefix.is_none_or(|prefix| it.name.starts_with(prefix)));
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    if by_time {
        streams.sort_by_key(|it| it.last_event_ms);
    }
    if input.descending == Some(true) {
        streams.reverse();
    }
    let token = input.next_token.as_deref();
    let (streams, next_token) = page(streams, |it| &it.name, token, input.limit)?;
    let shown = streams
        .into_iter()
        .map(|it| shown(&cx, &group, it))
        .collect();
    Ok(DescribeLogStreamsOutput {
        log_streams: Some(shown),
        next_token,
    })
}

fn shown(cx: &Cx, group: &Group, stream: StreamInfo) -> LogStream {
    let group_arn = group_arn(cx, &group.name);
    LogStream {
        arn: Some(format!("{group_arn}:log-stream:{}", stream.name)),
        log_stream_name: Some(stream.name),
        creation_time: Some(stream.created_ms),
        first_event_timestamp: stream.first_event_ms,
        last_event_timestamp: stream.last_event_ms,
        last_ingestion_time: stream.last_event_ms,
        // AWS has answered nothing else for streams since June 2019.
        stored_bytes: Some(0),
        ..Default::default()
    }
}
