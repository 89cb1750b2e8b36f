//! Listings: pages of keys in their order, with what shares a prefix rolled up into it.
//!
//! A page reads records from where it begins and never more than it needs: what is rolled up is
//! jumped over, not read. That holds for objects, versions and uploads alike ([`Walk`]).

use std::collections::VecDeque;

use cloud::{Error, Record, Records};

use crate::bucket;
use crate::record::{
    Object, Upload, Version, inverted, object_key, ordered_key, upload_key, versions_of_key,
};

/// What a page holds at most, and by default.
pub const PAGE_MAX: i32 = 1000;
/// Records that are read at once at first, and again after a jump.
const BATCH_MIN: usize = 16;
const BATCH_MAX: usize = 1000;
/// Greater than anything a key holds.
const LAST: char = '\u{10FFFF}';

#[derive(Debug, Clone, Default)]
pub struct Query {
    pub bucket: String,
    pub prefix: String,
    pub delimiter: Option<String>,
    pub max: usize,
}

impl Query {
    /// `a/b/c` of prefix `a/` and delimiter `/` is rolled up into `a/b/`.
    fn rolled_up<'a>(&self, key: &'a str) -> Option<&'a str> {
        let delimiter = self.delimiter.as_deref().filter(|it| !it.is_empty())?;
        let rest = key.get(self.prefix.len()..)?;
        let at = rest.find(delimiter)?;
        Some(&key[..self.prefix.len() + at + delimiter.len()])
    }
}

#[derive(Debug, PartialEq)]
pub enum Entry<T> {
    One(T),
    Prefix(String),
}

#[derive(Debug)]
pub struct Page<T> {
    pub entries: Vec<Entry<T>>,
    pub truncated: bool,
}

/// Records of one kind in the order of their keys, read as they are needed.
struct Walk<R> {
    prefix: String,
    after: String,
    batch: usize,
    read: VecDeque<R>,
    at_end: bool,
}

impl<R: Record> Walk<R> {
    fn new(prefix: String, after: String) -> Self {
        Self {
            prefix,
            after,
            batch: BATCH_MIN,
            read: VecDeque::new(),
            at_end: false,
        }
    }

    fn peek(&mut self, tx: &Records<'_>) -> Result<Option<&R>, Error> {
        if self.read.is_empty() && !self.at_end {
            let page: Vec<R> = tx.page(&self.prefix, &self.after, self.batch)?;
            self.at_end = page.len() < self.batch;
            if let Some(last) = page.last() {
                self.after = last.key();
            }
            self.batch = (self.batch * 2).min(BATCH_MAX);
            self.read = page.into();
        }
        Ok(self.read.front())
    }

    /// Leaves out everything up to `after`.
    fn jump(&mut self, after: String) {
        while self.read.front().is_some_and(|it| it.key() <= after) {
            self.read.pop_front();
        }
        if self.read.is_empty() && !self.at_end && after > self.after {
            self.after = after;
            self.batch = BATCH_MIN;
        }
    }
}

/// Something that is listed by a key of its own, from one or two kinds of records.
trait Source {
    type Item;
    fn peek(&mut self, tx: &Records<'_>) -> Result<Option<String>, Error>;
    fn take(&mut self) -> Option<Self::Item>;
    /// Leaves out every key that begins with `prefix`.
    fn jump(&mut self, prefix: &str);
}

fn fill<S: Source>(
    tx: &Records<'_>,
    query: &Query,
    source: &mut S,
) -> Result<Page<S::Item>, Error> {
    let mut entries = Vec::new();
    while let Some(key) = source.peek(tx)? {
        if entries.len() == query.max {
            return Ok(Page {
                entries,
                truncated: query.max > 0,
            });
        }
        match query.rolled_up(&key) {
            Some(prefix) => {
                source.jump(prefix);
                entries.push(Entry::Prefix(prefix.to_owned()));
            }
            None => entries.extend(source.take().map(Entry::One)),
        }
    }
    Ok(Page {
        entries,
        truncated: false,
    })
}

struct Objects {
    bucket: String,
    walk: Walk<Object>,
}

impl Source for Objects {
    type Item = Object;
    fn peek(&mut self, tx: &Records<'_>) -> Result<Option<String>, Error> {
        Ok(self.walk.peek(tx)?.map(|it| it.key.clone()))
    }
    fn take(&mut self) -> Option<Object> {
        self.walk.read.pop_front()
    }
    fn jump(&mut self, prefix: &str) {
        self.walk
            .jump(format!("{}{LAST}", object_key(&self.bucket, prefix)));
    }
}

/// Objects after a marker. A marker within a common prefix stands for all of the prefix.
pub fn objects_after_marker(
    tx: &Records<'_>,
    query: &Query,
    marker: &str,
) -> Result<Page<Object>, Error> {
    objects(tx, query, query.rolled_up(marker).unwrap_or(marker))
}

/// Objects after a key. A key that is itself rolled up stands for all that it stands for.
pub fn objects(tx: &Records<'_>, query: &Query, after: &str) -> Result<Page<Object>, Error> {
    bucket::find(tx, &query.bucket)?;
    let after = match after {
        "" => String::new(),
        after if query.rolled_up(after) == Some(after) => {
            format!("{}{LAST}", object_key(&query.bucket, after))
        }
        after => object_key(&query.bucket, after),
    };
    let mut source = Objects {
        bucket: query.bucket.clone(),
        walk: Walk::new(object_key(&query.bucket, &query.prefix), after),
    };
    fill(tx, query, &mut source)
}

/// A version as it is listed.
#[derive(Debug, PartialEq)]
pub struct Listed {
    pub version: Version,
    pub is_latest: bool,
}

struct Versions {
    bucket: String,
    current: Walk<Object>,
    others: Walk<Version>,
    /// The key of which the newest version was seen.
    seen: Option<String>,
    next: Option<Listed>,
}

impl Versions {
    fn pull(&mut self, tx: &Records<'_>) -> Result<Option<Version>, Error> {
        let current = self
            .current
            .peek(tx)?
            .map(|it| (it.key.clone(), -it.sequence));
        let other = self
            .others
            .peek(tx)?
            .map(|it| (it.key.clone(), -it.sequence));
        let current_first = match (&current, &other) {
            (Some(current), Some(other)) => current < other,
            (current, _) => current.is_some(),
        };
        if !current_first {
            return Ok(self.others.read.pop_front());
        }
        Ok(self.current.read.pop_front().map(|object| Version {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            sequence: object.sequence,
            version: object.version.clone(),
            modified_ms: object.modified_ms,
            object: Some(object),
        }))
    }
}

impl Source for Versions {
    type Item = Listed;
    fn peek(&mut self, tx: &Records<'_>) -> Result<Option<String>, Error> {
        if self.next.is_none()
            && let Some(version) = self.pull(tx)?
        {
            let is_latest = self.seen.as_ref() != Some(&version.key);
            self.seen = Some(version.key.clone());
            self.next = Some(Listed { version, is_latest });
        }
        Ok(self.next.as_ref().map(|it| it.version.key.clone()))
    }
    fn take(&mut self) -> Option<Listed> {
        self.next.take()
    }
    fn jump(&mut self, prefix: &str) {
        self.next = None;
        self.current
            .jump(format!("{}{LAST}", object_key(&self.bucket, prefix)));
        self.others
            .jump(format!("{}{LAST}", ordered_key(&self.bucket, prefix)));
    }
}

/// Every version and marker after a key, or after one version of it.
pub fn versions(
    tx: &Records<'_>,
    query: &Query,
    after: &str,
    after_version: Option<i64>,
) -> Result<Page<Listed>, Error> {
    bucket::find(tx, &query.bucket)?;
    let name = &query.bucket;
    let (current, others) = match (query.rolled_up(after), after_version) {
        _ if after.is_empty() => (String::new(), String::new()),
        (Some(prefix), _) => (
            format!("{}{LAST}", object_key(name, prefix)),
            format!("{}{LAST}", ordered_key(name, prefix)),
        ),
        // Its current version is its newest, so whichever version was seen, that one was.
        (None, Some(sequence)) => (
            object_key(name, after),
            // A null version's key has one more letter.
            format!("{}{}o", versions_of_key(name, after), inverted(sequence)),
        ),
        (None, None) => (
            object_key(name, after),
            format!("{}{LAST}", versions_of_key(name, after)),
        ),
    };
    let mut source = Versions {
        bucket: name.clone(),
        current: Walk::new(object_key(name, &query.prefix), current),
        others: Walk::new(ordered_key(name, &query.prefix), others),
        seen: after_version.map(|_| after.to_owned()),
        next: None,
    };
    fill(tx, query, &mut source)
}

struct Uploads {
    bucket: String,
    walk: Walk<Upload>,
}

impl Source for Uploads {
    type Item = Upload;
    fn peek(&mut self, tx: &Records<'_>) -> Result<Option<String>, Error> {
        Ok(self.walk.peek(tx)?.map(|it| it.key.clone()))
    }
    fn take(&mut self) -> Option<Upload> {
        self.walk.read.pop_front()
    }
    fn jump(&mut self, prefix: &str) {
        self.walk
            .jump(format!("{}{LAST}", ordered_key(&self.bucket, prefix)));
    }
}

/// Uploads that were begun, after a key or after one upload of it.
pub fn uploads(
    tx: &Records<'_>,
    query: &Query,
    after: &str,
    after_upload: Option<&str>,
) -> Result<Page<Upload>, Error> {
    bucket::find(tx, &query.bucket)?;
    let name = &query.bucket;
    let after = match (query.rolled_up(after), after_upload) {
        _ if after.is_empty() => String::new(),
        (Some(prefix), _) => format!("{}{LAST}", ordered_key(name, prefix)),
        (None, Some(upload)) => upload_key(name, after, upload),
        (None, None) => format!("{}{LAST}", versions_of_key(name, after)),
    };
    let mut source = Uploads {
        bucket: name.clone(),
        walk: Walk::new(ordered_key(name, &query.prefix), after),
    };
    fill(tx, query, &mut source)
}
