//! The keys that AWS manages: each is made when its predefined alias is first asked for, belongs to the
//! account, and is used by way of its service alone.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record};

use crate::alias;
use crate::key::{self, NewKey};
use crate::record::AliasRecord;

/// What predefined aliases begin with; nobody else may make one.
pub const PREDEFINED: &str = "alias/aws/";

/// Services that have a key, by what stands behind `alias/aws/`, the name of their endpoint, and what the
/// key's description says of it (KMS Developer Guide, "AWS managed keys").
const SERVICES: &[(&str, &str, &str)] = &[
    ("codecommit", "codecommit", "CodeCommit repositories"),
    ("ebs", "ec2", "EBS volumes"),
    ("ecr", "ecr", "ECR repositories"),
    ("elasticfilesystem", "elasticfilesystem", "EFS filesystems"),
    ("s3", "s3", "S3 objects"),
    (
        "secretsmanager",
        "secretsmanager",
        "Secrets Manager secrets",
    ),
    ("ssm", "ssm", "SSM parameters"),
];

/// The aliases that AWS predefines in every account.
pub fn predefined() -> impl Iterator<Item = String> {
    (SERVICES.iter()).map(|it| format!("{PREDEFINED}{}", it.0))
}

/// Services that act on keys for who asks them, as `kms:ViaService` tells.
const ACTING: &[&str] = &["codebuild", "codepipeline", "logs"];

/// Whether `kms:ViaService` names a service, by the name of its endpoint.
pub fn is_via(service: &str) -> bool {
    ACTING.contains(&service) || SERVICES.iter().any(|it| it.1 == service)
}

/// The id of a managed key: the same before it is made and after.
fn id_of(cx: &Cx, alias: &str) -> String {
    let owner = format!("{}/{}", cx.account(), cx.region);
    cloud::uuid(&cloud::token_hex(&owner, alias, 32))
}

fn new(cx: &Cx, alias: &str) -> Option<NewKey> {
    let service = alias.strip_prefix(PREDEFINED)?;
    let (name, endpoint, what) = SERVICES.iter().find(|it| it.0 == service)?;
    let via = format!("{endpoint}.{}.amazonaws.com", cx.region);
    let account = cx.account();
    let what = format!("my {what}");
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Id": format!("auto-{name}-2"),
        "Statement": [{
            "Sid": format!("Allow access through {name} for all principals in the account that are authorized to use {name}"),
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:ViaService": via, "kms:CallerAccount": account}},
        }, {
            "Sid": "Allow direct access to key metadata to the account",
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
            "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
            "Resource": "*",
        }],
    });
    Some(NewKey {
        id: id_of(cx, alias),
        description: format!("Default key that protects {what} when no other key is defined"),
        policy: policy.to_string(),
        tags: BTreeMap::new(),
        managed_as: Some(alias.to_owned()),
    })
}

/// The policy of the key that a predefined alias stands for, and the key's id, whether it is made by now
/// or not. None: AWS predefines no such alias.
pub fn promised(cx: &Cx, alias: &str) -> Option<(String, String)> {
    new(cx, alias).map(|it| (it.id, it.policy))
}

/// Makes the key of a predefined alias, where AWS has one and it is not there.
pub fn make(cx: &Cx, alias: &str) -> Result<(), Error> {
    let Some(new) = new(cx, alias) else {
        return Ok(());
    };
    let key = cx.key(alias);
    if cx.read(|tx| tx.get::<AliasRecord>(&key))?.is_some() {
        return Ok(());
    }
    cx.write(|tx| {
        let mut made = key::make(cx, tx, new)?;
        made.rotation = Some(crate::rotation::yearly(made.created_ms));
        let named: AliasRecord = alias::new(cx, alias, &made);
        debug_assert_eq!(named.key(), key);
        made.aliases.insert(named.name.clone());
        tx.put(&named)?;
        tx.put(&made)
    })
}
