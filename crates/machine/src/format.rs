//! The two forms in which a definition may be written.

/// How a definition is written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Format {
    /// TOML: the documentation's default.
    Toml,
    /// JSON.
    Json,
}

impl Format {
    /// The format that a file name's ending says: `.json` is JSON, `.toml` is TOML.
    pub fn of_file_name(name: &str) -> Option<Format> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "toml" => Some(Format::Toml),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}
