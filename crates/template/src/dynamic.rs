//! Dynamic references: `{{resolve:ssm:name:version}}` and
//! `{{resolve:secretsmanager:secret:SecretString:key:stage:version}}`.
//!
//! They are text in everything that is stored or shown. What they stand for is put in at the last
//! moment, by [`replace`].

use serde_json::Value as Json;

pub const BEGIN: &str = "{{resolve:";
const END: &str = "}}";

/// What a reference asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A parameter of the Parameter Store; without a version, the newest.
    Parameter {
        name: String,
        version: Option<String>,
    },
    Secret {
        /// A name or an ARN.
        id: String,
        /// The member of the JSON object that the secret is; without one, the whole secret.
        key: Option<String>,
        stage: Option<String>,
        version: Option<String>,
    },
}

impl Reference {
    /// Reads what stands between `{{resolve:` and `}}`.
    fn parse(body: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "Incorrect format is used in the following dynamic reference: [{BEGIN}{body}{END}]"
            )
        };
        let some = |text: Option<&str>| text.filter(|it| !it.is_empty()).map(str::to_owned);
        let (service, rest) = body.split_once(':').ok_or_else(malformed)?;
        match service {
            "ssm" => {
                let (name, version) = match rest.rsplit_once(':') {
                    Some((name, version)) if version.parse::<u64>().is_ok() => {
                        (name, Some(version))
                    }
                    Some((name, "")) => (name, None),
                    _ => (rest, None),
                };
                let name = some(Some(name)).ok_or_else(malformed)?;
                let version = some(version);
                Ok(Self::Parameter { name, version })
            }
            "secretsmanager" => {
                // An ARN has six colons of its own.
                let id_end = match rest.starts_with("arn:") {
                    true => rest.match_indices(':').nth(6).map(|(at, _)| at),
                    false => rest.find(':'),
                };
                let (id, rest) = match id_end {
                    Some(at) => (&rest[..at], &rest[at + 1..]),
                    None => (rest, ""),
                };
                let mut parts = rest.split(':');
                if !matches!(parts.next(), None | Some("" | "SecretString")) {
                    return Err(malformed());
                }
                let (key, stage) = (some(parts.next()), some(parts.next()));
                let version = some(parts.next());
                if parts.next().is_some() || (stage.is_some() && version.is_some()) {
                    return Err(malformed());
                }
                let id = some(Some(id)).ok_or_else(malformed)?;
                Ok(Self::Secret {
                    id,
                    key,
                    stage,
                    version,
                })
            }
            _ => Err(malformed()),
        }
    }
}

/// A text in pieces: what stands there, and references.
fn pieces(text: &str) -> Result<Vec<Result<&str, Reference>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let Some((body, after)) = after.split_once(END) else {
            break;
        };
        pieces.push(Ok(before));
        pieces.push(Err(Reference::parse(body)?));
        rest = after;
    }
    pieces.push(Ok(rest));
    Ok(pieces)
}

/// Every reference in the texts of a value.
pub fn references(value: &Json) -> Result<Vec<Reference>, String> {
    Ok(match value {
        Json::String(text) => pieces(text)?.into_iter().filter_map(Result::err).collect(),
        Json::Array(items) => collect(items.iter())?,
        Json::Object(entries) => collect(entries.values())?,
        _ => Vec::new(),
    })
}

fn collect<'a>(values: impl Iterator<Item = &'a Json>) -> Result<Vec<Reference>, String> {
    let mut all = Vec::new();
    for value in values {
        all.extend(references(value)?);
    }
    Ok(all)
}

/// The value with what its references stand for. What is put in is not read again.
pub fn replace(
    value: &Json,
    resolve: &dyn Fn(&Reference) -> Result<String, String>,
) -> Result<Json, String> {
    Ok(match value {
        Json::String(text) if text.contains(BEGIN) => {
            let mut whole = String::new();
            for piece in pieces(text)? {
                match piece {
                    Ok(text) => whole.push_str(text),
                    Err(reference) => whole.push_str(&resolve(&reference)?),
                }
            }
            whole.into()
        }
        Json::Array(items) => (items.iter())
            .map(|it| replace(it, resolve))
            .collect::<Result<_, _>>()?,
        Json::Object(entries) => Json::Object(
            (entries.iter())
                .map(|(key, it)| Ok((key.clone(), replace(it, resolve)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(
        id: &str,
        key: Option<&str>,
        stage: Option<&str>,
        version: Option<&str>,
    ) -> Reference {
        let text = |it: Option<&str>| it.map(str::to_owned);
        Reference::Secret {
            id: id.into(),
            key: text(key),
            stage: text(stage),
            version: text(version),
        }
    }

    fn parameter(name: &str, version: Option<&str>) -> Reference {
        Reference::Parameter {
            name: name.into(),
            version: version.map(str::to_owned),
        }
    }

    #[test]
    fn references_are_read_in_all_their_forms() {
        const ARN: &str = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db-AbCdEf";
        let with_arn = format!("secretsmanager:{ARN}:SecretString:password::v1");
        for (body, expect) in [
            ("ssm:/a/b", parameter("/a/b", None)),
            ("ssm:a:3", parameter("a", Some("3"))),
            ("secretsmanager:db", secret("db", None, None, None)),
            (
                "secretsmanager:db:SecretString:user",
                secret("db", Some("user"), None, None),
            ),
            (
                "secretsmanager:db:SecretString::AWSPREVIOUS",
                secret("db", None, Some("AWSPREVIOUS"), None),
            ),
            (
                with_arn.as_str(),
                secret(ARN, Some("password"), None, Some("v1")),
            ),
        ] {
            assert_eq!(Reference::parse(body), Ok(expect), "{body}");
        }
        for body in [
            "ssm",
            "ssm:",
            "secretsmanager:",
            "secretsmanager:a:Binary",
            "s3:a",
            "secretsmanager:a:SecretString:k:s:v",
        ] {
            let error = Reference::parse(body).unwrap_err();
            assert!(error.starts_with("Incorrect format"), "{body}: {error}");
        }
    }

    #[test]
    fn values_are_put_in_where_references_stand_and_not_read_again() {
        let value = json!({"A": ["x{{resolve:ssm:a:1}}y{{resolve:ssm:b}}", 1], "B": "{{resolve"});
        assert_eq!(
            references(&value).unwrap(),
            [parameter("a", Some("1")), parameter("b", None)]
        );
        let resolve = |it: &Reference| match it {
            Reference::Parameter { name, .. } if name == "a" => Ok("{{resolve:ssm:c}}".to_owned()),
            _ => Ok("2".to_owned()),
        };
        assert_eq!(
            replace(&value, &resolve).unwrap(),
            json!({"A": ["x{{resolve:ssm:c}}y2", 1], "B": "{{resolve"})
        );
        assert!(replace(&value, &|_| Err("gone".into())).is_err());
    }
}
