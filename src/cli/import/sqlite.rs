//! Reads the user database of coturn, which it keeps with SQLite.

use crate::{
    auth::Secret,
    config::coturn::{Database, RealmRow, SecretRow, UserRow},
};
use rusqlite::{Connection, OpenFlags, Row, types::ValueRef};
use std::path::Path;

/// Reads all tables, and changes nothing. The error is for people.
pub(super) fn read(path: &Path) -> Result<Database, String> {
    // SQLite only says that it cannot open a file; the system knows why.
    std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = connection.map_err(|error| not_read(&error))?;
    let tables =
        Tables { connection: &connection, names: names(&connection).map_err(|error| not_read(&error))? };
    if !tables.has("turnusers_lt") && !tables.has("turn_secret") {
        return Err("is not a user database of coturn: it has no table turnusers_lt".to_owned());
    }
    tables.read().map_err(|error| not_read(&error))
}

fn not_read(error: &rusqlite::Error) -> String {
    format!("cannot be read as an SQLite database: {error}")
}

struct Tables<'a> {
    connection: &'a Connection,
    names: Vec<String>,
}

impl Tables<'_> {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn read(&self) -> rusqlite::Result<Database> {
        let realm_row = |row: &Row<'_>| Ok(RealmRow { realm: text(row, 0)?, value: text(row, 1)? });
        Ok(Database {
            users: self.rows("turnusers_lt", "realm, name, hmackey", |row| {
                Ok(UserRow { realm: text(row, 0)?, name: text(row, 1)?, key: Secret::new(text(row, 2)?) })
            })?,
            secrets: self.rows("turn_secret", "realm, value", |row| {
                Ok(SecretRow { realm: text(row, 0)?, value: Secret::new(text(row, 1)?) })
            })?,
            allowed_peers: self.rows("allowed_peer_ip", "realm, ip_range", realm_row)?,
            denied_peers: self.rows("denied_peer_ip", "realm, ip_range", realm_row)?,
            realm_options: self.rows("turn_realm_option", "realm, opt || '=' || value", realm_row)?,
            origins: self.rows("turn_origin_to_realm", "1", |_| Ok(()))?.len(),
            oauth_keys: self.rows("oauth_key", "1", |_| Ok(()))?.len(),
            admins: self.rows("admin_user", "1", |_| Ok(()))?.len(),
        })
    }

    /// All rows of a table, in the same order each time. Databases of old versions lack some tables.
    fn rows<T>(
        &self,
        table: &str,
        columns: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        if !self.has(table) {
            return Ok(Vec::new());
        }
        let mut query = self.connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY rowid"))?;
        let rows = query.query_map([], |row| read(row))?;
        rows.collect()
    }
}

fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let rows = query.query_map([], |row| text(row, 0))?;
    rows.collect()
}

/// A column as text, whatever SQLite has made of it: a secret of digits is still one.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database in a file of its own, gone with the test.
    struct File(std::path::PathBuf);

    impl File {
        fn with(name: &str, statements: &str) -> Self {
            let path = std::env::temp_dir().join(format!("turnbridge-turndb-{}-{name}", std::process::id()));
            Connection::open(&path).unwrap().execute_batch(statements).unwrap();
            Self(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }

    #[test]
    fn all_tables_are_read_and_none_is_needed_but_one() {
        let file = File::with(
            "whole",
            "CREATE TABLE turnusers_lt (realm TEXT, name TEXT, hmackey TEXT);
             INSERT INTO turnusers_lt VALUES ('north', 'bob', 'aa'), ('north', NULL, 'bb');
             CREATE TABLE turn_secret (realm TEXT, value);
             INSERT INTO turn_secret VALUES ('north', 12345678);
             CREATE TABLE allowed_peer_ip (realm TEXT, ip_range TEXT);
             INSERT INTO allowed_peer_ip VALUES ('', '10.0.0.1');
             CREATE TABLE turn_realm_option (realm TEXT, opt TEXT, value TEXT);
             INSERT INTO turn_realm_option VALUES ('north', 'max-bps', '64000');
             CREATE TABLE admin_user (name TEXT, realm TEXT, password TEXT);
             INSERT INTO admin_user VALUES ('root', '', 'hidden');",
        );
        let database = read(&file.0).unwrap();
        let users: Vec<_> = database.users.iter().map(|it| (it.name.as_str(), it.key.expose())).collect();
        assert_eq!(users, [("bob", "aa"), ("", "bb")]);
        assert_eq!(database.secrets[0].value.expose(), "12345678");
        assert_eq!(database.allowed_peers[0].value, "10.0.0.1");
        assert_eq!(database.realm_options[0].value, "max-bps=64000");
        assert_eq!((database.denied_peers.len(), database.origins, database.admins), (0, 0, 1));
        assert!(!format!("{database:?}").contains("12345678"));
    }

    #[test]
    fn what_is_no_such_database_is_refused_in_words() {
        let other = File::with("other", "CREATE TABLE x (y)");
        assert!(read(&other.0).unwrap_err().contains("has no table turnusers_lt"));
        let text = std::env::temp_dir().join(format!("turnbridge-turndb-{}-text", std::process::id()));
        std::fs::write(&text, "realm=example.org\n".repeat(100)).unwrap();
        assert!(read(&text).unwrap_err().contains("cannot be read as an SQLite database"));
        std::fs::remove_file(&text).unwrap();
        assert!(read(&text).unwrap_err().contains("No such file"));
    }
}
