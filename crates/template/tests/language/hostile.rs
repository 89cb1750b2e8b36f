//! Nothing that a stranger writes makes the reader panic, hang or grow.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use template::Template;

use crate::{World, environment, parameters};

/// Does everything that can be done with a text. Errors are fine.
fn digest(text: &str) {
    let Ok(template) = Template::parse(text) else {
        return;
    };
    let Ok(values) = template.resolve_parameters(&parameters(&[("P", "a")])) else {
        return;
    };
    let Ok(instance) = template.instantiate(values, environment()) else {
        return;
    };
    for id in template.resources.keys() {
        let _ = instance.properties(id, &World);
    }
    let _ = instance.outputs(&World);
    instance.dependencies();
}

const SEED: &str = "
Parameters: {P: {Type: String, AllowedPattern: '[a-z]*'}}
Mappings: {M: {a: {b: c}}}
Conditions: {C: !Equals [!Ref P, a]}
Resources:
  A: {Type: T::T::T, DependsOn: [B], Properties: {X: !Sub '${B.Arn} ${!x}', Y: !If [C, !Ref B, [1, 2]]}}
  B: {Type: T::T::T, Properties: {Z: !Select [0, !Split [',', !Join [',', [a, !FindInMap [M, a, b]]]]]}}
Outputs: {O: {Value: !GetAtt A.Arn, Export: {Name: x}}}
";

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text(text in "\\PC{0,200}") {
        digest(&text);
    }

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        digest(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_yaml_marks(text in "[-a:{}\\[\\],&*!|>'\"%@` \n\t#?<~.$0]{0,120}") {
        digest(&text);
    }

    #[test]
    fn a_good_template_damaged(at in 0..SEED.len(), length in 0usize..12, with in "[-a:{}\\[\\],&*!|>'\"$ \n]{0,6}") {
        let end = (at + length).min(SEED.len());
        digest(&format!("{}{with}{}", &SEED[..at], &SEED[end..]));
    }
}

/// Runs with a small stack and against the clock.
fn within_bounds(text: String) {
    let begin = Instant::now();
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || digest(&text))
        .unwrap()
        .join()
        .unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "took {:?}",
        begin.elapsed()
    );
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [
        ("[", "]"),
        ("{a: ", "}"),
        ("{\"a\": ", "}"),
        ("!Sub [", "]"),
        ("{\"Fn::Not\": [", "]}"),
        ("- ", ""),
        ("? ", ""),
    ] {
        for depth in [60, 70, 5_000] {
            within_bounds(format!(
                "Resources: {{A: {{Type: T::T::T, Properties: {{X: {}1{}}}}}}}",
                open.repeat(depth),
                close.repeat(depth)
            ));
            within_bounds(format!("{}1{}", open.repeat(depth), close.repeat(depth)));
        }
    }
}

#[test]
fn texts_that_double_at_every_level_are_refused() {
    let mut value = "'0123456789'".to_owned();
    for _ in 0..28 {
        value = format!("!Sub ['${{a}}${{a}}', {{a: {value}}}]");
    }
    let text = format!("Resources: {{It: {{Type: T::T::T, Properties: {{X: {value}}}}}}}");
    let found = crate::error(&text, &[]);
    assert!(
        found.contains("the texts computed here are longer than 1048576 bytes"),
        "{found}"
    );
    within_bounds(text.replace("'0123456789'", "''"));
}

#[test]
fn aliases_cannot_be_expanded() {
    let mut text = "a0: &a0 [x, x]\n".to_owned();
    for n in 1..40 {
        text += &format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1);
    }
    within_bounds(text);
}

#[test]
fn big_templates_take_no_time() {
    within_bounds(format!(
        "Resources: {{A: {{Type: T::T::T, Properties: {{X: [{}]}}}}}}",
        "a,".repeat(400_000)
    ));
    within_bounds(format!("Resources:\n{}", "  a: b\n".repeat(140_000)));
    within_bounds(format!(
        "Resources: {{A: {{Type: T::T::T, Properties: {{X: !Sub '{}'}}}}}}",
        "${".repeat(400_000)
    ));
    let chain: String = (0..500)
        .map(|n| {
            format!(
                "  R{n:03}: {{Type: T::T::T, Properties: {{X: !Ref R{:03}}}}}\n",
                (n + 1) % 500
            )
        })
        .collect();
    within_bounds(format!("Resources:\n{chain}"));
    let conditions: String = (0..1000)
        .map(|n| format!("  C{n:04}: !Not [!Condition C{:04}]\n", n + 1))
        .collect();
    within_bounds(format!(
        "Conditions:\n{conditions}  C1000: !Equals [a, a]\nResources: {{A: {{Type: T::T::T}}}}"
    ));
}
