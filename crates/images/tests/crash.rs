//! A process that stores images is killed at many points: what it answered is there, nothing else
//! is seen, and the next start cleans up.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use engine::{ImageConfig, ImageName, Images};
use images::{EmbeddedHosts, ImageStore};

/// Says to the test below that it is the process to be killed.
const CHILD: &str = "IMAGES_CRASH_TEST_ROOT";
const KILLS: u64 = 12;

fn open(root: &Path) -> ImageStore {
    let embedded = EmbeddedHosts::matching(|host| host == "own.test");
    ImageStore::open(root.join("store"), embedded, reach::Reach::default()).unwrap()
}

fn name(number: u64) -> ImageName {
    format!("own.test/site:v{number}").parse().unwrap()
}

/// A layer of several files, large enough to be killed in the middle.
fn tar_of(number: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in 0..20 {
        let content = format!("{number} {file} ").repeat(20_000);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("files/{file}");
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

/// Stores and prepares images, and says the number of each that was answered.
async fn store_until_killed(root: &Path) {
    let store = open(root);
    store.create_repository(&name(0).repository).await.unwrap();
    let begun = store.manifests(&name(0).repository).await.unwrap().len() as u64;
    for number in begun.. {
        let file = root.join("tar");
        std::fs::write(&file, tar_of(number)).unwrap();
        let layers = [store.put_layer(&file).await.unwrap()];
        let config = ImageConfig::default();
        let name = name(number);
        let put = store.put_image(&config, &layers, &[], Some(&name));
        put.await.unwrap();
        println!("stored {number}");
        store.prepare(&name, None).await.unwrap();
    }
}

/// The last number that the killed process said.
fn run_and_kill(root: &Path, after: Duration) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills_lose_nothing", "--nocapture"])
        .env(CHILD, root)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let numbers = lines.filter_map(|line| line.split("stored ").nth(1)?.parse().ok());
    numbers.last()
}

#[tokio::test]
async fn kills_lose_nothing() {
    if let Some(root) = std::env::var_os(CHILD) {
        return store_until_killed(Path::new(&root)).await;
    }
    let root = tempfile::tempdir().unwrap();
    let mut answered = None;
    for kill in 0..KILLS {
        // Not a multiple of anything that the process does.
        let after = Duration::from_millis(60 + kill * 37);
        answered = run_and_kill(root.path(), after).max(answered);
        let store = open(root.path());
        let uploads = std::fs::read_dir(root.path().join("store/uploads")).unwrap();
        assert_eq!(uploads.count(), 0);
        let Some(last) = answered else { continue };
        // The newest one that was answered stands as it was made; older ones were looked at before.
        let image = store.prepare(&name(last), None).await.unwrap();
        for file in 0..20 {
            let path = image.directories[0].join(format!("files/{file}"));
            let content = std::fs::read_to_string(path).unwrap();
            assert_eq!(content, format!("{last} {file} ").repeat(20_000));
        }
        let stored = store.manifests(&name(0).repository).await.unwrap();
        assert!(stored.len() as u64 > last, "an image was lost");
    }
    assert!(answered.is_some_and(|last| last > 3), "{answered:?}");
}
