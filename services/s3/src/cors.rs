//! Cross-origin rules: which of a bucket's rules a browser's request falls under.

use base::glob::matches_stars;
use cloud::Error;

use crate::config::Cors;
use crate::errors::*;

/// API reference of `PutBucketCors`.
const RULES_MAX: usize = 100;
const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "HEAD"];

pub fn check(rules: &[Cors]) -> Result<(), Error> {
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(malformed());
    }
    for rule in rules {
        if rule.methods.is_empty() || rule.origins.is_empty() {
            return Err(malformed());
        }
        if let Some(other) = rule
            .methods
            .iter()
            .find(|it| !METHODS.contains(&it.as_str()))
        {
            return Err(InvalidRequest.because(format!(
                "Found unsupported HTTP method in CORS config. Unsupported method is {other}"
            )));
        }
        let stars = |it: &&String| it.matches('*').count() > 1;
        for (list, name) in [
            (&rule.origins, "AllowedOrigin"),
            (&rule.headers, "AllowedHeader"),
        ] {
            if let Some(pattern) = list.iter().find(stars) {
                return Err(InvalidRequest.because(format!(
                    "{name} \"{pattern}\" can not have more than one wildcard."
                )));
            }
        }
        if let Some(header) = rule.expose.iter().find(|it| it.contains('*')) {
            return Err(InvalidRequest.because(format!(
                "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard for ExposeHeader."
            )));
        }
    }
    Ok(())
}

/// The first rule that allows a method to an origin, with all of these headers.
pub fn find<'a>(
    rules: &'a [Cors],
    origin: &str,
    method: &str,
    headers: &[String],
) -> Option<&'a Cors> {
    rules.iter().find(|rule| {
        rule.methods.iter().any(|it| it == method)
            && rule.origins.iter().any(|it| matches_stars(it, origin))
            && headers.iter().all(|asked| {
                let asked = asked.to_lowercase();
                rule.headers
                    .iter()
                    .any(|it| matches_stars(&it.to_lowercase(), &asked))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |origin: &str, method: &str, header: &str| Cors {
            origins: vec![origin.into()],
            methods: vec![method.into()],
            headers: vec![header.into()],
            ..Cors::default()
        };
        let rules = [
            rule("https://*.example.com", "PUT", "x-amz-*"),
            rule("*", "GET", "*"),
        ];
        assert!(check(&rules).is_ok());
        let found = |origin, method, headers: &[&str]| {
            let headers: Vec<String> = headers.iter().map(|it| (*it).to_owned()).collect();
            let found = find(&rules, origin, method, &headers)?;
            Some(found.origins[0].as_str())
        };
        let example = Some("https://*.example.com");
        assert_eq!(
            found("https://a.example.com", "PUT", &["X-Amz-Date"]),
            example
        );
        assert_eq!(
            found("https://a.example.com", "PUT", &["Content-Type"]),
            None
        );
        assert_eq!(found("https://other.com", "PUT", &[]), None);
        assert_eq!(found("https://other.com", "GET", &["anything"]), Some("*"));
        assert!(check(&[rule("*", "PATCH", "*")]).is_err());
        assert!(check(&[rule("*.*", "GET", "*")]).is_err());
        assert!(check(&[]).is_err());
    }
}
