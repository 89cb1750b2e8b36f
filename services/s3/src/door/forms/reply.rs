//! What a form is answered with, of the answer to the request that it stands for: where the form says so,
//! a document or another address, and no content otherwise.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use http::{Response, StatusCode, Uri};
use s3s::Body;

use super::super::refusals::escaped;
use super::Fields;

pub struct Reply {
    bucket: String,
    key: String,
    /// Of the object, whole.
    place: String,
    redirect: Option<String>,
    status: StatusCode,
}

impl Reply {
    pub fn of(fields: &Fields, bucket: String, place: String) -> Self {
        let status = fields.get("success_action_status").map(String::as_str);
        let redirect = fields
            .get("success_action_redirect")
            .or_else(|| fields.get("redirect"));
        Self {
            bucket,
            key: fields.get("key").cloned().unwrap_or_default(),
            place,
            redirect: redirect.filter(|it| is_url(it)).cloned(),
            status: match status {
                Some("200") => StatusCode::OK,
                Some("201") => StatusCode::CREATED,
                _ => StatusCode::NO_CONTENT,
            },
        }
    }

    pub fn answer(&self, mut response: Response<Body>) -> Response<Body> {
        if !response.status().is_success() {
            return response;
        }
        let etag = response.headers().get(ETAG);
        let etag = etag.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let etag = etag.to_owned();
        let mut place = self.place.clone();
        *response.status_mut() = self.status;
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Body::empty();
        if let Some(redirect) = &self.redirect {
            *response.status_mut() = StatusCode::SEE_OTHER;
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("bucket", &self.bucket);
            query.append_pair("key", &self.key);
            query.append_pair("etag", &etag);
            let joint = if redirect.contains('?') { '&' } else { '?' };
            place = format!("{redirect}{joint}{}", query.finish());
        } else if self.status == StatusCode::CREATED {
            let text = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag></PostResponse>",
                escaped(&place),
                escaped(&self.bucket),
                escaped(&self.key),
                escaped(&etag)
            );
            *response.body_mut() = Body::from(text);
            let xml = HeaderValue::from_static("application/xml");
            response.headers_mut().insert(CONTENT_TYPE, xml);
        }
        if let Ok(value) = HeaderValue::from_str(&place) {
            response.headers_mut().insert(LOCATION, value);
        }
        response
    }
}

/// What is none is as if it were not there.
fn is_url(text: &str) -> bool {
    let uri = text.parse::<Uri>();
    uri.is_ok_and(|it| it.scheme().is_some() && it.host().is_some_and(|it| !it.is_empty()))
}
