//! The API's door: who is let in, and what everybody else is told, in each service's own words.

use e2e::{Answer, Connection, Key, Machine, Signed, sign};

/// A service, and a request of it that anybody may send.
struct Asked {
    service: &'static str,
    form: Form,
}

enum Form {
    /// JSON 1.1 with the prefix of its target.
    Json(&'static str),
    /// A form with the API's version.
    Query(&'static str),
}

const ASKED: [Asked; 9] = [
    Asked {
        service: "ecs",
        form: Form::Json("AmazonEC2ContainerServiceV20141113"),
    },
    Asked {
        service: "ecr",
        form: Form::Json("AmazonEC2ContainerRegistry_V20150921"),
    },
    Asked {
        service: "logs",
        form: Form::Json("Logs_20140328"),
    },
    Asked {
        service: "application-autoscaling",
        form: Form::Json("AnyScaleFrontendService"),
    },
    Asked {
        service: "ec2",
        form: Form::Query("2016-11-15"),
    },
    Asked {
        service: "elasticloadbalancing",
        form: Form::Query("2015-12-01"),
    },
    Asked {
        service: "cloudformation",
        form: Form::Query("2010-05-15"),
    },
    Asked {
        service: "iam",
        form: Form::Query("2010-05-08"),
    },
    Asked {
        service: "sts",
        form: Form::Query("2011-06-15"),
    },
];

impl Asked {
    /// An operation of the service that exists, whether it is built or not.
    fn operation(&self) -> &'static str {
        match self.service {
            "ecs" => "ListClusters",
            "ecr" => "DescribeRepositories",
            "logs" => "DescribeLogGroups",
            "application-autoscaling" => "DescribeScalableTargets",
            "ec2" => "DescribeVpcs",
            "elasticloadbalancing" => "DescribeLoadBalancers",
            "cloudformation" => "ListStacks",
            "iam" => "ListRoles",
            _ => "GetCallerIdentity",
        }
    }

    fn send(&self, machine: &Machine, key: Option<&Key>, operation: &str) -> Answer {
        let (content_type, target, body) = match self.form {
            Form::Json(prefix) => (
                "application/x-amz-json-1.1",
                Some(format!("{prefix}.{operation}")),
                match self.service {
                    "application-autoscaling" => r#"{"ServiceNamespace":"ecs"}"#.to_owned(),
                    _ => "{}".to_owned(),
                },
            ),
            Form::Query(version) => (
                "application/x-www-form-urlencoded",
                None,
                format!("Action={operation}&Version={version}"),
            ),
        };
        let mut more = vec![("content-type", content_type)];
        more.extend(target.as_deref().map(|it| ("x-amz-target", it)));
        let host = machine.listen.to_string();
        let signed = Signed {
            method: "POST",
            path: "/",
            host: &host,
            service: self.service,
            region: "us-east-1",
            headers: &more,
            body: body.as_bytes(),
        };
        let headers = match key {
            Some(key) => sign(key, &signed),
            None => {
                let unsigned = more.iter().copied().chain([("host", host.as_str())]);
                let owned = unsigned.map(|(name, value)| (name.to_owned(), value.to_owned()));
                owned.collect()
            }
        };
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Connection::open(machine.listen)
            .and_then(|mut it| it.ask("POST", "/", &headers, body.as_bytes()))
            .unwrap()
    }

    /// The error's code, in AWS's form of the protocol.
    fn code(&self, answer: &Answer) -> String {
        match self.form {
            Form::Json(_) => {
                let kind = answer.json()["__type"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                kind.rsplit('#').next().unwrap_or_default().to_owned()
            }
            Form::Query(_) => {
                let text = answer.text();
                let rest = text.split_once("<Code>").map_or("", |it| it.1);
                rest.split("</Code>").next().unwrap_or_default().to_owned()
            }
        }
    }

    /// What AWS answers to an unsigned request, an unknown key, a wrong secret.
    fn refusals(&self) -> [(&'static str, u16); 3] {
        match (self.service, &self.form) {
            ("ec2", _) => [
                ("MissingParameter", 400),
                ("AuthFailure", 401),
                ("AuthFailure", 401),
            ],
            (_, Form::Json(_)) => [
                ("MissingAuthenticationTokenException", 400),
                ("UnrecognizedClientException", 400),
                ("InvalidSignatureException", 400),
            ],
            (_, Form::Query(_)) => [
                ("MissingAuthenticationToken", 403),
                ("InvalidClientTokenId", 403),
                ("SignatureDoesNotMatch", 403),
            ],
        }
    }
}

#[test]
fn every_service_refuses_who_cannot_sign_in_its_own_words() {
    let machine = Machine::start();
    let right = machine.key();
    let unknown = Key {
        id: "AKIAIOSFODNN7EXAMPLE".into(),
        ..right.clone()
    };
    let wrong = Key {
        secret: "wrong".into(),
        ..right.clone()
    };
    for asked in &ASKED {
        let [unsigned, unknown_key, wrong_secret] = asked.refusals();
        let cases = [
            (None, unsigned),
            (Some(&unknown), unknown_key),
            (Some(&wrong), wrong_secret),
        ];
        for (key, (code, status)) in cases {
            let answer = asked.send(&machine, key, asked.operation());
            let seen = (asked.code(&answer), answer.status);
            assert_eq!(
                seen,
                (code.to_owned(), status),
                "{}: {}",
                asked.service,
                answer.text()
            );
        }
        let answer = asked.send(&machine, Some(&right), asked.operation());
        assert_eq!(answer.status, 200, "{}: {}", asked.service, answer.text());
    }
}

#[test]
fn what_is_not_built_says_so_by_name() {
    let machine = Machine::start();
    let key = machine.key();
    let cases = [
        ("ecs", "CreateCapacityProvider"),
        ("ecr", "CreatePullThroughCacheRule"),
        ("logs", "PutDestination"),
        ("ec2", "CreateVpcEndpoint"),
        ("cloudformation", "CreateStackSet"),
        ("iam", "CreateSAMLProvider"),
    ];
    for (service, operation) in cases {
        let asked = ASKED.iter().find(|it| it.service == service).unwrap();
        let answer = asked.send(&machine, Some(&key), operation);
        assert_eq!(answer.status, 501, "{service}: {}", answer.text());
        assert!(
            answer.text().contains(operation),
            "{service}: {}",
            answer.text()
        );
    }
    // No operation of the service at all.
    let answer = ASKED[0].send(&machine, Some(&key), "MakeCoffee");
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn the_command_lines_own_requests_are_signed_too() {
    let machine = Machine::start();
    for path in [
        "/_neargate/v1/stop",
        "/_neargate/v1/build",
        "/_neargate/v1/call/ecs/ListClusters",
    ] {
        let host = machine.listen.to_string();
        let mut connection = Connection::open(machine.listen).unwrap();
        let answer = connection
            .ask("POST", path, &[("host", &host)], b"{}")
            .unwrap();
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        let wrong = Key {
            secret: "wrong".into(),
            ..machine.key()
        };
        let answer = machine.post(&wrong, "neargate", path, &[], b"{}").unwrap();
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    assert!(
        machine
            .call("ecs", "ListClusters", serde_json::json!({}))
            .is_ok()
    );
    // Users may call operations, and no more: a build reads any file of the machine.
    machine.ask(
        "iam",
        "CreateUser",
        serde_json::json!({ "UserName": "ann" }),
    );
    let made = machine.ask(
        "iam",
        "CreateAccessKey",
        serde_json::json!({ "UserName": "ann" }),
    );
    let text = |name: &str| made["AccessKey"][name].as_str().unwrap().to_owned();
    let own = Key {
        id: text("AccessKeyId"),
        secret: text("SecretAccessKey"),
    };
    let post = |path: &str| machine.post(&own, "neargate", path, &[], b"{}").unwrap();
    for path in ["build", "stop", "listening"] {
        let answer = post(&format!("/_neargate/v1/{path}"));
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    assert_eq!(post("/_neargate/v1/call/ecs/ListClusters").status, 200);
    // Not even a session of the owner's: it may have been handed on.
    let made = machine.ask("sts", "GetSessionToken", serde_json::json!({}));
    let text = |name: &str| made["Credentials"][name].as_str().unwrap().to_owned();
    let (session, token) = (
        Key {
            id: text("AccessKeyId"),
            secret: text("SecretAccessKey"),
        },
        text("SessionToken"),
    );
    let token = [("x-amz-security-token", token.as_str())];
    let post = |path: &str| {
        let path = format!("/_neargate/v1/{path}");
        let answer = machine.post(&session, "neargate", &path, &token, b"{}");
        answer.unwrap().status
    };
    for path in [
        "build",
        "stop",
        "listening",
        "iam/calls",
        "connection/authorize",
    ] {
        assert_eq!(post(path), 403, "{path}");
    }
    assert_eq!(post("call/ecs/ListClusters"), 200);
}
