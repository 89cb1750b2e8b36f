//! Remote repositories: asked for their branches, and copied to this disk for everything else.
//!
//! Each address and login has up to two copies: a *shallow* one, which has the files of the commits
//! that were asked for and no history, and a *full* one. Both are fetched into again and again, so a
//! push to a large repository costs what the push holds. A copy is keyed by the login as well: what
//! one login may see is never given to another.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use engine::{EngineError, Fault, Result};
use reach::{Reach, Target};
use tokio::sync::Mutex as AsyncMutex;

use crate::limits::{FETCH_TIMEOUT, LIST_TIMEOUT, MIRROR_BYTES_MAX, MIRROR_LOOK, MIRRORS_MAX};
use crate::names::{check_ref, check_url, is_object_id, origin};
use crate::read;
use crate::run::{Call, git};

type Login = Option<(String, String)>;

/// Answers Git's question for a login out of the environment. Git asks it for one host only.
const HELPER: &str = "!f() { test \"$1\" = get && \
    printf 'username=%s\\npassword=%s\\n' \"$NEARGATE_GIT_USER\" \"$NEARGATE_GIT_PASSWORD\"; }; f";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Shallow,
    Full,
}

/// The copies.
pub struct Mirrors {
    root: PathBuf,
    reach: Reach,
    locks: Mutex<HashMap<PathBuf, Arc<AsyncMutex<()>>>>,
}

/// Lets a call log in at the address's host.
fn with_login(call: Call, url: &str, login: &Login) -> Result<Call> {
    let Some((user, password)) = login else {
        return Ok(call);
    };
    if [user, password].iter().any(|it| it.contains(['\n', '\0'])) {
        return Err(EngineError::invalid("a login has no line breaks"));
    }
    Ok(call
        .set(format!("credential.{}.helper", origin(url)), HELPER)
        .set("http.proactiveAuth", "basic")
        .with("NEARGATE_GIT_USER", user)
        .with("NEARGATE_GIT_PASSWORD", password))
}

impl Mirrors {
    pub fn open(root: PathBuf, reach: Reach) -> Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self {
            root,
            reach,
            locks: Mutex::default(),
        })
    }

    pub async fn branches(&self, url: &str, login: &Login) -> Result<BTreeMap<String, String>> {
        let refs = self.list(url, login, &["refs/heads/*"]).await?;
        let branch = |(name, id): (String, String)| {
            let name = name.strip_prefix("refs/heads/")?;
            Some((name.to_owned(), id))
        };
        Ok(refs.into_iter().filter_map(branch).collect())
    }

    pub async fn default_branch(&self, url: &str, login: &Login) -> Result<Option<String>> {
        Ok(self.list(url, login, &["HEAD"]).await?.remove("HEAD"))
    }

    /// Every ref and the object that it is at; `HEAD` is the name of the branch that it stands for.
    async fn list(
        &self,
        url: &str,
        login: &Login,
        patterns: &[&str],
    ) -> Result<BTreeMap<String, String>> {
        check_url(url)?;
        let arguments = ["ls-remote", "--quiet", "--symref", "--end-of-options", url];
        let call = git(arguments.iter().chain(patterns)).within(LIST_TIMEOUT);
        let text = self.towards(call, url, login).await?.text().await?;
        let mut refs = BTreeMap::new();
        for line in text.lines() {
            let Some((value, name)) = line.split_once('\t') else {
                continue;
            };
            match value.strip_prefix("ref: refs/heads/") {
                Some(branch) => refs.insert("HEAD".to_owned(), branch.to_owned()),
                None if name == "HEAD" => continue,
                None => refs.insert(name.to_owned(), value.to_owned()),
            };
        }
        Ok(refs)
    }

    /// A call that may go to the address and nowhere else. Git and its library for HTTP would look the
    /// name up themselves, so they are told what it was found to be, and to follow nobody.
    async fn towards(&self, call: Call, url: &str, login: &Login) -> Result<Call> {
        let call = with_login(call, url, login)?;
        let target = Target::of(url)?;
        if self.reach.trusts(&target) {
            // A repository that was renamed there is found under its new name.
            return Ok(call.set("http.followRedirects", "initial"));
        }
        let addresses = match self.reach.addresses(&target).await {
            // Behind a proxy names may be known to the proxy alone, which connects.
            Err(error) if error.fault == Fault::Unreachable && self.reach.has_proxy() => {
                return Ok(call);
            }
            other => other?,
        };
        if target.literal().is_some() {
            return Ok(call);
        }
        crate::check_pins()?;
        let (host, port) = (target.host(), target.port());
        let list: Vec<String> = addresses
            .iter()
            .map(|it| match it.ip() {
                IpAddr::V4(it) => it.to_string(),
                IpAddr::V6(it) => format!("[{it}]"),
            })
            .collect();
        Ok(call.set(
            "http.curloptResolve",
            format!("{host}:{port}:{}", list.join(",")),
        ))
    }

    fn lock(&self, path: &Path) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock().expect("no panic while it is held");
        locks.entry(path.to_owned()).or_default().clone()
    }

    fn place(&self, url: &str, login: &Login, depth: Depth) -> PathBuf {
        let (user, password) = login.clone().unwrap_or_default();
        let what = format!("{url}\0{user}\0{password}");
        let digest = ring::digest::digest(&ring::digest::SHA256, what.as_bytes());
        let name: String = digest.as_ref()[..16]
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect();
        let kind = match depth {
            Depth::Shallow => "shallow",
            Depth::Full => "full",
        };
        self.root.join(format!("{name}.{kind}"))
    }

    /// A copy that has a revision, and the revision's commit.
    pub async fn with(
        &self,
        url: &str,
        login: &Login,
        revision: &str,
        depth: Depth,
    ) -> Result<(PathBuf, String)> {
        check_url(url)?;
        check_ref(revision)?;
        let (id, name) = match is_object_id(revision) {
            true => (Some(revision.to_owned()), None),
            false => self.look_up(url, login, revision).await?,
        };
        // A short id is known to the whole history only.
        let Some(id) = id else {
            let place = self.fetched(url, login, Depth::Full, None).await?;
            let id = read::resolve(&place, revision).await?;
            return Ok((place, id));
        };
        let place = self.place(url, login, depth);
        if depth == Depth::Shallow {
            if read::has_commit(&place, &id).await {
                return Ok((place, id));
            }
            let wanted = name.unwrap_or_else(|| id.clone());
            let fetched = self.fetched(url, login, depth, Some(&wanted)).await;
            match fetched {
                Ok(place) if read::has_commit(&place, &id).await => return Ok((place, id)),
                // Some servers give named commits only; and a branch may have moved meanwhile.
                Err(error) if error.fault != Fault::NotFound => return Err(error),
                _ => (),
            }
        }
        let full = self.place(url, login, Depth::Full);
        if !read::has_commit(&full, &id).await {
            self.fetched(url, login, Depth::Full, None).await?;
        }
        if !read::has_commit(&full, &id).await {
            return Err(EngineError::not_found(format!("there is no commit `{id}`")));
        }
        Ok((full, id))
    }

    /// The commit of a branch or tag and its whole name; nothing for what can only be a short id.
    async fn look_up(
        &self,
        url: &str,
        login: &Login,
        revision: &str,
    ) -> Result<(Option<String>, Option<String>)> {
        let (branch, tag) = (
            format!("refs/heads/{revision}"),
            format!("refs/tags/{revision}"),
        );
        let peeled = format!("{tag}^{{}}");
        let refs = self.list(url, login, &[&branch, &tag, &peeled]).await?;
        if let Some(id) = refs.get(&branch) {
            return Ok((Some(id.clone()), Some(branch)));
        }
        if let Some(id) = refs.get(&peeled).or_else(|| refs.get(&tag)) {
            return Ok((Some(id.clone()), Some(tag)));
        }
        if revision.len() >= 7 && revision.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Ok((None, None));
        }
        Err(EngineError::not_found(format!(
            "there is no branch, tag or commit `{revision}`"
        )))
    }

    /// Fetches all (or, into a shallow copy, what is wanted) and answers where the copy is.
    async fn fetched(
        &self,
        url: &str,
        login: &Login,
        depth: Depth,
        wanted: Option<&str>,
    ) -> Result<PathBuf> {
        let place = self.place(url, login, depth);
        let lock = self.lock(&place);
        let _alone = lock.lock().await;
        match self.fetch(&place, url, login, wanted).await {
            // What a fetch that was cut short has left behind can be in the way of the next: the
            // copy is only a copy.
            Err(error) if error.fault == Fault::Machine && place.exists() => {
                tracing::warn!(
                    error = error.chain(),
                    "a copy of a remote repository is made anew"
                );
                tokio::fs::remove_dir_all(&place).await?;
                self.fetch(&place, url, login, wanted).await?;
            }
            other => other?,
        }
        self.forget_old(&place).await;
        Ok(place)
    }

    async fn fetch(
        &self,
        place: &Path,
        url: &str,
        login: &Login,
        wanted: Option<&str>,
    ) -> Result<()> {
        if !place.join("HEAD").exists() {
            init(place).await?;
        }
        let all = "+refs/heads/*:refs/heads/*";
        let tags = "+refs/tags/*:refs/tags/*";
        let named = wanted.map(|it| match is_object_id(it) {
            true => it.to_owned(),
            false => format!("+{it}:{it}"),
        });
        let mut arguments = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--force",
        ];
        match &named {
            Some(named) => arguments.extend(["--depth=1", "--end-of-options", url, named]),
            None => arguments.extend(["--prune", "--end-of-options", url, all, tags]),
        }
        let call = git(arguments).at(place).within(FETCH_TIMEOUT);
        let call = self.towards(call, url, login).await?;
        let outcome = tokio::select! {
            done = call.run() => done.map(|_| ()),
            () = grown_too_large(place) => Err(EngineError::invalid(format!(
                "the repository is larger than {} GiB", MIRROR_BYTES_MAX >> 30
            ))),
        };
        let _ = tokio::fs::write(place.join("used"), b"").await;
        outcome
    }

    /// Removes the copies that were not fetched into for longest.
    async fn forget_old(&self, but: &Path) {
        let Ok(entries) = std::fs::read_dir(&self.root) else {
            return;
        };
        let age = |path: &Path| {
            let changed = path.join("used").metadata().and_then(|it| it.modified());
            changed.unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let mut places: Vec<_> = entries.flatten().map(|it| it.path()).collect();
        places.sort_by_key(|it| age(it));
        let surplus = places.len().saturating_sub(MIRRORS_MAX);
        for place in places.into_iter().filter(|it| it != but).take(surplus) {
            let lock = self.lock(&place);
            let _alone = lock.lock().await;
            let _ = tokio::fs::remove_dir_all(&place).await;
        }
    }
}

/// An empty repository.
pub async fn init(place: &Path) -> Result<()> {
    let call = git([
        "init",
        "--quiet",
        "--bare",
        "--template=",
        "--initial-branch=main",
    ]);
    let call = call.at(place);
    if let Some(parent) = place.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    call.run().await.map(|_| ())
}

async fn grown_too_large(place: &Path) {
    loop {
        tokio::time::sleep(MIRROR_LOOK).await;
        let place = place.to_owned();
        let size = tokio::task::spawn_blocking(move || size_of(&place));
        if size.await.unwrap_or_default() > MIRROR_BYTES_MAX {
            return;
        }
    }
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(it) if it.is_dir() => size_of(&entry.path()),
        Ok(it) => it.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
