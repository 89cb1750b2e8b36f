//! Changes of an input.

use crate::random::Random;

/// Texts that break parsers of any language.
const ODD: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"\xf0\x9f\x98\x80",
    b"\r\n",
    b"\n\n",
    b"\t",
    b"\\",
    b"\"",
    b"'",
    b"${",
    b"}}",
    b"{{",
    b"[[[[[[[[",
    b"((((((((",
    b"{{{{{{{{",
    b"********",
    b"????",
    b"%00",
    b"%",
    b"..",
    b"../",
    b"-1",
    b"0",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1e999",
    b"NaN",
    b"0x7fffffff",
    b"<!--",
    b"<![CDATA[",
    b"&amp;",
    b"&#x0;",
    b"//",
    b"*/",
    b"#",
    b":",
    b"=",
    b"&",
];
/// Changes to one input, at the most.
const CHANGES_MAX: usize = 6;
/// How often a piece is repeated, at the most.
const REPEATS_MAX: usize = 200;

/// One of `kept`, changed in a few places.
pub fn changed(
    kept: &[Vec<u8>],
    words: &[Vec<u8>],
    bytes_max: usize,
    random: &mut Random,
) -> Vec<u8> {
    let mut input = random.of(kept).clone();
    for _ in 0..=random.below(CHANGES_MAX) {
        change(&mut input, kept, words, random);
        input.truncate(bytes_max);
    }
    input
}

fn change(input: &mut Vec<u8>, kept: &[Vec<u8>], words: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let (from, to) = range(input.len(), random);
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = (random.next() & 0xff) as u8,
        2 => drop(input.drain(from..to)),
        3 => {
            let piece = input[from..to].to_vec();
            insert(input, at, &piece);
        }
        4 => {
            let piece = input[from..to.min(from + 16)].to_vec();
            insert(input, at, &piece.repeat(1 + random.below(REPEATS_MAX)));
        }
        5 => {
            let other = random.of(kept).clone();
            let (from, to) = range(other.len(), random);
            insert(input, at, &other[from..to]);
        }
        6 if !words.is_empty() => {
            let word = random.of(words).clone();
            insert(input, at, &word);
        }
        7 => {
            let other = random.of(kept);
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        _ => {
            let odd = *random.of(ODD);
            insert(input, at, odd);
        }
    }
}

fn range(length: usize, random: &mut Random) -> (usize, usize) {
    let (one, other) = (random.below(length + 1), random.below(length + 1));
    (one.min(other), one.max(other))
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(input.len());
    input.splice(at..at, piece.iter().copied());
}
