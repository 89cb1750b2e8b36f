//! Random passwords.

use cloud::{Cx, Error};
use ring::rand::{SecureRandom, SystemRandom};
use shapes::secretsmanager::*;

use crate::names::invalid;

const LENGTH: usize = 32;
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

pub async fn get_random_password(
    _: Cx,
    input: GetRandomPasswordInput,
) -> Result<GetRandomPasswordOutput, Error> {
    Ok(GetRandomPasswordOutput {
        random_password: Some(password(&input)?),
    })
}

pub fn password(wanted: &GetRandomPasswordInput) -> Result<String, Error> {
    let excluded = wanted.exclude_characters.as_deref().unwrap_or_default();
    let is_set = |flag: Option<bool>| flag == Some(true);
    let kinds = [
        (LOWER, !is_set(wanted.exclude_lowercase)),
        (UPPER, !is_set(wanted.exclude_uppercase)),
        (DIGITS, !is_set(wanted.exclude_numbers)),
        (PUNCTUATION, !is_set(wanted.exclude_punctuation)),
        (" ", is_set(wanted.include_space)),
    ];
    let kinds: Vec<Vec<char>> = kinds
        .into_iter()
        .filter(|it| it.1)
        .map(|(kind, _)| kind.chars().filter(|it| !excluded.contains(*it)).collect())
        .filter(|kind: &Vec<char>| !kind.is_empty())
        .collect();
    let all: Vec<char> = kinds.iter().flatten().copied().collect();
    let length = wanted
        .password_length
        .and_then(|it| usize::try_from(it).ok());
    let length = length.unwrap_or(LENGTH);
    if all.is_empty() {
        return Err(invalid(
            "The password has no characters that are not excluded.",
        ));
    }
    let each = wanted.require_each_included_type != Some(false);
    if each && length < kinds.len() {
        return Err(invalid(
            "The password length is too short to include a character of each type.",
        ));
    }
    let mut random = Random::default();
    let mut letters = Vec::with_capacity(length);
    if each {
        for kind in &kinds {
            letters.push(kind[random.below(kind.len())?]);
        }
    }
    while letters.len() < length {
        letters.push(all[random.below(all.len())?]);
    }
    // Those that had to be there shall be anywhere.
    for at in (1..letters.len()).rev() {
        letters.swap(at, random.below(at + 1)?);
    }
    Ok(letters.into_iter().collect())
}

/// The kernel's random numbers, a few at a time.
#[derive(Default)]
struct Random {
    bytes: Vec<u8>,
}

impl Random {
    fn next(&mut self) -> Result<u32, Error> {
        const BYTES: usize = 256;
        if self.bytes.len() < 4 {
            self.bytes = vec![0; BYTES];
            SystemRandom::new().fill(&mut self.bytes).map_err(|_| {
                wire::codes::InternalFailure.because("the machine gives no random numbers")
            })?;
        }
        let four = self.bytes.split_off(self.bytes.len() - 4);
        Ok(four.iter().fold(0, |all, it| all << 8 | u32::from(*it)))
    }

    /// Each number below `bound` as often as any other: what would favour the small ones is thrown
    /// away.
    fn below(&mut self, bound: usize) -> Result<usize, Error> {
        let bound = u32::try_from(bound).unwrap_or(u32::MAX);
        let limit = u32::MAX - u32::MAX % bound;
        loop {
            let number = self.next()?;
            if number < limit {
                return Ok((number % bound) as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_have_what_is_wanted_and_nothing_else() {
        for _ in 0..50 {
            let default = password(&GetRandomPasswordInput::default()).unwrap();
            assert_eq!(default.chars().count(), 32);
            for kind in [LOWER, UPPER, DIGITS, PUNCTUATION] {
                assert!(default.chars().any(|it| kind.contains(it)), "{default}");
            }
            let narrow = password(&GetRandomPasswordInput {
                password_length: Some(4),
                exclude_punctuation: Some(true),
                exclude_characters: Some("abc".into()),
                include_space: Some(true),
                ..Default::default()
            });
            let narrow = narrow.unwrap();
            assert_eq!(narrow.len(), 4);
            assert!(
                narrow.contains(' ') && !narrow.contains(['a', 'b', 'c']),
                "{narrow}"
            );
        }
        let impossible = password(&GetRandomPasswordInput {
            password_length: Some(3),
            ..Default::default()
        });
        assert_eq!(impossible.unwrap_err().code, "InvalidParameterException");
    }
}
