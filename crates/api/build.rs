//! Takes the console that was built (`console/dist`) into the binary. Where it was not built, there is none, and the server says so.

use std::env;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let (console, out) =
        (here.join("../../console"), PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()));
    let dist = console.join("dist");
    println!("cargo::rerun-if-changed=build.rs");
    // A folder that is not there yet is noticed when it comes.
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    if dist.is_dir() {
        collect(&dist, &mut files)?;
    }
    files.sort();
    let mut text = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&dist).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "    ({name:?}, include_bytes!({:?})),",
            file.canonicalize()?.display().to_string()
        );
    }
    text.push(']');
    fs::write(out.join("console.rs"), text)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
