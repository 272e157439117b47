//! Where everything is kept.

use super::check::{Fault, Faults};
use super::raw;
use std::path::{Path, PathBuf};

/// May hold the database's password instead of the file.
const PASSWORD_VARIABLE: &str = "DIALERD_STORE_PASSWORD";

/// The store that the daemon opens.
#[derive(Debug, Clone)]
pub enum StorePlace {
    /// The embedded one, in this file.
    File(PathBuf),
    /// A schema of a PostgreSQL database.
    Postgres(Box<store::Place>),
}

impl std::fmt::Display for StorePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StorePlace::File(path) => write!(f, "{}", path.display()),
            StorePlace::Postgres(place) => f.write_str(place.name()),
        }
    }
}

/// `file`: where the embedded store is, if that is wanted.
pub fn check(raw: raw::Store, file: PathBuf, folder: &Path, faults: &mut Faults) -> StorePlace {
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    let Some(url) = set(raw.url) else {
        for (key, value) in [
            ("store.schema", &raw.schema),
            ("store.password_file", &raw.password_file),
            ("store.authorities", &raw.authorities),
        ] {
            let unused = value.as_ref().is_none_or(String::is_empty);
            faults.require(unused, key, "nothing, or a postgresql:// address as store.url beside it");
        }
        return StorePlace::File(file);
    };
    faults.require(set(raw.file).is_none(), "store.file", "nothing when there is a store.url");
    let mut password = std::env::var(PASSWORD_VARIABLE).ok();
    if let Some(path) = set(raw.password_file).map(|path| folder.join(path)) {
        match std::fs::read_to_string(&path) {
            Ok(text) => password = Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                let expected =
                    format!("a file that holds the database's password ({}: {error})", path.display());
                faults.add("store.password_file", expected);
            }
        }
    }
    let (schema, authorities) = (set(raw.schema), set(raw.authorities).map(|path| folder.join(path)));
    match store::Place::new(&url, password.as_deref(), schema.as_deref(), authorities.as_deref()) {
        Ok(place) => return StorePlace::Postgres(Box::new(place)),
        Err(store::PlaceError::Schema) => {
            faults.add("store.schema", store::PlaceError::Schema.to_string());
        }
        Err(store::PlaceError::Authorities(why)) => {
            faults.add("store.authorities", format!("a PEM file with certificates of authorities ({why})"));
        }
        Err(error) => faults.secret(
            "store.url",
            "an address (not shown)",
            &format!("an address such as \"postgresql://user@host:5432/database\" ({error})"),
        ),
    }
    StorePlace::File(file)
}

impl Faults {
    /// A bad value that must not be shown.
    fn secret(&mut self, key: &str, found: &str, expected: &str) {
        self.push(Fault { key: key.into(), found: Some(found.into()), expected: expected.into() });
    }
}
