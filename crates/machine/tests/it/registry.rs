//! Definitions and instances as commands change them and as queries show them.

use quorate_machine::{Command, HistoryRecord, Limits, QueryError, Registry};
use quorate_replica::state_machine::Codec;

use crate::support::{Driver, definition, told};

/// Runs a script: each line is a command and, after `=>`, the answer it must get.
fn check(driver: &mut Driver, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").unwrap();
        assert_eq!(driver.line(command), expected, "{command}");
    }
}

fn job(version: u64, states: &str) -> String {
    format!("format = 1\nmachine = \"job\"\nversion = {version}\ninitial = \"Init\"\n{states}")
}

const V1: &str = "[states.Init]\non.start = \"Old\"\n[states.Old]\non.back = \"Init\"\n";
const V2: &str =
    "[states.Init]\non.start = \"Running\"\non.noise = \"ignore\"\n[states.Running]\non.stop = \"Init\"\n";

fn small() -> Limits {
    Limits {
        definitions_max: 3,
        instances_max: 4,
        transitions_per_instance_max: 3,
        rejections_per_instance_max: 2,
        history_bytes_per_instance_max: 20,
    }
}

#[test]
fn the_built_in_machine_is_there_from_the_start_and_stays_as_it_is() {
    let mut driver = Driver::new(Limits::default());
    check(
        &mut driver,
        r#"
        create lifecycle/42 => created lifecycle/42 Init r1
        create lifecycle/42 => exists: instance "42" exists already [Init r1 allows start]
        propose lifecycle/42 start => Init -start-> Running r2
        propose lifecycle/42 stop rev=1 => conflict: expected revision 1, found 2 [Running r2 allows stop]
        propose lifecycle/42 stop rev=2 state=Running => Running -stop-> Stopped r3
        propose lifecycle/42 stop => no_transition: state "Stopped" does not handle event "stop" [Stopped r3 allows reset]
        propose lifecycle/42 >Init => Stopped -reset-> Init r4
        propose lifecycle/43 start => unknown_instance: machine "lifecycle" has no instance "43"
        propose lifecicle/42 start => unknown_machine: no machine is called "lifecicle"; did you mean "lifecycle"?
        create job/1 => unknown_machine: no machine is called "job"
        "#,
    );
    let other = job(1, V1).replace("\"job\"", "\"lifecycle\"");
    assert_eq!(driver.define(&other), "lifecycle 1: version taken");
    let machines = driver.registry.machines();
    assert_eq!((machines.len(), machines[0].built_in, machines[0].instances), (1, true, 1));
}

#[test]
fn a_version_never_changes_and_versions_rise() {
    let mut driver = Driver::new(small());
    assert_eq!(driver.define(&job(2, V1)), "job 2: new");
    assert_eq!(driver.define(&job(2, V1)), "job 2: unchanged");
    assert_eq!(driver.define(&job(2, V2)), "job 2: version taken");
    assert_eq!(driver.define(&job(1, V1)), "job 1: not newer than 2");
    assert_eq!(driver.define(&job(3, V2)), "job 3: new");
    assert_eq!(driver.define(&job(4, V2)), "job 4: limit 3 reached");
    assert_eq!(driver.define(&job(2, V1)), "job 2: unchanged", "what is there stays known at the limit");
    let versions =
        |version| driver.registry.definition("job", version).map(|definition| definition.version());
    assert_eq!((versions(None), versions(Some(2))), (Ok(3), Ok(2)));
    let unknown = QueryError::UnknownVersion { machine: "job".to_owned(), version: 1, latest: 3 };
    assert_eq!(versions(Some(1)), Err(unknown));
}

#[test]
fn a_definition_that_is_not_what_its_hash_says_is_refused_at_apply() {
    let mut driver = Driver::new(Limits::default());
    let good = definition(&job(1, V1));
    let define =
        |canonical_json: &str, hash| Command::Define { canonical_json: canonical_json.to_owned(), hash };
    let changed = good.canonical_json().replace("Old", "New");
    assert_eq!(told(&driver.apply(&define(&changed, good.hash()))), " 0: hash mismatch");
    let written_otherwise = format!(" {}", good.canonical_json());
    let hash = quorate_machine::Hash(sha2_of(&written_otherwise));
    assert_eq!(told(&driver.apply(&define(&written_otherwise, hash))), " 0: invalid");
    assert_eq!(driver.registry.machines().len(), 1);
}

fn sha2_of(text: &str) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).into()
}

#[test]
fn an_instance_stays_with_its_version_and_counts_show_every_state() {
    let mut driver = Driver::new(small());
    driver.define(&job(1, V1));
    check(
        &mut driver,
        "create job/a => created job/a Init r1
         propose job/a start => Init -start-> Old r2",
    );
    driver.define(&job(2, V2));
    check(
        &mut driver,
        r#"create job/b => created job/b Init r1
           propose job/b noise => Init ignores noise r1
           propose job/b start => Init -start-> Running r2
           propose job/a stop => unknown_event: no state handles event "stop" [Old r2 allows back]
           create job/c => created job/c Init r1
           create job/d => created job/d Init r1
           create job/e => limit_reached: there are 4 instances, the limit is 4"#,
    );
    let told = |registry: &Registry| {
        let counts = registry.count("job").unwrap();
        let states: Vec<String> =
            counts.states.iter().map(|(state, count)| format!("{state} {count}")).collect();
        format!("v{} {}: {}", counts.version, counts.total, states.join(", "))
    };
    assert_eq!(told(&driver.registry), "v2 4: Init 2, Old 1, Running 1");
    check(&mut driver, "propose job/a back => Old -back-> Init r3");
    assert_eq!(told(&driver.registry), "v2 4: Init 3, Running 1");
    let lifecycle = driver.registry.count("lifecycle").unwrap();
    assert_eq!(lifecycle.states.values().collect::<Vec<_>>(), [&0, &0, &0]);
}

#[test]
fn a_command_that_nobody_checked_is_rejected_the_same_way_everywhere() {
    let mut driver = Driver::new(Limits::default());
    let create = Command::Create { machine: "lifecycle".to_owned(), id: "a\nb".to_owned() };
    assert_eq!(
        told(&driver.apply(&create)),
        "payload_invalid: the command makes no sense: it was not checked before it was proposed"
    );
    check(
        &mut driver,
        r#"create lifecycle/7 => created lifecycle/7 Init r1
           propose lifecycle/7 start data=[] => payload_invalid: the command makes no sense: it was not checked before it was proposed
           propose lifecycle/7 start data={} => Init -start-> Running r2"#,
    );
}

#[test]
fn instances_are_listed_page_by_page_in_byte_order() {
    let mut driver = Driver::new(Limits::default());
    for id in ["b", "a", "d", "c/1"] {
        driver.line(&format!("create lifecycle/{id}"));
    }
    driver.line("propose lifecycle/c/1 start");
    let list = |state, limit, after| {
        let page = driver.registry.list("lifecycle", state, limit, after).unwrap();
        let ids: Vec<&str> = page.instances.iter().map(|row| row.id.as_str()).collect();
        format!("{} > {}", ids.join(","), page.next.as_deref().unwrap_or("end"))
    };
    assert_eq!(list(None, 10, None), "a,b,c/1,d > end");
    assert_eq!(list(None, 2, None), "a,b > b");
    assert_eq!(list(None, 2, Some("b")), "c/1,d > end");
    assert_eq!(list(Some("Init"), 2, Some("a")), "b,d > end");
    assert_eq!(list(Some("Init"), 1, Some("a")), "b > b");
    assert_eq!(list(Some("Stopped"), 1, None), " > end");
    assert_eq!(list(None, 0, Some("a")), " > a");
    let unknown = driver.registry.list("lifecycle", Some("Runing"), 1, None).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "machine \"lifecycle\" has no state \"Runing\"; did you mean \"Running\"?"
    );
    let unknown = driver.registry.instance("lifecycle", "e").unwrap_err();
    assert_eq!(unknown.to_string(), "machine \"lifecycle\" has no instance \"e\"");
}

#[test]
fn a_search_for_a_rare_state_stops_and_is_continued() {
    let mut driver = Driver::new(Limits::default());
    let all = quorate_machine::LIST_SCAN_MAX + 5;
    for number in 0..all {
        driver.apply(&Command::Create { machine: "lifecycle".to_owned(), id: format!("{number:07}") });
    }
    let last = format!("{:07}", all - 1);
    driver.line(&format!("propose lifecycle/{last} start"));
    let first = driver.registry.list("lifecycle", Some("Running"), 10, None).unwrap();
    assert!(first.instances.is_empty());
    let second = driver.registry.list("lifecycle", Some("Running"), 10, first.next.as_deref()).unwrap();
    assert_eq!(
        (second.instances.len(), second.instances[0].id.as_str(), second.next),
        (1, last.as_str(), None)
    );
}

/// The history in short: revisions and codes, then the revision to continue from.
fn history(registry: &Registry, from: Option<u64>, limit: usize) -> String {
    let page = match registry.history("lifecycle", "7", from, limit) {
        Ok(page) => page,
        Err(error) => return error.to_string(),
    };
    let short = |record: &HistoryRecord| match record {
        HistoryRecord::Created { revision, .. } => format!("created {revision}"),
        HistoryRecord::Moved { event, revision, .. } => format!("{event} {revision}"),
        HistoryRecord::Rejected { code, revision, .. } => format!("({} {revision})", code.as_str()),
    };
    let records: Vec<String> = page.records.iter().map(short).collect();
    format!("{} > {:?}, {} forgotten", records.join(" "), page.next, page.rejections_forgotten)
}

#[test]
fn history_is_in_order_of_the_log_and_what_is_forgotten_is_said() {
    let mut driver = Driver::new(Limits { history_bytes_per_instance_max: 1_000, ..small() });
    driver.line("create lifecycle/7");
    driver.line("propose lifecycle/7 stop");
    driver.line("propose lifecycle/7 start");
    driver.line("propose lifecycle/7 start");
    let all = "created 1 (no_transition 1) start 2 (no_transition 2) > None, 0 forgotten";
    assert_eq!(history(&driver.registry, None, 10), all);
    assert_eq!(history(&driver.registry, Some(1), 1), "created 1 (no_transition 1) > Some(2), 0 forgotten");
    assert_eq!(history(&driver.registry, Some(2), 1), "start 2 (no_transition 2) > None, 0 forgotten");
    assert_eq!(history(&driver.registry, Some(3), 1), " > None, 0 forgotten", "nothing yet");

    driver.line("propose lifecycle/7 reset");
    driver.line("propose lifecycle/7 stop");
    driver.line("propose lifecycle/7 reset");
    let kept = "start 2 (no_transition 2) (no_transition 2) stop 3 reset 4 > None, 1 forgotten";
    assert_eq!(history(&driver.registry, None, 10), kept);
    let compacted = "revision 1 is compacted: the oldest that is kept is 2";
    assert_eq!(history(&driver.registry, Some(1), 10), compacted);
    assert_eq!(history(&driver.registry, Some(0), 10), compacted, "there is no revision 0");
}

#[test]
fn history_keeps_who_what_and_when_within_its_bytes() {
    let mut driver = Driver::new(small());
    driver.line("create lifecycle/7");
    driver.actor = Some("ann".to_owned());
    driver.line(r#"propose lifecycle/7 start data={"a":1}"#);
    let page = driver.registry.history("lifecycle", "7", Some(2), 1).unwrap();
    let json = serde_json::to_string(&page.records[0]).unwrap();
    let expected = concat!(
        r#"{"kind":"moved","from":"Init","to":"Running","event":"start","revision":2,"version":1,"time_ms":2000,"#,
        r#""index":2,"term":1,"actor":"ann","request_id":null,"data":"{\"a\":1}"}"#
    );
    assert_eq!(json, expected);
    // 10 bytes are held; the next 14 do not fit beside them within 20: the oldest go, the newest stays.
    driver.line(r#"propose lifecycle/7 stop data={"a":12345}"#);
    assert_eq!(history(&driver.registry, None, 10), "stop 3 > None, 0 forgotten");
    driver.line("propose lifecycle/7 reset data={\"b\":\"longer-than-all-the-bytes\"}");
    assert_eq!(
        history(&driver.registry, None, 10),
        "reset 4 > None, 0 forgotten",
        "the newest move stays whatever its size"
    );
}

#[test]
fn instances_are_shown_with_the_events_that_they_handle() {
    let mut driver = Driver::new(small());
    driver.define(&job(1, V2));
    driver.line("create job/7");
    let info = driver.registry.instance("job", "7").unwrap();
    let expected = concat!(
        r#"{"machine":"job","id":"7","state":"Init","final":false,"revision":1,"version":1,"allowed":["start"],"#,
        r#""created_ms":2000,"changed_ms":2000,"index":2}"#
    );
    assert_eq!(serde_json::to_string(&info).unwrap(), expected);
}

/// Replies are kept in the session tables and compared among nodes: a word of the binary in them would make two versions differ.
#[test]
fn a_reply_holds_no_words_of_the_binary() {
    let mut driver = Driver::new(Limits::default());
    driver.line("create lifecycle/7");
    for line in [
        "propose lifecicle/7 start",
        "propose lifecycle/8 start",
        "propose lifecycle/7 strat",
        "propose lifecycle/7 stop",
        "propose lifecycle/7 >Runing",
        "propose lifecycle/7 >Stopped",
        "propose lifecycle/7 start rev=9 state=Stopped",
        "propose lifecycle/7 start data=[]",
        "create lifecycle/7",
    ] {
        let reply = driver.reply(line);
        let (mut bytes, words) = (Vec::new(), told(&reply));
        reply.encode(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        for word in ["no ", "not ", "did you", "expected", "handle", "exists", "checked"] {
            assert!(!text.contains(word), "{line}: {text:?} holds {word:?} of {words:?}");
        }
    }
}
