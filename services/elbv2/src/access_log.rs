//! Access logs in a bucket (ELB User Guide, "Access logs for your Application Load Balancer"): every five
//! (paced) minutes what each balancer's requests were, as lines of a compressed object. The edge keeps them
//! until then; as on AWS it is best effort, and a request is not delayed for it.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Interval, Next, Reconciler, StoreError};
use engine::{AccessEntry, Fault};
use flate2::Compression;
use flate2::write::GzEncoder;
use policy::{Attached, Context, Document, Kind, Principal, Request, Resource};
use shapes::elbv2::errors::InvalidConfigurationRequestException;
use shapes::s3::{GetBucketPolicyInput, HeadBucketInput, PutObjectInput};
use wire::Timestamp;

use crate::attributes::{is_on, value_of};
use crate::record::{Attributes, Balancer};

pub const KIND: &str = "elbv2.access-logs";
pub const KEY: &str = "all";
const INTERVAL: Duration = Duration::from_secs(300);

pub const ENABLED: &str = "access_logs.s3.enabled";
pub const BUCKET: &str = "access_logs.s3.bucket";
pub const PREFIX: &str = "access_logs.s3.prefix";

/// Who writes logs, and who did where a region is older: ELB's own account there.
const WRITER: &str = "logdelivery.elasticloadbalancing.amazonaws.com";
const ACCOUNTS: [(&str, &str); 22] = [
    ("af-south-1", "098369216593"),
    ("ap-east-1", "754344448648"),
    ("ap-northeast-1", "582318560864"),
    ("ap-northeast-2", "600734575887"),
    ("ap-northeast-3", "383597477331"),
    ("ap-south-1", "718504428378"),
    ("ap-southeast-1", "114774131450"),
    ("ap-southeast-2", "783225319266"),
    ("ap-southeast-3", "589379963580"),
    ("ca-central-1", "985666609251"),
    ("eu-central-1", "054676820928"),
    ("eu-north-1", "897822967062"),
    ("eu-south-1", "635631232127"),
    ("eu-west-1", "156460612806"),
    ("eu-west-2", "652711504416"),
    ("eu-west-3", "009996457667"),
    ("me-south-1", "076674570225"),
    ("sa-east-1", "507241528517"),
    ("us-east-1", "127311923021"),
    ("us-east-2", "033677994240"),
    ("us-west-1", "027434742980"),
    ("us-west-2", "797873946194"),
];

/// Where a balancer's logs go.
struct Place<'a> {
    bucket: &'a str,
    /// With the slash behind it, or empty.
    prefix: String,
}

impl<'a> Place<'a> {
    fn of(set: &'a Attributes) -> Self {
        let prefix = value_of(set, PREFIX).trim_end_matches('/');
        Self {
            bucket: value_of(set, BUCKET),
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
        }
    }
}

/// Looks whether logs can be delivered as the attributes say, by delivering something, as AWS does.
pub async fn check(cx: &Cx, balancer: &Balancer) -> Result<(), Error> {
    let set = &balancer.attributes;
    if !is_on(set, ENABLED) {
        return Ok(());
    }
    let refuse = |text: String| Err(InvalidConfigurationRequestException.because(text));
    let place = Place::of(set);
    if place.bucket.is_empty() {
        return refuse(format!(
            "The attribute '{BUCKET}' must be specified when '{ENABLED}' is 'true'"
        ));
    }
    if place.prefix.contains("AWSLogs") {
        return refuse(format!(
            "The value '{}' of the attribute '{PREFIX}' must not contain 'AWSLogs'",
            value_of(set, PREFIX)
        ));
    }
    let denied = || {
        refuse(format!(
            "Access Denied for bucket: {}. Please check S3bucket permission",
            place.bucket
        ))
    };
    let head = HeadBucketInput {
        bucket: place.bucket.to_owned(),
    };
    let Ok(found) = cx.call(head).await else {
        return denied();
    };
    if found.bucket_region.is_some_and(|it| it != cx.region) {
        return refuse(format!(
            "The bucket '{}' must be in the region '{}' of the load balancer",
            place.bucket, cx.region
        ));
    }
    let account = cx.account();
    let key = format!("{}AWSLogs/{account}/ELBAccessLogTestFile", place.prefix);
    if !may_write(cx, balancer, place.bucket, &key).await? {
        return denied();
    }
    let text = format!(
        "Enable AccessLog for ELB: {} at {}",
        balancer.full_name(),
        Timestamp(cx.clock().now())
    );
    put(cx, place.bucket, key, text.into_bytes()).await
}

async fn put(cx: &Cx, bucket: &str, key: String, bytes: Vec<u8>) -> Result<(), Error> {
    let input = PutObjectInput {
        bucket: bucket.to_owned(),
        key,
        body: Some(wire::Blob(bytes)),
        ..Default::default()
    };
    cx.call(input).await.map(drop)
}

/// Whether the bucket's policy lets load balancers write there: nobody else has a say.
async fn may_write(cx: &Cx, balancer: &Balancer, bucket: &str, key: &str) -> Result<bool, Error> {
    let input = GetBucketPolicyInput {
        bucket: bucket.to_owned(),
    };
    let text = match cx.call(input).await {
        Ok(found) => found.policy.unwrap_or_default(),
        Err(error) if matches!(error.code, "NoSuchBucketPolicy" | "NoSuchBucket") => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let document = Document::parse(&text, Kind::Resource);
    let document = document.unwrap_or_else(|_| Document::unreadable(Kind::Resource));
    let mut context = Context::new();
    context.set("aws:SecureTransport", "true");
    context.set("aws:PrincipalIsAWSService", "true");
    context.set("aws:SourceAccount", cx.account());
    context.set("aws:SourceArn", balancer.arn(cx));
    context.set("s3:x-amz-acl", "bucket-owner-full-control");
    let service = Principal::Service {
        name: WRITER.to_owned(),
    };
    let old = ACCOUNTS.iter().find(|it| it.0 == balancer.region);
    let old = old.map(|(_, account)| Principal::Owner {
        account: (*account).to_owned(),
    });
    let arn = format!("arn:aws:s3:::{bucket}/{key}");
    let may = |who: &Principal| {
        let request = Request {
            action: "s3:PutObject",
            resource: Resource::One(&arn),
            principal: who,
            context: &context,
        };
        policy::decide(&request, &[], Attached::MustGrant(&document)).is_allowed()
    };
    Ok(may(&service) || old.as_ref().is_some_and(may))
}

#[derive(Default)]
pub struct AccessLogReconciler {
    /// The interval that was delivered last.
    last_ms: Mutex<Option<i64>>,
}

#[async_trait]
impl Reconciler for AccessLogReconciler {
    fn kind(&self) -> &'static str {
        KIND
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![KEY.to_owned()])
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }

    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        let balancers = cx.read(|tx| tx.readable::<Balancer>(""))?;
        let logging = |it: &&Balancer| !it.deleting && is_on(&it.attributes, ENABLED);
        let logging: Vec<&Balancer> = balancers.iter().filter(logging).collect();
        if logging.is_empty() {
            // One that begins to wakes this key.
            return Ok(Next::Idle);
        }
        let Interval { begun_ms, left, .. } = cx.clock().interval(INTERVAL);
        let last_ms = self
            .last_ms
            .lock()
            .expect("nothing panics while this is locked")
            .replace(begun_ms);
        if last_ms != Some(begun_ms) {
            for balancer in logging {
                let cx = cx.in_region(&balancer.region);
                // The others have theirs all the same.
                if let Err(error) = deliver(&cx, balancer, begun_ms).await {
                    let name = &balancer.name;
                    tracing::warn!("the access log of `{name}` is not delivered: {error}");
                }
            }
        }
        Ok(Next::After(left))
    }
}

async fn deliver(cx: &Cx, balancer: &Balancer, end_ms: i64) -> Result<(), Error> {
    let place = Place::of(&balancer.attributes);
    let edge = &cx.engine().edge;
    let arn_of = |key: &str| {
        let (region, resource) = key.split_once('/')?;
        Some(cx.in_region(region).arn("elasticloadbalancing", resource))
    };
    for part in 0.. {
        let key = cloud::Record::key(balancer);
        let accesses = match edge.take_accesses(&key).await {
            Err(error) if matches!(error.fault, Fault::NotFound | Fault::Unreachable) => {
                return Ok(());
            }
            taken => taken.map_err(cloud::internal)?,
        };
        if accesses.is_empty() {
            return Ok(());
        }
        let mut file = GzEncoder::new(Vec::new(), Compression::default());
        for access in &accesses {
            let group = access.group.as_deref().and_then(arn_of);
            let line = line(access, &balancer.full_name(), group.as_deref());
            // Memory takes everything.
            let _ = writeln!(file, "{line}");
        }
        let bytes = file.finish().unwrap_or_default();
        let object = Object {
            account: cx.account(),
            balancer,
            address: edge.address(0).ip().to_string(),
            end_ms,
            part,
        };
        let key = format!("{}{}", place.prefix, object.key());
        if may_write(cx, balancer, place.bucket, &key).await? {
            put(cx, place.bucket, key, bytes).await?;
        }
    }
    Ok(())
}

/// One file of a log.
struct Object<'a> {
    account: &'a str,
    balancer: &'a Balancer,
    address: String,
    end_ms: i64,
    part: u32,
}

impl Object<'_> {
    fn key(&self) -> String {
        let Self {
            account, balancer, ..
        } = self;
        let region = &balancer.region;
        // `2026-11-22T12:34:56Z`
        let end = Timestamp(self.end_ms.div_euclid(1000) as f64).to_string();
        let (date, time) = end.split_once('T').unwrap_or((&end, ""));
        let day = date.replace('-', "/");
        let end = format!("{}T{}Z", date.replace('-', ""), &time.replace(':', "")[..4]);
        let seed = format!("{} {}", self.end_ms, self.part);
        let random = cloud::token_hex(&balancer.id, &seed, 8);
        format!(
            "AWSLogs/{account}/elasticloadbalancing/{region}/{day}/{account}_elasticloadbalancing_{region}_{}_{end}_{}_{random}.log.gz",
            balancer.full_name().replace('/', "."),
            self.address
        )
    }
}

/// As AWS writes one request ("Access log entries"). What there is not, here or ever over plain HTTP, is `-`.
fn line(access: &AccessEntry, balancer: &str, group: Option<&str>) -> String {
    let kind = match (&access.tls, access.upgraded) {
        (None, false) => "http",
        (None, true) => "ws",
        (Some(_), false) => "https",
        (Some(_), true) => "wss",
    };
    let tls = access.tls.as_ref();
    let target = access.target.as_ref();
    let address = target.map_or_else(|| "-".to_owned(), |it| it.address.to_string());
    let target_status = target.and_then(|it| it.status);
    let target_status = target_status.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let seconds = |us: Option<u64>| match us {
        Some(us) => format!("{:.3}", us as f64 / 1e6),
        None => "-1".to_owned(),
    };
    let fields = [
        kind.to_owned(),
        time(access.ended_us),
        balancer.to_owned(),
        access.client.to_string(),
        address.clone(),
        seconds(access.request_us),
        seconds(access.target_us),
        seconds(access.response_us),
        access.status.to_string(),
        target_status.clone(),
        access.received_bytes.to_string(),
        access.sent_bytes.to_string(),
        quoted(&format!(
            "{} {} {}",
            access.method, access.url, access.version
        )),
        quoted(&access.user_agent),
        tls.map_or_else(
            || "- -".to_owned(),
            |it| format!("{} {}", it.suite, it.version),
        ),
        group.unwrap_or("-").to_owned(),
        quoted(&access.trace),
        quoted(tls.and_then(|it| it.host.as_deref()).unwrap_or_default()),
        quoted(tls.map_or("", |it| &it.certificate)),
        access.priority.map_or(-1, i64::from).to_string(),
        time(access.began_us),
        quoted(&access.action),
        quoted(access.redirect.as_deref().unwrap_or_default()),
        quoted(""),
        quoted(&address),
        quoted(&target_status),
        quoted(""),
        quoted(""),
        "-".to_owned(),
        quoted(""),
        quoted(""),
        quoted(""),
    ];
    fields.join(" ")
}

/// Nothing of a client's words ends its field, or the line.
fn quoted(text: &str) -> String {
    if text.is_empty() {
        return "\"-\"".to_owned();
    }
    let mut quoted = String::from("\"");
    for found in text.chars() {
        match found {
            '"' | '\\' => quoted.push_str(&format!("\\x{:02X}", u32::from(found))),
            it if it.is_control() => quoted.push_str(&format!("\\x{:02X}", u32::from(it))),
            it => quoted.push(it),
        }
    }
    quoted.push('"');
    quoted
}

/// `2026-11-22T12:34:56.000123Z`
fn time(us: i64) -> String {
    let seconds = Timestamp(us.div_euclid(1_000_000) as f64).to_string();
    let (whole, _) = seconds.split_once('Z').unwrap_or((&seconds, ""));
    format!("{whole}.{:06}Z", us.rem_euclid(1_000_000))
}

#[cfg(test)]
mod tests {
    use engine::AccessedTarget;

    use super::*;

    fn access() -> AccessEntry {
        AccessEntry {
            began_us: 1_530_570_180_000_250,
            ended_us: 1_530_570_180_186_641,
            client: "192.168.131.39:2817".parse().unwrap(),
            request_us: Some(0),
            target_us: Some(1_400),
            response_us: Some(12),
            status: 200,
            received_bytes: 34,
            sent_bytes: 366,
            method: "GET".into(),
            url: "http://www.example.com:80/?a=\"b".into(),
            version: "HTTP/1.1".into(),
            user_agent: "curl/7.46.0".into(),
            group: Some("us-east-2/targetgroup/my-targets/1".into()),
            target: Some(AccessedTarget {
                address: "10.0.0.1:80".parse().unwrap(),
                status: Some(200),
            }),
            trace: "Root=1-58337262-36d228ad5d99923122bbe354".into(),
            priority: Some(0),
            action: "forward".into(),
            redirect: None,
            upgraded: false,
            tls: None,
        }
    }

    #[test]
    fn lines_are_awss() {
        let written = line(
            &access(),
            "app/my-loadbalancer/50dc6c495c0c9188",
            Some("arn:group"),
        );
        let expect = r#"http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET http://www.example.com:80/?a=\x22b HTTP/1.1" "curl/7.46.0" - - arn:group "Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2018-07-02T22:23:00.000250Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" - "-" "-" "-""#;
        assert_eq!(written, expect);
        let redirected = AccessEntry {
            request_us: None,
            target_us: None,
            response_us: None,
            status: 301,
            user_agent: String::new(),
            group: None,
            target: None,
            trace: String::new(),
            priority: Some(7),
            action: "redirect".into(),
            redirect: Some("https://x:443/".into()),
            url: "http://x:80/".into(),
            ..access()
        };
        let written = line(&redirected, "app/a/1", None);
        let expect = r#"http 2018-07-02T22:23:00.186641Z app/a/1 192.168.131.39:2817 - -1 -1 -1 301 - 34 366 "GET http://x:80/ HTTP/1.1" "-" - - - "-" "-" "-" 7 2018-07-02T22:23:00.000250Z "redirect" "https://x:443/" "-" "-" "-" "-" "-" - "-" "-" "-""#;
        assert_eq!(written, expect);
    }
}
