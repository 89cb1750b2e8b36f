//! A bucket's policy: put and shown here and nowhere else, whichever way it comes.

use cloud::{Cx, Error};

use crate::errors::{no_policy, unknown_principal};
use crate::record::Bucket;
use crate::{access, bucket};

/// Puts a policy, when `may` lets it take the place of what the bucket has.
pub fn put(
    cx: &Cx,
    bucket: &str,
    text: &str,
    may: impl FnOnce(&Bucket, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    // What is no policy is kept as it is, and refused below in its own words.
    let kept = cx.keep_policy(text)?;
    bucket::change(cx, bucket, |it| {
        access::check_policy(it, text)?;
        let kept = kept.map_err(|unknown| unknown_principal(&unknown.0))?;
        may(it, &kept)?;
        it.policy = Some(kept);
        Ok(())
    })
}

/// The policy, with those whom it names as they are called now.
pub fn get(cx: &Cx, bucket: &str) -> Result<String, Error> {
    let kept = bucket::get(cx, bucket)?.policy;
    cx.show_policy(&kept.ok_or_else(|| no_policy(bucket))?)
}
