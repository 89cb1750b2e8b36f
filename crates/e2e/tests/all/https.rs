//! HTTPS from outside: a certificate of the local authority, a listener that serves with it, and curl, which
//! knows nothing of either.

use std::process::{Command, Stdio};

use e2e::{Machine, eventually};
use serde_json::{Value, json};

use crate::ground::{Ground, text};

struct Bench<'a> {
    ground: Ground<'a>,
    balancer: String,
    authority: std::path::PathBuf,
    folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn new(machine: &'a Machine) -> Self {
        let ground = Ground::new(machine);
        let group = ground.group("web");
        ground.open_port(&group, 80);
        ground.open_port(&group, 443);
        let input = json!({ "Name": "web", "Subnets": ground.subnets, "SecurityGroups": [group] });
        let made = machine.ask("elasticloadbalancing", "CreateLoadBalancer", input);
        let balancer = text(&made["LoadBalancers"][0]["LoadBalancerArn"]);
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.pem");
        std::fs::write(&authority, machine.neargate(&["ca"]).stdout).unwrap();
        Self {
            ground,
            balancer,
            authority,
            folder,
        }
    }

    fn elb(&self, operation: &str, input: Value) -> Value {
        self.ground
            .machine
            .ask("elasticloadbalancing", operation, input)
    }

    fn acm(&self, operation: &str, input: Value) -> Value {
        self.ground.machine.ask("acm", operation, input)
    }

    fn listener(&self, port: u16, more: Value) -> String {
        let mut input = json!({ "LoadBalancerArn": self.balancer, "Port": port });
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        text(&self.elb("CreateListener", input)["Listeners"][0]["ListenerArn"])
    }

    /// A certificate of the local authority, issued.
    fn certificate(&self, name: &str) -> String {
        let input = json!({ "DomainName": name, "ValidationMethod": "DNS" });
        let arn = text(&self.acm("RequestCertificate", input)["CertificateArn"]);
        eventually("the certificate is issued", || {
            let found = self.acm("DescribeCertificate", json!({ "CertificateArn": arn }));
            match found["Certificate"]["Status"] == "ISSUED" {
                true => Ok(()),
                false => Err(found.to_string()),
            }
        });
        arn
    }

    /// What curl answers: its exit code, and what it prints.
    fn curl(&self, url: &str, arguments: &[&str]) -> (i32, String) {
        let edge = self.ground.machine.edge;
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--noproxy",
            "*",
        ]);
        for name in ["shop.example", "www.other.example"] {
            curl.args(["--resolve", &format!("{name}:443:{edge}")]);
            curl.args(["--resolve", &format!("{name}:80:{edge}")]);
        }
        let output = curl.args(arguments).arg(url).output().unwrap();
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), printed)
    }

    fn trusting(&self, url: &str, more: &[&str]) -> (i32, String) {
        let authority = self.authority.display().to_string();
        self.curl(url, &[&["--cacert", authority.as_str()], more].concat())
    }

    #[track_caller]
    fn serves(&self) {
        eventually("the page is served", || {
            match self.trusting("https://shop.example/", &[]) {
                (0, page) if page == "over TLS" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// What OpenSSL sees of the server.
    fn openssl(&self, arguments: &[&str]) -> (bool, String) {
        let edge = format!("{}:443", self.ground.machine.edge);
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &edge])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }
}

fn page(body: &str) -> Value {
    json!([{ "Type": "fixed-response",
        "FixedResponseConfig": { "StatusCode": "200", "ContentType": "text/plain", "MessageBody": body } }])
}

#[test]
fn curl_accepts_what_the_local_authority_vouches_for_and_nothing_else() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let shop = bench.certificate("shop.example");
    let other = bench.certificate("*.other.example");
    let listener = bench.listener(
        443,
        json!({ "Protocol": "HTTPS", "SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
            "Certificates": [{ "CertificateArn": shop }], "DefaultActions": page("over TLS") }),
    );
    let to_tls = json!([{ "Type": "redirect",
        "RedirectConfig": { "StatusCode": "HTTP_301", "Protocol": "HTTPS", "Port": "443" } }]);
    bench.listener(80, json!({ "Protocol": "HTTP", "DefaultActions": to_tls }));
    bench.serves();

    const NOT_TRUSTED: i32 = 60;
    let (code, said) = bench.curl("https://shop.example/", &[]);
    assert_eq!(code, NOT_TRUSTED, "{said}");
    let redirected = bench.trusting("http://shop.example/", &["--location"]);
    assert_eq!(redirected, (0, "over TLS".into()));
    let (_, plain) = bench.curl("http://shop.example:443/", &[]);
    assert!(
        plain.contains("The plain HTTP request was sent to HTTPS port"),
        "{plain}"
    );

    // Another host has another certificate, and has none until it is given one.
    let elsewhere = || bench.trusting("https://www.other.example/", &[]).0;
    assert_eq!(elsewhere(), NOT_TRUSTED);
    let added = json!({ "ListenerArn": listener, "Certificates": [{ "CertificateArn": other }] });
    bench.elb("AddListenerCertificates", added.clone());
    eventually("the other host is served", || match elsewhere() {
        0 => Ok(()),
        code => Err(code.to_string()),
    });
    let shown = |name: &str| bench.openssl(&["-servername", name]).1;
    assert!(shown("www.other.example").contains("CN = *.other.example"));
    assert!(shown("shop.example").contains("CN = shop.example"));
    assert!(
        shown("unknown.example").contains("CN = shop.example"),
        "the default one"
    );

    // What the policy has not is not spoken.
    let weak = ["-servername", "shop.example", "-cipher", "ALL:@SECLEVEL=0"];
    assert!(!bench.openssl(&[&weak[..], &["-tls1_1"]].concat()).0);
    assert!(bench.openssl(&["-servername", "shop.example", "-tls1_2"]).0);
    assert!(bench.openssl(&["-servername", "shop.example", "-tls1_3"]).0);
    let strict =
        json!({ "ListenerArn": listener, "SslPolicy": "ELBSecurityPolicy-TLS13-1-3-2021-06" });
    bench.elb("ModifyListener", strict);
    eventually("TLS 1.2 is not spoken any more", || {
        match bench.openssl(&["-servername", "shop.example", "-tls1_2"]).0 {
            false => Ok(()),
            true => Err("it is".to_owned()),
        }
    });
    bench.serves();

    // A certificate in use stays, and says who uses it.
    let found = bench.acm("DescribeCertificate", json!({ "CertificateArn": other }));
    assert_eq!(found["Certificate"]["InUseBy"], json!([bench.balancer]));
    let delete = json!({ "CertificateArn": other });
    let refused = machine.call("acm", "DeleteCertificate", delete.clone());
    assert_eq!(refused.unwrap_err().code, "ResourceInUseException");
    bench.elb("RemoveListenerCertificates", added);
    bench.acm("DeleteCertificate", delete);
}

#[test]
fn tls_outlives_what_dies_and_keys_are_on_no_disk() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let shop = bench.certificate("shop.example");
    let listener = bench.listener(
        443,
        json!({ "Protocol": "HTTPS", "Certificates": [{ "CertificateArn": shop }],
            "DefaultActions": page("over TLS") }),
    );
    bench.serves();
    machine.kill_processes(" edge ", 1);
    bench.serves();
    machine.kill_daemon();
    bench.serves();
    machine.kill_processes(" edge ", 1);
    machine.serve();
    bench.serves();
    let found = Command::new("grep")
        .args([
            "--recursive",
            "--files-with-matches",
            "--text",
            "PRIVATE KEY",
        ])
        .arg(&machine.state)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");

    // One that was imported is served as well, and in its place.
    let file = |name: &str| bench.folder.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "9",
            "-subj",
            "/CN=shop.example",
        ])
        .args(["-addext", "subjectAltName=DNS:shop.example"])
        .args(["-keyout", &file("key.pem"), "-out", &file("own.pem")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let read = |name: &str| std::fs::read(file(name)).unwrap();
    let blob =
        |name: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, read(name));
    let own = json!({ "Certificate": blob("own.pem"), "PrivateKey": blob("key.pem") });
    let own = text(&bench.acm("ImportCertificate", own)["CertificateArn"]);
    let change = json!({ "ListenerArn": listener, "Certificates": [{ "CertificateArn": own }] });
    bench.elb("ModifyListener", change);
    let trusted = file("own.pem");
    eventually("the imported one is served", || {
        match bench.curl("https://shop.example/", &["--cacert", &trusted]) {
            (0, page) if page == "over TLS" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let exported = json!({ "CertificateArn": own, "Passphrase": "c2VjcmV0" });
    let refused = machine
        .call("acm", "ExportCertificate", exported)
        .unwrap_err();
    assert_eq!(refused.code, "ValidationException");
}

const STACK: &str = r#"
Parameters:
  Balancer: {Type: String}
Resources:
  Shop:
    Type: AWS::CertificateManager::Certificate
    Properties: {DomainName: shop.example, ValidationMethod: DNS, Tags: [{Key: a, Value: b}]}
  Other:
    Type: AWS::CertificateManager::Certificate
    Properties: {DomainName: "*.other.example", ValidationMethod: DNS}
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Balancer
      Protocol: HTTPS
      Port: 443
      SslPolicy: ELBSecurityPolicy-TLS13-1-2-2021-06
      Certificates: [{CertificateArn: !Ref Shop}]
      DefaultActions:
        - Type: fixed-response
          FixedResponseConfig: {StatusCode: "200", ContentType: text/plain, MessageBody: over TLS}
  More:
    Type: AWS::ElasticLoadBalancingV2::ListenerCertificate
    Properties: {ListenerArn: !Ref Listener, Certificates: [{CertificateArn: !Ref Other}]}
"#;

#[test]
fn a_stack_serves_with_its_certificates_and_leaves_none() {
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    machine.create_stack("tls", STACK, &[("Balancer", &bench.balancer)]);
    let made = machine.settled_stack("tls");
    assert_eq!(
        made["StackStatus"],
        "CREATE_COMPLETE",
        "{}",
        machine.stack_events("tls")
    );
    // What is complete is served: nothing is waited for.
    let page = bench.trusting("https://shop.example/", &[]);
    assert_eq!(page, (0, "over TLS".into()));
    let other = bench.trusting("https://www.other.example/", &[]);
    assert_eq!(other, (0, "over TLS".into()));
    machine.ask(
        "cloudformation",
        "DeleteStack",
        json!({ "StackName": "tls" }),
    );
    eventually("the stack is gone", || {
        let left = bench.acm("ListCertificates", json!({}));
        match left["CertificateSummaryList"]
            .as_array()
            .unwrap()
            .is_empty()
        {
            true => Ok(()),
            false => Err(left.to_string()),
        }
    });
}

/// In a file system of its own: this machine's trust stays as it is.
const TRUSTING: &str = r#"
set -e
copy=$(mktemp -d)
cp -a /etc/ssl/certs/. "$copy"
mount -t tmpfs tmpfs /usr/local/share/ca-certificates
mount -t tmpfs tmpfs /etc/ssl/certs
cp -a "$copy/." /etc/ssl/certs
rm -r "$copy"
page() { curl --silent --noproxy '*' --max-time 10 --resolve "shop.example:443:$EDGE" https://shop.example/; }
page && exit 1
"$@" ca install
page
"$@" ca remove
page && exit 2
exit 0
"#;

#[test]
fn curl_needs_no_flags_once_the_authority_is_installed() {
    if !std::path::Path::new("/usr/sbin/update-ca-certificates").exists() {
        eprintln!("SKIPPED: no update-ca-certificates");
        return;
    }
    let machine = Machine::start();
    let bench = Bench::new(&machine);
    let shop = bench.certificate("shop.example");
    bench.listener(
        443,
        json!({ "Protocol": "HTTPS", "Certificates": [{ "CertificateArn": shop }],
            "DefaultActions": page("over TLS") }),
    );
    bench.serves();
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-c", TRUSTING, "sh"])
        .arg(e2e::neargate())
        .args(machine.arguments())
        .env("EDGE", machine.edge.to_string())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(
        printed.contains("This machine trusts `neargate local authority "),
        "{printed}"
    );
    assert!(printed.contains("over TLS"), "{printed}");
}
