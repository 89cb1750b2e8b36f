//! Logic with a third value: what depends on something that is not known.

use std::collections::BTreeSet;

/// Whether something holds. What is unknown carries the names of the condition keys that would tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    Yes,
    No,
    Unknown(BTreeSet<String>),
}

impl Truth {
    pub fn unknown(key: &str) -> Self {
        Self::Unknown(BTreeSet::from([key.to_owned()]))
    }

    /// One `No` decides, whatever else is unknown.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, it) | (it, Self::Yes) => it,
            (Self::Unknown(one), Self::Unknown(more)) => Self::Unknown(&one | &more),
        }
    }

    /// One `Yes` decides, whatever else is unknown.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, it) | (it, Self::No) => it,
            (Self::Unknown(one), Self::Unknown(more)) => Self::Unknown(&one | &more),
        }
    }

    pub fn all(truths: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::Yes;
        for it in truths {
            all = all.and(it);
            if all == Self::No {
                break;
            }
        }
        all
    }

    pub fn any(truths: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Self::No;
        for it in truths {
            any = any.or(it);
            if any == Self::Yes {
                break;
            }
        }
        any
    }
}

impl std::ops::Not for Truth {
    type Output = Self;
    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown => unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(it: bool) -> Self {
        if it { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_decides_where_it_can() {
        let (a, b) = (Truth::unknown("a"), Truth::unknown("b"));
        assert_eq!(a.clone().and(Truth::No), Truth::No);
        assert_eq!(a.clone().or(Truth::Yes), Truth::Yes);
        assert_eq!(a.clone().and(Truth::Yes), a);
        assert_eq!(!a.clone(), a);
        let both = Truth::Unknown(BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert_eq!(a.clone().and(b.clone()), both);
        assert_eq!(Truth::any([Truth::No, a, b]), both);
    }
}
