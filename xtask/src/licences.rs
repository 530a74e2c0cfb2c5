//! What comes from outside: under which licence, from whom not, and in how many versions. Reads what cargo knows, offline.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Licences that may be linked into a program under Apache-2.0 without a further duty than to name them.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that may not come in, and why.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "a C build, and never two providers of cryptography: ring only"),
    ("aws-lc-sys", "a C build, and never two providers of cryptography: ring only"),
    ("backoff", "unmaintained: a few own lines with a seeded generator do it"),
    ("bincode", "unmaintained: formats are written by hand"),
    ("cmake", "nothing is built by cmake: a checkout builds with cargo alone"),
    ("evalexpr", "its licence asks for more than ours"),
    ("figment", "configuration is read with serde and toml"),
    ("hickory-resolver", "names are looked up by the operating system"),
    ("madsim", "it replaces other packages by forks"),
    ("native-tls", "it links the system's TLS library"),
    ("openssl", "it links the system's library"),
    ("openssl-sys", "it links the system's library"),
    ("prost-build", "generated code is checked in: no protoc in the build"),
    ("protobuf-src", "no protoc in the build"),
    ("rocksdb", "a C++ build"),
    ("tarpc", "it brings bincode"),
];

/// Packages that may come in two versions, and why.
const DUPLICATES: &[(&str, &str)] =
    &[("syn", "procedural macros are moving from 2 to 3; nothing of it is linked")];

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence expression, empty if it names none.
    pub licence: String,
}

/// Prints what is wrong with the packages that this workspace uses: whether nothing is.
///
/// # Errors
/// Cargo cannot be asked.
pub fn report(root: &Path) -> Result<bool> {
    let packages = packages(root)?;
    let faults = faults(&packages);
    for fault in &faults {
        println!("licences: {fault}");
    }
    if faults.is_empty() {
        println!("licences: {} packages, all well", packages.len());
    }
    Ok(faults.is_empty())
}

/// What is wrong with these packages, in words, each with what to do.
pub fn faults(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let Package { name, version, licence } = package;
        if !allowed(licence) {
            faults.push(format!(
                "{name} {version} is under \"{licence}\": find another package, or allow the licence"
            ));
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| banned == name) {
            faults.push(format!(
                "{name} {version} is banned ({why}): run `cargo tree -i {name}` and remove what brings it"
            ));
        }
        versions.entry(name).or_default().push(version);
    }
    for (name, versions) in &versions {
        let exempt = DUPLICATES.iter().any(|(duplicate, _)| duplicate == name);
        match (versions.len() > 1, exempt) {
            (true, false) => {
                let versions = versions.join(", ");
                faults.push(format!(
                    "{name} comes in versions {versions}: update what brings the older, or exempt it"
                ));
            }
            (false, true) => {
                faults.push(format!("{name} comes in one version: its exemption is not needed any more"))
            }
            (true, true) | (false, false) => {}
        }
    }
    for (name, _) in DUPLICATES.iter().filter(|(name, _)| !versions.contains_key(name)) {
        faults.push(format!("{name} is not used: its exemption is not needed any more"));
    }
    faults
}

/// Whether one of the alternatives asks only for allowed licences. Understands `OR`, `AND`, `WITH`, `/` and parentheses.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let verdict = any_of(&mut rest);
    verdict && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut verdict = all_of(rest);
    while let Some(("OR", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        *rest = after;
        // Both sides are always read, so that the rest stays in step.
        verdict |= all_of(rest);
    }
    verdict
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut verdict = one_of(rest);
    while let Some(("AND", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        *rest = after;
        verdict &= one_of(rest);
    }
    verdict
}

fn one_of(rest: &mut &[&str]) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let verdict = any_of(rest);
            if let [")", after @ ..] = *rest {
                *rest = after;
                verdict
            } else {
                false
            }
        }
        [name, "WITH", exception, after @ ..] => {
            *rest = after;
            LICENCES.contains(&format!("{name} WITH {exception}").as_str())
        }
        [name, after @ ..] => {
            *rest = after;
            LICENCES.contains(name)
        }
        [] => false,
    }
}

/// The packages that this machine's build of the workspace uses, itself included.
fn packages(root: &Path) -> Result<Vec<Package>> {
    let host = host()?;
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &host])
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    // `packages` lists those of all platforms that are at hand; the resolved graph is what is used here.
    let used: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata has no resolved graph")?
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    Ok(packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains(&id)))
        .map(|package| Package {
            name: text(&package["name"]),
            version: text(&package["version"]),
            licence: text(&package["license"]),
        })
        .collect())
}

/// The platform that this machine builds for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("running rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc -vV names no host")
}

#[cfg(test)]
mod tests {
    use super::{Package, allowed, faults};

    #[test]
    fn licence_expressions_are_understood() {
        for fine in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/GPL-3.0",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
            "GPL-3.0 OR (MIT AND Zlib)",
        ] {
            assert!(allowed(fine), "{fine} is allowed");
        }
        for wrong in ["", "GPL-3.0", "MIT AND GPL-3.0", "AGPL-3.0 OR GPL-3.0", "(MIT", "OR", "MIT Apache-2.0"]
        {
            assert!(!allowed(wrong), "{wrong} is not allowed");
        }
    }

    #[test]
    fn each_kind_of_fault_is_reported() {
        let package = |name: &str, version: &str, licence: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: licence.to_owned(),
        };
        let well =
            [package("syn", "2.0.0", "MIT"), package("syn", "3.0.0", "MIT"), package("a", "1.0.0", "MIT")];
        assert_eq!(faults(&well), [""; 0]);
        let check = |more: Package, words: &str| {
            let mut packages = well.to_vec();
            packages.push(more);
            let faults = faults(&packages);
            assert!(faults.len() == 1 && faults[0].contains(words), "{faults:?} does not say {words:?}");
        };
        check(package("b", "1.0.0", "AGPL-3.0"), "is under \"AGPL-3.0\"");
        check(package("openssl", "0.10.0", "Apache-2.0"), "is banned");
        check(package("a", "2.0.0", "MIT"), "comes in versions 1.0.0, 2.0.0");
        assert!(faults(&well[1..])[0].contains("not needed any more"));
        assert!(faults(&well[2..])[0].contains("not needed any more"));
    }
}
