//! What `why` answers, and nothing else.

use cloud::{Cx, Error};
use why::{Question, Report};

pub async fn gather(cx: &Cx, thing: Option<&str>) -> Result<Report, Error> {
    let question = Question {
        thing: thing.map(str::to_owned),
        to: None,
    };
    why::answer(cx, &question).await
}
