//! The condition keys of calls ("AWS CodeBuild condition keys", CodeBuild User Guide). Each is called as a
//! member of the request is, by its path: `codebuild:source.location`. A member that holds others is told as
//! `true` where it is there, and so is a buildspec, whose text is nobody's condition. Of lists, the values of
//! all are told, and under their names those of each: `codebuild:secondarySources/${sourceIdentifier}.location`.

use std::sync::LazyLock;

use cloud::{ConditionKey, Cx};
use serde_json::{Map, Value as Json, json};
use shapes::codebuild::{ImportSourceCredentialsInput, StartBuildInput};

/// Of making and changing a project.
pub const PROJECT: &[&str] = &[
    "codebuild:artifacts",
    "codebuild:artifacts.bucketOwnerAccess",
    "codebuild:artifacts.encryptionDisabled",
    "codebuild:artifacts.location",
    "codebuild:autoRetryLimit",
    "codebuild:buildBatchConfig",
    "codebuild:buildBatchConfig.restrictions.computeTypesAllowed",
    "codebuild:buildBatchConfig.restrictions.fleetsAllowed",
    "codebuild:buildBatchConfig.serviceRole",
    "codebuild:cache",
    "codebuild:cache.location",
    "codebuild:cache.modes",
    "codebuild:cache.type",
    "codebuild:concurrentBuildLimit",
    "codebuild:encryptionKey",
    "codebuild:environment",
    "codebuild:environment.certificate",
    "codebuild:environment.computeConfiguration",
    "codebuild:environment.computeConfiguration.disk",
    "codebuild:environment.computeConfiguration.instanceType",
    "codebuild:environment.computeConfiguration.machineType",
    "codebuild:environment.computeConfiguration.memory",
    "codebuild:environment.computeConfiguration.vCpu",
    "codebuild:environment.computeType",
    "codebuild:environment.environmentVariables",
    "codebuild:environment.environmentVariables.name",
    "codebuild:environment.environmentVariables.value",
    "codebuild:environment.environmentVariables/${name}.value",
    "codebuild:environment.fleet.fleetArn",
    "codebuild:environment.image",
    "codebuild:environment.imagePullCredentialsType",
    "codebuild:environment.privilegedMode",
    "codebuild:environment.registryCredential",
    "codebuild:environment.registryCredential.credential",
    "codebuild:environment.registryCredential.credentialProvider",
    "codebuild:environment.type",
    "codebuild:fileSystemLocations.identifier",
    "codebuild:fileSystemLocations.location",
    "codebuild:fileSystemLocations.type",
    "codebuild:fileSystemLocations/${identifier}.location",
    "codebuild:fileSystemLocations/${identifier}.type",
    "codebuild:logsConfig",
    "codebuild:logsConfig.s3Logs",
    "codebuild:logsConfig.s3Logs.bucketOwnerAccess",
    "codebuild:logsConfig.s3Logs.encryptionDisabled",
    "codebuild:logsConfig.s3Logs.location",
    "codebuild:logsConfig.s3Logs.status",
    "codebuild:secondaryArtifacts",
    "codebuild:secondaryArtifacts.artifactIdentifier",
    "codebuild:secondaryArtifacts.bucketOwnerAccess",
    "codebuild:secondaryArtifacts.encryptionDisabled",
    "codebuild:secondaryArtifacts.location",
    "codebuild:secondaryArtifacts/${artifactIdentifier}.bucketOwnerAccess",
    "codebuild:secondaryArtifacts/${artifactIdentifier}.encryptionDisabled",
    "codebuild:secondaryArtifacts/${artifactIdentifier}.location",
    "codebuild:secondarySources",
    "codebuild:secondarySources.auth.resource",
    "codebuild:secondarySources.auth.type",
    "codebuild:secondarySources.buildStatusConfig.context",
    "codebuild:secondarySources.buildStatusConfig.targetUrl",
    "codebuild:secondarySources.buildspec",
    "codebuild:secondarySources.insecureSsl",
    "codebuild:secondarySources.location",
    "codebuild:secondarySources.sourceIdentifier",
    "codebuild:secondarySources/${sourceIdentifier}.auth.resource",
    "codebuild:secondarySources/${sourceIdentifier}.auth.type",
    "codebuild:secondarySources/${sourceIdentifier}.buildStatusConfig.context",
    "codebuild:secondarySources/${sourceIdentifier}.buildStatusConfig.targetUrl",
    "codebuild:secondarySources/${sourceIdentifier}.buildspec",
    "codebuild:secondarySources/${sourceIdentifier}.insecureSsl",
    "codebuild:secondarySources/${sourceIdentifier}.location",
    "codebuild:serviceRole",
    "codebuild:source",
    "codebuild:source.auth.resource",
    "codebuild:source.auth.type",
    "codebuild:source.buildStatusConfig.context",
    "codebuild:source.buildStatusConfig.targetUrl",
    "codebuild:source.buildspec",
    "codebuild:source.insecureSsl",
    "codebuild:source.location",
    "codebuild:vpcConfig",
    "codebuild:vpcConfig.securityGroupIds",
    "codebuild:vpcConfig.subnets",
    "codebuild:vpcConfig.vpcId",
];

/// Of starting a build: those of what it may override of its project.
pub static BUILD: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let is_of_build = |name: &&str| !OF_PROJECTS_ALONE.iter().any(|it| name.starts_with(it));
    PROJECT.iter().copied().filter(is_of_build).collect()
});

/// What keys begin with that a build has none of.
const OF_PROJECTS_ALONE: &[&str] = &[
    "codebuild:buildBatchConfig",
    "codebuild:concurrentBuildLimit",
    "codebuild:environment.computeConfiguration",
    "codebuild:fileSystemLocations",
    "codebuild:vpcConfig",
];

/// Of making and changing a report group.
pub const REPORT_GROUP: &[&str] = &[
    "codebuild:exportConfig.s3Destination.bucket",
    "codebuild:exportConfig.s3Destination.bucketOwner",
    "codebuild:exportConfig.s3Destination.encryptionDisabled",
    "codebuild:exportConfig.s3Destination.encryptionKey",
    "codebuild:exportConfig.s3Destination.path",
];

/// Of the import of a credential.
pub const CREDENTIAL: &[&str] = &[
    "codebuild:authType",
    "codebuild:serverType",
    "codebuild:shouldOverwrite",
    "codebuild:token",
    "codebuild:username",
];

/// Of an input whose members are called as the keys are.
pub fn of_members<I: wire::Operation>(
    names: &'static [&'static str],
) -> impl Fn(&Cx, &I) -> Vec<ConditionKey> {
    move |_, input| of_tree(&wire::to_json(input), names)
}

/// Of what a build overrides, as if it were a project of that alone.
pub fn of_build(_: &Cx, input: &StartBuildInput) -> Vec<ConditionKey> {
    let input = wire::to_json(input);
    let mut project = Json::Object(Map::new());
    for (path, member) in OVERRIDES {
        if let Some(value) = input.get(member).filter(|it| !it.is_null()) {
            put(&mut project, path, value.clone());
        }
    }
    of_tree(&project, &BUILD)
}

/// What stands for which part of the project.
const OVERRIDES: &[(&str, &str)] = &[
    ("artifacts", "artifactsOverride"),
    ("autoRetryLimit", "autoRetryLimitOverride"),
    ("cache", "cacheOverride"),
    ("encryptionKey", "encryptionKeyOverride"),
    ("environment.certificate", "certificateOverride"),
    ("environment.computeType", "computeTypeOverride"),
    (
        "environment.environmentVariables",
        "environmentVariablesOverride",
    ),
    ("environment.fleet", "fleetOverride"),
    ("environment.image", "imageOverride"),
    (
        "environment.imagePullCredentialsType",
        "imagePullCredentialsTypeOverride",
    ),
    ("environment.privilegedMode", "privilegedModeOverride"),
    (
        "environment.registryCredential",
        "registryCredentialOverride",
    ),
    ("environment.type", "environmentTypeOverride"),
    ("logsConfig", "logsConfigOverride"),
    ("secondaryArtifacts", "secondaryArtifactsOverride"),
    ("secondarySources", "secondarySourcesOverride"),
    ("serviceRole", "serviceRoleOverride"),
    ("source.auth", "sourceAuthOverride"),
    ("source.buildStatusConfig", "buildStatusConfigOverride"),
    ("source.buildspec", "buildspecOverride"),
    ("source.insecureSsl", "insecureSslOverride"),
    ("source.location", "sourceLocationOverride"),
    ("source.type", "sourceTypeOverride"),
];

fn put(tree: &mut Json, path: &str, value: Json) {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let Some(members) = tree.as_object_mut() else {
        return;
    };
    match rest {
        None => drop(members.insert(name.to_owned(), value)),
        Some(rest) => put(
            members.entry(name).or_insert_with(|| json!({})),
            rest,
            value,
        ),
    }
}

pub fn of_credential(_: &Cx, it: &ImportSourceCredentialsInput) -> Vec<ConditionKey> {
    let overwrite = it.should_overwrite.unwrap_or(true);
    vec![
        ConditionKey::new("codebuild:authType", Some(it.auth_type.as_str())),
        ConditionKey::new("codebuild:serverType", Some(it.server_type.as_str())),
        ConditionKey::new("codebuild:shouldOverwrite", Some(overwrite)),
        ConditionKey::new("codebuild:token", Some(&it.token)),
        ConditionKey::new("codebuild:username", it.username.as_ref()),
    ]
}

const PREFIX: &str = "codebuild:";

/// What a tree has of these keys, with those that are told apart by a name in it.
fn of_tree(tree: &Json, names: &[&'static str]) -> Vec<ConditionKey> {
    let mut keys = Vec::new();
    let mut families: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    for name in names {
        let path = name.strip_prefix(PREFIX).unwrap_or(name);
        let Some((list, (id, member))) = path.split_once("/${").and_then(|(list, rest)| {
            let (id, member) = rest.split_once("}.")?;
            Some((list, (id, member)))
        }) else {
            keys.push(ConditionKey::of_many(*name, values(tree, path)));
            continue;
        };
        let of_each = named(tree, list, id, member);
        match families.iter_mut().find(|it| it.0 == list) {
            Some(family) => family.1.extend(of_each),
            None => families.push((list, of_each)),
        }
    }
    for (list, entries) in families {
        keys.extend(ConditionKey::of_family(&format!("{PREFIX}{list}"), entries));
    }
    keys
}

/// The values of a member of each thing in a list, by `<what the thing is called>.<member>`.
fn named(tree: &Json, list: &str, id: &str, member: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for things in found(tree, list) {
        for thing in things.as_array().into_iter().flatten() {
            let Some(called) = thing.get(id).and_then(Json::as_str) else {
                continue;
            };
            let values = values(thing, member).into_iter();
            all.extend(values.map(|it| (format!("{called}.{member}"), it)));
        }
    }
    all
}

/// What is at the end of a path, through all members of lists on the way.
fn found<'a>(tree: &'a Json, path: &str) -> Vec<&'a Json> {
    let mut at = vec![tree];
    for name in path.split('.') {
        let through = at.into_iter().flat_map(|it| match it {
            Json::Array(items) => items.iter().collect(),
            one => vec![one],
        });
        at = through.filter_map(|it| it.get(name)).collect();
    }
    at.retain(|it| !it.is_null());
    at
}

fn values(tree: &Json, path: &str) -> Vec<String> {
    let all = found(tree, path);
    let holds_others = |it: &&Json| match it {
        Json::Object(_) => true,
        Json::Array(items) => items.is_empty() || items.iter().any(Json::is_object),
        _ => false,
    };
    let is_text_of_its_own = path.ends_with("buildspec");
    if all.iter().any(holds_others) || (is_text_of_its_own && !all.is_empty()) {
        return vec!["true".to_owned()];
    }
    let scalars = all.into_iter().flat_map(|it| match it {
        Json::Array(items) => items.iter().collect(),
        one => vec![one],
    });
    scalars.filter_map(text).collect()
}

fn text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[ConditionKey], name: &str, expected: Option<&[&str]>) {
        let found = keys
            .iter()
            .rev()
            .find(|it| it.name.eq_ignore_ascii_case(name));
        let found = found.and_then(|it| it.values.clone());
        let expected = expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn members_are_told_by_their_paths_and_by_their_names() {
        let tree = json!({
            "serviceRole": "r",
            "source": {"type": "S3", "location": "b/k", "buildspec": "version: 0.2"},
            "secondarySources": [
                {"sourceIdentifier": "a", "location": "x", "buildspec": ""},
                {"sourceIdentifier": "b", "location": "y", "auth": {"type": "OAUTH"}},
            ],
            "environment": {
                "privilegedMode": false,
                "environmentVariables": [
                    {"name": "MODE", "value": "live"},
                    {"name": "mode", "value": "test"},
                    {"name": "*", "value": "star"},
                ],
            },
            "vpcConfig": {"subnets": ["s1", "s2"]},
            "secondaryArtifacts": [],
        });
        let keys = of_tree(&tree, PROJECT);
        let check = |name: &str, expected: Option<&[&str]>| check(&keys, name, expected);
        check("codebuild:serviceRole", Some(&["r"]));
        check("codebuild:source", Some(&["true"]));
        check("codebuild:source.location", Some(&["b/k"]));
        check("codebuild:source.buildspec", Some(&["true"]));
        check("codebuild:source.auth.type", None);
        check("codebuild:secondarySources", Some(&["true"]));
        check("codebuild:secondarySources.location", Some(&["x", "y"]));
        check("codebuild:secondarySources.auth.type", Some(&["OAUTH"]));
        check("codebuild:secondarySources/a.location", Some(&["x"]));
        check("codebuild:secondarySources/b.auth.type", Some(&["OAUTH"]));
        check("codebuild:secondarySources/a.buildspec", Some(&["true"]));
        check("codebuild:secondaryArtifacts", Some(&["true"]));
        check("codebuild:secondaryArtifacts.location", None);
        check("codebuild:environment.privilegedMode", Some(&["false"]));
        check(
            "codebuild:environment.environmentVariables",
            Some(&["true"]),
        );
        // Which of two is meant, nobody can tell: both are there.
        let of_mode = "codebuild:environment.environmentVariables/MODE.value";
        check(of_mode, Some(&["live", "test"]));
        check(
            "codebuild:environment.environmentVariables/*.value",
            Some(&["star"]),
        );
        check("codebuild:vpcConfig", Some(&["true"]));
        check("codebuild:vpcConfig.subnets", Some(&["s1", "s2"]));
        check("codebuild:cache", None);
    }

    #[test]
    fn every_override_is_a_member_of_the_input_and_has_its_key() {
        let taken = <StartBuildInput as wire::Shape>::table();
        let refused = <StartBuildInput as wire::Shape>::unbuilt();
        let members: Vec<_> = (taken.iter().map(|it| it.output))
            .chain(refused.iter().map(|it| it.output))
            .collect();
        for (path, member) in OVERRIDES {
            assert!(members.contains(member), "{member}");
            let mut project = json!({});
            put(&mut project, path, json!("x"));
            assert_ne!(project, json!({}), "{path}");
        }
        for name in BUILD.iter() {
            let path = name.strip_prefix(PREFIX).unwrap();
            let is_of = |it: &&(&str, &str)| {
                let whole = path.starts_with(it.0) || it.0.starts_with(path);
                whole && !path.is_empty()
            };
            assert!(
                OVERRIDES.iter().any(|it| is_of(&it)),
                "nothing gives {name}"
            );
        }
    }
}
