//! The user's page on machines says what the crate does: its definitions are accepted, its errors are those that are told.

use quorate_machine::{Format, parse};

#[test]
fn every_definition_of_the_users_page_is_accepted_and_every_error_is_as_shown() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/machines.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (mut accepted, mut refused, mut last_fault) = (0, 0, String::new());
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        let text = format!("{text}\n");
        match language {
            "toml" | "json" => {
                let format = if language == "toml" { Format::Toml } else { Format::Json };
                let checked = parse(&text, format);
                assert!(checked.faults.is_empty() && checked.warnings.is_empty(), "{text}\n{checked:?}");
                accepted += 1;
            }
            "toml fault" => {
                let faults = parse(&text, Format::Toml).faults;
                let told: Vec<String> = faults.iter().map(|fault| fault.render("job.toml", &text)).collect();
                last_fault = told.join("\n");
            }
            "text" => {
                assert_eq!(text, last_fault);
                refused += 1;
            }
            other => panic!("a block of {other:?} is not checked"),
        }
    }
    assert_eq!((accepted, refused), (2, 1));
}

#[test]
fn the_incident_machine_has_two_states_that_nothing_leads_to_and_that_are_no_ends() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/data/incident.toml");
    let checked = parse(&std::fs::read_to_string(path).unwrap(), Format::Toml);
    let definition = checked.definition.unwrap();
    assert_eq!((definition.state_count(), definition.transition_count()), (14, 51));
    let warnings: Vec<&str> = checked.warnings.iter().map(|warning| warning.message.as_str()).collect();
    let expected = [
        "no path leads from \"New\" to state \"Completed_Cancelled\"",
        "no event leads out of state \"Completed_Cancelled\", and it is not final",
        "no path leads from \"New\" to state \"Unmatched_Unmatched\"",
        "no event leads out of state \"Unmatched_Unmatched\", and it is not final",
    ];
    assert_eq!(warnings, expected);
}
