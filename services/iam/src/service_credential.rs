//! Service-specific credentials: a user name and password that a user's Git client shows to
//! CodeCommit. Of the password only a digest is kept: AWS, too, tells it once.

use cloud::{Caller, Cloud, Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::iam::*;

use crate::credentials::{Secret, is_user, new_secret};
use crate::grants::Holder;
use crate::names::{key, limit, new_id, no_such, page, timestamp};
use crate::user::{UserRecord, name_or_caller};

pub const SERVICE: &str = "codecommit.amazonaws.com";
/// AWS's quota for a user and a service.
const CREDENTIALS_MAX: usize = 2;
/// The length of AWS's passwords for Git.
const PASSWORD_LENGTH: usize = 44;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceCredential {
    pub id: String,
    /// What the client shows as its user.
    pub service_user: String,
    /// SHA-256 of the password, in hexadecimal. The password is 264 random bits: nothing is gained
    /// by a slower hash.
    pub password_sha256: String,
    pub user: String,
    pub user_id: String,
    pub user_arn: String,
    pub active: bool,
    pub created_ms: i64,
}

impl Record for ServiceCredential {
    const KIND: &'static str = "iam.service-credential";
    fn key(&self) -> String {
        key(&self.id)
    }
}

fn digest(password: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, password.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect()
}

/// Whose a user name and password for CodeCommit are.
pub fn find_git_login(cloud: &Cloud, service_user: &str, password: &str) -> Option<Caller> {
    let shown = digest(password);
    let found = cloud.store.read(|tx| {
        let all = tx.readable::<ServiceCredential>(&key(""))?;
        let Some(found) = all.into_iter().find(|it| it.service_user == service_user) else {
            return Ok(None);
        };
        // The password of a user that is gone is not that of the next one of its name.
        let is_there = is_user(tx, &found.user_arn, &found.user_id)?;
        Ok::<_, cloud::StoreError>(is_there.then_some(found))
    });
    let found = found.ok()??;
    let right = found.active && found.password_sha256 == shown;
    right.then_some(Caller::User {
        arn: found.user_arn,
        id: found.user_id,
        access_key: found.id,
    })
}

impl ServiceCredential {
    fn status(&self) -> StatusType {
        match self.active {
            true => StatusType::Active,
            false => StatusType::Inactive,
        }
    }

    fn shown(&self, password: Secret) -> ServiceSpecificCredential {
        ServiceSpecificCredential {
            create_date: timestamp(self.created_ms),
            service_name: SERVICE.to_owned(),
            service_user_name: Some(self.service_user.clone()),
            service_password: Some(password.0),
            service_specific_credential_id: self.id.clone(),
            user_name: self.user.clone(),
            status: self.status(),
            ..Default::default()
        }
    }

    fn metadata(&self) -> ServiceSpecificCredentialMetadata {
        ServiceSpecificCredentialMetadata {
            user_name: self.user.clone(),
            status: self.status(),
            service_user_name: Some(self.service_user.clone()),
            create_date: timestamp(self.created_ms),
            service_specific_credential_id: self.id.clone(),
            service_name: SERVICE.to_owned(),
            ..Default::default()
        }
    }
}

/// Those of a user, by id.
pub fn credentials_of(tx: &Records<'_>, user: &str) -> Result<Vec<ServiceCredential>, Error> {
    let mut all = tx.list::<ServiceCredential>(&key(""))?;
    all.retain(|it| it.user == user);
    Ok(all)
}

fn check_service(name: &str) -> Result<(), Error> {
    match name {
        SERVICE => Ok(()),
        other => Err(no_such(format!(
            "No such service {other} is supported for Service Specific Credentials"
        ))),
    }
}

pub async fn create_service_specific_credential(
    cx: Cx,
    input: CreateServiceSpecificCredentialInput,
) -> Result<CreateServiceSpecificCredentialOutput, Error> {
    cx.read(|tx| UserRecord::find(tx, &input.user_name))?;
    check_service(&input.service_name)?;
    let password = new_secret(PASSWORD_LENGTH)?;
    cx.write(|tx| {
        let user = UserRecord::find(tx, &input.user_name)?;
        let there = credentials_of(tx, &user.name)?;
        if there.len() >= CREDENTIALS_MAX {
            return Err(limit("ServiceSpecificCredentialsPerUser", CREDENTIALS_MAX));
        }
        let name = |number: usize| match number {
            0 => format!("{}-at-{}", user.name, cx.account()),
            number => format!("{}+{number}-at-{}", user.name, cx.account()),
        };
        let free = (0..CREDENTIALS_MAX)
            .map(name)
            .find(|name| there.iter().all(|it| it.service_user != *name));
        let record = ServiceCredential {
            id: new_id(&cx, "ACCA"),
            service_user: free.unwrap_or_else(|| name(there.len())),
            password_sha256: digest(&password.0),
            user_arn: user.arn(),
            user: user.name,
            user_id: user.id,
            active: true,
            created_ms: cx.clock().now_ms(),
        };
        tx.put(&record)?;
        Ok(CreateServiceSpecificCredentialOutput {
            service_specific_credential: Some(record.shown(password)),
        })
    })
}

pub async fn list_service_specific_credentials(
    cx: Cx,
    input: ListServiceSpecificCredentialsInput,
) -> Result<ListServiceSpecificCredentialsOutput, Error> {
    if let Some(service) = &input.service_name {
        check_service(service)?;
    }
    let all = if input.all_users == Some(true) {
        cx.read(|tx| tx.list::<ServiceCredential>(&key("")))?
    } else {
        let name = name_or_caller(&cx, input.user_name)?;
        cx.read(|tx| {
            UserRecord::find(tx, &name)?;
            credentials_of(tx, &name)
        })?
    };
    let page = page(all, |it| &it.id, input.marker.as_deref(), input.max_items)?;
    Ok(ListServiceSpecificCredentialsOutput {
        service_specific_credentials: Some(
            page.items.iter().map(ServiceCredential::metadata).collect(),
        ),
        marker: page.marker,
        is_truncated: page.is_truncated,
    })
}

fn find(tx: &Records<'_>, user: &str, id: &str) -> Result<ServiceCredential, Error> {
    UserRecord::find(tx, user)?;
    let found: Option<ServiceCredential> = tx.get(&key(id))?;
    (found.filter(|it| it.user == user))
        .ok_or_else(|| no_such(format!("No such credential {id} exists")))
}

pub async fn update_service_specific_credential(
    cx: Cx,
    input: UpdateServiceSpecificCredentialInput,
) -> Result<UpdateServiceSpecificCredentialOutput, Error> {
    let name = name_or_caller(&cx, input.user_name)?;
    cx.write(|tx| {
        let mut found = find(tx, &name, &input.service_specific_credential_id)?;
        found.active = input.status == StatusType::Active;
        tx.put(&found)?;
        Ok(UpdateServiceSpecificCredentialOutput {})
    })
}

pub async fn reset_service_specific_credential(
    cx: Cx,
    input: ResetServiceSpecificCredentialInput,
) -> Result<ResetServiceSpecificCredentialOutput, Error> {
    let name = name_or_caller(&cx, input.user_name)?;
    let password = new_secret(PASSWORD_LENGTH)?;
    cx.write(|tx| {
        let mut found = find(tx, &name, &input.service_specific_credential_id)?;
        found.password_sha256 = digest(&password.0);
        tx.put(&found)?;
        Ok(ResetServiceSpecificCredentialOutput {
            service_specific_credential: Some(found.shown(password)),
        })
    })
}

pub async fn delete_service_specific_credential(
    cx: Cx,
    input: DeleteServiceSpecificCredentialInput,
) -> Result<DeleteServiceSpecificCredentialOutput, Error> {
    let name = name_or_caller(&cx, input.user_name)?;
    cx.write(|tx| {
        let found = find(tx, &name, &input.service_specific_credential_id)?;
        tx.delete::<ServiceCredential>(&found.key())?;
        Ok(DeleteServiceSpecificCredentialOutput {})
    })
}
