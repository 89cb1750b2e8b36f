//! Hostile expressions of metric math.

use fuzz::{Target, bucket, shape_of};

use crate::math::{check, parse};

#[test]
fn fuzz_metric_math() {
    Target::new("metric-math", env!("CARGO_MANIFEST_DIR"))
        .seeds([
            "m1 + m2 * 100 / PERIOD(m1)",
            "IF(m1 > 5 AND e2 <= .5, m1, FILL(m2, 0))",
            "SUM(METRICS(\"abc\")) - MAX([m1, m2])",
            "-m1 ^ 2 ^ !(m2 == 1 || m3 != 2)",
            "SELECT AVG(x) FROM y",
        ])
        .words([
            "(((((",
            "[[",
            "IF(",
            "FILL(m1, REPEAT)",
            "^",
            "!!",
            "--",
            "1e308",
            "..",
            "&&",
        ])
        .run(|input| match parse(&String::from_utf8_lossy(input)) {
            Ok(expression) => {
                let mut ids = 0;
                expression.ids(&mut |_| ids += 1);
                let checked = check(&expression).map_err(|it| shape_of(&it.message));
                format!("{} {checked:?}", bucket(ids))
            }
            Err(error) => shape_of(&error.message),
        });
}
