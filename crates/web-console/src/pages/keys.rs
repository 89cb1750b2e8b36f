//! What the keyboard does.

use maud::html;

use super::{PLACES, Page};

const KEYS: [(&str, &str); 12] = [
    ("?", "this page"),
    ("Ctrl-K", "find a thing and go there"),
    ("/", "filter the rows of this page, or search the log"),
    ("j, k", "the next row, the one before"),
    ("Enter", "open the row"),
    ("w", "why the row, or this thing, is red"),
    ("l", "logs of the row, or of this thing"),
    ("o", "the address that it serves"),
    ("a", "this view as aws commands"),
    ("y", "copy this view's address"),
    (".", "stop and go on with live changes"),
    ("Esc", "close, then go up"),
];

pub fn page() -> Page {
    let body = html! {
        h1 { "Keys" }
        table {
            thead { tr { th scope="col" { "Key" } th scope="col" { "Does" } } }
            tbody {
                @for (key, does) in KEYS { tr { th scope="row" { kbd { (key) } } td { (does) } } }
                @for (name, _, key) in PLACES { tr { th scope="row" { kbd { "g " (key) } } td { (name) } } }
            }
        }
        p { label { input #single-keys type="checkbox" checked; " Single keys do this (where text is typed they never do)" } }
    };
    Page::new("Keys", "").body(body).at_rest()
}
