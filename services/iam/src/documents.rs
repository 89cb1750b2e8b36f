//! Stored documents, each parsed once.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use ::policy::{Bound, Document, Kind};
use cloud::{Cx, Error};

use crate::grants::Grants;
use crate::policy;
use crate::session::SessionExtras;

/// Texts that are remembered with what they mean. Past that all are parsed again, which costs time and
/// no truth.
const REMEMBERED_BYTES_MAX: usize = 16 << 20;

/// What a text means does not depend on who has it, so that one memory serves all.
static PARSED: LazyLock<Mutex<Parsed>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Parsed {
    by_text: HashMap<(Kind, String), Document>,
    bytes: usize,
}

/// A stored document. It was checked when it was put; a text that cannot be read all the same denies
/// everything, because it may have denied anything.
pub fn parsed(text: &str, kind: Kind) -> Document {
    let key = (kind, text.to_owned());
    let mut parsed = PARSED.lock().expect("nothing panics while it is held");
    if let Some(document) = parsed.by_text.get(&key) {
        return document.clone();
    }
    let document = Document::parse(text, kind).unwrap_or_else(|_| Document::unreadable(kind));
    if parsed.bytes > REMEMBERED_BYTES_MAX {
        *parsed = Parsed::default();
    }
    parsed.bytes += text.len();
    parsed.by_text.insert(key, document.clone());
    document
}

/// What bounds a role or user, when something does. A policy that is gone allows nothing.
pub fn boundary_of(cx: &Cx, grants: &Grants) -> Result<Option<Bound>, Error> {
    let Some(arn) = &grants.boundary else {
        return Ok(None);
    };
    let document = cx.read(|tx| policy::document_of(cx, tx, arn))?;
    let documents = document.iter().map(|it| parsed(it, Kind::Boundary));
    Ok(Some(Bound {
        kind: Kind::Boundary,
        documents: documents.collect(),
    }))
}

/// What the policies that a session was begun with leave of its role's.
pub fn session_bound(cx: &Cx, extras: &SessionExtras) -> Result<Option<Bound>, Error> {
    if !extras.is_limited() {
        return Ok(None);
    }
    let mut documents: Vec<Document> = extras
        .policy
        .iter()
        .map(|it| parsed(it, Kind::Session))
        .collect();
    cx.read(|tx| {
        for arn in &extras.policy_arns {
            let document = policy::document_of(cx, tx, arn)?;
            documents.extend(document.map(|it| parsed(&it, Kind::Session)));
        }
        Ok(())
    })?;
    Ok(Some(Bound {
        kind: Kind::Session,
        documents,
    }))
}

/// The documents of all policies of a role, user or group: those within it and those attached.
pub fn of_grants(cx: &Cx, grants: &Grants) -> Result<Vec<Document>, Error> {
    let inline = grants.inline.values();
    let mut documents: Vec<Document> = inline.map(|it| parsed(it, Kind::Identity)).collect();
    cx.read(|tx| {
        for arn in &grants.attached {
            let document = policy::document_of(cx, tx, arn)?;
            documents.extend(document.map(|it| parsed(&it, Kind::Identity)));
        }
        Ok(())
    })?;
    Ok(documents)
}
