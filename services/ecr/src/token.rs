//! The registry's passwords: they name who asked for them and their own end, and are signed with a secret
//! of this account, so that nothing is stored per token and every token ends at its time. It ends before
//! with the key that asked for it: whoever takes a token for its holder looks the key up again.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cloud::{Caller, Cloud, Cx, Error, Record};
use engine::Digest;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use shapes::ecr::{
    AuthorizationData, GetAuthorizationTokenInput, GetAuthorizationTokenOutput, errors,
};

use crate::names::registry_host;

/// How long AWS lets a token live.
const LIFETIME_MS: i64 = 12 * 60 * 60 * 1000;
/// How long AWS lets an address of a layer live.
const LAYER_LIFETIME_MS: i64 = 60 * 60 * 1000;
const SECRET_KEY: &str = "global/registry";
const SECRET_BYTES: usize = 32;

/// What the owner's tokens name in place of a key; no key's id is written in small letters.
const OWNER: &str = "owner";

/// Who asked for a token, and so whose permissions it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenHolder {
    /// The account's owner, with its own key.
    Owner,
    /// Whoever has this access key, of a user or of a session.
    Key(String),
}

/// What tokens are signed with.
#[derive(Serialize, Deserialize)]
struct Secret {
    bytes: Vec<u8>,
}

impl Record for Secret {
    const KIND: &'static str = "ecr.secret";
    fn key(&self) -> String {
        SECRET_KEY.to_owned()
    }
}

pub async fn get_authorization_token(
    cx: Cx,
    input: GetAuthorizationTokenInput,
) -> Result<GetAuthorizationTokenOutput, Error> {
    for registry in input.registry_ids.iter().flatten() {
        if registry != cx.account() {
            return Err(errors::InvalidParameterException.because(format!(
                "registry `{registry}` belongs to another account, and neargate has this one only"
            )));
        }
    }
    let holder = holder_of(&cx.caller)?;
    let secret = secret(&cx)?;
    let expires_ms = cx.clock().now_ms() + LIFETIME_MS;
    let password = sign(&secret, expires_ms, &holder);
    Ok(GetAuthorizationTokenOutput {
        authorization_data: Some(vec![AuthorizationData {
            authorization_token: Some(STANDARD.encode(format!("AWS:{password}"))),
            expires_at: Some(wire::Timestamp(expires_ms as f64 / 1000.0)),
            proxy_endpoint: Some(format!("https://{}", registry_host(&cx))),
        }]),
    })
}

/// A token stands for a key that may be taken away. A service has none.
fn holder_of(caller: &Caller) -> Result<TokenHolder, Error> {
    match caller {
        Caller::Root(_) => Ok(TokenHolder::Owner),
        Caller::RootSession { access_key }
        | Caller::User { access_key, .. }
        | Caller::AssumedRole { access_key, .. }
            if !access_key.is_empty() =>
        {
            Ok(TokenHolder::Key(access_key.clone()))
        }
        _ => Err(wire::codes::AccessDeniedException
            .because("a token of the registry is for who signs with a key of its own")),
    }
}

/// Who asked for `token`, the password that came with the user `AWS`, if it was made here and has not
/// ended. Whether its holder's key still counts is for whoever knows keys.
pub fn token_holder(cloud: &Cloud, token: &str) -> Option<TokenHolder> {
    let secret = cloud.store.read(|tx| tx.get::<Secret>(SECRET_KEY));
    let (expires_ms, holder) = verified(&secret.ok()??, token)?;
    (cloud.clock.now_ms() < expires_ms).then_some(holder)
}

/// Shown for one layer of one repository, in the region of the request: `<region>.<token>`.
pub fn for_layer(cx: &Cx, repository: &str, digest: &Digest) -> Result<String, Error> {
    let holder = holder_of(&cx.caller)?;
    let secret = secret(cx)?.of_layer(&cx.region, repository, digest);
    let expires_ms = cx.clock().now_ms() + LAYER_LIFETIME_MS;
    let token = sign(&secret, expires_ms, &holder);
    Ok(format!("{}.{token}", cx.region))
}

/// The region and the holder of what was shown for this layer, if it was made here and has not ended.
pub fn layer_holder(
    cloud: &Cloud,
    shown: &str,
    repository: &str,
    digest: &Digest,
) -> Option<(String, TokenHolder)> {
    let (region, token) = shown.split_once('.')?;
    let secret = cloud.store.read(|tx| tx.get::<Secret>(SECRET_KEY));
    let secret = secret.ok()??.of_layer(region, repository, digest);
    let (expires_ms, holder) = verified(&secret, token)?;
    (cloud.clock.now_ms() < expires_ms).then(|| (region.to_owned(), holder))
}

impl Secret {
    /// Another secret, which signs for this layer and nothing else: no token opens a layer, and what opens
    /// a layer is no token.
    fn of_layer(&self, region: &str, repository: &str, digest: &Digest) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.bytes);
        let place = format!("layer\n{region}\n{repository}\n{digest}");
        Self {
            bytes: hmac::sign(&key, place.as_bytes()).as_ref().to_vec(),
        }
    }
}

/// The account's secret, made when it is first needed.
fn secret(cx: &Cx) -> Result<Secret, Error> {
    cx.write(|tx| {
        if let Some(secret) = tx.get::<Secret>(SECRET_KEY)? {
            return Ok(secret);
        }
        let mut bytes = vec![0; SECRET_BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| errors::ServerException.because("the machine gives no random numbers"))?;
        let secret = Secret { bytes };
        tx.put(&secret)?;
        Ok(secret)
    })
}

/// `<end>.<holder>.<signature>`.
fn sign(secret: &Secret, expires_ms: i64, holder: &TokenHolder) -> String {
    let holder = match holder {
        TokenHolder::Owner => OWNER,
        TokenHolder::Key(id) => id,
    };
    let claims = format!("{expires_ms}.{holder}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.bytes);
    let signature = hmac::sign(&key, claims.as_bytes());
    format!("{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The end and the holder of a token that was signed with this secret.
fn verified(secret: &Secret, token: &str) -> Option<(i64, TokenHolder)> {
    let (claims, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.bytes);
    hmac::verify(&key, claims.as_bytes(), &signature).ok()?;
    let (end, holder) = claims.split_once('.')?;
    let holder = match holder {
        OWNER => TokenHolder::Owner,
        id => TokenHolder::Key(id.to_owned()),
    };
    Some((end.parse().ok()?, holder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_with_its_own_secret_and_unchanged_only() {
        let secret = Secret {
            bytes: vec![7; SECRET_BYTES],
        };
        let other = Secret {
            bytes: vec![8; SECRET_BYTES],
        };
        let holder = TokenHolder::Key("AKIAANN".to_owned());
        let token = sign(&secret, 1234, &holder);
        assert_eq!(verified(&secret, &token), Some((1234, holder)));
        assert_eq!(verified(&other, &token), None);
        let signature = token.rsplit_once('.').unwrap().1;
        for forged in [
            token.replacen("1234", "9234", 1),
            token.replacen("AKIAANN", "AKIABOB", 1),
            token.replacen("AKIAANN", OWNER, 1),
            // As tokens once were.
            format!("1234.{signature}"),
            token[..token.len() - 2].to_owned(),
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "1234".to_owned(),
        ] {
            assert_eq!(verified(&secret, &forged), None, "{forged}");
        }
        let token = sign(&secret, 1, &TokenHolder::Owner);
        assert_eq!(verified(&secret, &token), Some((1, TokenHolder::Owner)));
    }

    #[test]
    fn what_opens_a_layer_opens_nothing_else() {
        let secret = Secret {
            bytes: vec![7; SECRET_BYTES],
        };
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64)).parse().unwrap();
        let (one, other): (Digest, Digest) = (digest("1"), digest("2"));
        let of_one = secret.of_layer("us-east-1", "web", &one);
        let shown = sign(&of_one, 1234, &TokenHolder::Owner);
        assert_eq!(verified(&of_one, &shown), Some((1234, TokenHolder::Owner)));
        for others in [
            secret.of_layer("us-east-1", "web", &other),
            secret.of_layer("us-east-1", "db", &one),
            secret.of_layer("eu-west-1", "web", &one),
        ] {
            assert_eq!(verified(&others, &shown), None);
        }
        assert_eq!(verified(&secret, &shown), None);
        let token = sign(&secret, 1234, &TokenHolder::Owner);
        assert_eq!(verified(&of_one, &token), None);
    }

    #[test]
    fn who_has_no_key_gets_no_token() {
        for nobody in [
            Caller::Daemon,
            Caller::Anonymous,
            Caller::Service("ecs.amazonaws.com"),
        ] {
            assert!(holder_of(&nobody).is_err());
        }
        let role = |access_key: &str| Caller::AssumedRole {
            role_arn: "arn:aws:iam::000000000000:role/a".into(),
            role_id: None,
            session_name: "a".into(),
            access_key: access_key.into(),
        };
        assert!(holder_of(&role("")).is_err());
        let key = TokenHolder::Key("ASIAROLE".into());
        assert_eq!(holder_of(&role("ASIAROLE")).unwrap(), key);
    }
}
