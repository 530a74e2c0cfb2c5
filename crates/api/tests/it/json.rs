//! Each answer reads from and writes to exactly the documented JSON.

use quorate_api::cluster::{ClusterStatus, Health, SessionOpened};
use quorate_api::definition::{DefinitionApplied, MachineDefinition, MachineList};
use quorate_api::history::HistoryPage;
use quorate_api::instance::{Count, Instance, ListPage};
use quorate_api::meaning::ProblemCode;
use quorate_api::outcome::{Answer, Creation};
use quorate_api::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads `text` as a `T` and writes it again: nothing may be lost, added or renamed.
fn check<T: Serialize + DeserializeOwned>(text: &str) -> T {
    let value: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let written = serde_json::to_value(&value).unwrap();
    let expected: Value = serde_json::from_str(text).unwrap();
    assert_eq!(written, expected, "written again from {text}");
    value
}

#[test]
fn outcomes_of_a_proposal() {
    check::<Answer>(
        r#"{"outcome":"committed","event":"stop","from":"Running","to":"Init","revision":8,"version":1,
            "index":10452,"term":4}"#,
    );
    check::<Answer>(
        r#"{"outcome":"rejected","code":"guard_failed","detail":"on.stop: guard[0] false","state":"Init",
            "allowed":["start"],"revision":8,"version":1,"index":10453,"term":4}"#,
    );
    check::<Answer>(
        r#"{"outcome":"ignored","event":"stop","state":"Init","revision":8,"version":1,"index":10454,"term":4}"#,
    );
    check::<Answer>(r#"{"outcome":"rejected","code":"key_reused","detail":"other body"}"#);
}

#[test]
fn explained_steps() {
    check::<Answer>(
        r#"{"outcome":"committed","event":"start","from":"Init","to":"Running","revision":2,"version":1,"index":9,"term":3,"explain":[
            {"node":2,"at_us":0,"step":"accepted"},
            {"node":2,"at_us":11,"step":"forwarded","leader":1},
            {"node":1,"at_us":3,"step":"appended","index":9,"term":3},
            {"node":1,"at_us":180,"step":"acknowledged","by":3},
            {"node":1,"at_us":181,"step":"committed"},
            {"node":1,"at_us":190,"step":"applied"}]}"#,
    );
}

#[test]
fn creations() {
    check::<Creation>(
        r#"{"outcome":"created","machine":"job","id":"42","version":3,"state":"Init","revision":1,
            "index":7,"term":1}"#,
    );
    check::<Creation>(
        r#"{"outcome":"rejected","code":"exists","detail":"job/42 exists","state":"Running",
            "allowed":["fail","stop"],"revision":2,"index":8,"term":1}"#,
    );
}

#[test]
fn definitions() {
    check::<DefinitionApplied>(
        r#"{"machine":"job","version":3,"hash":"ab12","created":true,"index":4,"term":1,"warnings":[
            {"line":4,"column":1,"path":"states.Old","message":"state `Old` is never reached","rendered":"..."}]}"#,
    );
    check::<MachineList>(
        r#"{"machines":[{"machine":"lifecycle","version":1,"versions":[1],"hash":"00ff","instances":3,"built_in":true,
            "description":"built in"}]}"#,
    );
    check::<MachineDefinition>(
        r#"{"machine":"job","version":3,"hash":"ab12","definition":{"machine":"job","version":3}}"#,
    );
}

#[test]
fn instances() {
    check::<Instance>(
        r#"{"machine":"job","id":"42","version":3,"state":"Init","revision":1,"allowed":["start"],
            "final":false,"context":{"attempt":0},"created_ms":1763690000000,"changed_ms":1763690000001,"index":5}"#,
    );
    check::<ListPage>(
        r#"{"machine":"job","instances":[{"id":"a","version":1,"state":"Init","revision":1,"changed_ms":3}],
            "cursor":"YQ"}"#,
    );
    check::<ListPage>(r#"{"machine":"job","instances":[]}"#);
    check::<Count>(r#"{"machine":"job","version":3,"total":2,"states":{"Init":2,"Running":0,"Stopped":0}}"#);
}

#[test]
fn history() {
    check::<HistoryPage>(
        r#"{"machine":"job","id":"42","records":[
            {"outcome":"created","to":"Init","revision":1,"version":3,"index":5,"term":1,"time_ms":1},
            {"outcome":"committed","event":"start","from":"Init","to":"Running","revision":2,"version":3,
             "index":6,"term":1,"time_ms":2,"actor":"ann","request_id":"b1f0c2","data":{"owner":"ann"}},
            {"outcome":"rejected","event":"start","state":"Running","code":"no_transition",
             "revision":2,"version":3,"index":7,"term":1,"time_ms":3}],
           "oldest_revision":1,"rejections_forgotten":0,"next":3}"#,
    );
}

#[test]
fn cluster_with_one_node_missing() {
    check::<ClusterStatus>(
        r#"{"leader":1,"members":[
            {"id":1,"peer":"127.0.0.1:7481","api":"127.0.0.1:7480","role":"leader","voter":true,"term":4,
             "last":10,"commit":10,"applied":10,"lag":0,"fsync_p50_us":180,"fsync_p99_us":900,
             "version":"0.1.0"}],
           "failed":[{"id":3,"peer":"127.0.0.1:7501","reason":"no answer in 1 s"}]}"#,
    );
    check::<SessionOpened>(r#"{"id":"00112233445566778899aabbccddeeff"}"#);
    check::<Health>(r#"{"ok":false,"checks":[{"name":"leader","ok":false,"detail":"no leader is known"}]}"#);
}

#[test]
fn problems() {
    check::<Problem>(
        r#"{"code":"no_leader","detail":"no leader is known","hint":"try again","fate":"not_accepted",
            "leader":{"id":2,"api":"127.0.0.1:7490"}}"#,
    );
    check::<Problem>(
        r#"{"code":"malformed","detail":"expected `,`","hint":"correct the body","fate":"not_accepted",
            "place":{"line":1,"column":9}}"#,
    );
    check::<Problem>(
        r#"{"code":"invalid_definition","detail":"1 fault","hint":"correct it","fate":"not_accepted",
            "faults":[{"line":1,"column":2,"path":"states","message":"m","hint":"h","rendered":"r"}]}"#,
    );
}

/// A newer server may know codes that this client does not; the rest of the problem must stay readable.
#[test]
fn a_problem_code_of_a_newer_server_is_read_as_other() {
    let problem: Problem = serde_json::from_str(
        r#"{"code":"on_fire","detail":"d","hint":"h","fate":"unknown","since":"tomorrow"}"#,
    )
    .unwrap();
    assert_eq!(problem.code, ProblemCode::Other);
}
