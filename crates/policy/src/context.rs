//! What is known of a request, by the names of condition keys.

use std::collections::{BTreeMap, BTreeSet};

/// What stands between a family and the rest of a key's name.
const SEPARATORS: [char; 2] = ['/', ':'];

/// The condition keys of a request. **A key that nothing was said about is unknown**, which is not the
/// same as absent: no `Allow` is granted and no `Deny` is passed over because of it.
///
/// Names of keys count whatever their case, also what stands behind a slash (`aws:ResourceTag/Team`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// By the names in small letters.
    keys: BTreeMap<String, Known>,
    /// Beginnings of names, in small letters, of which everything is known: `aws:resourcetag/`.
    families: BTreeSet<String>,
    /// The services whose keys the request may have, when that is known: `s3`, in small letters.
    services: Option<BTreeSet<String>>,
    /// Keys that the request has only where they were set, by list.
    lacking: Vec<&'static [&'static str]>,
    /// Nothing else is there.
    is_all: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Values(Vec<String>),
    Absent,
    Unknown,
}

/// What a [`Context`] knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Some values: at least one.
    Values(&'a [String]),
    /// The request has no such key, which is certain.
    Absent,
    Unknown,
}

impl Context {
    pub fn new() -> Self {
        Self::default()
    }

    /// The key has this one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.set_all(key, [value]);
    }

    /// The key has these values; without any it is absent.
    pub fn set_all(&mut self, key: &str, values: impl IntoIterator<Item = impl Into<String>>) {
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        let known = match values.is_empty() {
            true => Known::Absent,
            false => Known::Values(values),
        };
        self.keys.insert(lower(key), known);
    }

    /// A value when there is one; otherwise the key is absent.
    pub fn set_or_absent(&mut self, key: &str, value: Option<impl Into<String>>) {
        self.set_all(key, value);
    }

    /// The request has no such key, and could not have.
    pub fn set_absent(&mut self, key: &str) {
        self.keys.insert(lower(key), Known::Absent);
    }

    /// Takes back what was said of a key.
    pub fn set_unknown(&mut self, key: &str) {
        self.keys.insert(lower(key), Known::Unknown);
    }

    /// All tags there are, as `<family>/<key of the tag>`: every other key of the family is absent from
    /// now on. The family is written without its slash: `aws:ResourceTag`.
    ///
    /// Keys of tags count with their case and names of condition keys without: which one of `Team` and
    /// `team` is meant nobody can tell, so their key is unknown.
    pub fn set_tags<K: AsRef<str>, V: Into<String>>(
        &mut self,
        family: &str,
        tags: impl IntoIterator<Item = (K, V)>,
    ) {
        self.know_family(family);
        let mut seen = BTreeSet::new();
        for (key, value) in tags {
            let key = format!("{family}/{}", key.as_ref());
            if seen.insert(lower(&key)) {
                self.set(&key, value);
            } else {
                self.set_unknown(&key);
            }
        }
    }

    /// Everything is known of the keys that begin with `<family>/`: one that is not set is absent. A family
    /// that ends in a colon is one of keys such as `kms:EncryptionContext:Stage`.
    pub fn know_family(&mut self, family: &str) {
        let mut family = lower(family);
        if !family.ends_with(SEPARATORS) {
            family.push('/');
        }
        self.keys.retain(|key, _| !key.starts_with(&family));
        self.families.insert(family);
    }

    /// The request has none of these keys, but those that are set: they are of other things than it is about.
    pub fn lack(&mut self, keys: &'static [&'static str]) {
        self.lacking.push(keys);
    }

    /// The request may have keys of these services (`s3` for `s3:prefix`) and those that begin with
    /// `aws:`. Keys of all others are absent: a call of ECS has no `s3:prefix`.
    pub fn know_services<S: AsRef<str>>(&mut self, services: impl IntoIterator<Item = S>) {
        let services = services.into_iter().map(|it| lower(it.as_ref()));
        self.services = Some(services.collect());
    }

    /// What was said of keys is all: every other key is absent.
    pub fn know_all(&mut self) {
        self.is_all = true;
    }

    /// What names a member of a family stands behind the first slash, or behind the second colon.
    fn is_of_known_family(&self, key: &str) -> bool {
        let colon = key.match_indices(':').nth(1).map(|it| it.0);
        let mut ends = [key.find('/'), colon].into_iter().flatten();
        ends.any(|at| self.families.contains(&key[..=at]))
    }

    fn is_foreign(&self, key: &str) -> bool {
        let service = key.split(':').next().unwrap_or_default();
        let services = self.services.as_ref();
        service != "aws" && services.is_some_and(|it| !it.contains(service))
    }

    /// Adds what another context knows; where both know a key, the other counts.
    pub fn extend(&mut self, other: &Self) {
        for family in &other.families {
            self.know_family(family);
        }
        self.is_all |= other.is_all;
        self.lacking.extend(&other.lacking);
        if other.services.is_some() {
            self.services.clone_from(&other.services);
        }
        for (key, known) in &other.keys {
            self.keys.insert(key.clone(), known.clone());
        }
    }

    fn is_lacking(&self, key: &str) -> bool {
        let mut keys = self.lacking.iter().copied().flatten();
        keys.any(|it| it.eq_ignore_ascii_case(key))
    }

    pub fn get(&self, key: &str) -> Value<'_> {
        let key = lower(key);
        match self.keys.get(&key) {
            Some(Known::Values(values)) => Value::Values(values),
            Some(Known::Absent) => Value::Absent,
            Some(Known::Unknown) => Value::Unknown,
            None => {
                match self.is_of_known_family(&key)
                    || self.is_lacking(&key)
                    || self.is_all
                    || self.is_foreign(&key)
                {
                    true => Value::Absent,
                    false => Value::Unknown,
                }
            }
        }
    }
}

fn lower(key: &str) -> String {
    key.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_absent() {
        let mut context = Context::new();
        assert_eq!(context.get("aws:SourceIp"), Value::Unknown);
        context.set_absent("aws:SourceIp");
        assert_eq!(context.get("AWS:sourceip"), Value::Absent);
        context.set("aws:sourceIP", "10.0.0.1");
        assert_eq!(
            context.get("aws:SourceIp"),
            Value::Values(&["10.0.0.1".to_owned()])
        );
        context.set_all("aws:TagKeys", [""; 0]);
        assert_eq!(context.get("aws:TagKeys"), Value::Absent);
    }

    #[test]
    fn a_call_has_no_keys_of_other_services() {
        let mut context = Context::new();
        context.know_services(["ECS"]);
        assert_eq!(context.get("s3:prefix"), Value::Absent);
        assert_eq!(context.get("ecs:cluster"), Value::Unknown);
        assert_eq!(context.get("AWS:SourceIp"), Value::Unknown);
        context.set("iam:PassedToService", "ecs-tasks.amazonaws.com");
        assert!(matches!(
            context.get("iam:passedtoservice"),
            Value::Values(_)
        ));
    }

    #[test]
    fn what_is_lacking_is_absent_unless_it_is_set() {
        let mut context = Context::new();
        context.lack(&["ec2:Vpc", "ec2:InstanceType"]);
        context.set("ec2:Vpc", "vpc-1");
        assert!(matches!(context.get("EC2:vpc"), Value::Values(_)));
        assert_eq!(context.get("ec2:instancetype"), Value::Absent);
        assert_eq!(context.get("ec2:Subnet"), Value::Unknown);
        let mut more = Context::new();
        more.extend(&context);
        assert_eq!(more.get("ec2:InstanceType"), Value::Absent);
    }

    #[test]
    fn a_family_is_known_as_a_whole() {
        let mut context = Context::new();
        assert_eq!(context.get("aws:ResourceTag/Team"), Value::Unknown);
        context.set_tags("aws:ResourceTag", [("Team", "a"), ("x", "1"), ("X", "2")]);
        assert_eq!(
            context.get("aws:resourcetag/team"),
            Value::Values(&["a".to_owned()])
        );
        assert_eq!(context.get("aws:ResourceTag/Stage"), Value::Absent);
        assert_eq!(context.get("aws:ResourceTag/x"), Value::Unknown);
        assert_eq!(context.get("aws:RequestTag/Stage"), Value::Unknown);
        context.know_family("kms:EncryptionContext:");
        context.set("kms:EncryptionContext:Stage", "prod");
        assert_eq!(
            context.get("kms:encryptioncontext:stage"),
            Value::Values(&["prod".to_owned()])
        );
        assert_eq!(context.get("kms:EncryptionContext:a/b"), Value::Absent);
        assert_eq!(context.get("kms:EncryptionContextKeys"), Value::Unknown);
        let mut more = Context::new();
        more.set_tags("aws:ResourceTag", [("Stage", "b")]);
        context.extend(&more);
        assert_eq!(context.get("aws:ResourceTag/Team"), Value::Absent);
    }
}
