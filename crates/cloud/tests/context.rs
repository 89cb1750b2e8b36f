//! What every service relies on, shown with two toy services.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cloud::{
    Cloud, Cx, Error, ErrorCode, Next, Reconciler, Record, Service, StoreError, Watch, all_keys,
};
use engine::{Algorithm, Edge, Snapshot, TargetGroup, TargetHealthCheck};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shapes::{ec2, elbv2};

const REFUSED: ErrorCode = ErrorCode::sender("Refused", 400);
const DRY: ErrorCode = ErrorCode::sender("DryRunOperation", 412);

/// A record that a reconciler looks after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing {
    region: String,
    id: String,
}

impl Record for Thing {
    const KIND: &'static str = "toy.thing";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// Makes a thing; an id from a token is made once. A range of `bad` fails after it was put.
async fn create_vpc(cx: Cx, input: ec2::CreateVpcInput) -> Result<ec2::CreateVpcOutput, Error> {
    let id = cx.new_id("vpc-", 17);
    cx.write(|tx| {
        tx.put(&Thing {
            region: cx.region.clone(),
            id: id.clone(),
        })?;
        if input.cidr_block.as_deref() == Some("bad") {
            return Err(REFUSED.because("this range is bad"));
        }
        Ok(())
    })?;
    Ok(ec2::CreateVpcOutput {
        vpc: Some(ec2::Vpc {
            vpc_id: Some(id),
            ..Default::default()
        }),
    })
}

/// Shows how many things there are.
async fn describe_vpcs(
    cx: Cx,
    _: ec2::DescribeVpcsInput,
) -> Result<ec2::DescribeVpcsOutput, Error> {
    let things = cx.read(|tx| tx.list::<Thing>(""))?;
    Ok(ec2::DescribeVpcsOutput {
        next_token: Some(things.len().to_string()),
        ..Default::default()
    })
}

/// Asks the other service, and answers with what it said.
async fn describe_load_balancers(
    cx: Cx,
    _: elbv2::DescribeLoadBalancersInput,
) -> Result<elbv2::DescribeLoadBalancersOutput, Error> {
    let made = cx.call(ec2::CreateVpcInput::default()).await?;
    Ok(elbv2::DescribeLoadBalancersOutput {
        next_marker: made.vpc.and_then(|it| it.vpc_id),
        ..Default::default()
    })
}

/// Writes down which keys it was asked to reconcile, in which region; fails as often as it is told.
#[derive(Clone, Default)]
struct Diary {
    seen: Arc<Mutex<Vec<String>>>,
    failures: Arc<Mutex<u32>>,
}

impl Diary {
    fn note(&self, cx: &Cx, key: &str) -> Result<Next, converge::Error> {
        self.seen
            .lock()
            .unwrap()
            .push(format!("{} in {}", key, cx.region));
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err("told to fail".into());
        }
        Ok(Next::Idle)
    }

    fn count(&self, entry: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|it| *it == entry).count()
    }

    async fn until(&self, entry: &str, count: usize) {
        let come = testkit::wait(async || (self.count(entry) >= count).then_some(())).await;
        let seen = self.seen.lock().unwrap();
        assert!(come.is_some(), "`{entry}` {count} times: {seen:?}");
    }
}

struct Things(Diary);

#[async_trait]
impl Reconciler for Things {
    fn kind(&self) -> &'static str {
        Thing::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Thing>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        self.0.note(&cx, key)
    }
}

/// One key for everything, of no region.
struct Whole(Diary);

const WHOLE: &str = "toy.whole";

#[async_trait]
impl Reconciler for Whole {
    fn kind(&self) -> &'static str {
        WHOLE
    }
    fn keys(&self, _cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![])
    }
    fn region(&self, _key: &str) -> String {
        "nowhere".into()
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        self.0.note(&cx, key)
    }
}

struct World {
    world: testkit::World,
    diary: Diary,
}

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.world
    }
}

impl World {
    /// Nothing is reconciled yet.
    fn new() -> Self {
        let diary = Diary::default();
        let things = Service::new(&shapes::ec2::MODEL)
            .dry_run(DRY)
            .on(create_vpc, testkit::not_asked())
            .on(describe_vpcs, testkit::not_asked())
            .reconciles(Things(diary.clone()));
        let whole = Service::new(&shapes::elbv2::MODEL)
            .on(describe_load_balancers, testkit::not_asked())
            .reconciles(Whole(diary.clone()))
            .follows(Thing::KIND, WHOLE, "followed")
            .watches(Watch {
                changes: |engine| engine.edge.changes(),
                keys: |_, id| vec![(WHOLE, format!("watched {id}"))],
            });
        Self {
            world: testkit::world([things, whole]).at_rest(),
            diary,
        }
    }

    fn run(&self) {
        tokio::spawn(self.cloud.clone().run());
    }

    fn put(&self, region: &str, id: &str) {
        let thing = Thing {
            region: region.into(),
            id: id.into(),
        };
        self.cx.write(|tx| tx.put(&thing)).unwrap();
    }

    fn things(&self) -> Vec<Thing> {
        self.cx.read(|tx| tx.list("")).unwrap()
    }
}

/// A thing as another version might have written it.
#[derive(Serialize, Deserialize)]
struct Unreadable {
    key: String,
}

impl Record for Unreadable {
    const KIND: &'static str = Thing::KIND;
    fn key(&self) -> String {
        self.key.clone()
    }
}

/// Who looks from outside is shown the rest; whoever decides is told that something is not known.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_left_out_of_what_is_shown_alone() {
    let world = World::new();
    world.put("us-east-1", "a");
    let unreadable = Unreadable {
        key: "us-east-1/b".into(),
    };
    world.cx.write(|tx| tx.put(&unreadable)).unwrap();
    let shown = world.cx.serve_json("ec2", "DescribeVpcs", json!({}));
    assert_eq!(shown.await.unwrap()["nextToken"], "1");
    let decided = world.cx.call(ec2::DescribeVpcsInput::default()).await;
    let listed = world.cx.read(|tx| tx.list::<Thing>(""));
    let written = world.cx.write(|tx| tx.list::<Thing>(""));
    let errors = [decided.err(), listed.err(), written.err()];
    for error in errors.into_iter().map(|it| it.expect("it is not known")) {
        assert_eq!(error.status, 500);
        assert!(error.message.contains("`us-east-1/b`"), "{error:?}");
    }
    // It is woken like every other: its own reconciler says what is wrong with it.
    world.run();
    world.diary.until("us-east-1/b in us-east-1", 1).await;
}

#[tokio::test]
async fn a_call_to_another_service_carries_region_and_token() {
    let world = World::new();
    let cx = world.cx.in_region("eu-west-1").with_token("t");
    let ask = elbv2::DescribeLoadBalancersInput::default;
    let first = cx.call(ask()).await.unwrap().next_marker.unwrap();
    let second = cx.call(ask()).await.unwrap().next_marker.unwrap();
    assert_eq!(first, second);
    let expected = Thing {
        region: "eu-west-1".into(),
        id: first,
    };
    assert_eq!(world.things(), [expected]);
}

#[test]
fn ids_follow_from_tokens_and_are_new_without() {
    let world = World::new();
    let cx = world.cx.with_token("t");
    let id = cx.new_id("vpc-", 17);
    assert_eq!((id.len(), &id[..4]), (21, "vpc-"));
    assert!(id[4..].bytes().all(|it| it.is_ascii_hexdigit()), "{id}");
    assert_eq!(cx.new_id("vpc-", 17), id);
    // Two kinds of one request have nothing in common, nor have two requests.
    assert_ne!(cx.new_id("rtb-", 17)[4..], id[4..]);
    assert_ne!(world.cx.with_token("u").new_id("vpc-", 17), id);
    assert_ne!(world.cx.new_id("vpc-", 17), world.cx.new_id("vpc-", 17));
}

#[tokio::test]
async fn an_operation_that_is_not_in_the_table_answers_501() {
    let world = World::new();
    let check = |error: Error, operation: &str| {
        assert_eq!((error.status, error.code), (501, "NotImplemented"));
        let expected =
            format!("{operation} is not supported by neargate (see `neargate coverage`)");
        assert_eq!(error.message, expected);
    };
    // In a table that lacks it, and in that of a service that is not there at all.
    let error = world.cx.call(ec2::DeleteVpcInput::default()).await;
    check(error.unwrap_err(), "ec2:DeleteVpc");
    let error = world
        .cx
        .call(shapes::ecs::CreateClusterInput::default())
        .await;
    check(error.unwrap_err(), "ecs:CreateCluster");
    let error = world
        .cx
        .serve("ec2", "DeleteVpc", wire::Node::Map(vec![]))
        .await;
    check(error.unwrap_err(), "ec2:DeleteVpc");
    let error = world.cx.serve_json("sqs", "SendMessage", json!({})).await;
    check(error.unwrap_err(), "sqs:SendMessage");
}

#[tokio::test]
async fn a_request_from_outside_meets_the_same_function() {
    let world = World::new();
    let ask = |input| world.cx.serve_json("ec2", "CreateVpc", input);
    let made = ask(json!({"CidrBlock": "10.0.0.0/16"})).await.unwrap();
    let id = made["vpc"]["vpcId"].as_str().unwrap().to_owned();
    assert!(world.things().iter().any(|it| it.id == id));
    let before = world.things().len();
    let error = ask(json!({"dryRun": true})).await.unwrap_err();
    assert_eq!((error.code, error.status), ("DryRunOperation", 412));
    assert!(ask(json!({"CidrBlock": ["not", "text"]})).await.is_err());
    // A name that no member has is a slip of the sender's, who would never learn of it.
    let slip = ask(json!({"CidrBlock": "10.0.0.0/16", "Tenancy": "x"}));
    assert_eq!(slip.await.unwrap_err().code, "UnknownParameter");
    assert_eq!(world.things().len(), before);
}

#[tokio::test]
async fn a_refused_write_leaves_nothing_and_wakes_nothing() {
    let world = World::new();
    world.run();
    let bad = ec2::CreateVpcInput {
        cidr_block: Some("bad".into()),
        ..Default::default()
    };
    let error = world.cx.call(bad).await.unwrap_err();
    assert_eq!(
        (error.code, &*error.message),
        ("Refused", "this range is bad")
    );
    assert_eq!(world.things(), []);
    // What comes after it is seen, and it alone.
    world.put("us-east-1", "b");
    world.diary.until("us-east-1/b in us-east-1", 1).await;
    world.diary.until("followed in nowhere", 1).await;
    assert_eq!(world.diary.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn recovery_wakes_every_key_in_its_region() {
    let world = World::new();
    for (region, id) in [("us-east-1", "a"), ("us-east-1", "b"), ("eu-west-1", "c")] {
        world.put(region, id);
    }
    let directly = world.diary.seen.lock().unwrap().len();
    assert_eq!(directly, 0, "nothing is reconciled before the loop runs");
    world.run();
    for entry in [
        "us-east-1/a in us-east-1",
        "us-east-1/b in us-east-1",
        "eu-west-1/c in eu-west-1",
    ] {
        world.diary.until(entry, 1).await;
    }
}

#[tokio::test]
async fn what_is_followed_and_what_is_watched_wakes() {
    let world = World::new();
    world.run();
    world.put("us-east-1", "a");
    world.diary.until("followed in nowhere", 1).await;
    let gone = world.cx.write(|tx| tx.delete::<Thing>("us-east-1/a"));
    assert!(gone.unwrap());
    world.diary.until("followed in nowhere", 2).await;
    world.diary.until("us-east-1/a in us-east-1", 2).await;

    // The loop has subscribed by now: it has reconciled.
    let group = TargetGroup {
        id: "g".into(),
        targets: vec![],
        health_check: TargetHealthCheck {
            enabled: true,
            tcp_only: false,
            tls: false,
            path: "/".into(),
            port: None,
            interval_ms: 1,
            timeout_ms: 1,
            healthy_threshold: 1,
            unhealthy_threshold: 1,
            matcher: vec![],
        },
        stickiness: None,
        algorithm: Algorithm::RoundRobin,
        slow_start_ms: 0,
        tls: false,
    };
    let snapshot = Snapshot {
        generation: 1,
        now_ms: 0,
        balancers: vec![],
        target_groups: vec![group],
        certificates: vec![],
        unknown: vec![],
    };
    world.sim.edge.apply(snapshot).await.unwrap();
    world.diary.until("watched g in nowhere", 1).await;
}

#[tokio::test]
async fn an_error_is_tried_again() {
    let world = World::new();
    *world.diary.failures.lock().unwrap() = 2;
    world.put("us-east-1", "a");
    world.run();
    world.diary.until("us-east-1/a in us-east-1", 2).await;
    let failed = || *world.diary.failures.lock().unwrap() == 0;
    testkit::until("the last failure", failed).await;
}

#[test]
#[should_panic(expected = "CreateVpc is in the table twice")]
fn an_operation_stands_in_a_table_once() {
    let _ = Service::new(&shapes::ec2::MODEL)
        .on(create_vpc, testkit::not_asked())
        .on(create_vpc, testkit::not_asked());
}

#[test]
#[should_panic(expected = "DescribeLoadBalancers belongs to another service")]
fn an_operation_stands_in_its_own_services_table() {
    let _ = Service::new(&shapes::ec2::MODEL).on(describe_load_balancers, testkit::not_asked());
}
