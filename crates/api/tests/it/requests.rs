//! Requests refuse what they do not know, and the structured header reads and writes one form.

use quorate_api::cluster::OpenSession;
use quorate_api::header::{SessionRequest, parse_session};
use quorate_api::instance::CreateInstance;
use quorate_api::proposal::Propose;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Whether `text` is read; what is read must be written back alike.
fn check<T: Serialize + DeserializeOwned>(text: &str) -> Result<(), String> {
    let value: T = serde_json::from_str(text).map_err(|error| error.to_string())?;
    assert_eq!(
        serde_json::to_value(&value).unwrap(),
        serde_json::from_str::<serde_json::Value>(text).unwrap()
    );
    Ok(())
}

#[test]
fn documented_requests_are_read() {
    for text in [
        r#"{"event":"fail","data":{"reason":"oom"},"expect":{"revision":7,"state":"Running"}}"#,
        r#"{"to":"Running"}"#,
        r#"{"event":"start","expect":{"revision":1}}"#,
    ] {
        check::<Propose>(text).unwrap();
    }
    check::<CreateInstance>("{}").unwrap();
    check::<CreateInstance>(r#"{"id":"42","context":{"owner":"ann"}}"#).unwrap();
    check::<OpenSession>(r#"{"id":"00112233445566778899aabbccddeeff"}"#).unwrap();
}

/// An ignored misspelling of `expect` would commit what the caller wanted to guard.
#[test]
fn unknown_request_fields_are_errors() {
    for text in [r#"{"event":"a","expcet":{}}"#, r#"{"event":"a","expect":{"rev":1}}"#] {
        assert!(check::<Propose>(text).unwrap_err().contains("unknown field"), "{text}");
    }
    assert!(check::<CreateInstance>(r#"{"name":"x"}"#).is_err());
    assert!(check::<OpenSession>(r#"{"id":"x","ttl":1}"#).is_err());
    for text in [r#"{"event":"a","data":[1]}"#, r#"{"event":"a","data":"x"}"#] {
        assert!(check::<Propose>(text).is_err(), "data is an object: {text}");
    }
}

#[test]
fn the_session_header_reads_and_writes_one_form() {
    for text in ["000102030405060708090a0b0c0d0e0f:7", "000102030405060708090a0b0c0d0e0f:7:6"] {
        assert_eq!(text.parse::<SessionRequest>().unwrap().to_string(), text);
    }
    let session = "000102030405060708090a0b0c0d0e0f";
    for bad in [
        String::new(),
        session.to_owned(),
        format!("{session}:"),
        format!("{session}:0"),
        format!("{session}:+1"),
        format!("{session}:1:x"),
        format!("{session}:1:1"),
        format!("{session}:1:0:0"),
        format!("{session}:18446744073709551616"),
        format!("{}:1", &session[1..]),
        format!("+{}:1", &session[1..]),
        format!("{session}0:1"),
    ] {
        assert!(bad.parse::<SessionRequest>().is_err(), "{bad:?}");
    }
    assert!(parse_session("+00102030405060708090a0b0c0d0e0f").is_err());
}
