//! Hostile input for the tests of parsers: a bounded fuzzer in the test's own process.
//!
//! [`Target`] names a parser, has some valid inputs to begin with, and says what came of an input.
//! [`Target::run`] changes what it has at random, keeps what leads somewhere new (an outcome that no
//! input had before), and fails when the parser panics or takes longer than an input of this size may.
//! Every run begins with the same seed and the corpus that is committed, so that what it found it finds
//! again; `NEARGATE_FUZZ_SEED` begins elsewhere.
//!
//! In `.ci/run` a target has [`SHARE`]; `NEARGATE_FUZZ_SECONDS=600 cargo test -p wire fuzz` looks for
//! longer. An input that broke a parser, and those that led somewhere new in a long run, are written to
//! the crate's `corpus/TARGET/`: commit them.

mod mutate;
mod random;

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use random::Random;

/// What a target gets of the minute that all of them have together in `.ci/run`.
const SHARE: Duration = Duration::from_secs(3);
/// No parser may take longer for one input, on a machine that does other things meanwhile.
const INPUT_TIME_MAX: Duration = Duration::from_secs(2);
/// Inputs do not grow past this: what a parser does for more of the same is the business of its bounds.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Inputs that are kept to be changed.
const KEPT_MAX: usize = 4096;

/// A parser, and what to begin with.
pub struct Target<'a> {
    name: &'static str,
    /// The manifest directory of the crate whose test this is.
    crate_root: &'a str,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl<'a> Target<'a> {
    /// `crate_root` is `env!("CARGO_MANIFEST_DIR")`.
    pub fn new(name: &'static str, crate_root: &'a str) -> Self {
        Self {
            name,
            crate_root,
            seeds: Vec::new(),
            words: Vec::new(),
        }
    }

    /// Valid inputs, or nearly.
    #[must_use]
    pub fn seeds<T: AsRef<[u8]>>(mut self, seeds: impl IntoIterator<Item = T>) -> Self {
        self.seeds
            .extend(seeds.into_iter().map(|it| it.as_ref().to_vec()));
        self
    }

    /// Words of the language, which are put into inputs.
    #[must_use]
    pub fn words<T: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.words
            .extend(words.into_iter().map(|it| it.as_ref().to_vec()));
        self
    }

    /// Looks for an input that breaks `parse`, which answers what came of one: its error without what is
    /// the input's own, or a digest of what was read.
    ///
    /// # Panics
    ///
    /// When an input makes `parse` panic or takes too long; it is in the corpus then.
    pub fn run<O: Hash>(self, parse: impl Fn(&[u8]) -> O) {
        let time = match std::env::var("NEARGATE_FUZZ_SECONDS") {
            Ok(text) => {
                Duration::from_secs(text.parse().expect("NEARGATE_FUZZ_SECONDS is a number"))
            }
            Err(_) => SHARE,
        };
        let seed = std::env::var("NEARGATE_FUZZ_SEED").ok();
        let seed = seed.map_or(1, |it| it.parse().expect("NEARGATE_FUZZ_SEED is a number"));
        let mut run = Run {
            corpus: Path::new(self.crate_root).join("corpus").join(self.name),
            keeps_finds: time > SHARE,
            parse: &parse,
            kept: Vec::new(),
            outcomes: HashSet::new(),
        };
        for input in self.seeds.iter().chain(&run.committed()) {
            run.add(input.clone());
        }
        run.add(Vec::new());
        let (begin, mut random) = (Instant::now(), Random::new(seed));
        let mut count: u64 = 0;
        while begin.elapsed() < time {
            let input = mutate::changed(&run.kept, &self.words, INPUT_BYTES_MAX, &mut random);
            run.look(input);
            count += 1;
        }
        println!(
            "{}: {count} inputs, {} outcomes",
            self.name,
            run.outcomes.len()
        );
    }
}

struct Run<'a, F> {
    corpus: PathBuf,
    /// Whether what leads somewhere new is written down.
    keeps_finds: bool,
    parse: &'a F,
    kept: Vec<Vec<u8>>,
    outcomes: HashSet<u64>,
}

impl<O: Hash, F: Fn(&[u8]) -> O> Run<'_, F> {
    fn committed(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(&self.corpus).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = files.map(|it| it.path()).collect();
        paths.sort();
        let read = |path: &PathBuf| fs::read(path).expect("the corpus is readable");
        paths.iter().map(read).collect()
    }

    /// An input that is kept whatever comes of it.
    fn add(&mut self, input: Vec<u8>) {
        let outcome = self.outcome_of(&input);
        self.outcomes.insert(outcome);
        self.kept.push(input);
    }

    fn look(&mut self, input: Vec<u8>) {
        let outcome = self.outcome_of(&input);
        if self.outcomes.insert(outcome) && self.kept.len() < KEPT_MAX {
            if self.keeps_finds {
                self.write(&input);
            }
            self.kept.push(input);
        }
    }

    fn outcome_of(&self, input: &[u8]) -> u64 {
        let begin = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut hasher = DefaultHasher::new();
            (self.parse)(input).hash(&mut hasher);
            hasher.finish()
        }));
        let Ok(outcome) = outcome else {
            let path = self.write(input);
            panic!("an input makes it panic: {}", path.display());
        };
        if begin.elapsed() > INPUT_TIME_MAX {
            let path = self.write(input);
            panic!("an input takes {:?}: {}", begin.elapsed(), path.display());
        }
        outcome
    }

    fn write(&self, input: &[u8]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let path = self.corpus.join(format!("{:016x}", hasher.finish()));
        fs::create_dir_all(&self.corpus).expect("the corpus is writable");
        fs::write(&path, input).expect("the corpus is writable");
        path
    }
}

/// The outcome of a parser that answers errors as text: their words without digits and what is quoted,
/// which are the input's own.
pub fn shape_of(error: &str) -> String {
    let mut shape = String::new();
    let mut quoted = None;
    for letter in error.chars() {
        match quoted {
            Some(end) if letter == end => quoted = None,
            Some(_) => {}
            None if matches!(letter, '`' | '"' | '\'') => quoted = Some(letter),
            None if letter.is_ascii_digit() => {}
            None => shape.push(letter),
        }
    }
    shape.truncate(shape.char_indices().nth(120).map_or(shape.len(), |it| it.0));
    shape
}

/// How much of what is there: outcomes should tell structures apart, and not every value.
pub fn bucket(count: usize) -> u32 {
    usize::BITS - count.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_panics_is_found_out() {
        let root = std::env::temp_dir().join(format!("fuzz-{}", std::process::id()));
        let root_text = root.to_str().unwrap().to_owned();
        let found = catch_unwind(|| {
            let target = Target::new("breaks", &root_text).seeds(["ab"]).words(["!"]);
            target.run(|input| {
                assert!(!input.contains(&b'!'), "broken");
                input.len()
            });
        });
        let kept = fs::read_dir(root.join("corpus/breaks")).unwrap().count();
        fs::remove_dir_all(&root).unwrap();
        assert!(found.is_err());
        assert_eq!(kept, 1);
    }

    #[test]
    fn words_of_errors_are_told_apart_and_not_their_values() {
        assert_eq!(
            shape_of("line 12: `abc` is wrong"),
            shape_of("line 3: `x` is wrong")
        );
        assert_ne!(
            shape_of("line 12: `abc` is wrong"),
            shape_of("line 12: it is wrong")
        );
    }
}
