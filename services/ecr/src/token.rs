//! The registry's passwords: they carry their own end and are signed with a secret of this account,
//! so that nothing is stored per token and every token ends at its time.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cloud::{Cloud, Cx, Error, Record};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use shapes::ecr::{
    AuthorizationData, GetAuthorizationTokenInput, GetAuthorizationTokenOutput, errors,
};

use crate::names::registry_host;

/// How long AWS lets a token live.
const LIFETIME_MS: i64 = 12 * 60 * 60 * 1000;
const SECRET_KEY: &str = "global/registry";
const SECRET_BYTES: usize = 32;

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
    let secret = secret(&cx)?;
    let expires_ms = cx.clock().now_ms() + LIFETIME_MS;
    let password = sign(&secret, expires_ms);
    Ok(GetAuthorizationTokenOutput {
        authorization_data: Some(vec![AuthorizationData {
            authorization_token: Some(STANDARD.encode(format!("AWS:{password}"))),
            expires_at: Some(wire::Timestamp(expires_ms as f64 / 1000.0)),
            proxy_endpoint: Some(format!("https://{}", registry_host(&cx))),
        }]),
    })
}

/// Whether `token`, the password that came with the user `AWS`, was made here and still counts.
pub fn token_is_valid(cloud: &Cloud, token: &str) -> bool {
    let Ok(Some(secret)) = cloud.store.read(|tx| tx.get::<Secret>(SECRET_KEY)) else {
        return false;
    };
    verified_end(&secret, token).is_some_and(|expires_ms| cloud.clock.now_ms() < expires_ms)
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

/// `<end>.<signature>`.
fn sign(secret: &Secret, expires_ms: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.bytes);
    let signature = hmac::sign(&key, expires_ms.to_string().as_bytes());
    format!("{expires_ms}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The end of a token that was signed with this secret.
fn verified_end(secret: &Secret, token: &str) -> Option<i64> {
    let (end, signature) = token.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.bytes);
    hmac::verify(&key, end.as_bytes(), &signature).ok()?;
    end.parse().ok()
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
        let token = sign(&secret, 1234);
        assert_eq!(verified_end(&secret, &token), Some(1234));
        assert_eq!(verified_end(&other, &token), None);
        for forged in [
            token.replacen("1234", "9234", 1),
            token[..token.len() - 2].to_owned(),
            String::new(),
            ".".to_owned(),
            "1234".to_owned(),
        ] {
            assert_eq!(verified_end(&secret, &forged), None, "{forged}");
        }
    }
}
