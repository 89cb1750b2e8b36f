//! Why the store could not do what it was asked.

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store's file cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a record of kind `{kind}` with key `{key}` cannot be read or written")]
    Record {
        kind: &'static str,
        key: String,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "the store was written by a newer version (layout {found}, this version knows {known})"
    )]
    Newer { found: i64, known: i64 },
}
