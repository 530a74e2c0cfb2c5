//! Reads `quorate.toml` into the settings; every fault is told with its line and column.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{MemberSettings, Origin, ServerConfig};
use crate::settings::{self, Setting};

/// Reads `text`, the content of the file `path`, over `config`.
pub(crate) fn read(config: &mut ServerConfig, path: &Path, text: &str, faults: &mut Vec<String>) {
    let mut reader = Reader { config, path, text, faults: Vec::new() };
    match DeTable::parse(text) {
        Ok(document) => reader.document(document.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, error.message());
        }
    }
    // The parser gives the keys in the order of their names; a reader goes through his file from the top.
    let mut found = reader.faults;
    found.sort_by_key(|(at, _)| *at);
    faults.extend(found.into_iter().map(|(_, fault)| fault));
}

struct Reader<'a> {
    config: &'a mut ServerConfig,
    path: &'a Path,
    text: &'a str,
    /// Each with its place in the text.
    faults: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) {
        for (section, value) in document {
            match value.get_ref() {
                DeValue::Table(table) => self.section(section.get_ref(), table),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => {
                    let what = format!(
                        "unknown key `{}`: settings stand in sections, as in [listen]",
                        section.get_ref()
                    );
                    self.fault(section.span().start, &what);
                }
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{section}.{}", name.get_ref());
            match settings::find(&key) {
                Err(unknown) => self.fault(name.span().start, &unknown),
                Ok(setting) => {
                    let read = if setting.key == "cluster.members" {
                        self.members(value)
                    } else {
                        let text = unquoted(setting, value.get_ref()).and_then(|()| scalar(value.get_ref()));
                        text.and_then(|text| (setting.set)(self.config, &text))
                            .map_err(|what| (value.span().start, format!("{key}: {what}")))
                    };
                    match read {
                        Ok(()) => {
                            let (line, _) = place(self.text, name.span().start);
                            self.config.remember(setting.key, Origin::File(self.path.to_owned(), line));
                        }
                        Err((at, what)) => self.fault(at, &what),
                    }
                }
            }
        }
    }

    /// `[[cluster.members]]` tables with `id`, `peer` and perhaps `api`.
    fn members(&mut self, value: &Spanned<DeValue<'_>>) -> Result<(), (usize, String)> {
        let DeValue::Array(array) = value.get_ref() else {
            let what = "cluster.members: write one [[cluster.members]] table for each member";
            return Err((value.span().start, what.to_owned()));
        };
        self.config.cluster.members = array.iter().map(member).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn fault(&mut self, at: usize, what: &str) {
        let (line, column) = place(self.text, at);
        self.faults.push((at, format!("{}:{line}:{column}: {what}", self.path.display())));
    }
}

fn member(value: &Spanned<DeValue<'_>>) -> Result<MemberSettings, (usize, String)> {
    let at = value.span().start;
    let DeValue::Table(table) = value.get_ref() else {
        return Err((at, "cluster.members: a member is a table with id, peer and perhaps api".to_owned()));
    };
    let (mut id, mut peer, mut api) = (None, None, None);
    for (name, value) in table {
        let place = match name.get_ref().as_ref() {
            "id" => &mut id,
            "peer" => &mut peer,
            "api" => &mut api,
            other => {
                let near = quorate_machine::did_you_mean(other, ["id", "peer", "api"]);
                let hint = near.map_or("a member has id, peer and perhaps api".to_owned(), |near| {
                    format!("did you mean `{near}`?")
                });
                return Err((name.span().start, format!("cluster.members: unknown key `{other}`; {hint}")));
            }
        };
        *place = Some(scalar(value.get_ref()).map_err(|what| (value.span().start, what))?);
    }
    if let Some(DeValue::String(_)) = table.get("id").map(Spanned::get_ref) {
        return Err((
            at,
            "cluster.members: an id is a number: write it without quotes, as in id = 1".to_owned(),
        ));
    }
    let missing = |name: &str| (at, format!("cluster.members: a member has no `{name}`"));
    let id = id.ok_or_else(|| missing("id"))?;
    let id = id.parse().map_err(|_| (at, format!("cluster.members: `{id}` is no node id")))?;
    Ok(MemberSettings { id, peer: peer.ok_or_else(|| missing("peer"))?, api })
}

/// Refuses quotes around the value of a setting that is a number, or true or false: what another program writes as a text it may
/// mean as one. Sizes and durations may be texts.
fn unquoted(setting: &Setting, value: &DeValue<'_>) -> Result<(), String> {
    let default = (setting.get)(&ServerConfig::default());
    let is_number = default.parse::<u64>().is_ok();
    match value {
        DeValue::String(text) if is_number => {
            Err(format!("it is a number: write it without quotes, as {text}"))
        }
        DeValue::String(text) if default.parse::<bool>().is_ok() => {
            Err(format!("it is true or false: write it without quotes, as {text}"))
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => Ok(()),
    }
}

/// A value as the text that a setting reads.
fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err("the number is too large".to_owned()),
        },
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            Err("write a text, a whole number, true or false".to_owned())
        }
    }
}

/// Line and column, both from 1, of a byte of the text.
fn place(text: &str, at: usize) -> (u64, u64) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
    (line, column)
}
