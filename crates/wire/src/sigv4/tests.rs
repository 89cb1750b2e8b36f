use http::Request;

use super::*;

/// The example of AWS's documentation of signature version 4 (`GET /?Action=ListUsers` of IAM).
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SIGNATURE: &str = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
const SIGNED_AT: f64 = 1_440_938_160.0;

fn example(change: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature={SIGNATURE}"
    );
    let request = Request::builder()
        .uri("/?Action=ListUsers&Version=2010-05-08")
        .header("host", "iam.amazonaws.com")
        .header(
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .header("x-amz-date", "20150830T123600Z")
        .header("authorization", authorization);
    change(request).body(()).unwrap().into_parts().0
}

fn check(head: &Parts, body: &[u8], secret: &str, now: f64) -> Result<(), Doubt> {
    let credentials = Credentials::of(head)?;
    let find_key = |key: &str, _: Option<&str>| {
        (key == "AKIDEXAMPLE").then(|| Signer::new(secret.to_owned(), ()))
    };
    verify(head, body, &credentials, &find_key, now)
}

#[test]
fn the_documented_example_is_believed() {
    assert_eq!(check(&example(|it| it), b"", SECRET, SIGNED_AT), Ok(()));
    let credentials = Credentials::of(&example(|it| it)).unwrap();
    assert_eq!(
        (credentials.region.as_str(), credentials.service.as_str()),
        ("us-east-1", "iam")
    );
}

#[test]
fn what_was_changed_is_not_believed() {
    let wrong = Err(Doubt::WrongSignature);
    assert_eq!(
        check(&example(|it| it), b"", "another secret", SIGNED_AT),
        wrong
    );
    assert_eq!(
        check(&example(|it| it), b"another body", SECRET, SIGNED_AT),
        wrong
    );
    assert_eq!(
        check(&example(|it| it.method("POST")), b"", SECRET, SIGNED_AT),
        wrong
    );
    let other_action = "/?Action=DeleteUser&Version=2010-05-08";
    assert_eq!(
        check(&example(|it| it.uri(other_action)), b"", SECRET, SIGNED_AT),
        wrong
    );
    assert_eq!(
        check(
            &example(|it| it.header("host", "elsewhere")),
            b"",
            SECRET,
            SIGNED_AT
        ),
        wrong
    );
}

#[test]
fn an_unsigned_header_that_counts_is_refused() {
    let head = example(|it| it.header("x-amz-target", "Iam.DeleteUser"));
    assert!(matches!(
        check(&head, b"", SECRET, SIGNED_AT),
        Err(Doubt::Incomplete(_))
    ));
}

#[test]
fn time_bounds_hold_on_both_sides() {
    for (offset, good) in [
        (-899.0, true),
        (899.0, true),
        (-901.0, false),
        (901.0, false),
    ] {
        let result = check(&example(|it| it), b"", SECRET, SIGNED_AT + offset);
        assert_eq!(result.is_ok(), good, "{offset}");
        assert!(good || matches!(result, Err(Doubt::Expired(_))));
    }
}

#[test]
fn who_does_not_sign_is_told_so() {
    let bare = Request::builder().uri("/").body(()).unwrap().into_parts().0;
    assert_eq!(Credentials::of(&bare), Err(Doubt::Unsigned));
    for header in [
        "Basic abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b",
        "AWS4-HMAC-SHA256 Credential=a/20150830/c/d/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/20150830/c/d/other, SignedHeaders=host, Signature=0",
    ] {
        let request = Request::builder()
            .header("authorization", header)
            .header("x-amz-date", "20150830T123600Z");
        let head = request.body(()).unwrap().into_parts().0;
        assert!(
            matches!(Credentials::of(&head), Err(Doubt::Incomplete(_))),
            "{header}"
        );
    }
}

#[test]
fn an_unknown_key_is_told_apart() {
    let head = example(|it| it);
    let credentials = Credentials::of(&head).unwrap();
    assert_eq!(
        verify::<()>(&head, b"", &credentials, &|_, _| None, SIGNED_AT),
        Err(Doubt::UnknownKey)
    );
}

/// A key that is deleted, or a session that ends, while a request is looked at: there is one look, and
/// what it yields is who asks.
#[test]
fn a_key_is_looked_up_once_and_tells_who_asks() {
    let head = example(|it| it);
    let credentials = Credentials::of(&head).unwrap();
    let looks = std::cell::Cell::new(0);
    let once = |_: &str, _: Option<&str>| {
        looks.set(looks.get() + 1);
        (looks.get() == 1).then(|| Signer::new(SECRET.to_owned(), "ann"))
    };
    let verified = |find_key: &FindKey<'_, &'static str>| {
        verify(&head, b"", &credentials, find_key, SIGNED_AT)
    };
    assert_eq!(verified(&once), Ok("ann"));
    assert_eq!(looks.get(), 1);
    assert_eq!(verified(&once), Err(Doubt::UnknownKey));
}

#[test]
fn an_identity_comes_out_against_its_secret_only() {
    let signer = || Signer::new("right".to_owned(), "ann");
    assert_eq!(signer().if_secret("right"), Some("ann"));
    assert_eq!(signer().if_secret("wrong"), None);
    assert_eq!(signer().if_signed(|secret| secret == "wrong"), None);
    assert!(!format!("{:?}", signer()).contains("right"));
}
