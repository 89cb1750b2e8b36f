//! `--chmod`: permissions as octal digits, or as changes to those that a file has (`u=rwX,go-w`), in
//! POSIX's language for `chmod`.

use engine::{EngineError, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileMode {
    Octal(u32),
    Changes(Vec<Change>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The bits of the classes it is for.
    who: u32,
    operator: char,
    permissions: Vec<char>,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o1007;
const ALL: u32 = 0o7777;
/// Without classes a change is for all, as far as the usual mask lets it.
const USUAL_MASK: u32 = 0o022;

impl FileMode {
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || {
            EngineError::invalid(format!(
                "`--chmod={text}` is no file mode, like `755` or `u=rwX,go=rX`"
            ))
        };
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok();
            return mode
                .filter(|mode| *mode <= ALL)
                .map(Self::Octal)
                .ok_or_else(bad);
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            read_clause(clause, &mut changes).ok_or_else(bad)?;
        }
        Ok(Self::Changes(changes))
    }

    pub fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        match self {
            Self::Octal(octal) => *octal,
            Self::Changes(changes) => changes
                .iter()
                .fold(mode & ALL, |mode, change| change.apply(mode, is_folder)),
        }
    }
}

/// `[ugoa]*` and then at least one of an operator and its permissions.
fn read_clause(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let classes_end = clause.find(['+', '-', '='])?;
    let (classes, mut rest) = clause.split_at(classes_end);
    let mut who = 0;
    for class in classes.chars() {
        who |= match class {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => ALL,
            _ => return None,
        };
    }
    let who = if classes.is_empty() {
        ALL & !USUAL_MASK
    } else {
        who
    };
    while let Some(operator) = rest.chars().next() {
        let permissions = &rest[operator.len_utf8()..];
        let end = permissions
            .find(['+', '-', '='])
            .unwrap_or(permissions.len());
        let is_known = |it: char| "rwxXstugo".contains(it);
        if !permissions[..end].chars().all(is_known) {
            return None;
        }
        changes.push(Change {
            who,
            operator,
            permissions: permissions[..end].chars().collect(),
        });
        rest = &permissions[end..];
    }
    Some(())
}

impl Change {
    fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        let copied = |bits: u32| (bits & 7) * 0o111;
        let bits = self.permissions.iter().fold(0, |bits, permission| {
            bits | match permission {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if is_folder || mode & 0o111 != 0 => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                'u' => copied(mode >> 6),
                'g' => copied(mode >> 3),
                'o' => copied(mode),
                _ => 0,
            }
        });
        let bits = bits & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !self.who) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_chmods() {
        let check = |text: &str, file: u32, folder: u32| {
            let mode = FileMode::parse(text).unwrap();
            let found = (mode.apply(0o644, false), mode.apply(0o755, true));
            assert_eq!(found, (file, folder), "{text}: {:o} {:o}", found.0, found.1);
        };
        check("700", 0o700, 0o700);
        check("4755", 0o4755, 0o4755);
        check("u+x", 0o744, 0o755);
        check("+x", 0o755, 0o755);
        check("+w", 0o644, 0o755);
        check("a+w", 0o666, 0o777);
        check("go-r", 0o600, 0o711);
        check("u=rwX,go=rX", 0o644, 0o755);
        check("go=", 0o600, 0o700);
        check("a=r,u+w", 0o644, 0o644);
        check("g=u", 0o664, 0o775);
        check("u+s,+t", 0o5644, 0o5755);
        check("u=rw+x-w", 0o544, 0o555);
    }

    #[test]
    fn what_is_no_mode_is_named() {
        for text in ["", "rwx", "u+y", "8", "17777", "z+x", "u", "755,u+x"] {
            let error = FileMode::parse(text).unwrap_err();
            assert!(error.message.contains("is no file mode"), "{text}");
        }
    }
}
