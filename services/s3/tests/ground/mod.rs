//! S3 on a machine that is not there.
#![allow(dead_code)]

use std::ops::Deref;
use std::sync::Arc;

use cloud::{Clock, Cx, Error, Pace};
use shapes::s3::*;
use testkit::SimMachine;

pub mod shop;
pub mod signing;

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "eu-west-1";

pub struct Ground(testkit::World);

impl Deref for Ground {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl Ground {
    pub fn new() -> Self {
        Self::open(&SimMachine::default())
    }

    /// It is six o'clock in the morning, whenever the test runs: lifecycles count days from midnight.
    pub fn in_the_morning() -> Self {
        const SIX_MS: i64 = 6 * 60 * 60 * 1000;
        let clock = Clock::by(Pace::Fast, Arc::new(|| SIX_MS));
        let world = testkit::world([s3::service()]).by(clock);
        Self(world.of_account(ACCOUNT).in_region(REGION).run())
    }

    /// With KMS, and with users.
    pub fn with_keys() -> Self {
        let services = [s3::service(), kms::service(), iam::service()];
        let world = testkit::world(services).of_account(ACCOUNT);
        Self(world.in_region(REGION).run())
    }

    fn open(machine: &SimMachine) -> Self {
        let world = testkit::world([s3::service()]).on(machine);
        Self(world.of_account(ACCOUNT).in_region(REGION).run())
    }

    /// The daemon died, and there is another.
    pub async fn restarted(self) -> Self {
        let machine = self.0.stop().await;
        machine.sim.objects.crash();
        Self::open(&machine)
    }

    pub fn cx(&self) -> Cx {
        self.0.cx.clone()
    }

    /// The door, with a key that `signing` signs with.
    pub fn owners_door(&self) -> s3::Door {
        let owner = cloud::OwnerKey::new("OWNER", "secret");
        let find_key = move |key: &str, _: Option<&str>| owner.find(key, None);
        s3::Door::new(self.cloud.clone(), Arc::new(find_key))
    }

    pub async fn create(&self, name: &str) -> Result<CreateBucketOutput, Error> {
        let configuration = CreateBucketConfiguration {
            location_constraint: Some(REGION.parse().unwrap()),
            ..Default::default()
        };
        self.cx()
            .call(CreateBucketInput {
                bucket: name.into(),
                create_bucket_configuration: Some(configuration),
                ..Default::default()
            })
            .await
    }

    pub async fn bucket(&self, name: &str) {
        self.create(name).await.unwrap();
    }

    pub async fn delete_bucket(&self, name: &str) -> Result<DeleteBucketOutput, Error> {
        self.cx()
            .call(DeleteBucketInput {
                bucket: name.into(),
            })
            .await
    }

    pub async fn put(&self, bucket: &str, key: &str, body: &str) -> PutObjectOutput {
        self.cx()
            .call(PutObjectInput {
                bucket: bucket.into(),
                key: key.into(),
                body: Some(wire::Blob(body.into())),
                ..Default::default()
            })
            .await
            .unwrap()
    }

    pub async fn get_version(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<String, Error> {
        let cx = self.cx();
        let got = cx.call(GetObjectInput {
            bucket: bucket.into(),
            key: key.into(),
            version_id: version.map(str::to_owned),
            ..Default::default()
        });
        Ok(String::from_utf8(got.await?.body.unwrap().0).unwrap())
    }

    pub async fn get(&self, bucket: &str, key: &str) -> Result<String, Error> {
        self.get_version(bucket, key, None).await
    }

    pub async fn delete_version(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> DeleteObjectOutput {
        self.cx()
            .call(DeleteObjectInput {
                bucket: bucket.into(),
                key: key.into(),
                version_id: version.map(str::to_owned),
                ..Default::default()
            })
            .await
            .unwrap()
    }

    pub async fn delete(&self, bucket: &str, key: &str) -> DeleteObjectOutput {
        self.delete_version(bucket, key, None).await
    }

    pub async fn versioning(&self, bucket: &str, status: BucketVersioningStatus) {
        self.cx()
            .call(PutBucketVersioningInput {
                bucket: bucket.into(),
                versioning_configuration: VersioningConfiguration {
                    status: Some(status),
                    mfa_delete: None,
                },
                ..Default::default()
            })
            .await
            .unwrap();
    }

    /// A content whose record was never written.
    pub async fn unrecorded(&self, body: &'static str) {
        let body = futures_util::stream::iter([Ok(bytes::Bytes::from(body))]);
        let objects = &self.cloud.engine.objects;
        objects.put(Box::pin(body), 1000).await.unwrap();
    }

    /// Waits until so many contents are kept.
    pub async fn contents(&self, expected: usize) {
        let kept = || self.sim.objects.ids().len();
        let come = testkit::wait(async || (kept() == expected).then_some(())).await;
        assert!(
            come.is_some(),
            "{} contents are kept, and not {expected}",
            kept()
        );
    }
}
