//! What a call needs permission for, declared beside the operation in its service's table.
//!
//! A [`Permission`] is a function of the *typed, validated input*: what is decided on is what the
//! handler will read, and nothing that a request carries beside it. It names the IAM action (the
//! operation's own name unless it says otherwise), the resources that the call touches, resolved to
//! the ARNs of their records, the roles that the call hands over (`iam:PassRole`), and the condition
//! keys that it can supply. Source: AWS's service authorization reference.
//!
//! ```ignore
//! Service::new(&shapes::ecs::MODEL)
//!     .on(cluster::list_clusters, permission::everywhere())
//!     .on(cluster::delete_cluster, permission::on("cluster", |cx, it| arn_of(cx, &it.cluster)))
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use wire::{Error, Operation};

use crate::Cx;
use crate::roles::absent_role_arn;

/// Tags by key.
pub type TagMap = BTreeMap<String, String>;

/// A resource that a call touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The ARN of the record, however the request spelled it; with `is_any` a pattern.
    pub arn: String,
    /// What a refusal calls it, where the ARN tells what who asks did not: a name that is there and one that
    /// is not are refused in the same words.
    pub asked: Option<String>,
    /// No resource is named: the call touches any whose ARN fits `arn`. A denial of one of them
    /// counts, and only what allows all of them allows.
    pub is_any: bool,
    /// The record's tags; None when they are not known, which is not the same as having none.
    pub tags: Option<TagMap>,
    /// The resource's own policy document, which is evaluated together with the caller's policies.
    pub policy: Option<String>,
    /// Nothing is allowed that this policy does not allow, or leave to the account's own policies: a key's.
    pub policy_must_grant: bool,
    /// Condition keys of the resource itself (`ec2:Vpc`): another resource of the call has others.
    pub keys: Vec<ConditionKey>,
}

impl Touched {
    /// One resource of which nothing but the ARN is known.
    pub fn named(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            asked: None,
            is_any: false,
            tags: None,
            policy: None,
            policy_must_grant: false,
            keys: Vec::new(),
        }
    }

    /// Any resource whose ARN fits the pattern.
    pub fn any(pattern: impl Into<String>) -> Self {
        Self {
            is_any: true,
            ..Self::named(pattern)
        }
    }

    /// A resource that the call makes, or that is not there: it has no tags.
    pub fn absent(arn: impl Into<String>) -> Self {
        Self::named(arn).tagged(TagMap::new())
    }

    #[must_use]
    pub fn tagged(mut self, tags: impl IntoIterator<Item = (String, String)>) -> Self {
        self.tags = Some(tags.into_iter().collect());
        self
    }

    /// What refusals call it: as it was asked for.
    #[must_use]
    pub fn asked_as(mut self, asked: impl Into<String>) -> Self {
        self.asked = Some(asked.into());
        self
    }

    #[must_use]
    pub fn bound_by(mut self, policy: Option<String>) -> Self {
        self.policy = policy;
        self
    }

    /// The policy without which nobody may do anything with it, the owner included.
    #[must_use]
    pub fn granted_by(mut self, policy: String) -> Self {
        self.policy = Some(policy);
        self.policy_must_grant = true;
        self
    }

    /// A condition key of the resource; None: it has none.
    #[must_use]
    pub fn with_key(mut self, name: &str, value: Option<impl ToString>) -> Self {
        self.keys.push(ConditionKey::new(name, value));
        self
    }
}

/// The resources of a call, as the functions in a table answer them.
pub trait IntoTouched {
    fn into_touched(self) -> Vec<Touched>;
}

impl IntoTouched for Touched {
    fn into_touched(self) -> Vec<Touched> {
        vec![self]
    }
}

impl IntoTouched for String {
    fn into_touched(self) -> Vec<Touched> {
        vec![Touched::named(self)]
    }
}

impl<T: IntoTouched> IntoTouched for Vec<T> {
    fn into_touched(self) -> Vec<Touched> {
        self.into_iter().flat_map(T::into_touched).collect()
    }
}

impl<T: IntoTouched> IntoTouched for Option<T> {
    fn into_touched(self) -> Vec<Touched> {
        self.map_or_else(Vec::new, T::into_touched)
    }
}

/// A condition key of one call: its value or values, or that the call has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionKey {
    pub name: String,
    /// None: known to be absent.
    pub values: Option<Vec<String>>,
}

impl ConditionKey {
    pub fn new(name: impl Into<String>, value: Option<impl ToString>) -> Self {
        Self {
            name: name.into(),
            values: value.map(|it| vec![it.to_string()]),
        }
    }

    pub fn of_many(name: impl Into<String>, values: Vec<String>) -> Self {
        Self {
            name: name.into(),
            values: Some(values).filter(|it| !it.is_empty()),
        }
    }

    /// All keys of a family (`s3:RequestObjectTag`, or `kms:EncryptionContext:` with its colon): what is not
    /// among `entries`, which are written without the family, is absent. Names of keys count whatever their
    /// case: what is there under several has all of their values, and no condition on one value holds or fails
    /// for it.
    pub fn of_family(
        family: &str,
        entries: impl IntoIterator<Item = (String, String)>,
    ) -> Vec<Self> {
        let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in entries {
            let values = by_name.entry(name.to_ascii_lowercase()).or_default();
            values.push(value);
        }
        let all = by_name.into_iter();
        let family = match family.ends_with(':') {
            true => family.to_owned(),
            false => format!("{family}/"),
        };
        let all = all.map(|(name, values)| Self::of_many(format!("{family}{name}"), values));
        std::iter::once(Self::whole(&family)).chain(all).collect()
    }

    /// That all keys of a family are known: those that do not follow are absent.
    fn whole(family: &str) -> Self {
        Self::new(format!("{family}*"), None::<String>)
    }

    /// The family of which this says that all of it is known, with the `/` or `:` at its end. What a request
    /// says is never one, whatever it is called: it has a value.
    pub fn family(&self) -> Option<&str> {
        let family = self
            .name
            .strip_suffix('*')
            .filter(|it| it.ends_with(['/', ':']));
        family.filter(|_| self.values.is_none())
    }
}

/// An action on a resource that one call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `ecs:UpdateService`.
    pub action: String,
    /// None: the action is on `*`.
    pub resource: Option<Touched>,
    /// For `iam:PassRole`: the service that gets the role.
    pub passed_to: Option<&'static str>,
    /// Condition keys beside those that every call has.
    pub keys: Vec<ConditionKey>,
    /// Condition keys that it has only where they are given: see [`Permission::lacking`].
    pub lacking: &'static [&'static str],
}

impl Need {
    pub fn new(action: impl Into<String>, resource: Option<Touched>) -> Self {
        Self {
            action: action.into(),
            resource,
            passed_to: None,
            keys: Vec::new(),
            lacking: &[],
        }
    }

    /// That a role is handed to a service.
    pub fn pass_role(role: Touched, service: &'static str) -> Self {
        Self {
            passed_to: Some(service),
            ..Self::new("iam:PassRole", Some(role))
        }
    }

    #[must_use]
    pub fn with_keys(mut self, keys: impl IntoIterator<Item = ConditionKey>) -> Self {
        self.keys.extend(keys);
        self
    }
}

/// All that a call needs, and the tags that its input carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    pub all: Vec<Need>,
    /// `aws:RequestTag/…`: tags that the call sets.
    pub request_tags: TagMap,
    /// `aws:TagKeys`: keys of tags that the call sets or removes.
    pub tag_keys: Vec<String>,
    /// A key that a list of tags has twice: which of them counts, nobody could say.
    pub repeated_tag: Option<String>,
}

impl Needs {
    /// Whether some resource has a policy of its own.
    pub fn meet_policies(&self) -> bool {
        let mut touched = self.all.iter().filter_map(|it| it.resource.as_ref());
        touched.any(|it| it.policy.is_some())
    }
}

type TouchFn<I> = Box<dyn Fn(&Cx, &I) -> Vec<Touched> + Send + Sync>;
type RolesFn<I> = Box<dyn Fn(&Cx, &I) -> Vec<String> + Send + Sync>;
type KeysFn<I> = Box<dyn Fn(&Cx, &I) -> Vec<ConditionKey> + Send + Sync>;

struct Line<I> {
    /// None: the operation's own name.
    action: Option<&'static str>,
    /// The reference's name of the resource type; None for `*`.
    kind: Option<&'static str>,
    touches: TouchFn<I>,
}

struct Pass<I> {
    to: &'static str,
    roles: RolesFn<I>,
}

/// What one operation needs permission for. See the module's page.
pub struct Permission<I> {
    lines: Vec<Line<I>>,
    passes: Vec<Pass<I>>,
    key_names: &'static [&'static str],
    keys: Option<KeysFn<I>>,
    lacking: &'static [&'static str],
    /// Why no line stands here, for the few operations that everybody may call or that ask later.
    without: Option<&'static str>,
}

/// The operation's own action on `*`: it has no resource types.
pub fn everywhere<I>() -> Permission<I> {
    Permission::empty().line(None, None, |_, _| Vec::<Touched>::new())
}

/// The operation's own action on the resources that `touches` finds, of the reference's type `kind`.
pub fn on<I, T: IntoTouched>(
    kind: &'static str,
    touches: impl Fn(&Cx, &I) -> T + Send + Sync + 'static,
) -> Permission<I> {
    Permission::empty().line(None, Some(kind), touches)
}

/// [`on`] with a function pointer, so that the type of a closure's input follows from the handler
/// beside it in the table.
pub fn touching<I: 'static, T: IntoTouched + 'static>(
    kind: &'static str,
    touches: fn(&Cx, &I) -> T,
) -> Permission<I> {
    on(kind, touches)
}

/// `action` (`s3:ListBucket`) in place of the operation's own name, on resources of one type.
pub fn as_action<I, T: IntoTouched>(
    action: &'static str,
    kind: &'static str,
    touches: impl Fn(&Cx, &I) -> T + Send + Sync + 'static,
) -> Permission<I> {
    Permission::empty().line(Some(action), Some(kind), touches)
}

/// `action` in place of the operation's own name, on `*`.
pub fn as_action_everywhere<I>(action: &'static str) -> Permission<I> {
    Permission::empty().line(Some(action), None, |_, _| Vec::<Touched>::new())
}

/// No permission is asked here, and why: AWS lets everybody call it, or the operation asks for each
/// of its parts.
pub fn not_asked<I>(why: &'static str) -> Permission<I> {
    Permission {
        without: Some(why),
        ..Permission::empty()
    }
}

impl<I> Permission<I> {
    fn empty() -> Self {
        Self {
            lines: Vec::new(),
            passes: Vec::new(),
            key_names: &[],
            keys: None,
            lacking: &[],
            without: None,
        }
    }

    fn line<T: IntoTouched>(
        mut self,
        action: Option<&'static str>,
        kind: Option<&'static str>,
        touches: impl Fn(&Cx, &I) -> T + Send + Sync + 'static,
    ) -> Self {
        self.lines.push(Line {
            action,
            kind,
            touches: Box::new(move |cx, input| touches(cx, input).into_touched()),
        });
        self
    }

    /// The same action on resources of a further type, too; none when the call touches none.
    #[must_use]
    pub fn also<T: IntoTouched>(
        self,
        kind: &'static str,
        touches: impl Fn(&Cx, &I) -> T + Send + Sync + 'static,
    ) -> Self {
        self.line(None, Some(kind), touches)
    }

    /// A further action; not needed when `touches` answers no resource.
    #[must_use]
    pub fn and<T: IntoTouched>(
        self,
        action: &'static str,
        kind: &'static str,
        touches: impl Fn(&Cx, &I) -> T + Send + Sync + 'static,
    ) -> Self {
        self.line(Some(action), Some(kind), touches)
    }

    /// The roles that the call hands over to a service, by name or ARN.
    #[must_use]
    pub fn passing(
        self,
        to: &'static str,
        roles: impl Fn(&I) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.passing_found(to, move |_, input| roles(input))
    }

    /// The same where the roles are those of a record that the call names.
    #[must_use]
    pub fn passing_found(
        mut self,
        to: &'static str,
        roles: impl Fn(&Cx, &I) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.passes.push(Pass {
            to,
            roles: Box::new(roles),
        });
        self
    }

    /// The same where only the operation itself finds the roles, and asks for them
    /// ([`crate::Need::pass_role`]).
    #[must_use]
    pub fn passing_by_itself(self, to: &'static str) -> Self {
        self.passing_found(to, |_, _| Vec::new())
    }

    /// Condition keys of the service that the call supplies: all of `names`, each with a value or
    /// known to be absent. What `keys` leaves out is absent, but for a resource that has the key by
    /// itself ([`Touched::with_key`]). A name that ends in one of the reference's variables
    /// (`…/${name}.value`) is a family: all of it is known.
    #[must_use]
    pub fn supplying(
        mut self,
        names: &'static [&'static str],
        keys: impl Fn(&Cx, &I) -> Vec<ConditionKey> + Send + Sync + 'static,
    ) -> Self {
        self.key_names = names;
        self.keys = Some(Box::new(keys));
        self
    }

    /// Condition keys that AWS has for the actions on other things than those that are here, and of other
    /// actions of the call: those that no resource has by itself are absent.
    #[must_use]
    pub fn lacking(mut self, names: &'static [&'static str]) -> Self {
        self.lacking = names;
        self
    }
}

impl<I: Operation> Permission<I> {
    /// All that this call needs. `prefix` is that of the service's actions. An operation that asks for
    /// each of its parts asks as if each were a call of its own.
    pub fn needs(&self, cx: &Cx, prefix: &str, input: &I) -> Needs {
        let keys = self.keys_of_call(cx, input);
        let mut all = Vec::new();
        for line in &self.lines {
            let action = line.action_of::<I>(prefix);
            if line.kind.is_none() {
                all.push(Need::new(action, None).with_keys(keys.iter().cloned()));
                continue;
            }
            for mut touched in (line.touches)(cx, input) {
                let own = std::mem::take(&mut touched.keys);
                let is_own = |name: &str| (own.iter()).any(|it| it.name.eq_ignore_ascii_case(name));
                let of_call = keys.iter().filter(|it| !is_own(&it.name)).cloned();
                let of_call: Vec<_> = of_call.collect();
                let need = Need::new(action.clone(), Some(touched)).with_keys(own);
                all.push(need.with_keys(of_call));
            }
        }
        // An operation whose own action touches none of its resources is still that action.
        if all.is_empty() && self.without.is_none() {
            let action = self.lines.first().map(|it| it.action_of::<I>(prefix));
            let action = action.unwrap_or_else(|| format!("{prefix}:{}", I::NAME));
            all.push(Need::new(action, None).with_keys(keys));
        }
        for need in &mut all {
            need.lacking = self.lacking;
        }
        for pass in &self.passes {
            for role in (pass.roles)(cx, input).iter().filter(|it| !it.is_empty()) {
                all.push(Need::pass_role(passed(cx, role), pass.to));
            }
        }
        // Most inputs have no tags, whatever they carry (an object, a log): those are not looked through.
        let tags = match I::table().iter().any(|it| tag_member(it.output).is_some()) {
            true => tags_of(&wire::to_json(input)),
            false => Needs::default(),
        };
        Needs { all, ..tags }
    }

    fn keys_of_call(&self, cx: &Cx, input: &I) -> Vec<ConditionKey> {
        let given = self.keys.as_ref().map_or_else(Vec::new, |it| it(cx, input));
        let is_given = |name: &str| given.iter().any(|it| it.name.eq_ignore_ascii_case(name));
        let others = self.key_names.iter().filter(|name| !is_given(name));
        let others = others.map(|name| match name.split_once("${") {
            Some((family, _)) => ConditionKey::whole(family),
            None => ConditionKey::new(*name, None::<String>),
        });
        // Of a family that is known as a whole, what is given comes after.
        others
            .collect::<Vec<_>>()
            .into_iter()
            .chain(given)
            .collect()
    }

    /// For the list of all permissions.
    pub(crate) fn described(&self, prefix: &str) -> Described {
        Described {
            lines: (self.lines.iter())
                .map(|it| (it.action_of::<I>(prefix), it.kind))
                .collect(),
            passes_to: self.passes.iter().map(|it| it.to).collect(),
            keys: self.key_names.to_vec(),
            lacking: self.lacking,
            without: self.without,
        }
    }
}

impl<I> Line<I> {
    fn action_of<O: Operation>(&self, prefix: &str) -> String {
        match self.action {
            Some(action) => action.to_owned(),
            None => format!("{prefix}:{}", O::NAME),
        }
    }
}

/// A [`Permission`] as it can be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Actions, each with the reference's name of its resource type.
    pub lines: Vec<(String, Option<&'static str>)>,
    pub passes_to: Vec<&'static str>,
    pub keys: Vec<&'static str>,
    /// Condition keys that are absent where no resource has them.
    pub lacking: &'static [&'static str],
    pub without: Option<&'static str>,
}

/// The role that a name or an ARN leads to. Of one that is not there, the ARN that it would have.
fn passed(cx: &Cx, role: &str) -> Touched {
    let asked = absent_role_arn(cx.account(), role);
    match cx.find_role(role) {
        // Its path is not told to who gave its name.
        Ok(Some(found)) => Touched::named(found.arn).tagged(found.tags).asked_as(asked),
        Ok(None) => Touched::absent(asked),
        // Nothing is known of its tags.
        Err(_) => Touched::named(asked),
    }
}

/// What a member of an input is for tags.
enum TagMember {
    Tags,
    Specifications,
    Keys,
}

/// The members that have tags, by the names that services have for them.
fn tag_member(name: &str) -> Option<TagMember> {
    let is_one_of = |names: &[&str]| names.iter().any(|it| name.eq_ignore_ascii_case(it));
    if is_one_of(&["tag", "tags", "taglist", "tagset"]) {
        return Some(TagMember::Tags);
    }
    if is_one_of(&[
        "tagspecifications",
        "tagspecification",
        "tagspecificationset",
    ]) {
        return Some(TagMember::Specifications);
    }
    is_one_of(&["tagkeys", "tagkeylist"]).then_some(TagMember::Keys)
}

/// The tags that an input sets, and the keys of those that it sets or removes, in all the forms in
/// which AWS's services take them.
fn tags_of(input: &Json) -> Needs {
    let mut found = Needs::default();
    for (name, value) in input.as_object().into_iter().flatten() {
        match tag_member(name) {
            Some(TagMember::Tags) => found.read_tags(value),
            Some(TagMember::Specifications) => {
                for one in value.as_array().into_iter().flatten() {
                    for (name, value) in one.as_object().into_iter().flatten() {
                        if matches!(
                            name.to_ascii_lowercase().as_str(),
                            "tag" | "tags" | "tagset"
                        ) {
                            found.read_tags(value);
                        }
                    }
                }
            }
            Some(TagMember::Keys) => {
                let removed = value.as_array().into_iter().flatten();
                let removed = removed.filter_map(Json::as_str).map(str::to_owned);
                found.tag_keys.extend(removed);
            }
            None => {}
        }
    }
    found.tag_keys.extend(found.request_tags.keys().cloned());
    found.tag_keys.sort_unstable();
    found.tag_keys.dedup();
    found
}

impl Needs {
    /// `[{"Key": …, "Value": …}]`, or `{key: value}`. A tag to be removed has a key only.
    fn read_tags(&mut self, value: &Json) {
        match value {
            Json::Array(items) => self.read_list(items),
            Json::Object(entries) => self.request_tags.extend(
                (entries.iter())
                    .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))),
            ),
            _ => {}
        }
    }

    fn read_list(&mut self, items: &[Json]) {
        let mut seen = BTreeSet::new();
        for item in items {
            let text = |names: [&str; 3]| {
                let found = names.iter().find_map(|it| item.get(*it));
                found.and_then(Json::as_str).map(str::to_owned)
            };
            let Some(key) = text(["Key", "key", "TagKey"]) else {
                self.tag_keys.extend(item.as_str().map(str::to_owned));
                continue;
            };
            if !seen.insert(key.clone()) {
                self.repeated_tag.get_or_insert(key.clone());
            }
            match text(["Value", "value", "TagValue"]) {
                Some(value) => drop(self.request_tags.insert(key, value)),
                None => self.tag_keys.push(key),
            }
        }
    }
}

/// Decides over calls. The account's owner and the daemon itself are not asked about.
pub trait Authority: Send + Sync {
    /// Whether the caller of `cx` may do all of this. `service` is the signing name, for the form of
    /// the refusal.
    fn check(&self, cx: &Cx, service: &str, needs: &Needs) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(input: Json, tags: &[(&str, &str)], keys: &[&str]) {
        let found = tags_of(&input);
        let found = (found.request_tags, found.tag_keys);
        let tags: TagMap = (tags.iter())
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(
            found,
            (tags, keys.iter().map(|it| (*it).to_owned()).collect()),
            "{input}"
        );
    }

    #[test]
    fn no_request_makes_a_family_of_a_key() {
        let pairs = [("stage", "a"), ("*", "b"), ("Stage", "c")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (family, start) in [("s3:Tag", "s3:Tag/"), ("kms:Context:", "kms:Context:")] {
            let keys = ConditionKey::of_family(family, pairs.clone());
            let families: Vec<_> = keys.iter().filter_map(ConditionKey::family).collect();
            assert_eq!(families, [start]);
            let stage = keys.iter().find(|it| it.name.ends_with("stage")).unwrap();
            assert_eq!(stage.values.as_deref().unwrap(), ["a", "c"]);
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_told() {
        let tags =
            |keys: [&str; 2]| json!({"tags": keys.map(|it| json!({"key": it, "value": "a"}))});
        assert_eq!(tags_of(&tags(["a", "b"])).repeated_tag, None);
        assert_eq!(
            tags_of(&tags(["a", "a"])).repeated_tag.as_deref(),
            Some("a")
        );
    }

    #[test]
    fn tags_of_requests_are_read_in_every_form() {
        let team = [("team", "a")];
        check(
            json!({"tags": [{"key": "team", "value": "a"}]}),
            &team,
            &["team"],
        );
        check(
            json!({"Tags": [{"Key": "team", "Value": "a"}]}),
            &team,
            &["team"],
        );
        check(json!({"tags": {"team": "a"}}), &team, &["team"]);
        let of_vpc = json!({"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "team", "Value": "a"}]}]});
        check(of_vpc, &team, &["team"]);
        // EC2's names of members, which are those of its requests.
        let of_vpc = json!({"TagSpecification": [{"ResourceType": "vpc", "Tag": [{"key": "team", "value": "a"}]}]});
        check(of_vpc, &team, &["team"]);
        let of_tags = json!({"ResourceId": ["vpc-1"], "Tag": [{"Key": "team", "Value": "a"}]});
        check(of_tags, &team, &["team"]);
        check(json!({"Tag": [{"key": "team"}]}), &[], &["team"]);
        check(json!({"TagKeys": ["x", "team"]}), &[], &["team", "x"]);
        check(json!({"clusterName": "a"}), &[], &[]);
    }
}
