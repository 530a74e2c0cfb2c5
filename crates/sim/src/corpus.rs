//! The runs that once failed, each with its story. They run before all others. A failing run writes its page by itself; whoever mends it
//! tells the story.

use std::fs;
use std::path::{Path, PathBuf};

use crate::ended::Ended;
use crate::recipe::Recipe;

/// A page of the corpus: one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Where it stands.
    pub path: PathBuf,
    /// The run.
    pub recipe: Recipe,
    /// What was wrong, what mended it. Empty as long as nobody told it.
    pub story: String,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// In words, when its `run` line is missing, there twice or not readable, or when a line is none of those that a page has.
    pub fn parse(path: &Path, text: &str) -> Result<Page, String> {
        let wrong = |line: usize, what: &str| Err(format!("{}:{}: {what}", path.display(), line + 1));
        let (mut recipe, mut story) = (None, None::<String>);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(told) = &mut story {
                told.push_str(if told.is_empty() { "" } else { " " });
                told.push_str(line);
            } else if let Some(options) = line.strip_prefix("run ") {
                if recipe.is_some() {
                    return wrong(number, "a page has one run");
                }
                match Recipe::parse(options) {
                    Ok(read) => recipe = Some(read),
                    Err(what) => return wrong(number, &what),
                }
            } else if line == "story:" {
                story = Some(String::new());
            } else if !["broke ", "commit ", "date "].iter().any(|word| line.starts_with(word)) {
                return wrong(
                    number,
                    "a page has the lines run, broke, commit, date, and below `story:` its story",
                );
            }
        }
        match recipe {
            Some(recipe) => Ok(Page { path: path.to_owned(), recipe, story: story.unwrap_or_default() }),
            None => wrong(0, "a page needs a line `run --seed S`"),
        }
    }

    /// What is still to be done about this page, for the test that lets no page without a story pass.
    pub fn lacks(&self) -> Option<String> {
        let words = self.story.split_whitespace().count();
        (words < STORY_WORDS_MIN).then(|| {
            format!(
                "{} has no story: a seed alone says nothing in a year, and means another run after the next change of the \
                 simulator. Tell it below the line `story:`, in whole sentences and without a hash in front ({STORY_WORDS_MIN} \
                 words at least): what happened, which part was wrong, what mended it, which test or golden script holds it now. \
                 Begin with `{}`. If the run failed only because of a change that you never committed, delete the file.",
                self.path.display(),
                self.recipe.command("replay")
            )
        })
    }
}

/// The text of a new page about a run that failed. Its story is to be told.
pub fn new_page(recipe: &Recipe, ended: &Ended, commit: &str, date: &str) -> String {
    let kind = match ended.exit_code() {
        10 => "panic",
        11 => "safety",
        _ => "liveness",
    };
    let rule = ended.rule().lines().next().unwrap_or_default();
    let mut text = format!("run {recipe}\nbroke {kind}: {rule}\ncommit {commit}\ndate {date}\n");
    for line in ended.story().lines().take(WHAT_LINES_MAX) {
        text.push_str(&format!("# {line}\n"));
    }
    text.push_str(&format!(
        "\nstory:\n\
         # Look:    {}\n\
         # Smaller: {}\n\
         # Then tell here, without the hash: what happened, which part was wrong, what mended it, which test holds it now.\n",
        recipe.command("replay"),
        recipe.command("shrink")
    ));
    text
}

/// The file name of a run's page: its recipe in one word.
pub fn file_name(recipe: &Recipe) -> String {
    let word: String = recipe
        .to_string()
        .trim_start_matches('-')
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect();
    let mut name = String::new();
    for part in word.split('-').filter(|part| !part.is_empty()) {
        name.push_str(if name.is_empty() { "" } else { "-" });
        name.push_str(part);
    }
    name.truncate(FILE_NAME_LEN_MAX);
    name + ".txt"
}

/// All pages of a folder, in the order of their names. No folder: no pages.
///
/// # Errors
/// In words, when the folder or a file of it cannot be read, or a page is none.
pub fn read(folder: &Path) -> Result<Vec<Page>, String> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let failed = |error| format!("{}: {error}", folder.display());
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let page = |path: &PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Page::parse(path, &text)
    };
    paths.iter().map(page).collect()
}

/// The folder of the source tree from which this was built.
pub fn default_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The date so many days after 1970-01-01, by years of 365 or 366 days and months of their length.
pub fn date(days: u64) -> String {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut rest) = (1970, days);
    while rest >= 365 + u64::from(is_leap(year)) {
        rest -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for len in lengths {
        if rest < len {
            break;
        }
        rest -= len;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", rest + 1)
}

/// A story that says what was wrong, what mended it and what holds it has at least so many words.
const STORY_WORDS_MIN: usize = 12;
const WHAT_LINES_MAX: usize = 20;
const FILE_NAME_LEN_MAX: usize = 100;
