//! The web console: what the account has, as pages.
//!
//! A request goes through three parts. [`door`] decides who is let in: whoever holds the cookie that a one-time
//! link of `neargate console` was exchanged for, from this machine, at an address that no foreign name leads to.
//! [`facts`] are gathered through operations, in the owner's name, and by the crate `why`; nothing is computed for
//! a page alone, and nothing when nobody looks. [`pages`] are pure functions from facts to markup. The same facts
//! are what is answered as JSON, and what a page's stream sends again when they have changed ([`live`]).
//!
//! Markup is maud's: what is put into it is escaped, and this crate never says otherwise, so that names, tags and
//! log lines stay text.

mod act;
mod asked;
mod door;
#[cfg(test)]
mod door_tests;
mod facts;
mod files;
mod live;
mod pages;
mod reply;
mod sessions;
mod views;

use std::sync::Arc;

use cloud::{Caller, Cloud, Cx, Origin};
use http::request::Parts;

pub use asked::PATH;
pub use door::Admitted;
pub use facts::calls::Call;
pub use facts::machine::{Check, Fetching, Lent, MachineFacts};
pub use reply::{Content, Reply};

use asked::{Asked, Form};
use facts::calls::Calls;
use facts::fetched::Fetches;
use live::Looks;
use sessions::Sessions;

/// What a form of the console sends is short.
pub const BODY_BYTES_MAX: usize = 8 * 1024;

/// The console of one run of a daemon: who is let in is forgotten when it ends.
pub struct Console {
    cloud: Arc<Cloud>,
    sessions: Sessions,
    sources: Arc<Sources>,
    looks: Arc<Looks>,
}

/// Where facts come from that no operation has.
struct Sources {
    calls: Calls,
    fetches: Fetches,
    lent: Box<dyn Lent>,
}

impl Console {
    pub fn new(cloud: Arc<Cloud>, lent: impl Lent + 'static) -> Self {
        let sources = Arc::new(Sources {
            calls: Calls::default(),
            fetches: Fetches::default(),
            lent: Box::new(lent),
        });
        Self {
            cloud,
            sessions: Sessions::default(),
            looks: Arc::new(Looks::new(sources.clone())),
            sources,
        }
    }

    /// Remembers a call of the API for a while.
    pub fn called(&self, call: Call) {
        self.sources.calls.add(call);
    }

    /// The path of a link that lets one browser in, once, as `caller`.
    pub fn invite(&self, caller: Caller, region: &str, can_write: bool) -> String {
        let token = self.sessions.invite(caller, region, can_write);
        format!("{PATH}in/{token}")
    }

    /// Whether a request is let in, by its head alone. What is not is answered at once.
    pub fn admit(&self, head: &Parts, origin: &Origin) -> Result<Admitted, Box<Reply>> {
        door::admit(&self.sessions, head, origin)
    }

    /// Answers a request that was let in.
    pub async fn serve(
        &self,
        admitted: Admitted,
        head: &Parts,
        body: &[u8],
        origin: Arc<Origin>,
    ) -> Reply {
        let Admitted { session } = admitted;
        let asked = match Asked::read(head, session.can_write) {
            Ok(asked) => asked,
            Err(reply) => return *reply,
        };
        let mut cx = self.cloud.context(&session.region, session.caller, origin);
        if head.method == http::Method::POST {
            return act::answer(&cx, &asked, body).await;
        }
        if let ["files", _, name] = asked.parts()[..] {
            return files::answer(name, head);
        }
        // Nothing is decided by it, so what cannot be read does not stand in the way of the rest.
        cx.looks = true;
        match asked.form {
            Form::Stream => self.looks.stream(cx, asked),
            _ => answer(&self.sources, &cx, &asked).await,
        }
    }
}

async fn answer(sources: &Arc<Sources>, cx: &Cx, asked: &Asked) -> Reply {
    match views::look(sources, cx, asked).await {
        Ok(shown) => reply::of(cx, asked, shown),
        Err(error) => reply::refused(cx, asked, &error),
    }
}
