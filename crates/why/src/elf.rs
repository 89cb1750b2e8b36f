//! The beginning of a program: which processor it is made for, and what has to be there to run it.

/// What the header of an ELF file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub machine: u16,
    /// The loader that a dynamic program asks for, when it stands in what was read.
    pub loader: Option<String>,
}

const MAGIC: &[u8] = b"\x7fELF";
const LITTLE_ENDIAN: u8 = 1;
const CLASS_64: u8 = 2;
/// `PT_INTERP` (System V ABI, "Program Header").
const INTERPRETER: u32 = 3;
/// More program headers than these are not looked at.
const HEADERS_MAX: usize = 64;
/// A path to a loader is shorter.
const PATH_BYTES_MAX: usize = 256;

/// Machines by their numbers (System V ABI, `e_machine`).
const MACHINES: [(u16, &str); 7] = [
    (3, "x86"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (21, "powerpc64"),
    (22, "s390x"),
    (243, "riscv64"),
];

/// The header that some bytes begin with, when they are the beginning of a program.
pub fn read(head: &[u8]) -> Option<Header> {
    if !head.starts_with(MAGIC) || head.get(5) != Some(&LITTLE_ENDIAN) {
        // Of another byte order, it is another machine's in any case.
        let is_elf = head.starts_with(MAGIC);
        return is_elf.then_some(Header {
            machine: 0,
            loader: None,
        });
    }
    Some(Header {
        machine: number(head, 18, 2)
            .and_then(|it| u16::try_from(it).ok())
            .unwrap_or_default(),
        loader: loader(head),
    })
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, it| sum << 8 | u64::from(*it)),
    )
}

fn loader(head: &[u8]) -> Option<String> {
    if head.get(4) != Some(&CLASS_64) {
        return None;
    }
    let index = |it: u64| usize::try_from(it).ok();
    let table = index(number(head, 32, 8)?)?;
    let size = index(number(head, 54, 2)?)?;
    let count = index(number(head, 56, 2)?)?.min(HEADERS_MAX);
    for at in 0..count {
        let entry = table.checked_add(at.checked_mul(size)?)?;
        if number(head, entry, 4)? != u64::from(INTERPRETER) {
            continue;
        }
        let from = index(number(head, entry.checked_add(8)?, 8)?)?;
        let length = index(number(head, entry.checked_add(32)?, 8)?)?.min(PATH_BYTES_MAX);
        let path = head.get(from..from.checked_add(length)?)?;
        let path = path.split(|it| *it == 0).next()?;
        return String::from_utf8(path.to_vec()).ok();
    }
    None
}

impl Header {
    /// The machine's name, when it is not this one.
    pub fn foreign_machine(&self) -> Option<String> {
        let known = MACHINES.iter().find(|it| it.0 == self.machine);
        match known {
            Some((_, name)) if *name == std::env::consts::ARCH => None,
            Some((_, name)) => Some((*name).to_owned()),
            None => Some(format!("another processor (ELF machine {})", self.machine)),
        }
    }
}

/// What runs a script, by its first line. `env` is asked for somebody else.
pub fn interpreter_of(line: &str) -> Option<String> {
    let line = line.strip_prefix("#!")?;
    let mut words = line.split([' ', '\t']).filter(|it| !it.is_empty());
    let first = words.next()?;
    if !first.ends_with("/env") {
        return Some(first.to_owned());
    }
    let mut rest = words.filter(|it| !it.starts_with('-') && !it.contains('='));
    Some(rest.next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_its_machine_and_loader() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let header = read(&own).unwrap();
        assert_eq!(header.foreign_machine(), None);
        let mut other = own[..64].to_vec();
        other[18] = 183;
        assert_eq!(
            read(&other).unwrap().foreign_machine().as_deref(),
            Some("aarch64")
        );
        assert_eq!(read(b"#!/bin/sh\n"), None);
        for length in 0..other.len() {
            let _ = read(&other[..length]);
        }
    }

    #[test]
    fn a_scripts_interpreter_is_told() {
        for (line, expect) in [
            ("#!/bin/sh", Some("/bin/sh")),
            ("#! /bin/bash -e", Some("/bin/bash")),
            ("#!/usr/bin/env python3", Some("python3")),
            ("#!/usr/bin/env -S node --x", Some("node")),
            ("#!", None),
        ] {
            assert_eq!(interpreter_of(line).as_deref(), expect, "{line}");
        }
    }
}
