//! What each operation needs permission for, by a group's name, identifier and ARN.

use std::collections::BTreeMap;

use shapes::logs::*;
use testkit::Watched;

const PREFIX: &str = "arn:aws:logs:us-east-1:000000000000:log-group";

struct World(Watched);

impl World {
    /// A group `/web` of the team `a`.
    async fn new() -> Self {
        let world = testkit::world([cloudwatch_logs::service()]).at_rest();
        let input = CreateLogGroupInput {
            log_group_name: "/web".into(),
            tags: Some(team("a")),
            ..Default::default()
        };
        world.call(input).await;
        Self(world.watched())
    }

    async fn check<I: wire::Operation>(&self, input: I, expected: &[&str]) {
        let expected = expected.iter().map(|it| it.replace("GROUP", PREFIX));
        let expected: Vec<String> = expected.collect();
        assert_eq!(self.0.lines(input).await, expected, "{}", I::NAME);
    }
}

fn team(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("team".to_owned(), name.to_owned())])
}

#[tokio::test]
async fn a_group_is_one_resource_however_it_is_spelled() {
    let world = World::new().await;
    let arn = format!("{PREFIX}:/web");
    let with_star = format!("{arn}:*");
    for identifier in ["/web", &arn, &with_star] {
        let input = FilterLogEventsInput {
            log_group_identifier: Some(identifier.into()),
            ..Default::default()
        };
        let needed = "logs:FilterLogEvents GROUP:/web:log-stream: {team=a}";
        world.check(input, &[needed]).await;
        let input = DescribeLogStreamsInput {
            log_group_identifier: Some(identifier.into()),
            ..Default::default()
        };
        let needed = "logs:DescribeLogStreams GROUP:/web:log-stream: {team=a}";
        world.check(input, &[needed]).await;
        let input = GetLogEventsInput {
            log_group_identifier: Some(identifier.into()),
            log_stream_name: "s".into(),
            ..Default::default()
        };
        let needed = "logs:GetLogEvents GROUP:/web:log-stream:s {team=a}";
        world.check(input, &[needed]).await;
    }
    for arn in [arn, with_star] {
        let input = TagResourceInput {
            resource_arn: arn.clone(),
            tags: team("b"),
        };
        world
            .check(input, &["logs:TagResource GROUP:/web {team=a}"])
            .await;
        let input = UntagResourceInput {
            resource_arn: arn.clone(),
            tag_keys: vec!["team".into()],
        };
        world
            .check(input, &["logs:UntagResource GROUP:/web {team=a}"])
            .await;
        let input = ListTagsForResourceInput { resource_arn: arn };
        world
            .check(input, &["logs:ListTagsForResource GROUP:/web {team=a}"])
            .await;
    }
}

#[tokio::test]
async fn operations_by_name_are_on_the_group_or_its_stream() {
    let world = World::new().await;
    let name = || "/web".to_owned();
    let on_group = |action: &str| format!("logs:{action} GROUP:/web:log-stream: {{team=a}}");
    let on_stream = |action: &str| format!("logs:{action} GROUP:/web:log-stream:s {{team=a}}");
    macro_rules! check {
        ($expected:expr, $input:expr) => {
            world.check($input, &[&$expected]).await
        };
    }
    check!(
        on_group("DeleteLogGroup"),
        DeleteLogGroupInput {
            log_group_name: name()
        }
    );
    check!(
        on_group("PutRetentionPolicy"),
        PutRetentionPolicyInput {
            log_group_name: name(),
            retention_in_days: 1
        }
    );
    check!(
        on_group("DeleteRetentionPolicy"),
        DeleteRetentionPolicyInput {
            log_group_name: name()
        }
    );
    check!(
        on_group("TagLogGroup"),
        TagLogGroupInput {
            log_group_name: name(),
            tags: team("b")
        }
    );
    check!(
        on_group("UntagLogGroup"),
        UntagLogGroupInput {
            log_group_name: name(),
            tags: vec!["team".into()]
        }
    );
    check!(
        on_group("ListTagsLogGroup"),
        ListTagsLogGroupInput {
            log_group_name: name()
        }
    );
    check!(
        on_stream("CreateLogStream"),
        CreateLogStreamInput {
            log_group_name: name(),
            log_stream_name: "s".into()
        }
    );
    check!(
        on_stream("DeleteLogStream"),
        DeleteLogStreamInput {
            log_group_name: name(),
            log_stream_name: "s".into()
        }
    );
    check!(
        on_stream("PutLogEvents"),
        PutLogEventsInput {
            log_group_name: name(),
            log_stream_name: "s".into(),
            ..Default::default()
        }
    );
}

#[tokio::test]
async fn a_call_that_names_no_group_or_two_is_not_let_past_a_denial_on_one() {
    let world = World::new().await;
    let needed = "logs:FilterLogEvents any GROUP:* {?}";
    world
        .check(FilterLogEventsInput::default(), &[needed])
        .await;
    let both = FilterLogEventsInput {
        log_group_name: Some("/open".into()),
        log_group_identifier: Some("/web".into()),
        ..Default::default()
    };
    let needed = [
        "logs:FilterLogEvents GROUP:/open:log-stream:",
        "logs:FilterLogEvents GROUP:/web:log-stream: {team=a}",
    ];
    world.check(both, &needed).await;
    // Another account's, which is not there.
    let foreign = "arn:aws:logs:us-east-1:111111111111:log-group:/web";
    let input = FilterLogEventsInput {
        log_group_identifier: Some(foreign.into()),
        ..Default::default()
    };
    let needed = format!("logs:FilterLogEvents {foreign}");
    world.check(input, &[&needed]).await;
    // No resource types at all, by the reference.
    world
        .check(
            DescribeLogGroupsInput::default(),
            &["logs:DescribeLogGroups *"],
        )
        .await;
}

#[tokio::test]
async fn tags_of_a_new_group_need_the_permission_to_tag() {
    let world = World::new().await;
    let create = |tags| CreateLogGroupInput {
        log_group_name: "/new".into(),
        tags,
        ..Default::default()
    };
    let needed = "logs:CreateLogGroup GROUP:/new:log-stream:";
    world.check(create(None), &[needed]).await;
    let needs = world.0.needs(create(Some(team("b")))).await;
    assert_eq!(needs.request_tags, team("b"));
    world
        .check(
            create(Some(team("b"))),
            &[needed, "logs:TagResource GROUP:/new"],
        )
        .await;
}
