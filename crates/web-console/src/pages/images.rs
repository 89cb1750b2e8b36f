//! Images by repository.

use maud::html;

use super::{Page, parts};
use crate::asked::Asked;
use crate::facts::images::ImagesFacts;

const MIB: f64 = 1024.0 * 1024.0;

pub fn page(facts: &ImagesFacts, _: &Asked) -> Page {
    let body = html! {
        h1 { "Images" }
        @if facts.repositories.is_empty() { p { "There are no repositories." } }
        @for it in &facts.repositories {
            section #{ "repository-" (it.name) } data-row="" {
                h2 { (it.name) }
                p .detail { code { (it.uri) } }
                @if it.images.is_empty() { p { "It is empty." } }
                @else {
                    table {
                        thead { tr { th scope="col" { "Tags" } th scope="col" { "Digest" } th scope="col" { "Size" } th scope="col" { "Pushed" } th scope="col" { "Run by" } } }
                        tbody { @for image in &it.images { tr {
                            th scope="row" { @if image.tags.is_empty() { "none" } @else { (image.tags.join(", ")) } }
                            td { code { (image.digest.get(..19).unwrap_or(&image.digest)) } }
                            td { (format!("{:.1} MiB", image.bytes as f64 / MIB)) }
                            td { (parts::ago(facts.now_ms, image.pushed_ms)) }
                            td {
                                @for (at, user) in image.used_by.iter().enumerate() {
                                    @if at > 0 { ", " }
                                    @match user.split_once('/') {
                                        Some((cluster, name)) => { a href=(parts::service_link(cluster, name)) { (user) } },
                                        None => { (user) },
                                    }
                                }
                            }
                        } } }
                    }
                }
                @if it.left_off > 0 { p { (it.left_off) " older ones are not shown." } }
            }
        }
        @if facts.left_off > 0 { p { (facts.left_off) " more repositories are not shown." } }
    };
    Page::new("Images", "Images")
        .body(body)
        .by([parts::aws(&["ecr", "describe-repositories"])])
}
