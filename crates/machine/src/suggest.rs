//! "Did you mean": the closest of the known names, by edit distance.

/// The candidate that is closest to `word`, if one is close enough to be a slip of the hand: at most one edit in three
/// characters and three in all, upper and lower case counted as the same. The first one wins among equals.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(WORD_CHARS_MAX + 1).collect();
    if word.is_empty() || word.len() > WORD_CHARS_MAX {
        return None;
    }
    let edits_max = (word.len().div_ceil(3)).min(EDITS_MAX);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        if letters.len().abs_diff(word.len()) > edits_max {
            continue;
        }
        let edits = distance(&word, &letters);
        if edits <= edits_max && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The edits (insert, delete, replace, swap two neighbours) that turn one word into the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut two_back = vec![0; b.len() + 1];
    let mut back: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replace = back[j] + usize::from(x != y);
            let mut least = replace.min(back[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(two_back[j - 1] + 1);
            }
            row.push(least);
        }
        two_back = std::mem::replace(&mut back, row);
    }
    back[b.len()]
}

/// Longer words are no names here and are not compared.
const WORD_CHARS_MAX: usize = 64;
const EDITS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_slip_of_the_hand_finds_its_name_and_another_word_does_not() {
        let names = ["Init", "Running", "Stopped", "target", "description"];
        for (word, expected) in [
            ("Runing", Some("Running")),
            ("running", Some("Running")),
            ("tagret", Some("target")),
            ("descripton", Some("description")),
            ("Int", Some("Init")),
            ("Paused", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(did_you_mean(word, names), expected, "{word:?}");
        }
    }
}
