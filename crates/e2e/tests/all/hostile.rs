//! Malformed and hostile requests: a clear error or a closed connection, in bounded time, and a
//! daemon that goes on.

use std::time::{Duration, Instant};

use e2e::{Connection, Machine};
use serde_json::json;

/// Sends bytes as they are. None when the connection was closed without an answer.
fn status_of(machine: &Machine, bytes: &[u8]) -> Option<u16> {
    let mut connection = Connection::open(machine.listen).unwrap();
    // A refusal may come, and the connection end, before everything is sent.
    let _ = connection.send(bytes);
    connection.read_answer(false).ok().map(|it| it.status)
}

#[track_caller]
fn assert_alive(machine: &Machine) {
    machine.ask("ecs", "ListClusters", json!({}));
}

#[test]
fn malformed_requests_are_refused_and_hurt_nobody() {
    let machine = Machine::start();
    let huge_header = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(2 << 20)
    );
    let many_headers = format!(
        "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
        "x: y\r\n".repeat(5000)
    );
    let long_target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(2 << 20));
    let cases: [(&str, &[u8]); 12] = [
        ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        ("a huge header", huge_header.as_bytes()),
        ("too many headers", many_headers.as_bytes()),
        ("a long target", long_target.as_bytes()),
        ("a bad chunk size", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"),
        ("an overflowing chunk size", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("two lengths", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
        ("a negative length", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n"),
        ("a body beyond all bounds", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\nhello"),
        ("a garbage query", b"GET /?%zz&=&&%00=%ff&X-Amz-Signature=%00&Action HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("a garbage authorization", b"POST / HTTP/1.1\r\nhost: a\r\nauthorization: AWS4-HMAC-SHA256 Credential=,,=/,SignedHeaders=\xff;,Signature\r\ncontent-length: 0\r\n\r\n"),
        ("a space before a colon", b"GET / HTTP/1.1\r\nhost : a\r\n\r\n"),
    ];
    for (what, bytes) in cases {
        let began = Instant::now();
        let status = status_of(&machine, bytes);
        assert!(
            status.is_none_or(|it| (400..500).contains(&it)),
            "{what}: {status:?}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{what} took {:?}",
            began.elapsed()
        );
        assert_alive(&machine);
    }
}

#[test]
fn hostile_inputs_of_operations_are_refused() {
    let machine = Machine::start();
    let key = machine.key();
    let json = "application/x-amz-json-1.1";
    let form = "application/x-www-form-urlencoded";
    let operation = "AmazonEC2ContainerServiceV20141113.CreateCluster";
    let target = Some(operation);
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let deep_form = format!(
        "Action=DescribeVpcs&Version=2016-11-15&Filter{}=x",
        ".1".repeat(100_000)
    );
    let wide_form = format!(
        "Action=DescribeVpcs&Version=2016-11-15{}",
        (0..100_000)
            .map(|it| format!("&VpcId.{it}=vpc-1"))
            .collect::<String>()
    );
    let far_index = "Action=DescribeVpcs&Version=2016-11-15&VpcId.4294967295=vpc-1";
    type Case<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, &'a [u8]);
    let cases: [Case<'_>; 9] = [
        ("deep JSON", "ecs", json, target, deep.as_bytes()),
        ("a deep object", "ecs", json, target, deep_object.as_bytes()),
        ("half JSON", "ecs", json, target, br#"{"clusterName": "#),
        (
            "no UTF-8",
            "ecs",
            json,
            target,
            b"{\"clusterName\": \"\xff\xfe\"}",
        ),
        (
            "a number for a text",
            "ecs",
            json,
            target,
            br#"{"clusterName": 5}"#,
        ),
        ("a list for a structure", "ecs", json, target, b"[]"),
        ("a deep form", "ec2", form, None, deep_form.as_bytes()),
        ("an index far away", "ec2", form, None, far_index.as_bytes()),
        ("a wide form", "ec2", form, None, wide_form.as_bytes()),
    ];
    for (what, service, content_type, target, body) in cases {
        let mut headers = vec![("content-type", content_type)];
        headers.extend(target.map(|it| ("x-amz-target", it)));
        let began = Instant::now();
        let answer = machine.post(&key, service, "/", &headers, body).unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{what} took {:?}",
            began.elapsed()
        );
        assert!(
            (400..500).contains(&answer.status),
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
        assert_alive(&machine);
    }
    let too_large = vec![b' '; 33 << 20];
    let headers = [("content-type", json), ("x-amz-target", operation)];
    // The answer may be lost when the connection ends while the body is still sent.
    if let Ok(answer) = machine.post(&key, "ecs", "/", &headers, &too_large) {
        assert!(
            (400..500).contains(&answer.status),
            "{} {}",
            answer.status,
            answer.text()
        );
    }
    assert_alive(&machine);
}

#[test]
fn hostile_templates_are_refused() {
    let machine = Machine::start();
    let laughs = (1..30).fold(
        "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(),
        |text, level| {
            let before = format!("*a{}", level - 1);
            text + &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(","))
        },
    );
    let deep = format!("Resources: {}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deep_block: String = (0..5000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth % 200)))
        .collect();
    let deep_json = format!(
        "{{\"Resources\": {}1{}}}",
        "{\"a\":".repeat(20_000),
        "}".repeat(20_000)
    );
    let joins = format!(
        "Resources:\n  A:\n    Type: AWS::EC2::VPC\n    Properties:\n      CidrBlock: {}x{}\n",
        "!Join ['', [".repeat(500),
        "]]".repeat(500)
    );
    let many = format!(
        "Resources:\n{}",
        (0..600)
            .map(|it| format!("  R{it}: {{Type: 'AWS::EC2::InternetGateway'}}\n"))
            .collect::<String>()
    );
    let circle = "Resources:\n  A: {Type: 'AWS::EC2::InternetGateway', DependsOn: B}\n  B: {Type: 'AWS::EC2::InternetGateway', DependsOn: A}\n";
    let long = format!(
        "Description: {}\nResources: {{A: {{Type: 'AWS::EC2::InternetGateway'}}}}",
        "x".repeat(60_000)
    );
    let cases = [
        ("a thousand laughs", laughs.as_str()),
        ("deep lists", &deep),
        ("deep blocks", &deep_block),
        ("deep JSON", &deep_json),
        ("deep functions", &joins),
        ("too many resources", &many),
        ("a circle", circle),
        ("a template too long", &long),
        ("nothing", " "),
        ("no template", "- a\n- b\n"),
        ("two documents", "a: 1\n---\nb: 2\n"),
        ("a zero byte", "Resources: \0"),
        ("an unknown tag", "Resources: !!python/object:os.system {}"),
    ];
    for (what, template) in cases {
        let began = Instant::now();
        let input = json!({ "StackName": "hostile", "TemplateBody": template });
        let error = machine
            .call("cloudformation", "CreateStack", input)
            .expect_err(what);
        assert_eq!(
            (error.status, error.code.as_str()),
            (400, "ValidationError"),
            "{what}: {error:?}"
        );
        // AWS repeats a template that is too long, and nothing else of it.
        let most = if template.len() > 51_200 {
            template.len()
        } else {
            0
        } + 2000;
        assert!(
            !error.message.is_empty() && error.message.len() < most,
            "{what}: {error:?}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{what} took {:?}",
            began.elapsed()
        );
        assert_alive(&machine);
    }
}

#[test]
fn hostile_folders_are_refused() {
    let machine = Machine::idle();
    let deep = format!("FROM scratch\n{}", "COPY . /\n".repeat(5000));
    let cases = [
        ("no instruction", "HELLO world\n"),
        ("nothing", "\n"),
        (
            "a path outside",
            "FROM scratch\nCOPY ../../../etc/passwd /x\nEXPOSE 80\n",
        ),
        ("too many steps", &deep),
        ("no base", "COPY . /\n"),
        (
            "an unknown stage",
            "FROM scratch\nCOPY --from=nowhere /x /x\nEXPOSE 80\n",
        ),
        ("an open heredoc", "FROM scratch\nCOPY <<EOF /x\nhello\n"),
    ];
    for (what, dockerfile) in cases {
        let site = e2e::Site::empty("hostile");
        site.write("Dockerfile", dockerfile);
        let output = machine.run(&["up", &site.argument(), "--port", "80"]);
        assert_eq!(output.code, 1, "{what}: {output:?}");
        assert!(output.stderr.contains("error:"), "{what}: {output:?}");
        assert!(output.took < Duration::from_secs(20), "{what}: {output:?}");
        assert_alive(&machine);
    }
    // A link out of the folder is no way out of it.
    let site = e2e::Site::page("linked", "hello");
    std::os::unix::fs::symlink("/etc/passwd", site.path().join("passwd")).unwrap();
    let output = machine.run(&["up", &site.argument(), "--count", "1", "--json"]);
    if output.code == 0 {
        let url = output.json()["url"].as_str().unwrap().to_owned();
        let page = machine.page(&format!("{url}/passwd")).unwrap();
        assert!(!page.text().contains("root:"), "{}", page.text());
    }
}

/// Clients that never finish their request: others are served all the same.
#[test]
fn slow_clients_stop_nobody() {
    let machine = Machine::start();
    let slow: Vec<Connection> = (0..200)
        .map(|_| {
            let mut connection = Connection::open(machine.listen).unwrap();
            connection
                .send(b"POST / HTTP/1.1\r\nhost: a\r\nx: ")
                .unwrap();
            connection
        })
        .collect();
    let began = Instant::now();
    assert_alive(&machine);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "took {:?}",
        began.elapsed()
    );
    drop(slow);
}
