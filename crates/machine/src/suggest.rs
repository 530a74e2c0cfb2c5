//! "Did you mean": the closest of the known names, by edit distance.

/// The candidate that is closest to `word`, if one is close enough to be a slip of the hand.
pub fn did_you_mean<'a>(_word: &str, _candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    unimplemented!()
}
