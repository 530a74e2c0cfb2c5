//! One request, read with all its limits: path, parameters, headers and body, before any handler sees it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use quorate::RequestId;
use quorate_api::header::{
    ACTOR_BYTES_MAX, IDEMPOTENCY_KEY, KEY_BYTES_MAX, QUORATE_ACTOR, QUORATE_REQUEST, SessionRequest,
    TRACEPARENT,
};
use quorate_api::meaning::ProblemCode;
use quorate_api::strict::check_json;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::problem::Failure;

/// One request.
pub(crate) struct Call {
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    /// The whole body, within its limit.
    pub(crate) body: Bytes,
    /// Holds the body's share of the budget for all bodies.
    _budget: OwnedSemaphorePermit,
}

/// How fresh a read must be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Consistency {
    /// It sees all that was answered, on any node, before it began.
    Linearizable,
    /// It sees what the node that is asked has applied, and tells how old that may be.
    Stale,
}

/// Who asks and how: what the headers say about a write.
pub(crate) struct Asker {
    /// What makes the write exactly-once.
    pub(crate) request_id: Option<RequestId>,
    /// Who asks.
    pub(crate) actor: Option<String>,
    /// W3C trace context.
    pub(crate) trace: Option<String>,
}

impl FromRequest<App> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Call, Failure> {
        let (mut parts, body) = request.into_parts();
        let path = match RawPathParams::from_request_parts(&mut parts, app).await {
            Ok(params) => params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            Err(RawPathParamsRejection::MissingPathParams(_)) => BTreeMap::new(),
            Err(_) => {
                return Err(Failure::malformed(
                    "the path holds bytes that are not UTF-8",
                    "percent-encode the UTF-8 bytes of the id",
                ));
            }
        };
        let query = read_query(&parts.uri)?;
        let body_bytes_max = app.limits.body_bytes_max;
        let announced = body.size_hint().upper();
        if announced.is_some_and(|bytes| bytes > body_bytes_max as u64) {
            return Err(too_large(body_bytes_max));
        }
        // A body of unknown length takes the whole of what it may become from the budget: memory is bounded before it comes.
        let share = announced.unwrap_or(body_bytes_max as u64);
        let Some(budget) = app.body_budget(share) else {
            return Err(Failure::new(
                ProblemCode::Overloaded,
                "too many request bodies are on their way",
                "try again later, with fewer requests at a time",
            ));
        };
        let read = tokio::time::timeout(app.timeouts.body, Limited::new(body, body_bytes_max).collect());
        let body = match read.await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(body_bytes_max)),
            Ok(Err(_)) => return Err(Failure::malformed("the body ended early", "send the whole body")),
            Err(_) => {
                return Err(Failure::new(
                    ProblemCode::TooSlow,
                    format!("the body did not arrive within {:?}", app.timeouts.body),
                    "send it faster, or raise timeouts.body",
                ));
            }
        };
        Ok(Call { path, query, headers: parts.headers, body, _budget: budget })
    }
}

impl Call {
    /// A part of the path, decoded. The table of routes names it in braces.
    pub(crate) fn path(&self, name: &str) -> String {
        self.path.get(name).cloned().unwrap_or_default()
    }

    /// Refuses parameters that the route does not have: one that is ignored would not do what its writer believes.
    pub(crate) fn allow(&self, names: &[&str]) -> Result<(), Failure> {
        let Some(unknown) = self.query.keys().find(|name| !names.contains(&name.as_str())) else {
            return Ok(());
        };
        let hint = match quorate_machine::did_you_mean(unknown, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "this route has no parameters".to_owned(),
            None => format!("this route has: {}", names.join(", ")),
        };
        Err(Failure::malformed(format!("unknown parameter `{unknown}`"), hint))
    }

    /// A parameter as text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A parameter that is given alone (`?verbose`) or as true or false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(Failure::malformed(
                format!("{name}={other} is neither true nor false"),
                format!("write {name}=true"),
            )),
        }
    }

    /// A parameter as a number.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = |_| {
            Failure::malformed(format!("{name}={text} is not a number that fits"), "write a whole number")
        };
        text.parse().map(Some).map_err(wrong)
    }

    /// How many rows a page may have: 100 unless told, 1,000 at most.
    pub(crate) fn limit(&self) -> Result<usize, Failure> {
        match self.number::<usize>("limit")? {
            None => Ok(LIMIT_DEFAULT),
            Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Some(limit) => Err(Failure::malformed(
                format!("limit={limit} is not between 1 and {LIMIT_MAX}"),
                "take more pages; each answer says how to get the next one",
            )),
        }
    }

    /// How long the caller wants to wait at most; the node's own timeouts stand beside it.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, Failure> {
        let Some(text) = self.text("timeout") else { return Ok(None) };
        match humantime::parse_duration(text) {
            Ok(timeout) if !timeout.is_zero() => Ok(Some(timeout)),
            _ => Err(Failure::malformed(
                format!("timeout={text} is no duration"),
                "write timeout=2s or timeout=500ms",
            )),
        }
    }

    /// How fresh a read must be.
    pub(crate) fn consistency(&self) -> Result<Consistency, Failure> {
        match self.text("consistency") {
            // Whether a linearizable read is answered by a lease is a setting of the nodes; one that asks for a lease takes a round as well.
            None | Some("linearizable" | "lease") => Ok(Consistency::Linearizable),
            Some("stale") => Ok(Consistency::Stale),
            Some(other) => Err(Failure::malformed(
                format!("consistency={other} is no level"),
                "write linearizable, which is the default, or stale: what the node that is asked has applied",
            )),
        }
    }

    /// The media type of the body without its parameters, in lower case.
    pub(crate) fn media_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The body as JSON. Only `application/json` is read: a browser does not send that across origins unasked, so no
    /// page that somebody visits can propose to a server on the same machine.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        match self.media_type().as_deref() {
            // The library would read an array as an object whose names are left out.
            Some("application/json") if self.body.trim_ascii_start().starts_with(b"[") => {
                Err(Failure::malformed("the body is an array", "send a JSON object"))
            }
            Some("application/json") => {
                let read = serde_json::from_slice(&self.body).map_err(|error| Failure::json(&error))?;
                let text = std::str::from_utf8(&self.body).unwrap_or_default();
                check_json(text).map_err(|fault| {
                    Failure::malformed(fault.to_string(), "what is kept must be what was sent")
                })?;
                Ok(read)
            }
            other => Err(Failure::new(
                ProblemCode::UnsupportedMediaType,
                format!(
                    "the body is {}, this route reads application/json",
                    other.unwrap_or("of no named type")
                ),
                "send the header `Content-Type: application/json`",
            )),
        }
    }

    /// What the headers say about a write.
    pub(crate) fn asker(&self) -> Result<Asker, Failure> {
        let request_id = match (self.header(IDEMPOTENCY_KEY)?, self.header(QUORATE_REQUEST)?) {
            (None, None) => None,
            (Some(key), None) => Some(key_request(key)?),
            (None, Some(text)) => Some(session_request(text)?),
            (Some(_), Some(_)) => {
                return Err(Failure::malformed(
                    "both Idempotency-Key and Quorate-Request are set",
                    "send one of them: each alone makes the request exactly-once",
                ));
            }
        };
        let actor = self.header(QUORATE_ACTOR)?;
        if let Some(actor) = actor.filter(|actor| actor.len() > ACTOR_BYTES_MAX) {
            return Err(Failure::malformed(
                format!("Quorate-Actor has {} bytes, the limit is {ACTOR_BYTES_MAX}", actor.len()),
                "send a shorter name",
            ));
        }
        let trace = self.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        Ok(Asker {
            request_id,
            actor: actor.filter(|actor| !actor.is_empty()).map(str::to_owned),
            trace: trace.filter(|trace| is_traceparent(trace)).map(str::to_owned),
        })
    }

    fn header(&self, name: &str) -> Result<Option<&str>, Failure> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Failure::malformed(format!("the header {name} is there twice"), "send it once"));
        }
        let text = value.to_str().map_err(|_| {
            Failure::malformed(
                format!("the header {name} holds bytes that are not visible ASCII"),
                "encode it",
            )
        })?;
        Ok(Some(text))
    }
}

fn read_query(uri: &axum::http::Uri) -> Result<BTreeMap<String, String>, Failure> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
        Failure::malformed("the parameters after `?` cannot be read", "write name=value, joined by `&`")
    })?;
    let mut query = BTreeMap::new();
    for (name, value) in pairs {
        if query.insert(name.clone(), value).is_some() {
            return Err(Failure::malformed(format!("the parameter `{name}` is there twice"), "give it once"));
        }
    }
    Ok(query)
}

fn key_request(key: &str) -> Result<RequestId, Failure> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Failure::malformed(
            format!("Idempotency-Key has {} bytes; 1 to {KEY_BYTES_MAX} are allowed", key.len()),
            "send a random UUID, for example",
        ));
    }
    Ok(RequestId::Key(Bytes::copy_from_slice(key.as_bytes())))
}

fn session_request(text: &str) -> Result<RequestId, Failure> {
    let SessionRequest { session, sequence, acknowledged } = text.parse().map_err(|error| {
        Failure::malformed(
            format!("Quorate-Request cannot be read: {error}"),
            "write <32 hex digits of the session>:<sequence>[:<acknowledged>]",
        )
    })?;
    Ok(RequestId::Session { session, sequence, acknowledged })
}

/// Whether this is a `traceparent` of version 00. Others are ignored, as the W3C recommendation (section 4.3) asks.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, len| {
        part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        ["00", trace, parent, flags] => hex(trace, 32) && hex(parent, 16) && hex(flags, 2),
        _ => false,
    }
}

fn too_large(body_bytes_max: usize) -> Failure {
    Failure::new(
        ProblemCode::TooLarge,
        format!("the body has more than {body_bytes_max} bytes"),
        "send less at a time, or raise limits.body_bytes_max",
    )
}

/// Rows of a page unless told otherwise.
const LIMIT_DEFAULT: usize = 100;
/// The most rows of a page.
const LIMIT_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::is_traceparent;

    #[test]
    fn only_a_trace_context_of_version_00_is_carried() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "garbage",
            &good[1..],
            &good.replace("00-", "01-"),
            &good.to_uppercase(),
            &format!("{good}-x"),
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
