//! What each operation needs permission for: the scalable target, by the resource and by its ARN.

use cloud::{Cx, Error, Service};
use serde_json::{Value as Json, json};
use shapes::application_autoscaling::*;
use shapes::ecs;
use testkit::{Watched, key_of, told};

const WEB: &str = "service/main/web";

/// Every service is there.
async fn any_service(
    _: Cx,
    input: ecs::DescribeServicesInput,
) -> Result<ecs::DescribeServicesOutput, Error> {
    let active = |name| ecs::Service {
        service_name: Some(name),
        status: Some("ACTIVE".into()),
        ..Default::default()
    };
    Ok(ecs::DescribeServicesOutput {
        services: Some(input.services.into_iter().map(active).collect()),
        ..Default::default()
    })
}

struct World {
    watched: Watched,
    arn: String,
}

impl World {
    /// A target of the team `a`.
    async fn new() -> Self {
        let ecs = Service::new(&ecs::MODEL).on(any_service, testkit::not_asked());
        let world = testkit::world([application_autoscaling::service(), ecs]).at_rest();
        let made = json!({"MinCapacity": 1, "MaxCapacity": 2, "Tags": {"team": "a"}});
        let made = world.call(input::<RegisterScalableTargetInput>(made)).await;
        Self {
            watched: world.watched(),
            arn: made.scalable_target_arn.unwrap(),
        }
    }

    async fn lines<I: wire::Operation>(&self, more: Json) -> Vec<String> {
        self.watched.lines(input::<I>(more)).await
    }
}

/// An input about the service `web`, and more.
fn input<I: wire::Operation>(more: Json) -> I {
    let web = json!({"ServiceNamespace": "ecs", "ResourceId": WEB, "ScalableDimension": "ecs:service:DesiredCount"});
    testkit::input_with(web, &more)
}

#[tokio::test]
async fn operations_are_on_the_target_of_the_resource() {
    let world = World::new().await;
    let arn = &world.arn;
    macro_rules! check {
        ($($input:ident $more:tt;)*) => {
            $({
                let action = stringify!($input).strip_suffix("Input").unwrap();
                let needed = format!("application-autoscaling:{action} {arn} {{team=a}}");
                assert_eq!(world.lines::<$input>(json!($more)).await, [needed]);
            })*
        };
    }
    check! {
        RegisterScalableTargetInput {};
        DeregisterScalableTargetInput {};
        PutScalingPolicyInput {"PolicyName": "p"};
        DeleteScalingPolicyInput {"PolicyName": "p"};
        PutScheduledActionInput {"ScheduledActionName": "s"};
        DeleteScheduledActionInput {"ScheduledActionName": "s"};
        TagResourceInput {"ResourceARN": arn, "Tags": {"team": "b"}};
        UntagResourceInput {"ResourceARN": arn, "TagKeys": ["team"]};
        ListTagsForResourceInput {"ResourceARN": arn};
    }
    for found in [
        world.lines::<DescribeScalableTargetsInput>(json!({})).await,
        world.lines::<DescribeScalingPoliciesInput>(json!({})).await,
        world
            .lines::<DescribeScheduledActionsInput>(json!({}))
            .await,
        world
            .lines::<DescribeScalingActivitiesInput>(json!({}))
            .await,
    ] {
        assert!(found.len() == 1 && found[0].ends_with(" *"), "{found:?}");
    }
    let foreign = arn.replace("000000000000", "111111111111");
    let found = world
        .lines::<ListTagsForResourceInput>(json!({"ResourceARN": foreign}))
        .await;
    assert_eq!(
        found,
        [format!(
            "application-autoscaling:ListTagsForResource {foreign}"
        )]
    );
}

#[tokio::test]
async fn a_new_target_hands_its_role_over_and_is_tagged() {
    let world = World::new().await;
    let new = json!({
        "ResourceId": "service/main/other", "RoleARN": "arn:aws:iam::000000000000:role/scaler",
        "Tags": {"team": "b"},
    });
    let needs = world
        .watched
        .needs(input::<RegisterScalableTargetInput>(new))
        .await;
    let told: Vec<String> = needs.all.iter().map(told).collect();
    let of_new = "arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/*";
    assert_eq!(
        told,
        [
            format!("application-autoscaling:RegisterScalableTarget {of_new}"),
            format!("application-autoscaling:TagResource {of_new}"),
            "iam:PassRole arn:aws:iam::000000000000:role/scaler to application-autoscaling.amazonaws.com".to_owned(),
        ]
    );
    let key = |name| key_of(&needs.all[0], name).unwrap();
    assert_eq!(key("application-autoscaling:service-namespace"), ["ecs"]);
    assert_eq!(
        key("application-autoscaling:scalable-dimension"),
        ["ecs:service:DesiredCount"]
    );
}
