//! The operations over a machine that is not there.

use std::ops::Deref;
use std::time::Duration;

use serde_json::json;
use shapes::logs::*;

const GROUP: &str = "/web/app";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        Self(testkit::world([cloudwatch_logs::service()]).run())
    }

    async fn with_stream() -> Self {
        let world = Self::new();
        world.group(GROUP).await;
        world.stream("a").await;
        world
    }

    async fn group(&self, name: &str) {
        self.call(CreateLogGroupInput {
            log_group_name: name.into(),
            ..Default::default()
        })
        .await;
    }

    async fn stream(&self, name: &str) {
        self.call(CreateLogStreamInput {
            log_group_name: GROUP.into(),
            log_stream_name: name.into(),
        })
        .await;
    }

    /// Puts messages at these milliseconds after a time that is not too long ago.
    async fn put(&self, stream: &str, events: &[(i64, &str)]) -> PutLogEventsOutput {
        let base = self.base();
        let event = |&(after, message): &(i64, &str)| InputLogEvent {
            timestamp: base + after,
            message: message.into(),
        };
        self.call(PutLogEventsInput {
            log_group_name: GROUP.into(),
            log_stream_name: stream.into(),
            log_events: events.iter().map(event).collect(),
            ..Default::default()
        })
        .await
    }

    fn base(&self) -> i64 {
        // The same through a whole test, and within the fourteen days.
        self.cloud.clock.now_ms() / DAY_MS * DAY_MS - DAY_MS
    }

    async fn get(&self, token: Option<String>, head: Option<bool>) -> GetLogEventsOutput {
        self.call(GetLogEventsInput {
            log_group_name: Some(GROUP.into()),
            log_stream_name: "a".into(),
            start_from_head: head,
            next_token: token,
            limit: Some(2),
            ..Default::default()
        })
        .await
    }
}

fn messages(output: &GetLogEventsOutput) -> Vec<&str> {
    let events = output.events.iter().flatten();
    events.filter_map(|it| it.message.as_deref()).collect()
}

#[tokio::test]
async fn errors_are_awss() {
    let world = World::with_stream().await;
    let no_group = (
        "ResourceNotFoundException",
        "The specified log group does not exist.".to_owned(),
    );
    let group = CreateLogGroupInput {
        log_group_name: GROUP.into(),
        ..Default::default()
    };
    assert_eq!(
        world.refused(group).await,
        (
            "ResourceAlreadyExistsException",
            "The specified log group already exists".to_owned()
        )
    );
    let stream = |group: &str, stream: &str| CreateLogStreamInput {
        log_group_name: group.into(),
        log_stream_name: stream.into(),
    };
    assert_eq!(world.refused(stream("none", "a")).await, no_group);
    assert_eq!(
        world.refused(stream(GROUP, "a")).await.0,
        "ResourceAlreadyExistsException"
    );
    assert_eq!(
        world.refused(stream(GROUP, "a:b")).await.0,
        "InvalidParameterException"
    );
    let delete = DeleteLogGroupInput {
        log_group_name: "none".into(),
    };
    assert_eq!(world.refused(delete).await, no_group);
    let get = GetLogEventsInput {
        log_group_name: Some(GROUP.into()),
        log_stream_name: "none".into(),
        ..Default::default()
    };
    assert_eq!(
        world.refused(get).await.1,
        "The specified log stream does not exist."
    );
    let put = PutLogEventsInput {
        log_group_name: GROUP.into(),
        log_stream_name: "none".into(),
        log_events: vec![InputLogEvent {
            timestamp: world.base(),
            message: "m".into(),
        }],
        ..Default::default()
    };
    assert_eq!(world.refused(put).await.0, "ResourceNotFoundException");
    let retention = PutRetentionPolicyInput {
        log_group_name: GROUP.into(),
        retention_in_days: 2,
    };
    let (code, message) = world.refused(retention).await;
    assert_eq!(code, "InvalidParameterException");
    assert!(message.contains("enum value set: [1, 3, 5,"), "{message}");
    let encrypted = json!({ "logGroupName": "secret", "kmsKeyId": "k" });
    let refused = testkit::ask::<CreateLogGroupInput>(&world.cx, encrypted).await;
    assert_eq!(
        refused.unwrap_err().1,
        "the parameter kmsKeyId is not supported by neargate"
    );
}

#[tokio::test]
async fn events_are_read_either_way() {
    let world = World::with_stream().await;
    let empty = world.get(None, None).await;
    assert_eq!(messages(&empty), [] as [&str; 0]);
    world
        .put("a", &[(1, "1"), (2, "2"), (3, "3"), (4, "4"), (5, "5")])
        .await;
    // What came before the first event is the same token; following it finds the events.
    let first = world.get(empty.next_forward_token, None).await;
    assert_eq!(messages(&first), ["1", "2"]);
    assert_eq!(messages(&world.get(None, Some(true)).await), ["1", "2"]);

    let tail = world.get(None, None).await;
    assert_eq!(messages(&tail), ["4", "5"]);
    let before = world.get(tail.next_backward_token, None).await;
    assert_eq!(messages(&before), ["2", "3"]);
    let after = world.get(before.next_forward_token, None).await;
    assert_eq!(messages(&after), ["4", "5"]);
    let end = world.get(after.next_forward_token.clone(), None).await;
    assert_eq!(messages(&end), [] as [&str; 0]);
    assert_eq!(end.next_forward_token, after.next_forward_token);

    world.put("a", &[(6, "6")]).await;
    let more = world.get(end.next_forward_token, None).await;
    assert_eq!(messages(&more), ["6"]);
}

#[tokio::test]
async fn filtering_merges_streams_by_time_and_pages() {
    let world = World::with_stream().await;
    world.stream("b").await;
    world.stream("other").await;
    world
        .put("a", &[(1, "GET 1"), (4, "GET 4"), (5, "POST 5")])
        .await;
    world
        .put("b", &[(2, "GET 2"), (3, "POST 3"), (4, "GET 4b")])
        .await;
    world.put("other", &[(2, "GET other")]).await;
    let filter = |pattern: &str, token: Option<String>| FilterLogEventsInput {
        log_group_name: Some(GROUP.into()),
        log_stream_names: Some(vec!["a".into(), "b".into()]),
        filter_pattern: Some(pattern.into()),
        next_token: token,
        limit: Some(3),
        ..Default::default()
    };
    let (mut token, mut seen, mut ids) = (None, Vec::new(), std::collections::BTreeSet::new());
    loop {
        let output = world.call(filter("GET", token)).await;
        for event in output.events.unwrap() {
            seen.push(event.message.unwrap());
            ids.insert(event.event_id.unwrap());
        }
        token = output.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["GET 1", "GET 2", "GET 4", "GET 4b"]);
    assert_eq!(ids.len(), 4);

    let base = world.base();
    let timed = FilterLogEventsInput {
        log_group_name: Some(GROUP.into()),
        log_stream_name_prefix: Some("a".into()),
        start_time: Some(base + 1),
        end_time: Some(base + 4),
        ..Default::default()
    };
    let output = world.call(timed).await;
    let found: Vec<_> = output.events.iter().flatten().collect();
    assert_eq!(found.len(), 2, "the end is within the range: {found:?}");
    assert_eq!(output.searched_log_streams, Some(vec![]));
}

#[tokio::test]
async fn old_events_are_rejected_and_expire() {
    let world = World::with_stream().await;
    let answer = world.put("a", &[(-20 * DAY_MS, "old")]).await;
    let rejected = answer.rejected_log_events_info.unwrap();
    assert_eq!(rejected.too_old_log_event_end_index, Some(1));
    world.put("a", &[(-5 * DAY_MS, "older")]).await;
    world.put("a", &[(0, "young")]).await;
    assert_eq!(messages(&world.get(None, None).await), ["older", "young"]);
    world
        .call(PutRetentionPolicyInput {
            log_group_name: GROUP.into(),
            retention_in_days: 3,
        })
        .await;
    for _ in 0..100 {
        if messages(&world.get(None, None).await) == ["young"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the reconciler never removed the old event");
}

#[tokio::test]
async fn groups_are_listed_and_tagged() {
    let world = World::new();
    for name in ["/a/one", "/a/two", "/b/ONE"] {
        world.group(name).await;
    }
    let names = |input: DescribeLogGroupsInput| {
        let world = &world;
        async move {
            let groups = world.call(input).await.log_groups.unwrap();
            let names = groups.into_iter().filter_map(|it| it.log_group_name);
            names.collect::<Vec<_>>()
        }
    };
    let prefix = DescribeLogGroupsInput {
        log_group_name_prefix: Some("/a/".into()),
        ..Default::default()
    };
    assert_eq!(names(prefix).await, ["/a/one", "/a/two"]);
    let pattern = DescribeLogGroupsInput {
        log_group_name_pattern: Some("One".into()),
        ..Default::default()
    };
    assert_eq!(names(pattern).await, ["/a/one", "/b/ONE"]);
    let page = DescribeLogGroupsInput {
        limit: Some(2),
        ..Default::default()
    };
    let first = world.call(page.clone()).await;
    let group = &first.log_groups.as_ref().unwrap()[0];
    assert_eq!(
        group.arn.as_deref(),
        Some("arn:aws:logs:us-east-1:000000000000:log-group:/a/one:*")
    );
    let second = DescribeLogGroupsInput {
        next_token: first.next_token,
        ..page
    };
    assert_eq!(names(second).await, ["/b/ONE"]);

    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/a/one".to_owned();
    let tags = [
        ("k".to_owned(), "v".to_owned()),
        ("l".to_owned(), "w".to_owned()),
    ];
    world
        .call(TagResourceInput {
            resource_arn: arn.clone(),
            tags: tags.into(),
        })
        .await;
    world
        .call(UntagLogGroupInput {
            log_group_name: "/a/one".into(),
            tags: vec!["l".into()],
        })
        .await;
    let output = world
        .call(ListTagsForResourceInput { resource_arn: arn })
        .await;
    assert_eq!(output.tags, Some([("k".to_owned(), "v".to_owned())].into()));
}

#[tokio::test]
async fn a_deleted_group_takes_its_streams_along() {
    let world = World::with_stream().await;
    world.put("a", &[(1, "before")]).await;
    world
        .call(DeleteLogGroupInput {
            log_group_name: GROUP.into(),
        })
        .await;
    assert!(
        world
            .sim
            .engine()
            .logs
            .streams("us-east-1/web/app")
            .await
            .unwrap()
            .is_empty()
    );
    world.group(GROUP).await;
    let streams = DescribeLogStreamsInput {
        log_group_name: Some(GROUP.into()),
        ..Default::default()
    };
    assert_eq!(world.call(streams.clone()).await.log_streams, Some(vec![]));
    world.stream("b").await;
    world.stream("a").await;
    world.put("a", &[(2, "late")]).await;
    world.put("b", &[(1, "early")]).await;
    let names = |output: DescribeLogStreamsOutput| {
        let streams = output.log_streams.unwrap().into_iter();
        streams
            .filter_map(|it| it.log_stream_name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(world.call(streams.clone()).await), ["a", "b"]);
    let by_time = DescribeLogStreamsInput {
        order_by: Some(OrderBy::LastEventTime),
        ..streams
    };
    assert_eq!(names(world.call(by_time).await), ["b", "a"]);
}

#[tokio::test]
async fn a_stack_makes_changes_and_deletes_a_group() {
    let world = World::new();
    let group = world.cloud.resource_type("AWS::Logs::LogGroup").unwrap();
    let properties = json!({"RetentionInDays": "7", "Tags": [{"Key": "k", "Value": "v"}]});
    let mut request = testkit::request("web", "Logs", properties);
    request.tags.clear();
    let made = group.create(&world.cx, &request).await.unwrap();
    assert!(made.physical_id.starts_with("web-Logs-"));
    let again = group.create(&world.cx, &request).await.unwrap();
    assert_eq!(made, again);
    let arn = group
        .attribute(&world.cx, &made.physical_id, "Arn")
        .await
        .unwrap();
    assert!(
        arn.as_str()
            .unwrap()
            .ends_with(&format!("{}:*", made.physical_id))
    );

    let old = std::mem::replace(&mut request.properties, json!({}));
    group
        .update(&world.cx, &made.physical_id, &old, &request)
        .await
        .unwrap();
    let described = world
        .call(DescribeLogGroupsInput::default())
        .await
        .log_groups
        .unwrap();
    assert_eq!(described[0].retention_in_days, None);
    let tags = world
        .call(ListTagsLogGroupInput {
            log_group_name: made.physical_id.clone(),
        })
        .await;
    assert_eq!(tags.tags, Some(Default::default()));

    for _ in 0..2 {
        group
            .delete(&world.cx, &made.physical_id, &json!({}))
            .await
            .unwrap();
    }
    assert_eq!(
        world
            .call(DescribeLogGroupsInput::default())
            .await
            .log_groups,
        Some(vec![])
    );
}

#[tokio::test]
async fn older_operations_refuse_with_a_code_of_their_own() {
    let world = World::with_stream().await;
    let both = DescribeLogStreamsInput {
        log_group_name: Some(GROUP.into()),
        log_group_identifier: Some(GROUP.into()),
        ..Default::default()
    };
    assert_eq!(
        world.refused(both).await,
        (
            "ValidationException",
            "LogGroup name and LogGroup ARN are mutually exclusive parameters.".to_owned()
        )
    );
    let limit = json!({"logGroupName": GROUP, "logStreamName": "a", "limit": 10_001});
    let error = world
        .cx
        .serve("logs", "GetLogEvents", wire::read_json(limit))
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.code, "InvalidParameterException");
    assert_eq!(
        error.message,
        "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"
    );
}

#[tokio::test]
async fn queries_are_answered_out_of_the_streams() {
    let world = World::with_stream().await;
    let now = world.cloud.clock.now_ms();
    let event = |at: i64, message: &str| InputLogEvent {
        timestamp: now - 60_000 + at,
        message: message.into(),
    };
    let input = PutLogEventsInput {
        log_group_name: GROUP.into(),
        log_stream_name: "a".into(),
        log_events: vec![
            event(1, r#"{"level": "error", "ms": 30}"#),
            event(2, r#"{"level": "info", "ms": 10}"#),
            event(3, r#"{"level": "error", "ms": 50}"#),
        ],
        ..Default::default()
    };
    world.call(input).await;
    let start = |text: &str| StartQueryInput {
        log_group_name: Some(GROUP.into()),
        query_string: text.into(),
        start_time: now / 1000 - 3600,
        end_time: now / 1000 + 60,
        ..Default::default()
    };
    let wrong = world.refused(start("dedup level")).await;
    assert_eq!(wrong.0, "MalformedQueryException");
    let other = StartQueryInput {
        log_group_name: Some("/none".into()),
        ..start("fields ms")
    };
    assert_eq!(world.refused(other).await.0, "ResourceNotFoundException");
    let text = "filter level = 'error' | stats count(*) as n, max(ms) by level";
    let id = world.call(start(text)).await.query_id.unwrap();
    let get = |id: &str| GetQueryResultsInput {
        query_id: id.into(),
    };
    let answer = world.call(get(&id)).await;
    assert_eq!(answer.status, Some(QueryStatus::Complete));
    let statistics = answer.statistics.unwrap();
    assert_eq!(statistics.records_matched, Some(2.0));
    assert_eq!(statistics.records_scanned, Some(3.0));
    let rows = answer.results.unwrap();
    let row: Vec<_> = rows[0]
        .iter()
        .map(|it| (it.field.as_deref().unwrap(), it.value.as_deref().unwrap()))
        .collect();
    assert_eq!(row, [("level", "error"), ("n", "2"), ("max(ms)", "50")]);
    let plain = world
        .call(start("fields @timestamp, ms"))
        .await
        .query_id
        .unwrap();
    let rows = world.call(get(&plain)).await.results.unwrap();
    let fields: Vec<_> = rows[0]
        .iter()
        .filter_map(|it| it.field.as_deref())
        .collect();
    assert_eq!(fields, ["@timestamp", "ms", "@ptr"]);
    let all = world
        .call(DescribeQueriesInput::default())
        .await
        .queries
        .unwrap();
    assert_eq!(all.len(), 2);
    world
        .call(StopQueryInput {
            query_id: id.clone(),
        })
        .await;
    let stopped = world.call(get(&id)).await;
    assert_eq!(stopped.status, Some(QueryStatus::Cancelled));
    assert_eq!(
        world.refused(get("none")).await.0,
        "ResourceNotFoundException"
    );

    let metric = DescribeMetricFiltersInput {
        log_group_name: Some(GROUP.into()),
        ..Default::default()
    };
    assert_eq!(world.call(metric).await.metric_filters, Some(vec![]));
    let none = DescribeSubscriptionFiltersInput {
        log_group_name: "/none".into(),
        ..Default::default()
    };
    assert_eq!(world.refused(none).await.0, "ResourceNotFoundException");
}
