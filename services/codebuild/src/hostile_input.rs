//! Hostile buildspecs and reports.

use fuzz::{Target, bucket, shape_of};

use crate::{buildspec, junit};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn fuzz_buildspec() {
    Target::new("buildspec", ROOT)
        .seeds(["version: 0.2\nenv:\n  variables: {A: b}\n  parameter-store: {P: /a}\n  exported-variables: [A]\nphases:\n  build:\n    on-failure: ABORT\n    commands: [a, 'b c']\n    finally: [d]\nartifacts:\n  files: ['**/*']\n  base-directory: x\n  secondary-artifacts: {s: {files: [a]}}\nreports:\n  r: {files: [a], file-format: JUNITXML}\ncache: {paths: [a]}\n"])
        .words(["phases:\n", "- ", "*a", "&a ", "finally: ", "|\n", "!!binary ", "install:\n"])
        .run(|input| match buildspec::parse(&String::from_utf8_lossy(input)) {
            Ok(_) => String::new(),
            Err(error) => shape_of(&error),
        });
}

#[test]
fn fuzz_junit() {
    Target::new("junit", ROOT)
        .seeds(["<testsuites><testsuite name='a'><testcase name='b' classname='c' time='1.5'><failure message='m'>t</failure></testcase><testcase name='d'><skipped/></testcase></testsuite></testsuites>"])
        .words(["<testcase ", "<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "time='1e308'", "<![CDATA[", "</"])
        .run(|input| match junit::parse(&String::from_utf8_lossy(input)) {
            Ok(cases) => bucket(cases.len()).to_string(),
            Err(error) => shape_of(&error),
        });
}
