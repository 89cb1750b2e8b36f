//! Who is let in: links that work once, and the cookies that they are exchanged for. Both are known to this run of
//! the daemon alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use cloud::{Caller, random_hex};
use tokio::time::Instant;

/// A link is opened at once or by hand soon after.
const LINK_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// A browser that nobody has looked into since yesterday asks for a new link.
const IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// One person has a few browsers. The one that was used longest ago makes room.
const LINKS_MAX: usize = 16;
const SESSIONS_MAX: usize = 64;
/// 256 bits, which nobody guesses.
const SECRET_DIGITS: usize = 64;

/// One browser that was let in.
#[derive(Debug, Clone)]
pub struct Session {
    pub caller: Caller,
    pub region: String,
    pub can_write: bool,
}

#[derive(Default)]
pub struct Sessions(Mutex<Held>);

#[derive(Default)]
struct Held {
    links: HashMap<String, (Instant, Session)>,
    sessions: HashMap<String, (Instant, Session)>,
}

impl Sessions {
    pub fn invite(&self, caller: Caller, region: &str, can_write: bool) -> String {
        let session = Session {
            caller,
            region: region.to_owned(),
            can_write,
        };
        let mut held = self.held();
        add(&mut held.links, LINKS_MAX, session)
    }

    /// The cookie's value for a link's token, which is of no use afterwards.
    pub fn exchange(&self, token: &str) -> Option<String> {
        let mut held = self.held();
        let (made, session) = held.links.remove(token)?;
        let is_fresh = made.elapsed() < LINK_AGE_MAX;
        is_fresh.then(|| add(&mut held.sessions, SESSIONS_MAX, session))
    }

    pub fn find(&self, cookie: &str) -> Option<Session> {
        let mut held = self.held();
        let (used, session) = held.sessions.get_mut(cookie)?;
        if used.elapsed() >= IDLE_MAX {
            held.sessions.remove(cookie);
            return None;
        }
        *used = Instant::now();
        Some(session.clone())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

fn add(all: &mut HashMap<String, (Instant, Session)>, most: usize, session: Session) -> String {
    while all.len() >= most {
        let oldest = all.iter().min_by_key(|it| it.1.0).map(|it| it.0.clone());
        let Some(oldest) = oldest else { break };
        all.remove(&oldest);
    }
    let secret = random_hex(SECRET_DIGITS);
    all.insert(secret.clone(), (Instant::now(), session));
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(sessions: &Sessions) -> String {
        sessions.invite(Caller::Anonymous, "us-east-1", false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_works_once_and_not_for_long() {
        let sessions = Sessions::default();
        let token = link(&sessions);
        assert!(sessions.find(&token).is_none(), "a link is no cookie");
        let cookie = sessions.exchange(&token).unwrap();
        assert!(sessions.exchange(&token).is_none());
        assert!(sessions.exchange(&cookie).is_none(), "a cookie is no link");
        assert_eq!(sessions.find(&cookie).unwrap().region, "us-east-1");
        let late = link(&sessions);
        tokio::time::advance(LINK_AGE_MAX).await;
        assert!(sessions.exchange(&late).is_none());
        assert!(sessions.find(&cookie).is_some());
        tokio::time::advance(IDLE_MAX).await;
        assert!(sessions.find(&cookie).is_none());
        assert!(Sessions::default().find(&cookie).is_none(), "another run");
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_not_ever_more_of_them() {
        let sessions = Sessions::default();
        let first = link(&sessions);
        for _ in 0..LINKS_MAX {
            tokio::time::advance(Duration::from_secs(1)).await;
            link(&sessions);
        }
        assert!(sessions.exchange(&first).is_none());
        assert_eq!(sessions.held().links.len(), LINKS_MAX);
        let mut cookies = Vec::new();
        for _ in 0..=SESSIONS_MAX {
            tokio::time::advance(Duration::from_secs(1)).await;
            cookies.push(sessions.exchange(&link(&sessions)).unwrap());
        }
        assert!(sessions.find(&cookies[0]).is_none());
        assert!(sessions.find(&cookies[1]).is_some());
    }
}
