//! Listeners and their rules.

use serde_json::{Value as Json, json};
use shapes::elbv2::*;

use crate::world::{World, ask, fixed, forward, text, texts, until};

#[tokio::test]
async fn what_cannot_be_made() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    world.listener_to(&balancer, 80, fixed("404")).await;
    let base = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 81, "DefaultActions": [fixed("200")]});
    let other_vpc = world.vpc("10.1.0.0/16").await;
    let input = json!({"Name": "far", "Protocol": "HTTP", "Port": 80, "VpcId": other_vpc, "TargetType": "ip"});
    let far =
        text(&world.ok::<CreateTargetGroupInput>(input).await["TargetGroups"][0]["TargetGroupArn"]);
    let invalid = "InvalidConfigurationRequest";
    let redirect = |config: Json| json!([{"Type": "redirect", "RedirectConfig": config}]);
    for (member, value, code, message) in [
        ("Port", json!(80), "DuplicateListener", format!("A listener already exists on this port for this load balancer '{balancer}'")),
        ("Port", Json::Null, "ValidationError", "A listener port must be specified".into()),
        ("Protocol", Json::Null, "ValidationError", "A listener protocol must be specified".into()),
        ("Protocol", json!("HTTPS"), "ValidationError", "A certificate must be specified for HTTPS listeners".into()),
        ("Protocol", json!("TLS"), invalid, "the listener protocol 'TLS' is not supported by neargate".into()),
        ("Certificates", json!([{"CertificateArn": "arn"}]), invalid, "A listener with the protocol HTTP has no certificates".into()),
        ("SslPolicy", json!("TLS"), invalid, "A listener with the protocol HTTP has no SSL policy".into()),
        ("LoadBalancerArn", json!("arn:none"), "ValidationError", "'arn:none' is not a valid load balancer ARN".into()),
        ("DefaultActions", json!([]), "ValidationError", "A listener or rule needs an action".into()),
        ("DefaultActions", json!([fixed("200"), fixed("200")]), invalid, "more than one action in a listener or rule is not supported by neargate".into()),
        ("DefaultActions", json!([{"Type": "authenticate-oidc"}]), invalid, "the action type 'authenticate-oidc' is not supported by neargate".into()),
        ("DefaultActions", json!([{"Type": "authenticate-cognito"}]), invalid, "the action type 'authenticate-cognito' is not supported by neargate".into()),
        ("DefaultActions", json!([{"Type": "forward"}]), "ValidationError", "You must specify a target group for a forward action".into()),
        ("DefaultActions", json!([forward("arn:none")]), "ValidationError", "'arn:none' is not a valid target group ARN".into()),
        ("DefaultActions", json!([forward(&far)]), "ValidationError", "The target group and the load balancer must be in the same VPC".into()),
        ("DefaultActions", json!([{"Type": "redirect"}]), "ValidationError", "You must specify a redirect configuration for a redirect action".into()),
        ("DefaultActions", redirect(json!({"StatusCode": "HTTP_301", "Path": "/#{path}"})), "InvalidLoadBalancerAction",
            "You must modify at least one of the following components to avoid a redirect loop: protocol, port, host, or path".into()),
        ("DefaultActions", redirect(json!({"StatusCode": "HTTP_301", "Port": "99999"})), "ValidationError",
            "The redirect's port '99999' must be between 1 and 65535, or '#{port}'".into()),
        ("DefaultActions", redirect(json!({"StatusCode": "HTTP_301", "Path": "nolead"})), "ValidationError",
            "The redirect's path 'nolead' must begin with '/'".into()),
        ("DefaultActions", json!([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "ContentType": "image/png"}}]), "ValidationError",
            "The content type 'image/png' must be one of: text/plain, text/css, text/html, application/javascript, application/json".into()),
        ("DefaultActions", json!([{"Type": "fixed-response"}]), "ValidationError", "You must specify a fixed response configuration for a fixed-response action".into()),
    ] {
        let mut input = base.clone();
        input[member] = value;
        world.refused::<CreateListenerInput>(input, code, &message).await;
    }
}

#[tokio::test]
async fn forwards_are_answered_in_both_forms() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let (a, b) = (world.target_group("a").await, world.target_group("b").await);
    world.listener_to(&balancer, 80, forward(&a)).await;
    let weighted = json!({"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": a, "Weight": 1}, {"TargetGroupArn": b, "Weight": 9}],
        "TargetGroupStickinessConfig": {"Enabled": true, "DurationSeconds": 60}}});
    world.listener_to(&balancer, 81, weighted.clone()).await;
    let found = world
        .ok::<DescribeListenersInput>(json!({"LoadBalancerArn": balancer}))
        .await;
    let action = |port: i32| {
        let listeners = found["Listeners"].as_array().unwrap();
        listeners.iter().find(|it| it["Port"] == port).unwrap()["DefaultActions"][0].clone()
    };
    assert_eq!(action(80)["TargetGroupArn"], json!(a));
    assert_eq!(
        action(80)["ForwardConfig"]["TargetGroups"],
        json!([{"TargetGroupArn": a, "Weight": 1}])
    );
    assert_eq!(action(81)["TargetGroupArn"], Json::Null);
    assert_eq!(action(81)["ForwardConfig"], weighted["ForwardConfig"]);
}

#[tokio::test]
async fn listeners_and_rules_are_made_once_and_changed() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let cx = world.cx.with_token("t");
    let input = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": [fixed("200")]});
    let first = ask::<CreateListenerInput>(&cx, input.clone()).await;
    assert_eq!(ask::<CreateListenerInput>(&cx, input).await, first);
    let listener = text(&first.unwrap()["Listeners"][0]["ListenerArn"]);
    // Who asks once more for the same gets it, but not a stack, which would think that it is its own.
    let same = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": [fixed("200")]});
    let again = world.ok::<CreateListenerInput>(same.clone()).await;
    assert_eq!(text(&again["Listeners"][0]["ListenerArn"]), listener);
    let other = ask::<CreateListenerInput>(&world.cx.with_token("u"), same).await;
    assert_eq!(other.unwrap_err().0, "DuplicateListener");
    let rule = json!({"ListenerArn": listener, "Priority": 5, "Conditions": [{"Field": "path-pattern", "Values": ["/a"]}], "Actions": [fixed("404")]});
    let first = ask::<CreateRuleInput>(&cx, rule.clone()).await;
    assert_eq!(ask::<CreateRuleInput>(&cx, rule.clone()).await, first);
    world
        .refused::<CreateRuleInput>(rule, "PriorityInUse", "Priority '5' is currently in use")
        .await;

    world.listener(&balancer, 81).await;
    let change = json!({"ListenerArn": listener, "Port": 81});
    world
        .refused::<ModifyListenerInput>(
            change,
            "DuplicateListener",
            "A listener already exists on this port for this load balancer",
        )
        .await;
    let change = json!({"ListenerArn": listener, "Port": 82, "DefaultActions": [fixed("503")]});
    let changed = world.ok::<ModifyListenerInput>(change).await;
    assert_eq!(changed["Listeners"][0]["Port"], 82);
    let change = json!({"ListenerArn": listener, "Protocol": "HTTPS"});
    world
        .refused::<ModifyListenerInput>(
            change,
            "ValidationError",
            "A certificate must be specified for HTTPS listeners",
        )
        .await;
}

#[tokio::test]
async fn conditions_in_both_forms() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let listener = world.listener(&balancer, 80).await;
    let create = |priority: i32, condition: Json| json!({"ListenerArn": listener, "Priority": priority, "Actions": [fixed("404")], "Conditions": [condition]});
    let cases = [
        json!({"Field": "path-pattern", "Values": ["/a/*"]}),
        json!({"Field": "path-pattern", "PathPatternConfig": {"Values": ["/b/*"]}}),
        json!({"Field": "host-header", "Values": ["*.example.com"]}),
        json!({"Field": "host-header", "HostHeaderConfig": {"Values": ["example.com"]}}),
        json!({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}}),
        json!({"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["1"]}}),
        json!({"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "a", "Value": "1"}, {"Value": "2"}]}}),
        json!({"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}),
    ];
    for (priority, condition) in (1..).zip(&cases) {
        world
            .ok::<CreateRuleInput>(create(priority, condition.clone()))
            .await;
    }
    let found = world
        .ok::<DescribeRulesInput>(json!({"ListenerArn": listener}))
        .await;
    let rules = found["Rules"].as_array().unwrap();
    assert_eq!(rules.len(), cases.len() + 1);
    // The short form and the long one are answered alike.
    assert_eq!(
        rules[0]["Conditions"][0]["PathPatternConfig"]["Values"],
        json!(["/a/*"])
    );
    assert_eq!(rules[1]["Conditions"][0]["Values"], json!(["/b/*"]));
    assert_eq!(rules[3]["Conditions"][0]["Values"], json!(["example.com"]));
    assert_eq!(rules[8]["Priority"], "default");
    assert_eq!(rules[8]["IsDefault"], true);

    for (condition, code, message) in [
        (
            json!({"Field": "colour", "Values": ["red"]}),
            "ValidationError",
            "The condition on 'colour' has no value, or the field is not valid",
        ),
        (
            json!({"Field": "path-pattern"}),
            "ValidationError",
            "The condition on 'path-pattern' has no value, or the field is not valid",
        ),
        (
            json!({"Field": "source-ip", "SourceIpConfig": {"Values": ["ten"]}}),
            "ValidationError",
            "The condition on 'source-ip' has no value, or the field is not valid",
        ),
        (
            json!({"Field": "path-pattern", "Values": ["/1", "/2", "/3", "/4", "/5", "/6"]}),
            "ValidationError",
            "A rule can only have '5' condition values",
        ),
        (
            json!({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["get"]}}),
            "ValidationError",
            "Condition value 'get' contains a character that is not valid",
        ),
        (
            json!({"Field": "path-pattern", "RegexValues": ["^/a"]}),
            "InvalidConfigurationRequest",
            "the parameter Conditions[0].RegexValues is not supported by neargate",
        ),
    ] {
        world
            .refused::<CreateRuleInput>(create(50, condition), code, message)
            .await;
    }
}

#[tokio::test]
async fn priorities() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let listener = world.listener(&balancer, 80).await;
    let (first, second) = (
        world.rule(&listener, 1).await,
        world.rule(&listener, 2).await,
    );
    let order = async || {
        let found = world
            .ok::<DescribeRulesInput>(json!({"ListenerArn": listener}))
            .await;
        texts(&found["Rules"], "RuleArn")
    };
    assert_eq!(order().await[..2], [first.clone(), second.clone()]);
    let default = order().await[2].clone();
    let set = |pairs: &[(&String, i32)]| {
        let pairs: Vec<Json> = pairs
            .iter()
            .map(|(arn, priority)| json!({"RuleArn": arn, "Priority": priority}))
            .collect();
        json!({"RulePriorities": pairs})
    };
    world
        .ok::<SetRulePrioritiesInput>(set(&[(&first, 2), (&second, 1)]))
        .await;
    assert_eq!(order().await[..2], [second.clone(), first.clone()]);
    world
        .refused::<SetRulePrioritiesInput>(
            set(&[(&first, 1)]),
            "PriorityInUse",
            "Priority '1' is currently in use",
        )
        .await;
    // Nothing of it was kept.
    assert_eq!(order().await[..2], [second.clone(), first.clone()]);
    let denied = "OperationNotPermitted";
    world
        .refused::<SetRulePrioritiesInput>(
            set(&[(&default, 7)]),
            denied,
            &format!("Default rule '{default}' cannot have a priority"),
        )
        .await;
    world
        .refused::<DeleteRuleInput>(
            json!({"RuleArn": default}),
            denied,
            &format!("Default rule '{default}' cannot be deleted"),
        )
        .await;
    world
        .refused::<ModifyRuleInput>(
            json!({"RuleArn": default}),
            denied,
            &format!("Default rule '{default}' cannot be modified"),
        )
        .await;
    world.ok::<DeleteRuleInput>(json!({"RuleArn": first})).await;
    assert_eq!(order().await, [second, default]);
}

#[tokio::test]
async fn attributes_change_the_headers_of_answers() {
    let world = World::new().await;
    let balancer = world.balancer("web").await;
    let listener = world.listener_to(&balancer, 80, fixed("200")).await;
    let found =
        (world.ok::<DescribeListenerAttributesInput>(json!({"ListenerArn": listener}))).await;
    let server = json!({"Key": "routing.http.response.server.enabled", "Value": "true"});
    assert_eq!(found["Attributes"][0], server);
    let set = |key: &str, value: &str| json!({"ListenerArn": listener, "Attributes": [{"Key": format!("routing.http.response.{key}"), "Value": value}]});
    for (key, value) in [
        ("server.enabled", "false"),
        ("x_frame_options.header_value", "DENY"),
        ("strict_transport_security.header_value", "max-age=60"),
        ("content_security_policy.header_value", ""),
    ] {
        world
            .ok::<ModifyListenerAttributesInput>(set(key, value))
            .await;
    }
    let change = |name: &str, value: Option<&str>| engine::HeaderChange {
        name: name.into(),
        value: value.map(str::to_owned),
    };
    let expected = [
        change("Server", None),
        change("strict-transport-security", Some("max-age=60")),
        change("x-frame-options", Some("DENY")),
    ];
    until("they are served", || {
        let snapshot = world.snapshot();
        let served = snapshot
            .balancers
            .first()
            .and_then(|it| it.listeners.first().cloned());
        served.is_some_and(|it| it.headers == expected)
    })
    .await;
    for (key, value) in [
        ("x_frame_options.header_value", "ALLOW"),
        ("server.enabled", "no"),
        ("access_control_max_age.header_value", "-1"),
        ("content_security_policy.header_value", "a\nb"),
    ] {
        let message = format!(
            "The value '{value}' is not valid for the attribute 'routing.http.response.{key}'"
        );
        (world.refused::<ModifyListenerAttributesInput>(
            set(key, value),
            "ValidationError",
            &message,
        ))
        .await;
    }
    let unknown = "The attribute key 'routing.http.response.colour' is not recognized";
    (world.refused::<ModifyListenerAttributesInput>(
        set("colour", "red"),
        "ValidationError",
        unknown,
    ))
    .await;
}
