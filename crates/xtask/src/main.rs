//! The workspace's own tools, as `cargo xtask <tool>`.

mod codegen;

use std::path::{Path, PathBuf};

const USAGE: &str = "usage: cargo xtask codegen [--models DIR] [--out DIR]

  codegen   writes the generated files of crates/shapes from the service models;
            crates/xtask/fetch-models gets them";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match arguments.next().as_deref() {
        Some("codegen") => {
            let list = root.join("crates/shapes/operations.toml");
            let (mut models, mut out) = (None, root.join("crates/shapes"));
            while let Some(flag) = arguments.next() {
                let value = arguments.next().map(PathBuf::from);
                match (flag.as_str(), value) {
                    ("--models", Some(folder)) => models = Some(folder),
                    ("--out", Some(folder)) => out = folder,
                    _ => anyhow::bail!("{USAGE}"),
                }
            }
            codegen::run(&list, models.as_deref(), &root.join("target/models"), &out)
        }
        _ => anyhow::bail!("{USAGE}"),
    }
}
