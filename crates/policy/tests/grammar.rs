//! What is refused when a document is put, in AWS's words, and what is taken.

use policy::{Document, Purpose};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const SYNTAX: &str = "Syntax errors in policy.";
const VERSION: &str = "Policy document must be version 2012-10-17 or greater.";
const LEGACY: &str = "The policy failed legacy parsing";
const ACTIONS: &str = "Policy statement must contain actions.";
const RESOURCES: &str = "Policy statement must contain resources.";
const PREFACED: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
const COLON: &str = "Actions/Condition can contain only one colon.";
const VENDOR: &str = "Resource vendor must be fully qualified and cannot contain regexes.";
const UNIQUE: &str = "Statement IDs (SID) in a single policy must be unique.";
const NO_SUCH_PATH: &str = "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.";

/// A good statement, with some members otherwise; null takes one away.
fn statement(members: Json) -> Json {
    let mut statement = json!({
        "Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "arn:aws:ecs:*:*:task/*"
    });
    change(&mut statement, members);
    statement
}

fn change(object: &mut Json, members: Json) {
    for (name, value) in members.as_object().unwrap() {
        match value {
            Json::Null => object.as_object_mut().unwrap().remove(name),
            value => object
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
}

fn document(statements: Json) -> Json {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// A document of one statement that differs from the good one.
fn with(members: Json) -> Json {
    document(statement(members))
}

fn put(document: &Json, purpose: Purpose) -> Result<(), String> {
    let outcome = Document::put(&document.to_string(), purpose);
    outcome.map(drop).map_err(|it| it.to_string())
}

#[track_caller]
fn check(document: Json, message: &str) {
    let expected = match message {
        "" => Ok(()),
        message => Err(message.to_owned()),
    };
    assert_eq!(put(&document, Purpose::Managed), expected, "{document}");
}

fn on(resource: &str) -> Json {
    with(json!({"Resource": resource}))
}

fn when(condition: Json) -> Json {
    with(json!({"Condition": condition}))
}

#[test]
fn documents_have_their_members_and_no_others() {
    for text in [
        "",
        "nonsense",
        "[]",
        "7",
        r#"{"Version":"2012-10-17","Version":"2012-10-17"}"#,
    ] {
        let refused = Document::put(text, Purpose::Managed).unwrap_err();
        assert_eq!(refused.to_string(), SYNTAX, "{text}");
    }
    let good = || statement(json!({}));
    check(document(good()), "");
    check(document(json!([good(), good()])), "");
    check(json!({"Statement": good()}), VERSION);
    check(
        json!({"Version": "2008-10-17", "Statement": good()}),
        VERSION,
    );
    check(
        json!({"Version": "2024-01-01", "Statement": good()}),
        SYNTAX,
    );
    check(json!({"Version": 2012, "Statement": good()}), SYNTAX);
    check(json!({"Version": "2012-10-17"}), SYNTAX);
    check(document(json!([])), SYNTAX);
    check(document(json!("allow")), SYNTAX);
    check(document(json!([good(), 7])), SYNTAX);
    let more = |name: &str, value: Json| {
        let mut document = document(good());
        change(&mut document, json!({ name: value }));
        document
    };
    check(more("Id", json!("mine")), "");
    check(more("Id", json!(["mine"])), SYNTAX);
    check(more("Comment", json!("mine")), SYNTAX);
    check(more("statement", good()), SYNTAX);
}

#[test]
fn older_versions_are_taken_where_no_managed_policy_is() {
    for document in [
        json!({"Statement": statement(json!({}))}),
        json!({"Version": "2008-10-17", "Statement": statement(json!({}))}),
    ] {
        assert_eq!(put(&document, Purpose::Inline), Ok(()));
    }
}

#[test]
fn statements_have_their_members_and_no_others() {
    check(with(json!({"Effect": null})), SYNTAX);
    check(with(json!({"Effect": "Maybe"})), SYNTAX);
    check(with(json!({"Effect": ["Allow"]})), SYNTAX);
    check(with(json!({"Effect": "ALLOW"})), LEGACY);
    check(with(json!({"Comment": "mine"})), SYNTAX);
    check(with(json!({"action": "ecs:*"})), SYNTAX);
    check(with(json!({"NotAction": "ecs:*"})), SYNTAX);
    check(with(json!({"NotResource": "*"})), SYNTAX);
    check(with(json!({"Action": null})), ACTIONS);
    check(with(json!({"Action": []})), ACTIONS);
    check(with(json!({"Action": null, "NotAction": []})), ACTIONS);
    check(with(json!({"Action": {}})), SYNTAX);
    check(with(json!({"Action": [["ecs:*"]]})), SYNTAX);
    check(with(json!({"Action": 7})), SYNTAX);
    check(with(json!({"Resource": null})), RESOURCES);
    check(with(json!({"Resource": []})), RESOURCES);
    check(with(json!({"Resource": {"a": "*"}})), SYNTAX);
    check(with(json!({"Resource": ["*", {}]})), SYNTAX);
    check(with(json!({"Action": null, "NotAction": "iam:*"})), "");
    check(with(json!({"Resource": null, "NotResource": "*"})), "");
    let principal = "Policy document should not specify a principal.";
    check(with(json!({"Principal": "*"})), principal);
    check(with(json!({"NotPrincipal": {"AWS": "*"}})), principal);
}

#[test]
fn actions_are_a_vendors() {
    for (action, message) in [
        ("*", ""),
        ("ecs:*", ""),
        ("ecs:List?asks", ""),
        ("application-autoscaling:Describe*", ""),
        ("execute-api.x:Invoke", ""),
        ("ListTasks", PREFACED),
        ("", PREFACED),
        ("ecs:List:Tasks", COLON),
        ("ecs ecr:*", "Vendor ecs ecr is not valid"),
        ("ec*:ListTasks", "Vendor ec* is not valid"),
        ("${aws:x}:a", COLON),
    ] {
        check(with(json!({"Action": action})), message);
        check(with(json!({"Action": ["ecs:*", action]})), message);
        check(with(json!({"Action": null, "NotAction": action})), message);
    }
}

#[test]
fn resources_are_arns_of_this_partition() {
    let arn = |it: &str| format!("Resource {it} must be in ARN format or \"*\".");
    let partition = |name: &str, shown: &str| {
        format!("Partition \"{name}\" is not valid for resource \"{shown}\".")
    };
    for (resource, message) in [
        ("*", String::new()),
        (
            "arn:aws:ecs:eu-west-1:111122223333:cluster/a",
            String::new(),
        ),
        ("arn:aws:ecs", String::new()),
        ("arn:*:ecs:*:*:cluster/*", String::new()),
        ("arn:aws:nothing:::x", String::new()),
        ("arn:aws:s3:::a/${aws:username}/*", String::new()),
        (
            "arn:aws:s3:eu-west-1:111122223333:accesspoint/a",
            String::new(),
        ),
        ("arn:aws:iam::*:role/a", String::new()),
        ("arn:aws:iam::111122223333:*", String::new()),
        ("", arn("")),
        ("cluster/a", arn("cluster/a")),
        ("urn:aws:ecs:::a", arn("urn:aws:ecs:::a")),
        ("arn", arn("arn")),
        ("arn:aws", VENDOR.into()),
        ("arn:aws:*", VENDOR.into()),
        ("arn:aws:ec?:*:*:*", VENDOR.into()),
        ("arn:aws::a", LEGACY.into()),
        ("arn:aws::::a", LEGACY.into()),
        ("arn:aws:ecs::a", LEGACY.into()),
        (
            "arn:aws-cn:ecs:::a",
            partition("aws-cn", "arn:aws-cn:ecs:::a"),
        ),
        ("x:y", partition("y", "arn:y:*:*:*:*")),
        ("x:y:z", partition("y", "arn:y:z:*:*:*")),
        ("aws:ecs:::a", partition("ecs", "arn:ecs:::a:*")),
        ("arn:no:a:b:c:d:e:f", partition("no", "arn:no:a:b:c:d:e:f")),
        (
            "arn:aws:iam:eu-west-1::role/a",
            "IAM resource arn:aws:iam:eu-west-1::role/a cannot contain region information.".into(),
        ),
        (
            "arn:aws:s3:eu-west-1::a",
            "Resource arn:aws:s3:eu-west-1::a can not contain region information.".into(),
        ),
        ("arn:aws:iam::111122223333:root", String::new()),
        ("arn:aws:iam:::a", NO_SUCH_PATH.into()),
    ] {
        check(on(resource), &message);
        check(with(json!({"Resource": ["*", resource]})), &message);
        check(
            with(json!({"Resource": null, "NotResource": resource})),
            &message,
        );
    }
}

#[test]
fn conditions_have_operators_keys_and_values() {
    check(with(json!({"Condition": []})), SYNTAX);
    check(with(json!({"Condition": "a"})), SYNTAX);
    for (condition, message) in [
        (json!({}), ""),
        (json!({"Anything": {}}), ""),
        (json!({"StringEquals": {}}), ""),
        (json!({"StringEquals": {"ecs:cluster": []}}), ""),
        (json!({"StringEquals": {"noVendor": "a"}}), ""),
        (
            json!({"ForAllValues:StringLike": {"aws:TagKeys": ["a*"]}}),
            "",
        ),
        (
            json!({"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "a"}}),
            "",
        ),
        (json!({"Bool": {"aws:SecureTransport": true}}), ""),
        (json!({"NumericLessThan": {"s3:max-keys": 10}}), ""),
        (json!({"Null": {"aws:TokenIssueTime": "true"}}), ""),
        (json!({"Anything": {"a:b": "c"}}), SYNTAX),
        (json!({"stringequals": {"a:b": "c"}}), SYNTAX),
        (json!({"NullIfExists": {"a:b": "true"}}), SYNTAX),
        (json!({"ForSomeValues:StringEquals": {"a:b": "c"}}), SYNTAX),
        (json!({"ForAnyValue::StringEquals": {"a:b": "c"}}), SYNTAX),
        (json!({"StringEquals": "a"}), SYNTAX),
        (json!({"StringEquals": []}), SYNTAX),
        (json!({"StringEquals": {"a:b": {}}}), SYNTAX),
        (json!({"StringEquals": {"a:b": null}}), SYNTAX),
        (json!({"StringEquals": {"a:b": [["c"]]}}), SYNTAX),
        (json!({"DateLessThan": {"aws:CurrentTime": "soon"}}), LEGACY),
        (
            json!({"DateLessThan": {"aws:CurrentTime": ["2030-01-01", "soon"]}}),
            LEGACY,
        ),
        (
            json!({"DateLessThanIfExists": {"aws:CurrentTime": "2030-13-01"}}),
            LEGACY,
        ),
        (json!({"NumericEquals": {"s3:max-keys": "few"}}), LEGACY),
        (
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}),
            LEGACY,
        ),
        (json!({"Bool": {"aws:SecureTransport": "perhaps"}}), LEGACY),
    ] {
        check(when(condition), message);
    }
}

#[test]
fn sids_are_letters_and_digits_and_unique() {
    let sids = |one: &str, other: &str| {
        document(json!([
            statement(json!({"Sid": one})),
            statement(json!({"Sid": other}))
        ]))
    };
    check(sids("a", "A"), "");
    check(sids("", ""), "");
    check(sids("a", "a"), UNIQUE);
    let letters = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*";
    check(sids("a b", "c"), letters);
    check(sids("a-b", "c"), letters);
    check(with(json!({"Sid": 1})), SYNTAX);
    check(with(json!({"Sid": []})), SYNTAX);
}

/// Several faults: the first that IAM looks for is told.
#[test]
fn faults_are_told_in_iams_order() {
    let bad_date = json!({"DateLessThan": {"aws:CurrentTime": "soon"}});
    check(
        json!({"Statement": statement(json!({"Condition": bad_date}))}),
        VERSION,
    );
    check(
        with(json!({"Condition": bad_date, "Resource": "x:y"})),
        LEGACY,
    );
    check(with(json!({"Condition": bad_date, "Action": null})), LEGACY);
    check(
        with(json!({"Action": null, "Resource": "arn:aws:ecs::a"})),
        LEGACY,
    );
    let twice = json!([statement(json!({"Sid": "a"})), {"Sid": "a", "Effect": "Allow"}]);
    check(document(twice), UNIQUE);
    check(
        with(json!({"Action": "x", "Resource": "y"})),
        "Resource y must be in ARN format or \"*\".",
    );
    check(with(json!({"Action": "x", "Resource": null})), PREFACED);
    check(with(json!({"Action": [], "Resource": []})), ACTIONS);
}

#[test]
fn trust_policies_have_a_grammar_of_their_own() {
    let trust = |members: Json| {
        let mut trust = json!({
            "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"}
        });
        change(&mut trust, members);
        json!({"Version": "2012-10-17", "Statement": [trust]})
    };
    let only_sts = "AssumeRole policy may only specify STS AssumeRole actions.";
    for (members, message) in [
        (json!({}), ""),
        (json!({"Sid": ""}), ""),
        (
            json!({"Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]}),
            "",
        ),
        (json!({"Action": "sts:AssumeRole*"}), ""),
        (json!({"Action": "sts:BadAssumeRole"}), only_sts),
        (json!({"Action": "s3:GetObject"}), only_sts),
        (json!({"Action": ["sts:AssumeRole", "ecs:*"]}), only_sts),
        (json!({"Action": "*"}), only_sts),
        (json!({"Action": null}), "Missing required field Action"),
        (json!({"Action": []}), "Missing required field Action"),
        (
            json!({"Principal": null}),
            "Missing required field Principal",
        ),
        (json!({"Effect": null}), "Missing required field Effect"),
        (json!({"Effect": "allow"}), "Invalid effect: allow"),
        (json!({"Resource": "*"}), "Has prohibited field Resource"),
        (
            json!({"NotResource": "*"}),
            "AssumeRole policy must not contain resources.",
        ),
        (json!({"Comment": "mine"}), "Unknown field Comment"),
        (
            json!({"Condition": {"Anything": {"a:b": "c"}}}),
            "Invalid Condition type : Anything.",
        ),
        (
            json!({"Principal": null, "NotPrincipal": {"AWS": "111122223333"}}),
            "Allow with NotPrincipal is not allowed.",
        ),
        (
            json!({"Effect": "Deny", "Principal": null, "NotPrincipal": {"AWS": "111122223333"}}),
            "AssumeRole policy must not contain NotPrincipal field.",
        ),
    ] {
        let expected = match message {
            "" => Ok(()),
            message => Err(message.to_owned()),
        };
        assert_eq!(
            put(&trust(members.clone()), Purpose::Trust),
            expected,
            "{members}"
        );
    }
    let mut twice = trust(json!({"Sid": "a"}));
    let again = twice["Statement"][0].clone();
    twice["Statement"].as_array_mut().unwrap().push(again);
    let unique = "The Statement Ids in the policy are not unique";
    assert_eq!(put(&twice, Purpose::Trust), Err(unique.to_owned()));
    let empty = "Could not parse the policy: Statement is empty!";
    assert_eq!(
        put(&document(json!([])), Purpose::Trust),
        Err(empty.to_owned())
    );
    let unknown = json!({"version": "2012-10-17"});
    assert_eq!(
        put(&unknown, Purpose::Trust),
        Err("Unknown field version".to_owned())
    );
}

/// Shapes that AWS's guides and its own managed policies have.
#[test]
fn what_aws_shows_is_taken() {
    for statements in [
        json!({"Effect": "Allow", "Action": "*", "Resource": "*"}),
        json!([{"Effect": "Deny", "NotAction": ["iam:*", "sts:*"], "Resource": "*",
            "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}}]),
        json!({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::home",
            "Condition": {"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/*"]}}}),
        json!({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/aws-service-role/*",
            "Condition": {"StringEquals": {"iam:PassedToService": ["ecs.amazonaws.com"]},
                          "ArnLike": {"aws:SourceArn": "arn:aws:ecs:*:111122223333:*"}}}),
        json!({"Effect": "Allow", "Action": "ec2:*", "Resource": "arn:aws:ec2:*:*:instance/*",
            "Condition": {"StringEquals": {"ec2:ResourceTag/owner": "${aws:PrincipalTag/owner, 'none'}"},
                          "DateGreaterThan": {"aws:CurrentTime": "2020-04-01T00:00:00Z"},
                          "NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}}}),
        json!({"Effect": "Deny", "Action": "s3:PutObject", "NotResource": ["arn:aws:s3:::a", "arn:aws:s3:::a/*"],
            "Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}}}),
    ] {
        check(document(statements), "");
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let words = prop::sample::select(vec![
        "*",
        "Allow",
        "deny",
        "ecs:*",
        "a:b:c",
        "arn:aws:s3:::a",
        "arn:aws",
        "arn:aws:iam::1:x",
        ":::::",
        "2012-10-17",
        "2012-10-17T",
        "-",
        "t",
        "${aws:username",
        "é:ü",
        "sts:AssumeRole",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        words.prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
    ];
    let names = prop::sample::select(vec![
        "Version",
        "Id",
        "Statement",
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
        "DateEquals",
        "Null",
        "Bool",
        "IpAddress",
        "AWS",
        "a:b",
    ]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..7)
                .prop_map(|it| it.into_iter().collect()),
        ]
    })
}

proptest! {
    /// Nothing that is put makes the reader panic, and what is taken can be read again.
    #[test]
    fn whatever_is_put_is_taken_or_refused(statement in any_json(), whole in any::<bool>()) {
        let document = if whole { statement } else { document(statement) };
        let text = document.to_string();
        for purpose in [Purpose::Managed, Purpose::Inline, Purpose::Trust, Purpose::Resource] {
            if let Ok(taken) = Document::put(&text, purpose) {
                prop_assert_eq!(Document::parse(&text, purpose.kind()), Ok(taken));
            }
        }
    }
}
