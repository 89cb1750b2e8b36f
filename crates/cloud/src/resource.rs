//! What a service lends to CloudFormation: its resource types.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value as Json};
use wire::{DecodeError, Error, Operation, Value};

use crate::{Cx, Property, token_hex};

/// One resource of one stack, asked to be made or changed.
#[derive(Debug, Clone)]
pub struct ResourceRequest {
    pub stack_name: String,
    pub stack_id: String,
    pub logical_id: String,
    /// The same for every repetition of this request, and for no other.
    pub token: String,
    /// Evaluated: no intrinsic function is left.
    pub properties: Json,
    /// The stack's own tags, and `aws:cloudformation:*`.
    pub tags: BTreeMap<String, String>,
    /// The resource's `UpdatePolicy`, evaluated; null where it has none.
    pub update_policy: Json,
    /// What is there although the request is not done.
    pub made: Made,
}

/// What a creation has made so far: the physical id, noted as soon as there is something by that name. A
/// creation that fails further on leaves nothing behind, since its stack deletes what is noted.
#[derive(Debug, Clone, Default)]
pub struct Made(Arc<Mutex<Option<String>>>);

impl Made {
    pub fn note(&self, physical_id: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(physical_id.to_owned());
    }

    pub fn physical_id(&self) -> Option<String> {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner)).clone()
    }
}

impl ResourceRequest {
    /// A property, when it is there and not null.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.properties.get(name).filter(|it| !it.is_null())
    }

    /// A property that is text (or a number or boolean, as text).
    pub fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            Json::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    /// A property that must be text: the template was checked for its presence.
    pub fn required_text(&self, name: &str) -> Result<String, ResourceError> {
        self.text(name)
            .ok_or_else(|| ResourceError::new(format!("Property {name} must be text")))
    }

    /// A property that is a boolean, which templates also write as text.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).map(|it| it.eq_ignore_ascii_case("true"))
    }

    /// A property that is one of a service's words.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, ResourceError> {
        let parse = |it: String| {
            it.parse()
                .map_err(|_| ResourceError::new(format!("{name} `{it}` is not known")))
        };
        self.text(name).map(parse).transpose()
    }

    /// The name that its owner has chosen by this property, or else a generated one.
    pub fn name(&self, property: &str, length_max: usize) -> String {
        self.text(property)
            .unwrap_or_else(|| self.generated_name(length_max))
    }

    /// A property in the service's own shape, whose members differ from the template's only in the
    /// case of their first letter and in scalars that are written as another kind.
    pub fn shape<T: Value + Default>(&self, name: &str) -> Result<Option<T>, ResourceError> {
        let Some(json) = self.get(name) else {
            return Ok(None);
        };
        wire::lenient::<T>(json.clone())
            .map(Some)
            .map_err(|error| ResourceError::new(format!("{name}: {error}")))
    }

    /// The same request with other properties: those that the resource had before an update.
    #[must_use]
    pub fn with_properties(&self, properties: &Json) -> Self {
        Self {
            properties: properties.clone(),
            ..self.clone()
        }
    }

    /// What an update has to do to the tags of a resource that had these properties.
    pub fn tag_changes(&self, old: &Json) -> TagChanges {
        let set = self.all_tags();
        let before = self.with_properties(old).all_tags();
        let unset = before
            .into_keys()
            .filter(|key| !set.contains_key(key))
            .collect();
        TagChanges { set, unset }
    }

    /// `STACK-LogicalId-<12 capitals and digits>`, the same for every repetition, cut in its first
    /// parts where the service allows fewer characters.
    pub fn generated_name(&self, length_max: usize) -> String {
        const SUFFIX: usize = 12;
        let suffix = self.generated_suffix(SUFFIX);
        let room = length_max.saturating_sub(SUFFIX + 2);
        let (stack, logical) = (self.stack_name.as_str(), self.logical_id.as_str());
        if stack.len() + logical.len() <= room {
            return format!("{stack}-{logical}-{suffix}");
        }
        let stack_room = stack
            .len()
            .min((room / 2).max(room.saturating_sub(logical.len())));
        let logical_room = room - stack_room;
        let name = format!(
            "{}-{}-{suffix}",
            stack[..stack_room].trim_end_matches('-'),
            &logical[..logical.len().min(logical_room)]
        );
        name
    }

    /// As many letters and digits as are asked for, the same for every repetition.
    pub fn generated_suffix(&self, length: usize) -> String {
        token_hex(&self.token, "name", length).to_uppercase()
    }

    /// The request's tags in the service's own form are left to the service; this is the union of
    /// the stack's tags and the resource's `Tags` property (a list of `Key`/`Value`).
    pub fn all_tags(&self) -> BTreeMap<String, String> {
        let mut tags = self.tags.clone();
        for tag in self
            .get("Tags")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            if let (Some(key), Some(value)) = (tag["Key"].as_str(), tag["Value"].as_str()) {
                tags.insert(key.to_owned(), value.to_owned());
            }
        }
        tags
    }
}

/// The difference of two sets of tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagChanges {
    /// All that the resource shall have.
    pub set: BTreeMap<String, String>,
    /// Keys that it shall have no longer.
    pub unset: Vec<String>,
}

impl TagChanges {
    /// Makes the changes by a service's own operations; one that has nothing to do is not called.
    pub async fn apply<Untag: Operation, Tag: Operation>(
        self,
        cx: &Cx,
        untag: impl FnOnce(Vec<String>) -> Untag,
        tag: impl FnOnce(BTreeMap<String, String>) -> Tag,
    ) -> Result<(), ResourceError> {
        let untag = (!self.unset.is_empty()).then(|| untag(self.unset));
        let tag = (!self.set.is_empty()).then(|| tag(self.set));
        if let Some(untag) = untag {
            cx.call(untag).await?;
        }
        if let Some(tag) = tag {
            cx.call(tag).await?;
        }
        Ok(())
    }
}

/// A resource as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// What `Ref` answers.
    pub physical_id: String,
}

impl Created {
    /// One whose id the service's answer tells.
    pub fn of(id: Option<String>) -> Result<Self, ResourceError> {
        match id {
            Some(physical_id) => Ok(Self { physical_id }),
            None => Err(ResourceError::new("the service answered no id")),
        }
    }
}

/// Whether a resource that was made or changed is what was asked for by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stability {
    Stable,
    /// Not yet: look again soon. The reason is for people.
    Waiting(String),
    /// It will not become so.
    Failed(String),
}

/// Why a resource could not be made, changed or deleted. The message goes into the stack's events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResourceError {
    pub message: String,
    /// Nothing is wrong with the request: try the same again.
    pub retry: bool,
}

impl ResourceError {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry: false,
        }
    }
    pub fn retry(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry: true,
        }
    }
    /// A name that is not in [`ResourceType::attributes`].
    pub fn unknown_attribute(name: &str) -> Self {
        Self::new(format!("attribute {name} is not known"))
    }
}

/// What the outcome of a service's delete operation means. Error codes that end in one of `gone` say
/// that there is nothing to delete, which is success. With one of `in_use` something that is being
/// deleted at this moment may still hold it: that is tried again.
pub fn deletion<T>(
    outcome: Result<T, Error>,
    gone: &[&str],
    in_use: &[&str],
) -> Result<(), ResourceError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if gone.iter().any(|it| error.code.ends_with(it)) => Ok(()),
        Err(error) if in_use.contains(&error.code) => Err(ResourceError::retry(error.message)),
        Err(error) => Err(error.into()),
    }
}

impl From<Error> for ResourceError {
    /// As CloudFormation words it: `Resource handler returned message: "…"`.
    fn from(error: Error) -> Self {
        Self::new(format!(
            "Resource handler returned message: \"{} (Status Code: {}, Error Code: {})\"",
            error.message, error.status, error.code
        ))
    }
}

impl From<DecodeError> for ResourceError {
    fn from(error: DecodeError) -> Self {
        Self::new(error.to_string())
    }
}

/// Properties as an operation's input takes them, without those named, which are handled apart.
pub fn read_properties<T: Value + Default>(
    properties: &Json,
    without: &[&str],
) -> Result<T, DecodeError> {
    let mut members = properties.as_object().cloned().unwrap_or_default();
    members.retain(|name, it| !without.contains(&name.as_str()) && !it.is_null());
    wire::lenient_partial(Json::Object(members))
}

/// The same of what is known before anything is made, for [`ResourceType::refuse`]: nothing where it cannot
/// be read yet, and an error where it names a member that no operation takes.
pub fn read_known<T: Value + Default>(known: &Json, without: &[&str]) -> Result<Option<T>, String> {
    match read_properties(known, without) {
        Ok(input) => Ok(Some(input)),
        Err(error) => error.unbuilt().map_or(Ok(None), |it| Err(it.to_string())),
    }
}

/// A service's answer as a template would write it: the same members, with a capital first. For
/// [`ResourceType::actual`].
pub fn as_properties(value: &impl Value) -> Json {
    capitalized(wire::write_json(&value.get()))
}

fn capitalized(value: Json) -> Json {
    match value {
        Json::Array(items) => items.into_iter().map(capitalized).collect(),
        Json::Object(members) => Json::Object(
            (members.into_iter())
                .map(|(name, value)| {
                    let mut letters = name.chars();
                    let first = letters.next().map(|it| it.to_ascii_uppercase());
                    (
                        first.into_iter().chain(letters).collect(),
                        capitalized(value),
                    )
                })
                .collect(),
        ),
        other => other,
    }
}

/// A property that is a document, as text: it is written as an object, or as JSON in a text.
#[must_use]
pub fn document(property: &Json) -> String {
    match property {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Stands within the text of a property that is not known before the stack is built; AWS's own word for it.
pub const KNOWN_LATER: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

/// What is known of properties before the stack is built: members and items in which [`KNOWN_LATER`] or a
/// dynamic reference stands are left out, so that the rest can be read in a service's own shape. For
/// [`ResourceType::refuse`].
#[must_use]
pub fn known_part(properties: &Json) -> Json {
    fn is_known(value: &Json) -> bool {
        (value.as_str()).is_none_or(|it| !it.contains(KNOWN_LATER) && !it.contains("{{resolve:"))
    }
    match properties {
        Json::Array(items) => (items.iter().filter(|it| is_known(it)))
            .map(known_part)
            .collect(),
        Json::Object(members) => Json::Object(
            (members.iter().filter(|(_, it)| is_known(it)))
                .map(|(name, it)| (name.clone(), known_part(it)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Where resource types are found by their names.
pub trait ResourceTypes: Sync {
    /// `AWS::EC2::VPC`.
    fn named(&self, name: &str) -> Option<&dyn ResourceType>;
}

/// A type that stacks may create. Every method may be repeated with the same request after a crash
/// and must then end in the same state: calls go through `cx.with_token(&request.token)`, names that
/// the template leaves open come from [`ResourceRequest::generated_name`].
#[async_trait]
pub trait ResourceType: Send + Sync {
    /// `AWS::EC2::VPC`.
    fn name(&self) -> &'static str;
    /// All that it knows: a template with any other is refused before anything is made.
    /// Written as `const { &[…] }`.
    fn properties(&self) -> &'static [Property];
    /// Names for `Fn::GetAtt` that answer what `Ref` does.
    fn same_as_ref(&self) -> &'static [&'static str] {
        &[]
    }
    /// The other names for `Fn::GetAtt`: [`ResourceType::read`] has their values.
    fn readable(&self) -> &'static [&'static str] {
        &[]
    }
    /// All names for `Fn::GetAtt`.
    fn attributes(&self) -> Vec<&'static str> {
        [self.same_as_ref(), self.readable()].concat()
    }
    /// Whether `Fn::GetAtt` may ask for it.
    fn has_attribute(&self, name: &str) -> bool {
        self.attributes().contains(&name)
    }
    /// Whether it is a stack itself. Such a resource is updated whenever the stack that it is in is,
    /// since its template may have changed without a change of its properties; and it keeps what an
    /// update replaced until it is told to [`ResourceType::release`] it.
    fn is_stack(&self) -> bool {
        false
    }
    /// Whether it may have a `CreationPolicy`: it is made once enough signals were received.
    fn takes_signals(&self) -> bool {
        false
    }
    /// What its `UpdatePolicy` may say, where the type has one; those of other types are passed over, as AWS
    /// does. Written as `const { &[…] }`.
    fn update_policy(&self) -> Option<&'static [Property]> {
        None
    }
    /// What is known to be refused of its `UpdatePolicy` before anything of the stack is made.
    fn refuse_update_policy(&self, _policy: &Json) -> Result<(), String> {
        Ok(())
    }
    /// Capabilities that a template with this resource must acknowledge.
    fn capability(&self, _properties: &Json) -> Option<&'static str> {
        None
    }

    /// What is known to be refused before anything of the stack is made. The properties are of the form
    /// that the type says; of what nobody knows yet, [`KNOWN_LATER`] stands there.
    fn refuse(&self, _properties: &Json) -> Result<(), String> {
        Ok(())
    }

    /// Makes one. What takes more than one call notes what the first has made ([`Made::note`]).
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError>;

    /// Asked after create and update until it says `Stable`.
    async fn stability(&self, _cx: &Cx, _physical_id: &str) -> Result<Stability, ResourceError> {
        Ok(Stability::Stable)
    }

    /// Changes a resource in place: only properties with [`Update::InPlace`] differ. Where the tags are
    /// all that may, there is nothing to say but [`ResourceType::retag`].
    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        self.retag(cx, physical_id, request.tag_changes(old)).await
    }

    /// Asked once an update is stable: ends what was begun for its time only.
    async fn updated(
        &self,
        _cx: &Cx,
        _physical_id: &str,
        _request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        Ok(())
    }

    /// Changes the tags of a resource ([`TagChanges::apply`]), where it has any.
    async fn retag(
        &self,
        _cx: &Cx,
        _physical_id: &str,
        _changes: TagChanges,
    ) -> Result<(), ResourceError> {
        Ok(())
    }

    /// Changes a resource back to what it was before an update of its stack that failed. `old` is
    /// what the update had made, or was making, of it.
    async fn restore(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        self.update(cx, physical_id, old, request).await
    }

    /// Asked of a resource that is a stack until it says `Stable`: the update of the stack that it is
    /// in will not be taken back any more, and neither will its own.
    async fn release(&self, _cx: &Cx, _physical_id: &str) -> Result<Stability, ResourceError> {
        Ok(Stability::Stable)
    }

    /// Begins to delete; succeeds when it is gone already.
    async fn delete(
        &self,
        cx: &Cx,
        physical_id: &str,
        properties: &Json,
    ) -> Result<(), ResourceError>;

    /// Asked after delete until it says `Stable`, which means gone.
    async fn deleted(&self, _cx: &Cx, _physical_id: &str) -> Result<Stability, ResourceError> {
        Ok(Stability::Stable)
    }

    /// An object with the values of all that is [`ResourceType::readable`]. What does not exist for this
    /// form of the resource is left out: it is an error only for those who ask for it.
    async fn read(&self, _cx: &Cx, _physical_id: &str) -> Result<Json, ResourceError> {
        Ok(Json::Object(Map::new()))
    }

    /// An attribute's value, for `Fn::GetAtt`.
    async fn attribute(
        &self,
        cx: &Cx,
        physical_id: &str,
        name: &str,
    ) -> Result<Json, ResourceError> {
        if self.same_as_ref().contains(&name) {
            return Ok(physical_id.into());
        }
        let mut read = match self.has_attribute(name) {
            true => self.read(cx, physical_id).await?,
            false => Json::Null,
        };
        (read.get_mut(name).map(Json::take)).ok_or_else(|| ResourceError::unknown_attribute(name))
    }

    /// All attributes that it has.
    async fn attribute_values(
        &self,
        cx: &Cx,
        physical_id: &str,
    ) -> Result<BTreeMap<String, Json>, ResourceError> {
        let same = self.same_as_ref().iter();
        let mut values: BTreeMap<String, Json> = same
            .map(|name| ((*name).to_owned(), physical_id.into()))
            .collect();
        match self.read(cx, physical_id).await {
            Ok(Json::Object(read)) => values.extend(read),
            Ok(_) => {}
            Err(error) if error.retry => return Err(error),
            // Only who asks for what could not be read misses it.
            Err(error) => {
                let error = error.message;
                tracing::debug!(physical_id, error, "attributes cannot be read");
            }
        }
        Ok(values)
    }

    /// The properties that the resource has in truth, of those that were asked for: what drift
    /// detection compares. `None` for types that cannot say it; `Json::Null` when it is gone.
    /// Properties that cannot be read back are left out.
    async fn actual(
        &self,
        _cx: &Cx,
        _physical_id: &str,
        _expected: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_read_as_templates_write_them() {
        let request = ResourceRequest {
            properties: json!({"Name": "web", "Count": 3, "On": "True", "None": null, "List": [1]}),
            ..request("web", "Thing")
        };
        assert_eq!(request.required_text("Name").unwrap(), "web");
        assert_eq!(request.text("Count").as_deref(), Some("3"));
        assert_eq!(request.flag("On"), Some(true));
        assert_eq!(request.flag("Absent"), None);
        assert_eq!(request.get("None"), None);
        let missing = request.required_text("List").unwrap_err();
        assert_eq!(missing.message, "Property List must be text");
        assert_eq!(request.shape::<i32>("Count").unwrap(), Some(3));
        assert_eq!(request.shape::<i32>("Absent").unwrap(), None);
        let wrong = request.shape::<i32>("Name").unwrap_err();
        assert!(wrong.message.starts_with("Name: "), "{wrong}");
    }

    #[test]
    fn what_is_known_is_read_without_what_is_not() {
        let later = format!("a-{KNOWN_LATER}");
        let properties = json!({
            "Name": later, "Mode": "awsvpc", "Secret": "{{resolve:ssm:a}}",
            "Items": [later, {"A": later, "B": 1}],
        });
        let known = json!({"Mode": "awsvpc", "Items": [{"B": 1}]});
        assert_eq!(known_part(&properties), known);
    }

    #[test]
    fn tags_that_are_gone_are_unset_and_the_stacks_own_stay() {
        let mut request = request("web", "Thing");
        request.tags.insert("stack".into(), "web".into());
        request.properties = json!({"Tags": [{"Key": "a", "Value": "2"}]});
        let old = json!({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}]});
        let changes = request.tag_changes(&old);
        assert_eq!(changes.unset, ["b"]);
        let set: Vec<_> = changes.set.into_iter().collect();
        assert_eq!(
            set,
            [("a".into(), "2".into()), ("stack".into(), "web".into())]
        );
    }

    #[test]
    fn a_deletion_of_what_is_gone_is_done_and_of_what_is_in_use_is_tried_again() {
        const GONE: wire::ErrorCode = wire::ErrorCode::sender("InvalidVpcID.NotFound", 400);
        const BUSY: wire::ErrorCode = wire::ErrorCode::sender("DependencyViolation", 400);
        let outcome = |code: wire::ErrorCode| {
            deletion::<()>(
                Err(code.because("why")),
                &["NotFound"],
                &["DependencyViolation"],
            )
        };
        assert_eq!(outcome(GONE), Ok(()));
        assert_eq!(outcome(BUSY), Err(ResourceError::retry("why")));
        let other = outcome(wire::codes::ValidationError).unwrap_err();
        assert!(
            !other.retry && other.message.contains("Error Code: ValidationError"),
            "{other}"
        );
    }

    fn request(stack: &str, logical: &str) -> ResourceRequest {
        ResourceRequest {
            stack_name: stack.into(),
            stack_id: String::new(),
            logical_id: logical.into(),
            token: "t".into(),
            properties: Json::Null,
            tags: BTreeMap::new(),
            update_policy: Json::Null,
            made: Made::default(),
        }
    }

    #[test]
    fn generated_names_keep_within_the_services_limit() {
        let name = request("web", "Role").generated_name(64);
        assert!(name.starts_with("web-Role-"), "{name}");
        assert_eq!(name, request("web", "Role").generated_name(64));
        for (stack, logical) in [
            (
                "a-very-long-stack-name-indeed",
                "AndALogicalIdThatIsLongAsWell",
            ),
            ("s", "AndALogicalIdThatIsLongAsWell"),
            ("a-very-long-stack-name-indeed", "R"),
        ] {
            let name = request(stack, logical).generated_name(32);
            assert!(name.len() <= 32, "{name}");
        }
    }
}
