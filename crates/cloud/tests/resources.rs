//! What a resource type has by default: attributes, updates, tags.

use std::collections::BTreeMap;

use cloud::{
    Created, Cx, Error, Property, Record, ResourceError, ResourceRequest, ResourceType, Service,
    TagChanges,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use shapes::ec2::*;

/// A call that was made, in its turn.
#[derive(Serialize, Deserialize)]
struct Called {
    turn: i64,
    what: String,
}

impl Record for Called {
    const KIND: &'static str = "toy.called";
    fn key(&self) -> String {
        format!("{:03}", self.turn)
    }
}

fn note(cx: &Cx, what: String) -> Result<(), Error> {
    cx.write(|tx| {
        let turn = tx.next("toy.called")?;
        tx.put(&Called { turn, what })
    })
}

async fn create_tags(cx: Cx, input: CreateTagsInput) -> Result<CreateTagsOutput, Error> {
    let keys: Vec<_> = input.tags.into_iter().filter_map(|it| it.key).collect();
    note(&cx, format!("tag {keys:?}"))?;
    Ok(CreateTagsOutput::default())
}

async fn delete_tags(cx: Cx, input: DeleteTagsInput) -> Result<DeleteTagsOutput, Error> {
    let tags = input.tags.into_iter().flatten();
    let keys: Vec<_> = tags.filter_map(|it| it.key).collect();
    note(&cx, format!("untag {keys:?}"))?;
    Ok(DeleteTagsOutput::default())
}

fn world() -> testkit::World {
    let service = Service::new(&MODEL)
        .on(create_tags, testkit::not_asked())
        .on(delete_tags, testkit::not_asked());
    testkit::world([service]).at_rest()
}

struct Plain;

#[async_trait::async_trait]
impl ResourceType for Plain {
    fn name(&self) -> &'static str {
        "Test::Toy::Plain"
    }
    fn properties(&self) -> &'static [Property] {
        const { &[Property::TAGS] }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Size", "Colour"]
    }
    async fn create(&self, _: &Cx, _: &ResourceRequest) -> Result<Created, ResourceError> {
        Created::of(None)
    }
    async fn retag(&self, cx: &Cx, id: &str, changes: TagChanges) -> Result<(), ResourceError> {
        let tag = |key| Tag {
            key: Some(key),
            value: None,
        };
        let untag = |keys: Vec<String>| DeleteTagsInput {
            resources: vec![id.into()],
            tags: Some(keys.into_iter().map(tag).collect()),
            ..Default::default()
        };
        let set = |tags: BTreeMap<String, String>| CreateTagsInput {
            resources: vec![id.into()],
            tags: tags.into_keys().map(tag).collect(),
            ..Default::default()
        };
        changes.apply(cx, untag, set).await
    }
    async fn delete(&self, _: &Cx, _: &str, _: &Json) -> Result<(), ResourceError> {
        Ok(())
    }
    /// Colourless, and there is no telling of a thing that is `hidden`.
    async fn read(&self, _: &Cx, id: &str) -> Result<Json, ResourceError> {
        match id {
            "hidden" => Err(ResourceError::new("nobody may look")),
            "late" => Err(ResourceError::retry("not now")),
            _ => Ok(json!({"Size": 3})),
        }
    }
}

#[tokio::test]
async fn attributes_are_the_ref_and_what_is_read() {
    let world = world();
    let cx = &world.cx;
    assert_eq!(Plain.attributes(), ["Id", "Size", "Colour"]);
    let all = Plain.attribute_values(cx, "a").await.unwrap();
    assert_eq!(json!(all), json!({"Id": "a", "Size": 3}));
    assert_eq!(Plain.attribute(cx, "a", "Size").await, Ok(json!(3)));
    for name in ["Colour", "Weight"] {
        let error = Plain.attribute(cx, "a", name).await.unwrap_err();
        assert_eq!(error.message, format!("attribute {name} is not known"));
    }
    // What cannot be read is missed by those alone who ask for it.
    let all = Plain.attribute_values(cx, "hidden").await.unwrap();
    assert_eq!(json!(all), json!({"Id": "hidden"}));
    let id = Plain.attribute(cx, "hidden", "Id").await;
    assert_eq!(id, Ok(json!("hidden")));
    let error = Plain.attribute(cx, "hidden", "Size").await.unwrap_err();
    assert_eq!(error.message, "nobody may look");
    let error = Plain.attribute_values(cx, "late").await.unwrap_err();
    assert!(error.retry);
}

/// Updates a thing from these tags to those.
async fn check(old: &[&str], new: &[&str], calls: &[&str]) {
    let world = world();
    let tags = |keys: &[&str]| -> Json {
        let tag = |key: &&str| json!({"Key": key, "Value": "v"});
        json!({ "Tags": keys.iter().map(tag).collect::<Vec<_>>() })
    };
    let mut request = testkit::request("web", "Thing", tags(new));
    request.tags.clear();
    let updated = Plain.update(&world.cx, "id", &tags(old), &request).await;
    assert_eq!(updated, Ok(()));
    let made: Vec<Called> = world.cx.read(|tx| tx.list("")).unwrap();
    let made: Vec<String> = made.into_iter().map(|it| it.what).collect();
    assert_eq!(made, calls, "{old:?} {new:?}");
}

#[tokio::test]
async fn a_type_whose_tags_alone_change_says_how_they_do() {
    let (gone, set) = (r#"untag ["a"]"#, r#"tag ["b", "c"]"#);
    check(&["a", "b"], &["b", "c"], &[gone, set]).await;
    check(&["a"], &["a"], &[r#"tag ["a"]"#]).await;
    check(&["a"], &[], &[gone]).await;
    check(&[], &[], &[]).await;
}

#[tokio::test]
async fn a_service_that_answers_no_id_has_made_nothing() {
    let request = testkit::request("web", "Thing", json!({}));
    let error = Plain.create(&world().cx, &request).await.unwrap_err();
    assert_eq!(error.message, "the service answered no id");
}
