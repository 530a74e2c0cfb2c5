//! One row of an import: who is moved, by what, and where it stands in the file.

use quorate_api::proposal::Propose;
use serde_json::{Map, Value};

/// One row, checked and ready to be proposed.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its number among the rows, from 1: what its request ids are made of.
    pub(crate) number: u64,
    /// The line of the file where it starts, from 1.
    pub(crate) line: u64,
    /// The instance.
    pub(crate) id: String,
    /// The proposal.
    pub(crate) propose: Propose,
    /// The cells as they stand in the file, for the file of rejected rows.
    pub(crate) cells: Vec<String>,
}

/// The cells of a row by their meaning, before they are checked.
#[derive(Default, Debug)]
pub(crate) struct Parts {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) to: String,
    pub(crate) data: Map<String, Value>,
}

impl Parts {
    /// The proposal of these parts.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(crate) fn check(self) -> Result<(String, Propose), String> {
        quorate_machine::check_id(&self.id).map_err(|why| format!("`id`: {why}"))?;
        let (name, column) = match (self.event.is_empty(), self.to.is_empty()) {
            (false, true) => (&self.event, "event"),
            (true, false) => (&self.to, "to"),
            (false, false) => {
                return Err("both `event` and `to` are given; a row names one of them".to_owned());
            }
            (true, true) => {
                return Err("neither `event` nor `to` is given; a row names one of them".to_owned());
            }
        };
        quorate_machine::check_name(name).map_err(|why| format!("`{column}`: {why}"))?;
        let data = (!self.data.is_empty()).then_some(self.data);
        if let Some(data) = &data {
            let bytes = serde_json::to_string(data).map_err(|error| error.to_string())?.len();
            if bytes > quorate_machine::DATA_BYTES_MAX {
                let bytes_max = quorate_machine::DATA_BYTES_MAX;
                return Err(format!("the data has {bytes} bytes, the limit is {bytes_max}"));
            }
        }
        let some = |text: String| (!text.is_empty()).then_some(text);
        Ok((self.id, Propose { event: some(self.event), to: some(self.to), data, expect: None }))
    }
}

impl Row {
    /// About how much memory the row takes, in bytes: the cells, the same again in the proposal, and the frame around them.
    pub(crate) fn weight(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.len() + 64).sum::<usize>();
        2 * cells + self.id.len() + 256
    }
}
