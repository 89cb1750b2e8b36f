//! Which name was meant, of those that are there.

/// Names are compared as far as this; longer ones differ by more than a slip.
const NAME_CHARS_MAX: usize = 128;

/// The most alike of some names; None when none is alike.
pub fn nearest<'a>(wanted: &str, there: &'a [String]) -> Option<&'a str> {
    let wanted: Vec<char> = wanted.chars().take(NAME_CHARS_MAX).collect();
    let slips_max = wanted.len().div_ceil(3);
    let slips = |it: &String| {
        distance(
            &wanted,
            &it.chars().take(NAME_CHARS_MAX).collect::<Vec<_>>(),
        )
    };
    there
        .iter()
        .map(|it| (slips(it), it.as_str()))
        .filter(|it| it.0 <= slips_max)
        .min()
        .map(|it| it.1)
}

/// How many letters are to be added, left out or changed (Levenshtein's distance).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, its) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != its);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_name_is_not() {
        let there = ["website", "api", "worker"].map(str::to_owned);
        for (wanted, expect) in [
            ("websit", Some("website")),
            ("web-site", Some("website")),
            ("wroker", Some("worker")),
            ("database", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, &there), expect, "{wanted}");
        }
    }
}
