//! Calls whose inputs and outputs are JSON.

use std::ops::Deref;

use cloud::Cx;
use serde_json::Value as Json;
use wire::Operation;

use crate::World;

/// A [`World`] that is asked and answers in JSON.
pub struct JsonWorld(pub World);

impl Deref for JsonWorld {
    type Target = World;
    fn deref(&self) -> &World {
        &self.0
    }
}

impl JsonWorld {
    /// The answer, or the error's code and message.
    pub async fn ask<I: Operation>(&self, input: Json) -> Result<Json, (String, String)> {
        ask::<I>(&self.cx, input).await
    }

    pub async fn ok<I: Operation>(&self, input: Json) -> Json {
        match self.ask::<I>(input.clone()).await {
            Ok(answer) => answer,
            Err((code, message)) => panic!("{} {input}: {code}: {message}", I::NAME),
        }
    }

    /// Checks with which words a call is refused.
    pub async fn refused<I: Operation>(&self, input: Json, code: &str, message: &str) {
        match self.ask::<I>(input.clone()).await {
            Ok(answer) => panic!("{} {input}: {answer}", I::NAME),
            Err((found, why)) => {
                assert_eq!((&*found, &*why), (code, message), "{} {input}", I::NAME);
            }
        }
    }
}

/// [`JsonWorld::ask`] in any context.
pub async fn ask<I: Operation>(cx: &Cx, json: Json) -> Result<Json, (String, String)> {
    let input = match wire::lenient::<I>(json) {
        Ok(input) => input,
        Err(error) => {
            assert!(error.unbuilt().is_some(), "{}: {error}", I::NAME);
            // What no member takes is refused before the handler runs, as it is for a client.
            let mut services = cx.cloud.services().map(cloud::Service::model);
            let model = services.find(|it| it.signing_name == I::SERVICE);
            let model = model.expect("the service is part of this world");
            let error = wire::forbidden(model, I::NAME, &error);
            return Err((error.code.to_owned(), error.message));
        }
    };
    match cx.call(input).await {
        Ok(answer) => Ok(wire::to_json(&answer)),
        Err(error) => Err((error.code.to_owned(), error.message)),
    }
}

/// A call as a client makes it that speaks JSON with every service, by the names on the wire.
pub async fn serve(cx: &Cx, service: &str, operation: &str, input: Json) -> Result<Json, String> {
    let answer = cx.serve_json(service, operation, input).await;
    answer.map_err(|error| error.to_string())
}

/// An operation's input from JSON.
pub fn input<I: Operation>(json: Json) -> I {
    wire::lenient::<I>(json).unwrap_or_else(|error| panic!("{}: {error}", I::NAME))
}

/// An operation's input of what all calls of a test have in common, and of what one has beside it.
/// Members that an operation does not have say nothing to it.
pub fn input_with<I: Operation>(common: Json, more: &Json) -> I {
    let mut all = common;
    for (key, value) in more.as_object().expect("an input is an object") {
        all[key] = value.clone();
    }
    wire::from_json(all).unwrap_or_else(|error| panic!("{}: {error}", I::NAME))
}

pub fn text(json: &Json) -> String {
    let text = json.as_str();
    text.unwrap_or_else(|| panic!("no text: {json}")).to_owned()
}

/// A member of each element.
pub fn texts(list: &Json, member: &str) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|it| text(&it[member])).collect()
}
