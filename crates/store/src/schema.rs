//! What tables a store has in each layout, to the letter, and that it has nothing else.
//!
//! A file of SQLite carries programs: triggers and views, defaults and checks run with what is written or
//! read. Whoever can write to a file that becomes the store would have them run by the daemon. So what a
//! file says that it has is compared with what this code makes, before anything of it is used.

use rusqlite::Connection;

pub const RECORDS: &str = "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, \
     value BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID";
/// As layout 1 had them, whose values are text.
const OPEN_RECORDS: &str = "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, \
     value TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID";
pub const COUNTERS: &str =
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID";
/// One row: which key seals the store, and whether what was there before has been wiped out.
pub const SEAL: &str = "CREATE TABLE seal (key TEXT NOT NULL, scrubbed INTEGER NOT NULL)";
/// One row, since there are marks.
pub const INSTALLATION: &str = "CREATE TABLE installation (id TEXT NOT NULL)";
/// Left by a daemon that died while it made its reserve.
pub const RESERVE: &str = "CREATE TABLE reserve (bytes BLOB)";

/// More things than these are not looked at: one that is unknown is enough.
const LOOKED_AT_MAX: u32 = 100;

/// The tables that a layout has, and those that it may have.
fn tables(version: i64) -> (&'static [&'static str], &'static [&'static str]) {
    match version {
        0 => (&[], &[]),
        1 => (&[OPEN_RECORDS, COUNTERS], &[INSTALLATION, RESERVE]),
        _ => (&[RECORDS, COUNTERS, SEAL], &[INSTALLATION, RESERVE]),
    }
}

/// What is wrong with the things that the file has; None where they are those of its layout.
pub fn difference(connection: &Connection, version: i64) -> rusqlite::Result<Option<String>> {
    // By this name, and not by the newer one, which a table of the file's own could have.
    let all = "SELECT type, name, tbl_name, sql FROM main.sqlite_master LIMIT ?";
    let mut statement = connection.prepare(all)?;
    let mut rows = statement.query([LOOKED_AT_MAX])?;
    let (needed, allowed) = tables(version);
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        // What is not even text was changed as well.
        let [what, name, table, sql] =
            [0, 1, 2, 3].map(|column| row.get::<_, String>(column).unwrap_or_default());
        let known = needed.iter().chain(allowed).find(|it| name_of(it) == name);
        match known {
            Some(known) if what == "table" && table == name => {
                if words(&sql) != words(known) {
                    return Ok(Some(format!("its table `{name}` is not as a store has it")));
                }
                found.push(*known);
            }
            _ => {
                let (what, name) = (what.escape_debug(), name.escape_debug());
                return Ok(Some(format!(
                    "it has the {what} `{name}`, which no store has"
                )));
            }
        }
    }
    let lacking = needed.iter().find(|it| !found.contains(it));
    Ok(lacking.map(|it| format!("it has no table `{}`", name_of(it))))
}

fn name_of(table: &str) -> &str {
    table.split(' ').nth(2).unwrap_or_default()
}

/// Versions differ in how they broke the lines.
fn words(sql: &str) -> Vec<&str> {
    sql.split_ascii_whitespace().collect()
}
