//! What browsers ask before, and are told with, a request from another origin.

use std::sync::Arc;

use cloud::{Cloud, Error};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use s3s::Body;

use crate::config::Cors;
use crate::errors::*;
use crate::host::bucket_and_key;
use crate::{bucket, cors};

/// The part of a request that cross-origin rules are about.
pub struct Asked {
    bucket: Option<String>,
    origin: Option<String>,
    method: String,
    headers: Vec<String>,
    is_preflight: bool,
    /// The method that a question is about, as far as it names one.
    asked_method: Option<String>,
    is_about_object: bool,
}

impl Asked {
    pub fn of(request: &Request<Body>) -> Self {
        let text = |name: HeaderName| {
            let value = request.headers().get(name);
            value.and_then(|it| it.to_str().ok()).map(str::to_owned)
        };
        let is_preflight = request.method() == Method::OPTIONS;
        let asked_method = text(header::ACCESS_CONTROL_REQUEST_METHOD);
        let asked_headers = text(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let (bucket, key) = bucket_and_key(request.headers(), request.uri());
        Self {
            bucket: (!bucket.is_empty()).then(|| bucket.to_owned()),
            origin: text(header::ORIGIN),
            is_about_object: !key.is_empty(),
            method: match asked_method.clone() {
                Some(method) if is_preflight => method,
                _ => request.method().to_string(),
            },
            headers: asked_headers
                .split(',')
                .map(|it| it.trim().to_owned())
                .filter(|it| is_preflight && !it.is_empty())
                .collect(),
            is_preflight,
            asked_method,
        }
    }

    /// The bucket that host or path name.
    pub fn bucket(&self) -> Option<&str> {
        self.bucket.as_deref()
    }

    /// The rules of the bucket; none: there is no such bucket.
    fn rules(&self, cloud: &Arc<Cloud>) -> Option<Vec<Cors>> {
        let cx = cloud.daemon_context(bucket::FIRST_REGION);
        Some(bucket::get(&cx, self.bucket.as_deref()?).ok()?.cors)
    }

    /// The rule that allows it, and the origin that asks.
    fn rule(&self, cloud: &Arc<Cloud>) -> Option<(Cors, &str)> {
        let origin = self.origin.as_deref()?;
        let rules = self.rules(cloud)?;
        let rule = cors::find(&rules, origin, &self.method, &self.headers)?;
        Some((rule.clone(), origin))
    }

    /// The answer to a question that comes before the request.
    pub fn preflight(&self, cloud: &Arc<Cloud>) -> Option<Result<Response<Body>, Error>> {
        if !self.is_preflight {
            return None;
        }
        let mut response = Response::new(Body::empty());
        let may = self.allow(cloud, response.headers_mut());
        Some(match may {
            true => Ok(response),
            false => Err(self.refusal(cloud)),
        })
    }

    fn refusal(&self, cloud: &Arc<Cloud>) -> Error {
        if self.origin.is_none() {
            return BadRequest.because("Insufficient information. Origin request header needed.");
        }
        let Some(method) = &self.asked_method else {
            return BadRequest.because("Invalid Access-Control-Request-Method: null");
        };
        let why = match self.rules(cloud) {
            None => "CORSResponse: Bucket not found",
            Some(rules) if rules.is_empty() => "CORSResponse: CORS is not enabled for this bucket.",
            Some(_) => {
                "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
            }
        };
        let kind = match self.is_about_object {
            true => "OBJECT",
            false => "BUCKET",
        };
        AccessForbidden
            .because(why)
            .about("Method", method)
            .about("ResourceType", kind)
    }

    /// Tells the browser that the origin may have the answer, if it may.
    pub fn allow(&self, cloud: &Arc<Cloud>, headers: &mut HeaderMap) -> bool {
        let Some((rule, origin)) = self.rule(cloud) else {
            return false;
        };
        let anybody = rule.origins.iter().any(|it| it == "*");
        let mut set = |name: HeaderName, text: String| {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        };
        let named = if anybody { "*" } else { origin };
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, named.to_owned());
        if !anybody {
            set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".into());
        }
        set(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            rule.methods.join(", "),
        );
        if !self.headers.is_empty() {
            let asked = self.headers.join(", ").to_lowercase();
            set(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
        if !rule.expose.is_empty() {
            set(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                rule.expose.join(", "),
            );
        }
        if let Some(seconds) = rule.max_age_seconds {
            set(header::ACCESS_CONTROL_MAX_AGE, seconds.to_string());
        }
        set(
            header::VARY,
            "Origin, Access-Control-Request-Headers, Access-Control-Request-Method".into(),
        );
        true
    }
}
