//! Sessions: connections that clients keep open for as long as they build, and on which they are asked
//! for their files, logins and secrets.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use hyper::rt::{Read, Write};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::grpc::{Channel, Code, Outgoing, Status};
use crate::limits::{METHODS_MAX, NAME_BYTES_MAX, SESSION_WAIT, SESSIONS_MAX};
use crate::messages::{CredentialsRequest, CredentialsResponse, SecretRequest, SecretResponse};

/// The headers of a request that opens a session: its id, and once for each method that it offers.
pub const SESSION_ID: &str = "x-docker-expose-session-uuid";
pub const SESSION_METHOD: &str = "x-docker-expose-session-grpc-method";

const FILES: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const SENDS: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const UPLOADS: &str = "/moby.upload.v1.Upload/Pull";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const SECRETS: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const AGENTS: &str = "/moby.sshforward.v1.SSH/ForwardAgent";

/// What a request says that opens a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub id: String,
    /// In small letters: clients do not write them alike.
    methods: HashSet<String>,
}

impl Header {
    /// Why it cannot be one, in words for its client.
    pub fn read(headers: &HeaderMap) -> Result<Self, String> {
        let text = |value: &http::HeaderValue| {
            let text = value.to_str().ok().filter(|it| it.len() <= NAME_BYTES_MAX);
            text.map(str::to_owned)
        };
        let id = headers.get(SESSION_ID).and_then(text);
        let id = id.filter(|it| !it.is_empty());
        let id = id.ok_or_else(|| format!("the header `{SESSION_ID}` does not name a session"))?;
        let methods = headers.get_all(SESSION_METHOD).iter();
        let methods = methods.filter_map(text).take(METHODS_MAX);
        Ok(Self {
            id,
            methods: methods.map(|it| it.to_ascii_lowercase()).collect(),
        })
    }
}

pub struct Session {
    header: Header,
    channel: Channel,
}

/// The sessions that are open.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<BTreeMap<String, Arc<Session>>>,
    opened: Notify,
}

/// A session's place among the others, until it is dropped.
struct SessionConnection<'a> {
    sessions: &'a Sessions,
    session: Arc<Session>,
}

impl Drop for SessionConnection<'_> {
    fn drop(&mut self) {
        let mut open = self.sessions.lock();
        // Another of the same id may have taken its place.
        let id = &self.session.header.id;
        if open
            .get(id)
            .is_some_and(|it| Arc::ptr_eq(it, &self.session))
        {
            open.remove(id);
        }
    }
}

impl Sessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.open
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    /// Whether there is room for another.
    pub fn has_room(&self) -> bool {
        self.lock().len() < SESSIONS_MAX
    }

    /// Keeps a session open on a connection until that ends.
    pub async fn keep<T>(&self, header: Header, connection: T) -> hyper::Result<()>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let (channel, work) = Channel::open(connection).await?;
        let session = Arc::new(Session { header, channel });
        let _connection = SessionConnection {
            sessions: self,
            session: session.clone(),
        };
        self.lock().insert(session.header.id.clone(), session);
        self.opened.notify_waiters();
        work.await
    }

    /// A session by its id. One that is just being opened is waited for.
    pub async fn find(&self, id: &str) -> Result<Arc<Session>, Status> {
        let looking = async {
            loop {
                let opened = self.opened.notified();
                if let Some(session) = self.lock().get(id) {
                    return session.clone();
                }
                opened.await;
            }
        };
        let missing = |_| Status::new(Code::NotFound, format!("no active session for {id}"));
        timeout(SESSION_WAIT, looking).await.map_err(missing)
    }
}

impl Session {
    fn offers(&self, method: &str) -> bool {
        self.header.methods.contains(&method.to_ascii_lowercase())
    }

    fn require(&self, method: &str) -> Result<(), Status> {
        match self.offers(method) {
            true => Ok(()),
            false => Err(Status::new(
                Code::Unimplemented,
                format!("the client's session does not offer `{method}`"),
            )),
        }
    }

    /// Begins to take in a folder, by the name that the client gave it: what is excluded is not sent, and of
    /// `follow`, if there are any, only those paths and what they lead to.
    pub async fn files(
        &self,
        name: &str,
        excludes: &[String],
        follow: &[String],
    ) -> Result<Outgoing, Status> {
        self.require(FILES)?;
        let mut headers = Vec::new();
        let name = [name.to_owned()];
        for (key, values) in [
            ("dir-name", &name[..]),
            ("exclude-patterns", excludes),
            ("followpaths", follow),
        ] {
            encode(key, values, &mut headers);
        }
        self.channel.stream(FILES, &headers).await
    }

    /// Begins to send files to the client, for one of the things that it wants of its build.
    pub async fn send(&self, wanted: usize) -> Result<Outgoing, Status> {
        self.require(SENDS)?;
        let headers = [(
            "buildkit-attachable-exporter-id".to_owned(),
            wanted.to_string(),
        )];
        self.channel.stream(SENDS, &headers).await
    }

    /// Begins to take in what was sent along on the client's standard input.
    pub async fn upload(&self, path: &str) -> Result<Outgoing, Status> {
        self.require(UPLOADS)?;
        let headers = [("urlpath".to_owned(), path.to_owned())];
        self.channel.stream(UPLOADS, &headers).await
    }

    /// Begins to speak to an SSH agent.
    pub async fn agent(&self, id: &str) -> Result<Outgoing, Status> {
        self.require(AGENTS)?;
        let headers = [("buildkit.ssh.id".to_owned(), id.to_owned())];
        self.channel.stream(AGENTS, &headers).await
    }

    /// The user and password for a registry's host; None when the client has none.
    pub async fn credentials(&self, host: &str) -> Result<Option<(String, String)>, Status> {
        if !self.offers(CREDENTIALS) {
            return Ok(None);
        }
        let request = CredentialsRequest {
            host: host.to_owned(),
        };
        let found: CredentialsResponse = self.channel.unary(CREDENTIALS, &request).await?;
        // Without a user it is a token for another protocol.
        let has_user = !found.username.is_empty();
        Ok(has_user.then_some((found.username, found.secret)))
    }

    /// A secret's content; None when the client has none of this id.
    pub async fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, Status> {
        if !self.offers(SECRETS) {
            return Ok(None);
        }
        let request = SecretRequest { id: id.to_owned() };
        let found: Result<SecretResponse, Status> = self.channel.unary(SECRETS, &request).await;
        match found {
            Ok(found) => Ok(Some(found.data)),
            Err(status) if status.code == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    pub fn offers_agents(&self) -> bool {
        self.offers(AGENTS)
    }
}

/// As BuildKit puts lists of texts into headers: as they are, or, where a header could not hold one of
/// them, all of them escaped, and a word that says so.
fn encode(key: &str, values: &[String], headers: &mut Vec<(String, String)>) {
    let is_plain = |it: &String| it.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if values.iter().all(is_plain) {
        headers.extend(values.iter().map(|it| (key.to_owned(), it.clone())));
        return;
    }
    for value in values {
        let value =
            percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
        headers.push((key.to_owned(), value.to_string()));
    }
    headers.push((format!("{key}-encoded"), "1".to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_the_session_and_what_it_offers() {
        let mut headers = HeaderMap::new();
        assert!(Header::read(&headers).is_err());
        headers.insert(SESSION_ID, "abc".parse().unwrap());
        headers.append(SESSION_METHOD, "/a.B/C".parse().unwrap());
        headers.append(SESSION_METHOD, "/d.E/F".parse().unwrap());
        let header = Header::read(&headers).unwrap();
        assert_eq!(header.id, "abc");
        assert!(header.methods.contains("/a.b/c") && header.methods.len() == 2);
        headers.insert(SESSION_ID, "x".repeat(NAME_BYTES_MAX + 1).parse().unwrap());
        assert!(Header::read(&headers).is_err());
    }

    #[test]
    fn what_a_header_cannot_hold_is_escaped() {
        let encoded = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|it| (*it).to_owned()).collect();
            let mut headers = Vec::new();
            encode("k", &values, &mut headers);
            headers
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(encoded(&["a b", "*%"]), [pair("k", "a b"), pair("k", "*%")]);
        assert_eq!(
            encoded(&["a", "ö/"]),
            [
                pair("k", "a"),
                pair("k", "%C3%B6%2F"),
                pair("k-encoded", "1")
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_never_comes_is_missed() {
        let status = Sessions::default().find("abc").await.err().unwrap();
        assert_eq!(status.message, "no active session for abc");
    }
}
