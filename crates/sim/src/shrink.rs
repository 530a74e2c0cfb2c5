//! Makes a failing run smaller: leaves out faults, half of them, a quarter and so on down to single ones, as long as the same rule
//! is still broken (delta debugging, Zeller and Hildebrandt 2002). Each fault has chances of its own, so what is left strikes as before.

/// The numbers that are left of `items` when no single one can be left out without `fails` becoming false.
pub fn shrink(mut items: Vec<u64>, mut fails: impl FnMut(&[u64]) -> bool) -> Vec<u64> {
    let mut chunk = items.len().max(1);
    loop {
        let mut from = 0;
        let mut smaller = false;
        while from < items.len() {
            let end = (from + chunk).min(items.len());
            let rest: Vec<u64> = items[..from].iter().chain(&items[end..]).copied().collect();
            if fails(&rest) {
                items = rest;
                smaller = true;
            } else {
                from = end;
            }
        }
        if chunk == 1 && !smaller {
            return items;
        }
        chunk = (chunk / 2).max(1);
    }
}
