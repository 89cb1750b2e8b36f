//! Removing all that a task has on the machine but its directory of records. Done by the shim when
//! its task ends, and by the daemon when the shim did not live to do it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::cgroup::TaskCgroup;
use crate::disk;
use crate::error::{Context, Failure, Result};
use crate::order::{Order, TaskFiles, work_beside};
use crate::overlay;

/// Kills what still runs, unmounts roots, removes control groups and data. Goes on after a failure,
/// and reports the first.
pub(crate) fn clean_up(files: &TaskFiles, order: &Order) -> Result<()> {
    let groups = TaskCgroup::new(&order.cgroup).and_then(|cgroup| cgroup.remove());
    let data = remove_data(&order.data);
    for index in 0..order.spec.containers.len() {
        let _ = fs::remove_dir_all(files.bundle(index));
    }
    let _ = fs::remove_dir_all(files.containers());
    for socket in [TaskFiles::socket_name(), TaskFiles::console_name()] {
        let _ = fs::remove_file(files.directory.join(socket));
    }
    let work = order
        .step
        .as_ref()
        .map_or(Ok(()), |step| remove_tree(&step.work));
    for upper in order
        .spec
        .containers
        .iter()
        .filter_map(|it| it.upper.as_ref())
    {
        let _ = remove_tree(&work_beside(upper));
    }
    groups.and(data).and(work)
}

/// Removes a task's roots and volumes, and the disk that they are on. A root that is still mounted is never descended into: what
/// is below belongs to images.
pub(crate) fn remove_data(data: &Path) -> Result<()> {
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure(format!(
                "could not read `{}`: {error}",
                data.display()
            )));
        }
    };
    for entry in entries.flatten() {
        overlay::unmount(&entry.path())?;
        // A disk is emptied before it is given back: what was only in memory is then never written.
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => remove_tree(&path)?,
            _ => fs::remove_file(&path)
                .context(|| format!("could not remove `{}`", path.display()))?,
        }
    }
    disk::unmount(data)?;
    remove_tree(data)
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context(|| format!("could not remove `{}`", path.display())),
    }
}
