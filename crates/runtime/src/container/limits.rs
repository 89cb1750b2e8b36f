//! Resource limits of a process (`ulimits`).

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::error::{Failure, Result};

/// What a container has of open files when nobody says so: what Docker's has on a machine of systemd,
/// whose limits Docker's daemon hands on since version 25 (`DefaultLimitNOFILE=1024:524288`,
/// systemd-system.conf(5)). The daemon's own limit is another matter: it is raised as far as it goes, and a
/// program that goes through all the descriptors it may have takes minutes then.
const OPEN_FILES: (&str, u64, u64) = ("nofile", 1024, 524_288);

/// The `rlimits` of an OCI process. A limit above what this machine may give is lowered to it, and
/// that is said in the shim's log.
pub(crate) fn resource_limits(ulimits: &[(String, u64, u64)]) -> Result<Vec<Value>> {
    let (open_files, soft, hard) = OPEN_FILES;
    let is_set = ulimits.iter().any(|(name, ..)| name == open_files);
    let default = (!is_set).then_some((open_files, soft, hard));
    (ulimits.iter())
        .map(|(name, soft, hard)| (name.as_str(), *soft, *hard))
        .chain(default)
        .map(|(name, soft, hard)| resource_limit(name, soft, hard))
        .collect()
}

fn resource_limit(name: &str, soft: u64, hard: u64) -> Result<Value> {
    let (resource, oci_name) = find(name)?;
    let ceiling = ceiling(resource, hard)?;
    if ceiling < hard {
        crate::error::note!(
            "the limit `{name}` of {hard} is more than this machine gives; using {ceiling}"
        );
    }
    Ok(json!({ "type": oci_name, "soft": soft.min(ceiling), "hard": hard.min(ceiling) }))
}

/// The highest hard limit that may be set: raising this process's own is the way to find out.
fn ceiling(resource: Resource, wanted: u64) -> Result<u64> {
    let failed = |error: Errno| Failure(format!("could not read a resource limit: {error}"));
    let (soft, hard) = getrlimit(resource).map_err(failed)?;
    if wanted <= hard {
        return Ok(wanted);
    }
    match setrlimit(resource, soft, wanted) {
        Ok(()) => Ok(wanted),
        Err(Errno::EPERM) => Ok(hard),
        Err(error) => Err(failed(error)),
    }
}

fn find(name: &str) -> Result<(Resource, String)> {
    let resource = match name {
        "core" => Resource::RLIMIT_CORE,
        "cpu" => Resource::RLIMIT_CPU,
        "data" => Resource::RLIMIT_DATA,
        "fsize" => Resource::RLIMIT_FSIZE,
        "locks" => Resource::RLIMIT_LOCKS,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "msgqueue" => Resource::RLIMIT_MSGQUEUE,
        "nice" => Resource::RLIMIT_NICE,
        "nofile" => Resource::RLIMIT_NOFILE,
        "nproc" => Resource::RLIMIT_NPROC,
        "rss" => Resource::RLIMIT_RSS,
        "rtprio" => Resource::RLIMIT_RTPRIO,
        "rttime" => Resource::RLIMIT_RTTIME,
        "sigpending" => Resource::RLIMIT_SIGPENDING,
        "stack" => Resource::RLIMIT_STACK,
        _ => return Err(Failure(format!("`{name}` is not a resource limit"))),
    };
    Ok((resource, format!("RLIMIT_{}", name.to_ascii_uppercase())))
}
