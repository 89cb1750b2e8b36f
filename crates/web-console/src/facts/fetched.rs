//! What a fetch of an application's page is answered: the last word on whether it is up.
//!
//! A page is fetched when somebody looks, and not more often than every few seconds, whoever looks.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use cloud::Cx;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::Instant;

use super::State;
use super::home::Card;
use super::machine::Lent;
use super::now_ms;

/// How long an answer is an answer.
const FRESH: Duration = Duration::from_secs(5);
/// Who has not answered by then does not answer those who look either.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Pages that are fetched for one look. Others are a link away.
const PAGES_MAX: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    pub status: Option<u16>,
    /// Why there is none.
    pub trouble: Option<String>,
    pub at_ms: i64,
}

impl Fetched {
    pub fn is_well(&self) -> bool {
        self.status.is_some_and(|it| it < 500)
    }
}

/// The last answers, by host.
#[derive(Default)]
pub struct Fetches(Mutex<HashMap<String, (Instant, Fetched)>>);

impl Fetches {
    async fn ask(&self, lent: &dyn Lent, host: &str, at_ms: i64) -> Fetched {
        if let Some(known) = self.known(host) {
            return known;
        }
        let answer = tokio::time::timeout(TIMEOUT, lent.fetch(host)).await;
        let answer = answer.unwrap_or_else(|_| Err("it does not answer in time".to_owned()));
        let fetched = Fetched {
            status: answer.as_ref().ok().copied(),
            trouble: answer.err(),
            at_ms,
        };
        let mut known = self.0.lock().expect("nothing panics while it is held");
        known.retain(|_, it| it.0.elapsed() < FRESH);
        known.insert(host.to_owned(), (Instant::now(), fetched.clone()));
        fetched
    }

    fn known(&self, host: &str) -> Option<Fetched> {
        let known = self.0.lock().expect("nothing panics while it is held");
        let (at, fetched) = known.get(host)?;
        (at.elapsed() < FRESH).then(|| fetched.clone())
    }
}

/// The host of a page that this machine's load balancers serve at their usual port. Nothing else is fetched: what a
/// template puts out as an address may be anybody's.
fn host_of(url: &str) -> Option<&str> {
    let host = url.strip_prefix("http://")?.split('/').next()?;
    let is_own = host.ends_with(".localhost") && !host.contains([':', '@']);
    is_own.then_some(host)
}

/// Fetches the page of each card that has one. Who is called up and does not answer is not up.
pub async fn add(cx: &Cx, lent: &dyn Lent, fetches: &Fetches, cards: &mut [Card]) {
    let at_ms = now_ms(cx);
    let asking = cards.iter().enumerate().filter_map(|(at, card)| {
        let runs = matches!(card.state, State::Well | State::Failed);
        let host = card
            .urls
            .first()
            .and_then(|it| host_of(it))
            .filter(|_| runs)?;
        Some(async move { (at, fetches.ask(lent, host, at_ms).await) })
    });
    for (at, fetched) in join_all(asking.take(PAGES_MAX)).await {
        let card = &mut cards[at];
        if card.state == State::Well && !fetched.is_well() {
            card.state = State::Failed;
        }
        card.fetched = Some(fetched);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_balancers_pages_is_fetched() {
        assert_eq!(
            host_of("http://web-1.us-east-1.elb.localhost/a"),
            Some("web-1.us-east-1.elb.localhost")
        );
        for other in [
            "http://evil.example",
            "http://a.localhost:22",
            "https://a.localhost",
            "http://x@a.localhost",
            "file:///etc",
        ] {
            assert_eq!(host_of(other), None, "{other}");
        }
    }
}
