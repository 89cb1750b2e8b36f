//! Listing buckets: pages of one region are whole, and a page costs what it holds.

mod ground;

use ground::{Ground, REGION};
use shapes::s3::*;

async fn list(ground: &Ground, region: Option<&str>, token: Option<String>) -> ListBucketsOutput {
    let input = ListBucketsInput {
        max_buckets: Some(3),
        bucket_region: region.map(str::to_owned),
        continuation_token: token,
        ..Default::default()
    };
    ground.cx().call(input).await.unwrap()
}

fn names(page: &ListBucketsOutput) -> Vec<String> {
    let buckets = page.buckets.iter().flatten();
    buckets.filter_map(|it| it.name.clone()).collect()
}

/// Buckets `b000`, `b001` …: every fifth is of another region.
async fn fill(ground: &Ground, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let (region, location) = match number % 5 {
            0 => ("us-west-2", "us-west-2"),
            _ => (REGION, REGION),
        };
        let input = CreateBucketInput {
            bucket: format!("b{number:03}"),
            create_bucket_configuration: Some(CreateBucketConfiguration {
                location_constraint: location.parse().ok(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let cx = ground.cx().in_region(region);
        cx.call(input).await.unwrap();
    }
}

#[tokio::test]
async fn pages_of_a_region_are_whole_and_end() {
    let ground = Ground::new();
    fill(&ground, 0..30).await;
    let first = list(&ground, Some("us-west-2"), None).await;
    assert_eq!(names(&first), ["b000", "b005", "b010"]);
    let token = first.continuation_token;
    assert!(token.is_some());
    let second = list(&ground, Some("us-west-2"), token).await;
    assert_eq!(names(&second), ["b015", "b020", "b025"]);
    assert_eq!(second.continuation_token, None);
    let first = list(&ground, None, None).await;
    assert_eq!(names(&first), ["b000", "b001", "b002"]);
    let second = list(&ground, None, first.continuation_token).await;
    assert_eq!(names(&second), ["b003", "b004", "b005"]);
}

#[tokio::test]
async fn a_page_costs_the_same_among_more_buckets() {
    let ground = Ground::new();
    let cost = async || {
        let before = ground.cloud.store.work();
        list(&ground, None, Some("b003".into())).await;
        ground.cloud.store.work() - before
    };
    fill(&ground, 0..10).await;
    let few = cost().await;
    fill(&ground, 10..200).await;
    assert_eq!(cost().await, few);
}
