//! Pages of what is described: `PageSize` and `Marker`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloud::Error;

/// AWS's limit, and what a page has when nobody asks for less.
const PAGE_MAX: usize = 400;

/// What a request says of the page that it wants.
pub struct Asked<'a> {
    /// What is described: a marker of something else is none here.
    pub of: &'a str,
    pub size: Option<i32>,
    pub marker: Option<&'a String>,
}

impl Asked<'_> {
    /// One page of `all`, and the marker of the next one. The marker names the last thing that was shown
    /// and no position: what is made or deleted meanwhile moves nothing from page to page.
    pub fn page_of<T>(
        &self,
        mut all: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> Result<(Vec<T>, Option<String>), Error> {
        let size = self.size.and_then(|it| usize::try_from(it).ok());
        let size = size.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        if let Some(last) = self.last_shown()? {
            let at = all.iter().position(|it| key(it) == last).map(|at| at + 1);
            let at = at.or_else(|| all.iter().position(|it| key(it) > last));
            all.drain(..at.unwrap_or(all.len()));
        }
        let more = all.len() > size;
        all.truncate(size);
        let last = all.last().filter(|_| more).map(&key);
        let marker = last.map(|last| URL_SAFE_NO_PAD.encode(format!("{}:{last}", self.of)));
        Ok((all, marker))
    }

    fn last_shown(&self) -> Result<Option<String>, Error> {
        let Some(marker) = self.marker.filter(|it| !it.is_empty()) else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
        let text = bytes.and_then(|it| String::from_utf8(it).ok());
        let last = text.as_ref().and_then(|it| it.split_once(':'));
        match last {
            Some((of, last)) if of == self.of => Ok(Some(last.to_owned())),
            _ => Err(wire::codes::ValidationError.because(format!("Invalid marker '{marker}'"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(all: &[&str], size: i32) -> Vec<Vec<String>> {
        let mut marker = None;
        let mut pages = Vec::new();
        loop {
            let asked = Asked {
                of: "letters",
                size: Some(size),
                marker: marker.as_ref(),
            };
            let all = all.iter().map(ToString::to_string).collect();
            let (page, next) = asked.page_of(all, Clone::clone).unwrap();
            pages.push(page);
            match next {
                Some(next) => marker = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn every_item_is_on_one_page() {
        let all = ["a", "b", "c", "d", "e"];
        assert_eq!(pages(&all, 2), [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
        assert_eq!(pages(&all, 5).len(), 1);
        assert_eq!(pages(&[], 1), [Vec::<String>::new()]);
    }

    #[test]
    fn what_was_deleted_meanwhile_moves_nothing() {
        let first = Asked {
            of: "letters",
            size: Some(2),
            marker: None,
        };
        let letters = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let (_, marker) = first.page_of(letters("abcd"), Clone::clone).unwrap();
        let rest = |of| Asked {
            of,
            size: None,
            marker: marker.as_ref(),
        };
        let (page, next) = rest("letters")
            .page_of(letters("acd"), Clone::clone)
            .unwrap();
        assert_eq!((page, next), (letters("cd"), None));
        let error = rest("digits").page_of(letters("a"), Clone::clone);
        assert_eq!(error.unwrap_err().code, "ValidationError");
    }
}
