//! The operations over a machine that is not there.

use std::ops::Deref;

use serde_json::json;
use shapes::ssm::*;

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        Self(testkit::world([ssm::service(), kms::service()]).at_rest())
    }

    async fn refused<I: wire::Operation>(&self, input: I) -> &'static str {
        self.err(input).await.code
    }

    async fn put(&self, name: &str, kind: ParameterType, value: &str) -> i64 {
        let input = PutParameterInput {
            overwrite: Some(true),
            ..parameter(name, kind, value)
        };
        self.call(input).await.version.unwrap()
    }

    async fn get(&self, name: &str, decrypted: bool) -> Parameter {
        let input = GetParameterInput {
            name: name.into(),
            with_decryption: Some(decrypted),
        };
        self.call(input).await.parameter.unwrap()
    }

    async fn value(&self, name: &str) -> String {
        self.get(name, false).await.value.unwrap()
    }

    async fn missing(&self, name: &str) -> &'static str {
        let input = GetParameterInput {
            name: name.into(),
            ..Default::default()
        };
        self.refused(input).await
    }
}

fn parameter(name: &str, kind: ParameterType, value: &str) -> PutParameterInput {
    PutParameterInput {
        name: name.into(),
        r#type: Some(kind),
        value: value.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn versions_are_counted_found_and_labelled() {
    let world = World::new();
    assert_eq!(world.put("/web/url", ParameterType::String, "a").await, 1);
    let again = parameter("/web/url", ParameterType::String, "b");
    assert_eq!(world.refused(again).await, "ParameterAlreadyExists");
    assert_eq!(world.put("/web/url", ParameterType::String, "b").await, 2);
    assert_eq!(world.value("/web/url").await, "b");
    assert_eq!(world.value("/web/url:1").await, "a");
    let by_arn = "arn:aws:ssm:us-east-1:000000000000:parameter/web/url";
    let found = world.get(by_arn, false).await;
    assert_eq!(found.name.as_deref(), Some("/web/url"));
    assert_eq!(found.arn.as_deref(), Some(by_arn));

    let label = |number, label: &str| LabelParameterVersionInput {
        name: "/web/url".into(),
        parameter_version: number,
        labels: vec![label.into()],
    };
    world.call(label(Some(1), "live")).await;
    assert_eq!(world.value("/web/url:live").await, "a");
    world.call(label(None, "live")).await;
    let found = world.get("/web/url:live", false).await;
    assert_eq!(found.value.as_deref(), Some("b"));
    assert_eq!(found.selector.as_deref(), Some(":live"));
    let bad = world.call(label(None, "aws-x")).await;
    assert_eq!(bad.invalid_labels.unwrap(), ["aws-x"]);

    assert_eq!(
        world.missing("/web/url:3").await,
        "ParameterVersionNotFound"
    );
    assert_eq!(
        world.missing("/web/url:other").await,
        "ParameterVersionNotFound"
    );
    assert_eq!(world.missing("/web").await, "ParameterNotFound");
    assert_eq!(
        world
            .missing("/aws/service/ecs/optimized-ami/windows_server/recommended")
            .await,
        "ParameterNotFound"
    );
    let history = GetParameterHistoryInput {
        name: "/web/url".into(),
        max_results: Some(1),
        ..Default::default()
    };
    let page = world.call(history.clone()).await;
    assert_eq!(page.parameters.unwrap()[0].value.as_deref(), Some("a"));
    let history = GetParameterHistoryInput {
        next_token: page.next_token,
        ..history
    };
    let page = world.call(history).await;
    let last = &page.parameters.unwrap()[0];
    assert_eq!((last.version, page.next_token), (Some(2), None));
    assert_eq!(last.labels.as_deref(), Some(&["live".to_owned()][..]));
}

#[tokio::test]
async fn the_oldest_of_a_hundred_versions_goes() {
    let world = World::new();
    for number in 1..=101 {
        let made = world
            .put("a", ParameterType::String, &number.to_string())
            .await;
        assert_eq!(made, number);
    }
    assert_eq!(world.missing("a:1").await, "ParameterVersionNotFound");
    assert_eq!(world.value("a:2").await, "2");
    let label = LabelParameterVersionInput {
        name: "a".into(),
        parameter_version: Some(2),
        labels: vec!["kept".into()],
    };
    world.call(label).await;
    let input = PutParameterInput {
        overwrite: Some(true),
        ..parameter("a", ParameterType::String, "x")
    };
    assert_eq!(
        world.refused(input).await,
        "ParameterMaxVersionLimitExceeded"
    );
}

#[tokio::test]
async fn a_secure_string_is_shown_to_who_asks_for_it() {
    let world = World::new();
    world
        .put("/web/key", ParameterType::SecureString, "hunter2")
        .await;
    assert_eq!(world.get("/web/key", true).await.value.unwrap(), "hunter2");
    let shown = world.value("/web/key").await;
    assert!(shown.len() > 100 && !shown.contains("hunter2"), "{shown}");
    assert_eq!(world.value("/web/key").await, shown);
    let printed = format!("{:?}", world.get("/web/key", true).await);
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn what_is_wrong_with_a_parameter_is_said() {
    let world = World::new();
    let string = |name: &str| parameter(name, ParameterType::String, "x");
    for name in ["aws/x", "/aws/x", "SSM-x", "a b", "/a//b", "/"] {
        assert_eq!(
            world.refused(string(name)).await,
            "ValidationException",
            "{name}"
        );
    }
    let deep = "/a".repeat(16);
    assert_eq!(
        world.refused(string(&deep)).await,
        "HierarchyLevelLimitExceededException"
    );
    let large = "x".repeat(4097);
    let large = |tier| PutParameterInput {
        tier: Some(tier),
        ..parameter("large", ParameterType::String, &large)
    };
    assert_eq!(
        world.refused(large(ParameterTier::Standard)).await,
        "ValidationException"
    );
    let made = world.call(large(ParameterTier::IntelligentTiering)).await;
    assert_eq!(made.tier, Some(ParameterTier::Advanced));
    let pattern = |value: &str| PutParameterInput {
        allowed_pattern: Some("^\\d+$".into()),
        ..parameter("number", ParameterType::String, value)
    };
    assert_eq!(
        world.refused(pattern("1a")).await,
        "ParameterPatternMismatchException"
    );
    world.call(pattern("12")).await;
    let other = PutParameterInput {
        overwrite: Some(true),
        ..parameter("number", ParameterType::SecureString, "1")
    };
    assert_eq!(world.refused(other).await, "HierarchyTypeMismatchException");
    let key = PutParameterInput {
        key_id: Some("alias/mine".into()),
        ..parameter("b", ParameterType::SecureString, "1")
    };
    assert_eq!(world.refused(key).await, "InvalidKeyId");
}

#[tokio::test]
async fn parameters_are_found_by_path_and_filter() {
    let world = World::new();
    for name in ["/web/a", "/web/b/c", "/web/d", "/webs/e", "plain"] {
        world.put(name, ParameterType::String, name).await;
    }
    let by_path = |recursive, token| GetParametersByPathInput {
        path: "/web".into(),
        recursive: Some(recursive),
        max_results: Some(2),
        next_token: token,
        ..Default::default()
    };
    let names = |found: Vec<Parameter>| {
        let names = found.into_iter().filter_map(|it| it.name);
        names.collect::<Vec<_>>()
    };
    let page = world.call(by_path(false, None)).await;
    assert_eq!(names(page.parameters.unwrap()), ["/web/a", "/web/d"]);
    assert_eq!(page.next_token, None);
    let page = world.call(by_path(true, None)).await;
    assert_eq!(names(page.parameters.unwrap()), ["/web/a", "/web/b/c"]);
    let page = world.call(by_path(true, page.next_token)).await;
    assert_eq!(names(page.parameters.unwrap()), ["/web/d"]);

    let tag = AddTagsToResourceInput {
        resource_type: ResourceTypeForTagging::Parameter,
        resource_id: "plain".into(),
        tags: vec![Tag {
            key: "team".into(),
            value: "web".into(),
        }],
    };
    world.call(tag).await;
    let check = async |key: &str, option: Option<&str>, value: &str, expected: &[&str]| {
        let input = DescribeParametersInput {
            parameter_filters: Some(vec![ParameterStringFilter {
                key: key.into(),
                option: option.map(str::to_owned),
                values: Some(vec![value.into()]),
            }]),
            ..Default::default()
        };
        let found = world.call(input).await.parameters.unwrap();
        let names: Vec<_> = found.into_iter().filter_map(|it| it.name).collect();
        assert_eq!(names, expected, "{key} {option:?} {value}");
    };
    check(
        "Path",
        Some("Recursive"),
        "/web",
        &["/web/a", "/web/b/c", "/web/d"],
    )
    .await;
    check("Path", None, "/web", &["/web/a", "/web/d"]).await;
    check("Name", Some("Contains"), "lai", &["plain"]).await;
    check("Name", Some("BeginsWith"), "/web/b", &["/web/b/c"]).await;
    check("tag:team", None, "web", &["plain"]).await;
    let bad = DescribeParametersInput {
        parameter_filters: Some(vec![ParameterStringFilter {
            key: "Colour".into(),
            ..Default::default()
        }]),
        ..Default::default()
    };
    assert_eq!(world.refused(bad).await, "InvalidFilterKey");
    let several = GetParametersInput {
        names: vec!["plain".into(), "nothing".into()],
        ..Default::default()
    };
    let found = world.call(several).await;
    assert_eq!(names(found.parameters.unwrap()), ["plain"]);
    assert_eq!(found.invalid_parameters.unwrap(), ["nothing"]);
    let delete = DeleteParametersInput {
        names: vec!["plain".into(), "nothing".into()],
    };
    let gone = world.call(delete).await;
    assert_eq!(gone.deleted_parameters.unwrap(), ["plain"]);
    assert_eq!(world.missing("plain").await, "ParameterNotFound");
}

#[tokio::test]
async fn a_stacks_parameter_is_made_once_and_follows_its_template() {
    let world = World::new();
    let kind = world.cloud.resource_type("AWS::SSM::Parameter").unwrap();
    let mut request = testkit::request(
        "stack",
        "Url",
        json!({ "Type": "String", "Value": "a", "Tags": { "team": "web" } }),
    );
    let made = kind.create(&world.cx, &request).await.unwrap();
    assert_eq!(kind.create(&world.cx, &request).await.unwrap(), made);
    assert_eq!(world.get(&made.physical_id, false).await.version, Some(1));
    let old = request.properties.clone();
    request.properties = json!({ "Type": "String", "Value": "b" });
    kind.update(&world.cx, &made.physical_id, &old, &request)
        .await
        .unwrap();
    let value = kind.attribute(&world.cx, &made.physical_id, "Value").await;
    assert_eq!(value.unwrap(), "b");
    let actual = kind.actual(&world.cx, &made.physical_id, &request.properties);
    let expect = json!({ "Type": "String", "Value": "b" });
    assert_eq!(actual.await.unwrap(), Some(expect));
    let tags = ListTagsForResourceInput {
        resource_type: ResourceTypeForTagging::Parameter,
        resource_id: made.physical_id.clone(),
    };
    let tags = world.call(tags).await.tag_list.unwrap();
    assert_eq!(tags.len(), 1);
    for _ in 0..2 {
        kind.delete(&world.cx, &made.physical_id, &old)
            .await
            .unwrap();
    }
    // What somebody has deleted is not made again by an update, and drift detection says that it is gone.
    let gone = kind.actual(&world.cx, &made.physical_id, &old).await;
    assert_eq!(gone.unwrap(), Some(serde_json::Value::Null));
    let lost = kind.update(&world.cx, &made.physical_id, &old, &request);
    let lost = lost.await.unwrap_err().message;
    assert!(lost.contains("was not found"), "{lost}");
    request.properties = json!({ "Type": "SecureString", "Value": "b" });
    let error = kind.create(&world.cx, &request).await.unwrap_err();
    assert!(error.message.contains("SecureString"), "{error}");
}

#[tokio::test]
async fn a_parameter_is_one_resource_however_it_is_spelled() {
    let world = World::new();
    world.put("/web/key", ParameterType::String, "1").await;
    let tagged = AddTagsToResourceInput {
        resource_type: ResourceTypeForTagging::Parameter,
        resource_id: "/web/key".into(),
        tags: vec![Tag {
            key: "team".into(),
            value: "a".into(),
        }],
    };
    world.call(tagged.clone()).await;
    let recorder = testkit::Recorder::watch(&world.cloud);
    let arn = "arn:aws:ssm:us-east-1:000000000000:parameter/web/key";
    for name in [
        "/web/key",
        "/web/key:1",
        "/web/key:label",
        arn,
        &format!("{arn}:1"),
    ] {
        let get = GetParameterInput {
            name: name.into(),
            with_decryption: None,
        };
        let lines = recorder.lines(&world.cx, get).await;
        assert_eq!(
            lines,
            [format!("ssm:GetParameter {arn} {{team=a}}")],
            "{name}"
        );
    }
    let several = GetParametersInput {
        names: vec!["/web/key:1".into(), "/other".into()],
        with_decryption: None,
    };
    let lines = recorder.lines(&world.cx, several).await;
    let other = "arn:aws:ssm:us-east-1:000000000000:parameter/other";
    assert_eq!(
        lines,
        [
            format!("ssm:GetParameters {arn} {{team=a}}"),
            format!("ssm:GetParameters {other}"),
        ]
    );
    let lines = recorder.lines(&world.cx, tagged).await;
    assert_eq!(lines, [format!("ssm:AddTagsToResource {arn} {{team=a}}")]);
    let put = PutParameterInput {
        tags: Some(vec![Tag {
            key: "team".into(),
            value: "b".into(),
        }]),
        ..parameter("/other", ParameterType::String, "1")
    };
    let needs = recorder.needs(&world.cx, put).await;
    let told: Vec<String> = needs.all.iter().map(testkit::told).collect();
    assert_eq!(
        told,
        [
            format!("ssm:PutParameter {other}"),
            format!("ssm:AddTagsToResource {other}"),
        ]
    );
    let overwrite = testkit::key_of(&needs.all[0], "ssm:Overwrite");
    assert_eq!(overwrite, Some(&["false".to_owned()][..]));
    for (path, expected) in [
        ("/web", "web"),
        ("/web/", "web/"),
        ("/web//", "web/"),
        ("/", ""),
    ] {
        let below = GetParametersByPathInput {
            path: path.into(),
            recursive: Some(true),
            ..Default::default()
        };
        let needs = recorder.needs(&world.cx, below).await;
        let arn = format!("arn:aws:ssm:us-east-1:000000000000:parameter/{expected}");
        assert_eq!(
            testkit::told(&needs.all[0]),
            format!("ssm:GetParametersByPath {arn}")
        );
        let recursive = testkit::key_of(&needs.all[0], "ssm:Recursive");
        assert_eq!(recursive, Some(&["true".to_owned()][..]));
    }
}

#[tokio::test]
async fn a_name_is_the_same_with_and_without_its_slash() {
    let world = World::new();
    for (made, other) in [("/a", "a"), ("b", "/b")] {
        world.put(made, ParameterType::String, "1").await;
        assert_eq!(world.get(other, false).await.name.as_deref(), Some(made));
        let again = parameter(other, ParameterType::String, "2");
        assert_eq!(world.refused(again).await, "ParameterAlreadyExists");
        assert_eq!(world.put(other, ParameterType::String, "2").await, 2);
        assert_eq!(world.value(made).await, "2");
        let tag = AddTagsToResourceInput {
            resource_type: ResourceTypeForTagging::Parameter,
            resource_id: other.into(),
            tags: vec![],
        };
        world.call(tag).await;
        let label = LabelParameterVersionInput {
            name: other.into(),
            parameter_version: None,
            labels: vec!["live".into()],
        };
        world.call(label).await;
        assert_eq!(world.value(&format!("{other}:live")).await, "2");
        let root = GetParametersByPathInput {
            path: "/".into(),
            ..Default::default()
        };
        let found = world.call(root).await.parameters.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        world
            .call(DeleteParameterInput { name: other.into() })
            .await;
        assert_eq!(world.missing(made).await, "ParameterNotFound");
    }
    world.put("/a/b", ParameterType::String, "1").await;
    for bad in ["a/b", "/a//b", "/a/b/", "a b"] {
        assert_eq!(world.missing(bad).await, "ValidationException", "{bad}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_in_awss_words_and_what_is_not_built_by_name() {
    let world = World::new();
    let message = async |name: &str, decrypted| {
        let input = GetParameterInput {
            name: name.into(),
            with_decryption: Some(decrypted),
        };
        let error = world.cx.call(input).await.unwrap_err();
        (error.code, error.message)
    };
    assert_eq!(
        message("/nope", false).await,
        ("ParameterNotFound", String::new())
    );
    let public = "/aws/service/ami-amazon-linux-latest/x";
    let (code, why) = message(public, false).await;
    assert_eq!(code, "ParameterNotFound");
    assert_eq!(
        why,
        format!("AWS's public parameter {public} is not supported by neargate")
    );
    let (code, why) = message("/aws/reference/secretsmanager/x", false).await;
    assert_eq!(code, "ValidationException");
    assert!(why.starts_with("WithDecryption flag must be True"), "{why}");
}

#[tokio::test]
async fn filters_that_mean_nothing_are_refused() {
    let world = World::new();
    let filter = |key: &str, option: Option<&str>, value: &str| ParameterStringFilter {
        key: key.into(),
        option: option.map(str::to_owned),
        values: Some(vec![value.into()]),
    };
    for (filters, message) in [
        (
            vec![filter("Name", None, "a"), filter("Name", None, "b")],
            "The following filter is duplicated in the request: Name. A request can contain only one occurrence of a specific filter.",
        ),
        (
            vec![filter("Tier", None, "test")],
            "The following filter value is not valid: test. Valid values include: [Standard, Advanced, Intelligent-Tiering]",
        ),
        (
            vec![filter("Type", None, "test")],
            "The following filter value is not valid: test. Valid values include: [String, StringList, SecureString]",
        ),
        (
            vec![filter("Label", None, "test")],
            "The following filter key is not valid: Label. Valid filter keys include: [Path, Name, Type, KeyId, Tier].",
        ),
        (
            vec![filter("Name", Some("option"), "test")],
            "The following filter option is not valid: option. Valid options include: [BeginsWith, Equals].",
        ),
    ] {
        let input = DescribeParametersInput {
            parameter_filters: Some(filters),
            ..Default::default()
        };
        assert_eq!(world.cx.call(input).await.unwrap_err().message, message);
    }
    for path in ["test", "/aws/test", "/ssm", "//"] {
        let input = DescribeParametersInput {
            parameter_filters: Some(vec![filter("Path", None, path)]),
            ..Default::default()
        };
        let why = world.cx.call(input).await.unwrap_err().message;
        assert!(
            why.contains("must begin with a forward slash"),
            "{path}: {why}"
        );
    }
    let both = DescribeParametersInput {
        filters: Some(vec![ParametersFilter {
            key: ParametersFilterKey::Name,
            values: vec!["t".into()],
        }]),
        parameter_filters: Some(vec![filter("Name", None, "t")]),
        ..Default::default()
    };
    assert_eq!(
        world.cx.call(both).await.unwrap_err().message,
        "You can use either Filters or ParameterFilters in a single request."
    );
}

#[tokio::test]
async fn a_key_of_ones_own_encrypts_and_decrypts_for_who_may_use_it() {
    let world = World::new();
    let made = world.call(shapes::kms::CreateKeyInput::default()).await;
    let key_id = made.key_metadata.unwrap().key_id;
    let secret = PutParameterInput {
        key_id: Some(key_id.clone()),
        ..parameter("/a/secret", ParameterType::SecureString, "hush")
    };
    world.call(secret).await;
    let shown = world.get("/a/secret", false).await.value.unwrap();
    assert_ne!(shown, "hush");
    let opened = world.get("/a/secret", true).await;
    assert_eq!(opened.value.as_deref(), Some("hush"));
    let below = GetParametersByPathInput {
        path: "/a".into(),
        with_decryption: Some(true),
        ..Default::default()
    };
    let below = world.call(below).await.parameters.unwrap().remove(0);
    assert_eq!(below.value.as_deref(), Some("hush"));
    let history = || GetParameterHistoryInput {
        name: "/a/secret".into(),
        with_decryption: Some(true),
        ..Default::default()
    };
    let one = world.call(history()).await.parameters.unwrap().remove(0);
    assert_eq!(one.value.as_deref(), Some("hush"));
    assert_eq!(one.key_id, Some(key_id.clone()));
    let plain = PutParameterInput {
        key_id: Some(key_id.clone()),
        ..parameter("/plain", ParameterType::String, "x")
    };
    assert_eq!(world.refused(plain).await, "ValidationException");
    let disable = shapes::kms::DisableKeyInput { key_id };
    world.call(disable).await;
    let get = GetParameterInput {
        name: "/a/secret".into(),
        with_decryption: Some(true),
    };
    assert_eq!(world.refused(get).await, "InvalidKeyId");
    // What it looks like is told without the key.
    assert_eq!(world.get("/a/secret", false).await.value, Some(shown));
}

#[tokio::test]
async fn public_parameters_tell_the_newest_images() {
    let world = testkit::JsonWorld(testkit::world([ec2::service(), ssm::service()]).at_rest());
    let get = async |name: &str| {
        let asked = json!({ "Name": format!("/aws/service/{name}") });
        world.ok::<GetParameterInput>(asked).await["Parameter"].clone()
    };
    let folder = "ecs/optimized-ami/amazon-linux-2/recommended";
    let id = get(&format!("{folder}/image_id")).await;
    assert_eq!(
        (&id["Type"], &id["DataType"]),
        (&json!("String"), &json!("aws:ec2:image"))
    );
    assert_eq!(
        id["ARN"],
        format!(
            "arn:aws:ssm:{}::parameter/aws/service/{folder}/image_id",
            testkit::REGION
        )
    );
    let document = get(folder).await;
    let document: serde_json::Value =
        serde_json::from_str(document["Value"].as_str().unwrap()).unwrap();
    assert_eq!(document["image_id"], id["Value"]);
    let asked = json!({ "ImageIds": [id["Value"]] });
    let images = world.ok::<shapes::ec2::DescribeImagesInput>(asked).await;
    assert_eq!(images["imagesSet"][0]["name"], document["image_name"]);
    // Every one that is told has an image that is not of the past.
    for name in [
        "al2023-ami-kernel-default-x86_64",
        "amzn2-ami-hvm-arm64-gp2",
    ] {
        let found = get(&format!("ami-amazon-linux-latest/{name}")).await;
        assert!(
            found["Value"].as_str().unwrap().starts_with("ami-"),
            "{found}"
        );
    }
    let names =
        json!({ "Names": ["/aws/service/none", format!("/aws/service/{folder}/image_id")] });
    let several = world.ok::<GetParametersInput>(names).await;
    assert_eq!(several["InvalidParameters"], json!(["/aws/service/none"]));
    assert_eq!(several["Parameters"][0]["Value"], id["Value"]);
}
