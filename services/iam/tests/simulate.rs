//! What would be decided, and the account as a whole.

use serde_json::{Value, json};

struct World(testkit::World);

impl World {
    fn new() -> Self {
        Self(testkit::world([iam::service(), iam::sts_service()]).at_rest())
    }

    async fn ask(&self, operation: &str, input: Value) -> Result<Value, String> {
        testkit::serve(&self.0.cx, "iam", operation, input).await
    }

    async fn ok(&self, operation: &str, input: Value) -> Value {
        let answer = self.ask(operation, input).await;
        answer.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// The decision over each action and resource, in order.
    async fn decisions(&self, operation: &str, input: Value) -> Vec<String> {
        let answer = self.ok(operation, input).await;
        let results = answer["EvaluationResults"].as_array().unwrap().iter();
        results
            .map(|it| it["EvalDecision"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn document(statements: Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

#[tokio::test]
async fn a_policy_is_simulated_before_anybody_has_it() {
    let world = World::new();
    let policy = document(json!([
        {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::shop/*"},
        {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"},
        {"Effect": "Allow", "Action": "ecs:*", "Resource": "*",
         "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}},
    ]));
    let mut input = json!({
        "PolicyInputList": [policy],
        "ActionNames": ["s3:GetObject", "s3:DeleteObject"],
        "ResourceArns": ["arn:aws:s3:::shop/a", "arn:aws:s3:::other/a"],
    });
    assert_eq!(
        world.decisions("SimulateCustomPolicy", input.clone()).await,
        ["allowed", "implicitDeny", "explicitDeny", "explicitDeny"]
    );
    let answer = world.ok("SimulateCustomPolicy", input.clone()).await;
    let allowed = &answer["EvaluationResults"][0];
    assert_eq!(allowed["EvalResourceName"], "arn:aws:s3:::shop/a");
    assert_eq!(
        allowed["MatchedStatements"][0]["SourcePolicyId"],
        "PolicyInputList.1"
    );
    let at = |it: &Value| {
        let line = policy
            .lines()
            .nth(it["Line"].as_u64().unwrap() as usize - 1)
            .unwrap();
        line[it["Column"].as_u64().unwrap() as usize - 1..].to_owned()
    };
    let statement = &allowed["MatchedStatements"][0];
    assert!(
        at(&statement["StartPosition"]).starts_with(r#"{"Action":"s3:*""#),
        "{statement}"
    );
    let denied = &answer["EvaluationResults"][2]["MatchedStatements"];
    assert_eq!(
        denied.as_array().unwrap().len(),
        1,
        "what denies stands alone: {denied}"
    );

    // What a policy asks for and nobody gave is told.
    input["ActionNames"] = json!(["ecs:RunTask"]);
    let answer = world.ok("SimulateCustomPolicy", input.clone()).await;
    let result = &answer["EvaluationResults"][0];
    assert_eq!(result["EvalDecision"], "implicitDeny");
    assert_eq!(
        result["MissingContextValues"],
        json!(["aws:PrincipalTag/team"])
    );
    input["ContextEntries"] = json!([{"ContextKeyName": "aws:PrincipalTag/team",
        "ContextKeyValues": ["red"], "ContextKeyType": "string"}]);
    let answer = world.ok("SimulateCustomPolicy", input.clone()).await;
    let result = &answer["EvaluationResults"][0];
    assert_eq!(result["EvalDecision"], "allowed");
    assert_eq!(result["MissingContextValues"], json!([]));

    // A boundary takes, and a resource's policy gives.
    input["PermissionsBoundaryPolicyInputList"] = json!([document(
        json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    )]);
    let answer = world.ok("SimulateCustomPolicy", input.clone()).await;
    let result = &answer["EvaluationResults"][0];
    assert_eq!(result["EvalDecision"], "implicitDeny");
    assert_eq!(
        result["PermissionsBoundaryDecisionDetail"],
        json!({"AllowedByPermissionsBoundary": false})
    );
    let shared = document(
        json!({"Effect": "Allow", "Action": "s3:GetObject", "Principal": {"AWS": "arn:aws:iam::000000000000:user/ann"},
        "Resource": "arn:aws:s3:::theirs/*"}),
    );
    let input = json!({"PolicyInputList": [policy], "ActionNames": ["s3:GetObject"],
        "ResourceArns": ["arn:aws:s3:::theirs/a"], "ResourcePolicy": shared,
        "CallerArn": "arn:aws:iam::000000000000:user/ann"});
    assert_eq!(
        world.decisions("SimulateCustomPolicy", input).await,
        ["allowed"]
    );

    let bad = json!({"PolicyInputList": ["{}"], "ActionNames": ["s3:GetObject"]});
    let refused = world.ask("SimulateCustomPolicy", bad).await.unwrap_err();
    assert_eq!(refused, "InvalidInput: Syntax errors in policy.");
}

#[tokio::test]
async fn a_user_is_simulated_with_its_groups_and_its_boundary() {
    let world = World::new();
    world.ok("CreateUser", json!({"UserName": "ann"})).await;
    world.ok("CreateGroup", json!({"GroupName": "staff"})).await;
    let both = json!({"UserName": "ann", "GroupName": "staff"});
    world.ok("AddUserToGroup", both).await;
    let policy = document(json!({"Effect": "Allow", "Action": "ecs:*", "Resource": "*"}));
    let put = json!({"GroupName": "staff", "PolicyName": "p", "PolicyDocument": policy});
    world.ok("PutGroupPolicy", put).await;
    let arn = "arn:aws:iam::000000000000:user/ann";
    let input = json!({"PolicySourceArn": arn, "ActionNames": ["ecs:RunTask", "s3:GetObject"]});
    assert_eq!(
        world
            .decisions("SimulatePrincipalPolicy", input.clone())
            .await,
        ["allowed", "implicitDeny"]
    );
    let answer = world.ok("SimulatePrincipalPolicy", input.clone()).await;
    let statement = &answer["EvaluationResults"][0]["MatchedStatements"][0];
    assert_eq!(
        (&statement["SourcePolicyId"], &statement["SourcePolicyType"]),
        (&json!("group_staff_p"), &json!("group"))
    );
    let boundary = json!({"UserName": "ann",
        "PermissionsBoundary": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"});
    world.ok("PutUserPermissionsBoundary", boundary).await;
    assert_eq!(
        world
            .decisions("SimulatePrincipalPolicy", input.clone())
            .await,
        ["implicitDeny", "implicitDeny"]
    );
    // One more policy of the caller's is asked beside them.
    let mut more = input.clone();
    more["PolicyInputList"] = json!([document(
        json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    )]);
    assert_eq!(
        world.decisions("SimulatePrincipalPolicy", more).await,
        ["implicitDeny", "allowed"]
    );
    let nobody =
        json!({"PolicySourceArn": "arn:aws:iam::000000000000:role/x", "ActionNames": ["a:b"]});
    let refused = world
        .ask("SimulatePrincipalPolicy", nobody)
        .await
        .unwrap_err();
    assert!(refused.starts_with("NoSuchEntity"), "{refused}");

    // Pages: what was left off comes next.
    let mut page = input.clone();
    page["MaxItems"] = json!(1);
    let first = world.ok("SimulatePrincipalPolicy", page.clone()).await;
    assert_eq!(first["IsTruncated"], true);
    page["Marker"] = first["Marker"].clone();
    let second = world.ok("SimulatePrincipalPolicy", page).await;
    assert_eq!(
        second["EvaluationResults"][0]["EvalActionName"],
        "s3:GetObject"
    );
    assert_eq!(second["IsTruncated"], false);
}

/// Each action with each resource is more than any machine holds: a page is what is made, in time and memory.
#[tokio::test]
async fn what_is_on_no_page_is_not_made() {
    let world = World::new();
    let many =
        |prefix: &str| -> Vec<String> { (0..50_000).map(|it| format!("{prefix}{it}")).collect() };
    let mut input = json!({
        "PolicyInputList": [document(json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}))],
        "ActionNames": many("s3:A"),
        "ResourceArns": many("arn:aws:s3:::b/"),
        "MaxItems": 2,
    });
    let first = world.ok("SimulateCustomPolicy", input.clone()).await;
    assert_eq!(first["EvaluationResults"].as_array().unwrap().len(), 2);
    assert_eq!(first["IsTruncated"], true);
    // The last of all.
    input["Marker"] = json!((50_000u64 * 50_000 - 2).to_string());
    let last = world.ok("SimulateCustomPolicy", input.clone()).await;
    let result = &last["EvaluationResults"][0];
    assert_eq!(
        (&result["EvalActionName"], &result["EvalResourceName"]),
        (&json!("s3:A49999"), &json!("arn:aws:s3:::b/49999"))
    );
    assert_eq!(last["IsTruncated"], false);
    for marker in ["x", "-1", "2500000000", "99999999999999999999"] {
        input["Marker"] = json!(marker);
        let refused = world.ask("SimulateCustomPolicy", input.clone()).await;
        assert_eq!(
            refused.unwrap_err(),
            format!("ValidationError: Invalid Marker: {marker}")
        );
    }
    // Where the policies are long, a page is short, and tells that there is more.
    let long = document(json!(vec![
        json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"});
        500
    ]));
    input["PolicyInputList"] = json!(vec![long; 50]);
    input["MaxItems"] = json!(1000);
    input.as_object_mut().unwrap().remove("Marker");
    let page = world.ok("SimulateCustomPolicy", input).await;
    let count = page["EvaluationResults"].as_array().unwrap().len();
    assert!((1..100).contains(&count), "{count}");
    assert_eq!(page["Marker"], json!((count - 1).to_string()));
}

#[tokio::test]
async fn the_account_is_told_as_it_is() {
    let world = World::new();
    world.ok("CreateUser", json!({"UserName": "ann"})).await;
    let attach = json!({"UserName": "ann", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"});
    world.ok("AttachUserPolicy", attach).await;
    world
        .ok(
            "CreateServiceLinkedRole",
            json!({"AWSServiceName": "ecs.amazonaws.com"}),
        )
        .await;
    let summary = world.ok("GetAccountSummary", json!({})).await;
    let summary = &summary["SummaryMap"];
    assert_eq!(
        (&summary["Users"], &summary["Roles"], &summary["Groups"]),
        (&json!(1), &json!(1), &json!(0))
    );

    let details = world.ok("GetAccountAuthorizationDetails", json!({})).await;
    assert_eq!(details["UserDetailList"][0]["UserName"], "ann");
    assert_eq!(
        details["RoleDetailList"][0]["RoleName"],
        "AWSServiceRoleForECS"
    );
    let names: Vec<&Value> = details["Policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["PolicyName"])
        .collect();
    assert_eq!(names, ["ReadOnlyAccess", "AmazonECSServiceRolePolicy"]);
    let users = world
        .ok(
            "GetAccountAuthorizationDetails",
            json!({"Filter": ["User"]}),
        )
        .await;
    assert_eq!(users["RoleDetailList"], json!([]));

    assert_eq!(
        world.ok("ListAccountAliases", json!({})).await["AccountAliases"],
        json!([])
    );
    world
        .ok("CreateAccountAlias", json!({"AccountAlias": "shop"}))
        .await;
    world
        .ok("CreateAccountAlias", json!({"AccountAlias": "my-shop"}))
        .await;
    assert_eq!(
        world.ok("ListAccountAliases", json!({})).await["AccountAliases"],
        json!(["my-shop"])
    );
    let gone = world
        .ask("DeleteAccountAlias", json!({"AccountAlias": "shop"}))
        .await;
    assert!(gone.unwrap_err().starts_with("NoSuchEntity"));
    world
        .ok("DeleteAccountAlias", json!({"AccountAlias": "my-shop"}))
        .await;

    let ann = json!({"UserName": "ann"});
    for operation in ["GetLoginProfile", "DeleteLoginProfile"] {
        let none = world.ask(operation, ann.clone()).await.unwrap_err();
        assert_eq!(
            none,
            "NoSuchEntity: Login Profile for User ann cannot be found."
        );
    }
    assert_eq!(
        world.ok("ListMFADevices", ann).await["MFADevices"],
        json!([])
    );
    let nobody = world
        .ask("ListMFADevices", json!({"UserName": "bob"}))
        .await;
    assert!(nobody.unwrap_err().starts_with("NoSuchEntity"));
}

/// Services' roles have AWS's policies, which nobody else can have.
#[tokio::test]
async fn services_have_roles_of_their_own() {
    let world = World::new();
    for (service, name) in [
        (
            "elasticloadbalancing.amazonaws.com",
            "AWSServiceRoleForElasticLoadBalancing",
        ),
        ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
        ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling"),
    ] {
        let made = world
            .ok(
                "CreateServiceLinkedRole",
                json!({"AWSServiceName": service}),
            )
            .await;
        assert_eq!(
            made["Role"]["Arn"],
            format!("arn:aws:iam::000000000000:role/aws-service-role/{service}/{name}")
        );
        let policies = world
            .ok("ListAttachedRolePolicies", json!({"RoleName": name}))
            .await;
        let arn = policies["AttachedPolicies"][0]["PolicyArn"].clone();
        world.ok("GetPolicy", json!({"PolicyArn": arn})).await;
        world.ok("CreateUser", json!({"UserName": name})).await;
        let attach = json!({"UserName": name, "PolicyArn": arn});
        assert_eq!(
            world.ask("AttachUserPolicy", attach).await.unwrap_err(),
            "PolicyNotAttachable: Cannot attach a Service Role Policy to a Customer Role."
        );
        let protected = json!({"RoleName": name});
        assert!(world.ask("DeleteRole", protected.clone()).await.is_err());
        let task = world.ok("DeleteServiceLinkedRole", protected).await;
        let status = json!({"DeletionTaskId": task["DeletionTaskId"]});
        let status = world.ok("GetServiceLinkedRoleDeletionStatus", status).await;
        assert_eq!(status["Status"], "SUCCEEDED");
    }
    let suffix = json!({"AWSServiceName": "autoscaling.amazonaws.com", "CustomSuffix": "web"});
    let made = world.ok("CreateServiceLinkedRole", suffix).await;
    assert_eq!(made["Role"]["RoleName"], "AWSServiceRoleForAutoScaling_web");
    let suffix = json!({"AWSServiceName": "ecs.amazonaws.com", "CustomSuffix": "web"});
    assert_eq!(
        world
            .ask("CreateServiceLinkedRole", suffix)
            .await
            .unwrap_err(),
        "InvalidInput: Custom suffix is not allowed for ecs.amazonaws.com"
    );
}
