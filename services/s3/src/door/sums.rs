//! Checksums in inputs and outputs, which have a member for each algorithm.

use cloud::Error;
use s3s::TrailingHeaders;

use crate::checksum::Algorithm;
use crate::errors::InvalidRequest;
use crate::put::{Declared, Trailer};

/// Sets the member of an output that a checksum goes to, and what kind it is where there is a member.
macro_rules! set_sum {
    ($output:expr, $sum:expr, with_type) => {
        if let Some(sum) = $sum {
            let kind = if sum.composite {
                "COMPOSITE"
            } else {
                "FULL_OBJECT"
            };
            $output.checksum_type = Some(s3s::dto::ChecksumType::from_static(kind));
            $crate::door::sums::set_sum!($output, Some(sum), alone);
        }
    };
    ($output:expr, $sum:expr, alone) => {
        if let Some(sum) = $sum {
            use $crate::checksum::Algorithm;
            match sum.algorithm {
                Algorithm::Crc32 => $output.checksum_crc32 = Some(sum.value),
                Algorithm::Crc32c => $output.checksum_crc32c = Some(sum.value),
                Algorithm::Crc64Nvme => $output.checksum_crc64nvme = Some(sum.value),
                Algorithm::Sha1 => $output.checksum_sha1 = Some(sum.value),
                Algorithm::Sha256 => $output.checksum_sha256 = Some(sum.value),
            }
        }
    };
}
pub(super) use set_sum;

/// The checksum that an input names, if it names one.
macro_rules! named_sum {
    ($input:expr) => {{
        use $crate::checksum::Algorithm;
        [
            (Algorithm::Crc32, $input.checksum_crc32.clone()),
            (Algorithm::Crc32c, $input.checksum_crc32c.clone()),
            (Algorithm::Crc64Nvme, $input.checksum_crc64nvme.clone()),
            (Algorithm::Sha1, $input.checksum_sha1.clone()),
            (Algorithm::Sha256, $input.checksum_sha256.clone()),
        ]
        .into_iter()
        .find_map(|(algorithm, sum)| Some((algorithm, sum?)))
    }};
}
pub(super) use named_sum;

/// What a request with a body says of it.
macro_rules! declared {
    ($request:ident) => {
        $crate::door::sums::declare(
            $crate::door::sums::named_sum!($request.input),
            $request
                .input
                .checksum_algorithm
                .as_ref()
                .map(|it| it.as_str()),
            $request.input.content_md5.clone(),
            &$request.headers,
            $request.trailing_headers.clone(),
        )
    };
}
pub(super) use declared;

pub(super) fn declare(
    sum: Option<(Algorithm, String)>,
    algorithm: Option<&str>,
    md5: Option<String>,
    headers: &http::HeaderMap,
    trailers: Option<TrailingHeaders>,
) -> Result<Declared, Error> {
    let announced = headers.get("x-amz-trailer").and_then(|it| it.to_str().ok());
    let announced = announced.and_then(|names| {
        let mut names = names.split(',').map(str::trim);
        names.find_map(|name| {
            let mut all = Algorithm::ALL.iter().copied();
            all.find(|it| it.header().eq_ignore_ascii_case(name))
        })
    });
    let sdk = headers.get("x-amz-sdk-checksum-algorithm");
    if sdk.is_some() && sum.is_none() && announced.is_none() {
        return Err(InvalidRequest.because("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."));
    }
    let named = algorithm.and_then(Algorithm::named);
    Ok(Declared {
        md5,
        algorithm: sum.as_ref().map(|it| it.0).or(announced).or(named),
        sum: sum.map(|it| it.1),
        trailer: announced.and(trailers).map(after_the_body),
        with_default: false,
    })
}

/// What was announced and does not come is no checksum that matches.
fn after_the_body(trailers: TrailingHeaders) -> Trailer {
    Box::new(move |algorithm| {
        let found = trailers.read(|headers| {
            let value = headers.get(algorithm.header())?;
            value.to_str().ok().map(str::to_owned)
        });
        Some(found.flatten().unwrap_or_default())
    })
}
