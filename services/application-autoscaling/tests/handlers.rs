//! The operations, beside an ECS that knows one service.

use cloud::{Cx, Error, Service};
use shapes::application_autoscaling::*;
use shapes::ecs;

const WEB: &str = "service/main/web";

async fn one_service(
    _: Cx,
    input: ecs::DescribeServicesInput,
) -> Result<ecs::DescribeServicesOutput, Error> {
    let services = input.services.into_iter().filter(|it| it == "web");
    let active = |name| ecs::Service {
        service_name: Some(name),
        status: Some("ACTIVE".into()),
        ..Default::default()
    };
    Ok(ecs::DescribeServicesOutput {
        services: Some(services.map(active).collect()),
        ..Default::default()
    })
}

fn world() -> testkit::World {
    let ecs = Service::new(&ecs::MODEL).on(one_service, testkit::not_asked());
    let services = [
        application_autoscaling::service(),
        cloudwatch::service(),
        ecs,
    ];
    testkit::world(services).at_rest()
}

fn target(min: i32, max: i32) -> RegisterScalableTargetInput {
    RegisterScalableTargetInput {
        service_namespace: ServiceNamespace::Ecs,
        scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
        resource_id: WEB.into(),
        min_capacity: Some(min),
        max_capacity: Some(max),
        ..Default::default()
    }
}

fn policy(name: &str) -> PutScalingPolicyInput {
    PutScalingPolicyInput {
        policy_name: name.into(),
        service_namespace: ServiceNamespace::Ecs,
        scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
        resource_id: WEB.into(),
        policy_type: Some(PolicyType::TargetTrackingScaling),
        target_tracking_scaling_policy_configuration: Some(
            TargetTrackingScalingPolicyConfiguration {
                target_value: 50.0,
                predefined_metric_specification: Some(PredefinedMetricSpecification {
                    predefined_metric_type: MetricType::ECSServiceAverageCPUUtilization,
                    resource_label: None,
                }),
                ..Default::default()
            },
        ),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_cannot_be_scaled_is_refused() {
    let world = world();
    let cx = &world.cx;
    let cases = [
        (
            RegisterScalableTargetInput {
                service_namespace: ServiceNamespace::Ec2,
                ..target(1, 2)
            },
            "the service namespace ec2 is not supported by neargate",
        ),
        (
            RegisterScalableTargetInput {
                scalable_dimension: ScalableDimension::Ec2SpotFleetRequestTargetCapacity,
                ..target(1, 2)
            },
            "Unsupported service namespace, resource type or scalable dimension: ec2:spot-fleet-request:TargetCapacity",
        ),
        (
            RegisterScalableTargetInput {
                resource_id: "service/main/other".into(),
                ..target(1, 2)
            },
            "ECS service doesn't exist: service/main/other",
        ),
        (
            RegisterScalableTargetInput {
                max_capacity: None,
                ..target(1, 2)
            },
            "MinCapacity and MaxCapacity are required to register a new scalable target",
        ),
        (
            target(3, 2),
            "Maximum capacity cannot be less than minimum capacity",
        ),
    ];
    for (input, message) in cases {
        let error = cx.call(input).await.unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            ("ValidationException", message)
        );
    }
    let error = cx.call(policy("p")).await.unwrap_err();
    assert_eq!(error.code, "ObjectNotFoundException");
}

#[tokio::test]
async fn targets_and_policies_are_records() {
    let world = world();
    let cx = &world.cx;
    let arn = cx
        .call(target(1, 4))
        .await
        .unwrap()
        .scalable_target_arn
        .unwrap();
    let again = RegisterScalableTargetInput {
        min_capacity: None,
        ..target(1, 8)
    };
    assert_eq!(
        cx.call(again).await.unwrap().scalable_target_arn.as_ref(),
        Some(&arn)
    );
    let describe = DescribeScalableTargetsInput {
        service_namespace: ServiceNamespace::Ecs,
        ..Default::default()
    };
    let targets = cx
        .call(describe.clone())
        .await
        .unwrap()
        .scalable_targets
        .unwrap();
    assert_eq!((targets[0].min_capacity, targets[0].max_capacity), (1, 8));

    let tags = [("k".to_owned(), "v".to_owned())];
    let tag = TagResourceInput {
        resource_arn: arn.clone(),
        tags: tags.clone().into(),
    };
    cx.call(tag).await.unwrap();
    let listed = cx
        .call(ListTagsForResourceInput { resource_arn: arn })
        .await
        .unwrap();
    assert_eq!(listed.tags, Some(tags.into()));

    let mixed = PutScalingPolicyInput {
        policy_type: Some(PolicyType::StepScaling),
        ..policy("p")
    };
    assert_eq!(
        cx.call(mixed).await.unwrap_err().code,
        "ValidationException"
    );
    let first = cx.call(policy("p")).await.unwrap();
    assert_eq!(cx.call(policy("p")).await.unwrap(), first);
    cx.call(policy("q")).await.unwrap();
    let policies = DescribeScalingPoliciesInput {
        service_namespace: ServiceNamespace::Ecs,
        ..Default::default()
    };
    let names = |output: DescribeScalingPoliciesOutput| {
        let all = output.scaling_policies.unwrap().into_iter();
        all.map(|it| it.policy_name).collect::<Vec<_>>()
    };
    assert_eq!(names(cx.call(policies.clone()).await.unwrap()), ["p", "q"]);
    let delete = DeleteScalingPolicyInput {
        policy_name: "q".into(),
        service_namespace: ServiceNamespace::Ecs,
        scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
        resource_id: WEB.into(),
    };
    cx.call(delete.clone()).await.unwrap();
    assert_eq!(
        cx.call(delete).await.unwrap_err().code,
        "ObjectNotFoundException"
    );

    let deregister = DeregisterScalableTargetInput {
        service_namespace: ServiceNamespace::Ecs,
        scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
        resource_id: WEB.into(),
    };
    cx.call(deregister.clone()).await.unwrap();
    assert_eq!(names(cx.call(policies).await.unwrap()), [] as [&str; 0]);
    assert_eq!(
        cx.call(describe).await.unwrap().scalable_targets,
        Some(vec![])
    );
    assert_eq!(
        cx.call(deregister).await.unwrap_err().code,
        "ObjectNotFoundException"
    );
}
