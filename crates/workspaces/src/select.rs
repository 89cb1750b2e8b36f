//! Which files a selection means: patterns as buildspecs write them, matched against what is there.
//!
//! `*` and `?` stay within one folder, `**` goes through all. A plain name is the file of that name.
//! What a pattern does not match is left out; a selection that matches nothing at all is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::{EngineError, Fault, Result, Selection};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::folder::{Folder, clean};
use crate::limits::{DEPTH_MAX, ENTRIES_MAX, PATTERNS_MAX};

/// A file or link that was chosen.
pub struct Chosen {
    /// As it is called in the archive.
    pub name: String,
    /// Where it is, relative to the workspace.
    pub path: PathBuf,
    pub is_link: bool,
}

/// What was chosen, by name.
pub fn choose(folder: &Folder, selection: &Selection) -> Result<Vec<Chosen>> {
    if selection.files.len() + selection.exclude.len() > PATTERNS_MAX {
        return Err(EngineError::invalid(format!(
            "there are more than {PATTERNS_MAX} patterns"
        )));
    }
    let (files, exclude) = (patterns(&selection.files)?, patterns(&selection.exclude)?);
    let mut found = BTreeMap::new();
    for base in bases(folder, &selection.base)? {
        walk(folder, &base, &mut |path, is_link| {
            let inner = path.strip_prefix(&base).unwrap_or(path);
            if !files.is_match(inner) || exclude.is_match(inner) {
                return Ok(());
            }
            let name = if selection.discard_paths {
                inner.file_name().map(Path::new).unwrap_or(inner)
            } else {
                inner
            };
            let name = text(name)?;
            let chosen = Chosen {
                name: name.clone(),
                path: path.to_owned(),
                is_link,
            };
            if let Some(other) = found.insert(name, chosen) {
                return Err(EngineError::invalid(format!(
                    "`{}` and `{}` have the same name in the archive",
                    other.path.display(),
                    path.display()
                )));
            }
            Ok(())
        })?;
    }
    if found.is_empty() {
        return Err(EngineError::invalid("no matching files were found"));
    }
    Ok(found.into_values().collect())
}

fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| EngineError::invalid(format!("the name `{}` is not UTF-8", path.display())))
}

fn patterns(texts: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        let bad = |error: globset::Error| {
            EngineError::invalid(format!("the pattern `{text}` is not valid")).because(error)
        };
        let mut inner = text.as_str();
        while let Some(rest) = inner.strip_prefix("./") {
            inner = rest.trim_start_matches('/');
        }
        let glob = GlobBuilder::new(inner)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(bad)?;
        set.add(glob);
    }
    set.build()
        .map_err(|error| EngineError::invalid("the patterns are too large").because(error))
}

/// The folders that a selection begins at.
fn bases(folder: &Folder, base: &str) -> Result<Vec<PathBuf>> {
    let plain = clean(Path::new(base))?;
    if !base.contains(['*', '?', '[', '{']) {
        return Ok(vec![plain]);
    }
    let wanted = patterns(&[text(&plain)?])?;
    let mut found = Vec::new();
    walk_all(folder, Path::new(""), 0, &mut 0, &mut |path, kind| {
        if kind.is_dir() && wanted.is_match(path) {
            found.push(path.to_owned());
        }
        Ok(())
    })?;
    Ok(found)
}

fn walk(
    folder: &Folder,
    base: &Path,
    visit: &mut dyn FnMut(&Path, bool) -> Result<()>,
) -> Result<()> {
    walk_all(folder, base, 0, &mut 0, &mut |path, kind| {
        // Pipes, sockets and devices have no content to keep.
        if kind.is_file() || kind.is_symlink() {
            visit(path, kind.is_symlink())?;
        }
        Ok(())
    })
}

/// Looks at names and kinds only, and into no folder that is a link.
fn walk_all(
    folder: &Folder,
    path: &Path,
    depth: usize,
    seen: &mut usize,
    visit: &mut dyn FnMut(&Path, std::fs::FileType) -> Result<()>,
) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(EngineError::invalid("folders are nested too deeply"));
    }
    // Any part of the base may be a link that leads out.
    match folder.directory(path) {
        Err(error) if depth == 0 && error.fault == Fault::NotFound => return Ok(()),
        other => other.map(drop)?,
    }
    let place = folder.place.join(path);
    let mut entries = std::fs::read_dir(&place)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        *seen += 1;
        if *seen > ENTRIES_MAX {
            return Err(EngineError::invalid(format!(
                "there are more than {ENTRIES_MAX} files"
            )));
        }
        let (inner, kind) = (path.join(entry.file_name()), entry.file_type()?);
        visit(&inner, kind)?;
        if kind.is_dir() {
            walk_all(folder, &inner, depth + 1, seen, visit)?;
        }
    }
    Ok(())
}
