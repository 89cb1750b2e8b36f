//! S3 on a machine that is not there.
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use cloud::{Clock, Cloud, CloudParts, Cx, Error, Pace, Store};
use shapes::s3::*;
use sim::Sim;

pub mod shop;
pub mod signing;

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "eu-west-1";

pub struct Ground {
    pub cloud: Arc<Cloud>,
    pub sim: Sim,
    state: tempfile::TempDir,
    running: tokio::task::JoinHandle<()>,
}

impl Ground {
    pub fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), Sim::default())
    }

    fn open(state: tempfile::TempDir, sim: Sim) -> Self {
        let cloud = Cloud::new(CloudParts {
            account: ACCOUNT.into(),
            default_region: REGION.into(),
            store: Store::open(&state.path().join("store.db")).unwrap(),
            engine: sim.engine(),
            clock: Clock::new(Pace::Fast),
            services: vec![s3::service()],
        });
        let run = cloud.clone();
        let running = tokio::spawn(async move { run.run().await.unwrap() });
        Self {
            cloud,
            sim,
            state,
            running,
        }
    }

    /// The daemon died, and there is another.
    pub async fn restarted(self) -> Self {
        self.cloud.converge.stop();
        self.running.await.unwrap();
        self.sim.objects.crash();
        Self::open(self.state, self.sim)
    }

    pub fn cx(&self) -> Cx {
        self.cloud.daemon_context(REGION)
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
                ..Default::default()
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
        let mut seen = 0;
        for _ in 0..500 {
            seen = self.sim.objects.ids().len();
            if seen == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        panic!("{seen} contents are kept, and not {expected}");
    }
}
