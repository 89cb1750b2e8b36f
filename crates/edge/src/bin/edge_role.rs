//! The roles of this crate as a program, for its tests: `edge-role edge DIR ADDRESS` and
//! `edge-role static ROOT PORT`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let code = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["edge", dir, address] => match address.parse() {
            Ok(address) => edge::edge_main(Path::new(dir), address),
            Err(_) => usage(),
        },
        ["static", root, port] => match port.parse() {
            Ok(port) => edge::static_main(Path::new(root), port),
            Err(_) => usage(),
        },
        _ => usage(),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn usage() -> i32 {
    eprintln!("usage: edge-role edge DIR ADDRESS | edge-role static ROOT PORT");
    2
}
