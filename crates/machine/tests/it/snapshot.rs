//! A snapshot holds everything, and a damaged one is refused.

use quorate_machine::{Limits, Registry};
use quorate_replica::state_machine::StateMachine;

use crate::support::Driver;

fn full() -> Driver {
    let limits =
        Limits { rejections_per_instance_max: 2, transitions_per_instance_max: 5, ..Limits::default() };
    let mut driver = Driver::new(limits);
    let job = |version: u64, extra: &str| {
        format!(
            "format = 1\nmachine = \"job\"\nversion = {version}\ninitial = \"A\"\n[states.A]\non.go = \"B\"\n[states.B]\n{extra}"
        )
    };
    driver.define(&job(1, ""));
    driver.line("create job/old");
    driver.define(&job(2, "on.back = \"A\"\n"));
    driver.actor = Some("ann".to_owned());
    for line in
        ["create job/new", "propose job/new go data={}", "propose job/new >B", "propose job/old nothing"]
    {
        driver.line(line);
    }
    for _ in 0..4 {
        driver.line("propose job/new back");
        driver.line("propose job/new go");
        driver.line("propose job/new go");
    }
    driver.line("create lifecycle/x/y");
    driver
}

pub(crate) fn bytes_of(registry: &Registry) -> Vec<u8> {
    let mut bytes = Vec::new();
    registry.snapshot()(&mut bytes).unwrap();
    bytes
}

/// Everything that can be asked.
fn everything(registry: &Registry) -> String {
    let mut told = format!("{:?}\n", registry.machines());
    for machine in registry.machines() {
        told += &format!("{:?}\n", registry.count(&machine.name));
        for version in machine.versions {
            told += &format!("{:?}\n", registry.definition(&machine.name, Some(version)));
        }
        for row in registry.list(&machine.name, None, 100, None).unwrap().instances {
            told += &format!("{:?}\n", registry.instance(&machine.name, &row.id));
            told += &format!("{:?}\n", registry.history(&machine.name, &row.id, None, 100));
        }
    }
    told
}

#[test]
fn a_restored_registry_answers_and_goes_on_as_the_one_that_wrote_the_snapshot() {
    let mut one = full();
    let bytes = bytes_of(&one.registry);
    let mut other = Driver::new(Limits {
        rejections_per_instance_max: 2,
        transitions_per_instance_max: 5,
        ..Limits::default()
    });
    other.line("create lifecycle/gone");
    other.registry.restore(&mut &bytes[..]).unwrap();
    assert_eq!(everything(&other.registry), everything(&one.registry));
    assert_eq!(bytes_of(&other.registry), bytes);
    (other.index, other.actor) = (one.index, one.actor.clone());
    for line in [
        "create job/new",
        "propose job/new back",
        "propose job/old go",
        "propose lifecycle/x/y start",
        "create job/n",
    ] {
        assert_eq!(one.line(line), other.line(line), "{line}");
    }
    assert_eq!(everything(&other.registry), everything(&one.registry));
}

#[test]
fn a_snapshot_is_not_touched_by_what_is_applied_after_it() {
    let mut driver = full();
    let before = bytes_of(&driver.registry);
    let snapshot = driver.registry.snapshot();
    driver.line("propose job/new back");
    driver.line("create job/later");
    let mut written = Vec::new();
    snapshot(&mut written).unwrap();
    assert!(written == before, "the detached copy shows the moment it was taken");
    assert!(bytes_of(&driver.registry) != before);
}

#[test]
fn what_follows_a_snapshot_in_its_source_stays_unread() {
    let bytes = [&bytes_of(&full().registry)[..], b"what follows"].concat();
    let mut source = &bytes[..];
    Registry::new().restore(&mut source).unwrap();
    assert_eq!(source, b"what follows");
}

#[test]
fn the_form_of_a_snapshot_changes_only_on_purpose() {
    // Whoever changes this hash raises the version of the form, and keeps reading the old one.
    use sha2::Digest;
    let hash = quorate_machine::Hash(sha2::Sha256::digest(bytes_of(&full().registry)).into());
    assert_eq!(hash.to_string(), "3a009278cb0a760238d8d4c3286d221e1372f873f2e10727b85ee44be3c9da8e");
}

#[test]
fn a_torn_snapshot_is_refused_and_a_flipped_bit_never_panics() {
    let bytes = bytes_of(&full().registry);
    for end in 0..bytes.len() {
        let mut registry = Registry::new();
        assert!(registry.restore(&mut &bytes[..end]).is_err(), "cut at {end}");
        assert_eq!(registry.machines().len(), 1, "what was there stays when the restore fails");
    }
    for at in 0..bytes.len() {
        for bit in [1, 8, 128] {
            let mut bytes = bytes.clone();
            bytes[at] ^= bit;
            let mut registry = Registry::new();
            if registry.restore(&mut &bytes[..]).is_ok() {
                let _ = everything(&registry);
            }
        }
    }
}
