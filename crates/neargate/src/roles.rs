//! The roles that this program starts itself in. Their arguments come from the crates that start
//! them, never from people.

use crate::say;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs a role when the first argument names one.
pub fn dispatch() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (role, rest) = arguments.split_first()?;
    let code = match role.to_str()? {
        // Supervises one task, or runs a command inside one.
        "shim" => runtime::main(rest),
        // Serves load balancers: directory, address.
        "edge" => match rest {
            [directory, address] => match address.to_str().and_then(|it| it.parse().ok()) {
                Some(address) => edge::edge_main(Path::new(directory), address),
                None => usage("edge DIRECTORY ADDRESS"),
            },
            _ => usage("edge DIRECTORY ADDRESS"),
        },
        // Serves files over HTTP: the main process of a static site's image.
        "static" => match rest {
            [_root, root, _port, port] => match port.to_str().and_then(|it| it.parse().ok()) {
                Some(port) => edge::static_main(Path::new(root), port),
                None => usage("static --root DIRECTORY --port PORT"),
            },
            _ => usage("static --root DIRECTORY --port PORT"),
        },
        _ => return None,
    };
    Some(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn usage(form: &str) -> i32 {
    say::note(format_args!("usage: neargate {form}"));
    2
}
