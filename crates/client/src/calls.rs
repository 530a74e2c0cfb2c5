//! The typed calls: one for each route of the interface, with the path it has and whether it may be repeated.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use quorate_api::cluster::{
    AddMember, ClusterStatus, Health, LeaderIs, MemberAdded, MemberChanged, OpenSession, SessionOpened,
    Transfer,
};
use quorate_api::definition::{DefinitionApplied, MachineDefinition, MachineList};
use quorate_api::header::{
    IDEMPOTENCY_KEY, KEY_BYTES_MAX, QUORATE_ACTOR, QUORATE_REQUEST, SessionRequest, format_session,
};
use quorate_api::history::HistoryPage;
use quorate_api::instance::{Count, CreateInstance, Instance, ListPage};
use quorate_api::outcome::{Answer, Creation};
use quorate_api::proposal::Propose;
use serde::Serialize;

use crate::client::Client;
use crate::error::ClientError;
use crate::exchange::Call;
use crate::retry::random_id;

/// What makes a write exactly-once: sent again with the same id it gets the first answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestId {
    /// `Idempotency-Key`: kept within bounds of count and age.
    Key(String),
    /// `Quorate-Request`: a place in a session that was opened before.
    Session(SessionRequest),
}

impl RequestId {
    /// A key that nobody else uses.
    pub fn random() -> RequestId {
        RequestId::Key(format!("{:032x}", random_id()))
    }
}

/// How a definition is written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DefinitionFormat {
    /// `application/toml`.
    Toml,
    /// `application/json`.
    Json,
}

/// What goes with a write besides its body.
#[derive(Clone, Default, Debug)]
pub struct WriteOptions {
    /// The request id. Without one the call is not repeated once it may have arrived.
    pub request_id: Option<RequestId>,
    /// Who asks, for the history.
    pub actor: Option<String>,
    /// Whether a proposal's answer should tell each step.
    pub explain: bool,
}

/// Which instances to list.
#[derive(Clone, Default, Debug)]
pub struct ListQuery {
    /// Only those in this state.
    pub state: Option<String>,
    /// How many a page holds at most.
    pub limit: Option<u32>,
    /// Where to go on: the cursor of the page before.
    pub cursor: Option<String>,
}

impl Client {
    /// `PUT /v1/machines/{machine}`: applies a definition. Idempotent, so it is repeated.
    ///
    /// # Errors
    /// As every call; a definition with faults is `Refused` with all of them.
    pub async fn apply(
        &self,
        machine: &str,
        format: DefinitionFormat,
        text: String,
    ) -> Result<DefinitionApplied, ClientError> {
        let content_type = match format {
            DefinitionFormat::Toml => "application/toml",
            DefinitionFormat::Json => "application/json",
        };
        let path = format!("/v1/machines/{}", encode(machine));
        let body = Bytes::from(text);
        let call = Call { content_type, body, repeatable: true, ..call(Method::PUT, path) };
        self.call(&call).await
    }

    /// `GET /v1/machines`.
    ///
    /// # Errors
    /// As every call.
    pub async fn machines(&self) -> Result<MachineList, ClientError> {
        self.call(&call(Method::GET, "/v1/machines".to_owned())).await
    }

    /// `GET /v1/machines/{machine}`: one definition, the latest if no version is given.
    ///
    /// # Errors
    /// As every call.
    pub async fn machine(
        &self,
        machine: &str,
        version: Option<u64>,
    ) -> Result<MachineDefinition, ClientError> {
        let version = version.map(|version| version.to_string());
        let path = with_query(format!("/v1/machines/{}", encode(machine)), &[("version", version)]);
        self.call(&call(Method::GET, path)).await
    }

    /// `POST /v1/machines/{machine}/instances`.
    ///
    /// # Errors
    /// As every call; a rejection is no error.
    pub async fn create(
        &self,
        machine: &str,
        create: &CreateInstance,
        options: &WriteOptions,
    ) -> Result<Creation, ClientError> {
        let path = format!("/v1/machines/{}/instances", encode(machine));
        self.call(&write(path, create, options)?).await
    }

    /// `POST /v1/machines/{machine}/instances/{id}/proposals`.
    ///
    /// # Errors
    /// As every call; a rejection is no error.
    pub async fn propose(
        &self,
        machine: &str,
        id: &str,
        propose: &Propose,
        options: &WriteOptions,
    ) -> Result<Answer, ClientError> {
        let explain = options.explain.then(|| "true".to_owned());
        let path = with_query(format!("{}/proposals", instance_path(machine, id)), &[("explain", explain)]);
        self.call(&write(path, propose, options)?).await
    }

    /// `GET /v1/machines/{machine}/instances/{id}`.
    ///
    /// # Errors
    /// As every call.
    pub async fn instance(&self, machine: &str, id: &str) -> Result<Instance, ClientError> {
        self.call(&call(Method::GET, instance_path(machine, id))).await
    }

    /// `GET /v1/machines/{machine}/instances`: one page.
    ///
    /// # Errors
    /// As every call.
    pub async fn list(&self, machine: &str, query: &ListQuery) -> Result<ListPage, ClientError> {
        let path = with_query(
            format!("/v1/machines/{}/instances", encode(machine)),
            &[
                ("state", query.state.clone()),
                ("limit", query.limit.map(|limit| limit.to_string())),
                ("cursor", query.cursor.clone()),
            ],
        );
        self.call(&call(Method::GET, path)).await
    }

    /// `GET /v1/machines/{machine}/count`.
    ///
    /// # Errors
    /// As every call.
    pub async fn count(&self, machine: &str) -> Result<Count, ClientError> {
        self.call(&call(Method::GET, format!("/v1/machines/{}/count", encode(machine)))).await
    }

    /// `GET /v1/machines/{machine}/instances/{id}/history`: one page, oldest first.
    ///
    /// # Errors
    /// As every call.
    pub async fn history(
        &self,
        machine: &str,
        id: &str,
        from: Option<u64>,
        limit: Option<u32>,
    ) -> Result<HistoryPage, ClientError> {
        let path = with_query(
            format!("{}/history", instance_path(machine, id)),
            &[("from", from.map(|from| from.to_string())), ("limit", limit.map(|limit| limit.to_string()))],
        );
        self.call(&call(Method::GET, path)).await
    }

    /// `POST /v1/sessions`: opens a session. Opening an open one changes nothing, so it is repeated.
    ///
    /// # Errors
    /// As every call.
    pub async fn open_session(&self, session: u128) -> Result<SessionOpened, ClientError> {
        let body = json(&OpenSession { id: format_session(session) })?;
        let path = "/v1/sessions".to_owned();
        let call = Call { body, repeatable: true, ..call(Method::POST, path) };
        self.call(&call).await
    }

    /// `GET /v1/cluster`: every member that was reached, and those that were not.
    ///
    /// # Errors
    /// As every call.
    pub async fn cluster(&self) -> Result<ClusterStatus, ClientError> {
        self.call(&call(Method::GET, "/v1/cluster".to_owned())).await
    }

    /// `POST /v1/cluster/transfer`: lets another node lead. With a name it is repeated: a node that leads already is told as success.
    ///
    /// # Errors
    /// As every call.
    pub async fn transfer(&self, to: Option<u64>) -> Result<LeaderIs, ClientError> {
        let path = "/v1/cluster/transfer".to_owned();
        let call =
            Call { body: json(&Transfer { to })?, repeatable: to.is_some(), ..call(Method::POST, path) };
        self.call(&call).await
    }

    /// `POST /v1/cluster/members`: adds a node. With an id it is repeated: a member that is there already, at this address, is success.
    ///
    /// # Errors
    /// As every call.
    pub async fn add_member(&self, add: &AddMember) -> Result<MemberAdded, ClientError> {
        let path = "/v1/cluster/members".to_owned();
        let call = Call { body: json(add)?, repeatable: add.id.is_some(), ..call(Method::POST, path) };
        self.call(&call).await
    }

    /// `POST /v1/cluster/members/{node}/promote`: lets a learner become a voter once it has caught up. Twice is as good as once.
    ///
    /// # Errors
    /// As every call.
    pub async fn promote_member(&self, node: u64) -> Result<MemberChanged, ClientError> {
        let path = format!("/v1/cluster/members/{node}/promote");
        let call = Call { repeatable: true, ..call(Method::POST, path) };
        self.call(&call).await
    }

    /// `DELETE /v1/cluster/members/{node}`: removes a node for good.
    ///
    /// # Errors
    /// As every call.
    pub async fn remove_member(&self, node: u64) -> Result<MemberChanged, ClientError> {
        self.call(&call(Method::DELETE, format!("/v1/cluster/members/{node}"))).await
    }

    /// `GET /livez`: whether the node that answers runs, with each check. One that does not is `NotAccepted` with the reason.
    ///
    /// # Errors
    /// As every call.
    pub async fn live(&self) -> Result<Health, ClientError> {
        self.call(&call(Method::GET, "/livez?verbose=true".to_owned())).await
    }

    /// `GET /readyz`: whether the node that answers can serve, with each check. One that cannot is `NotAccepted` with the reason.
    ///
    /// # Errors
    /// As every call.
    pub async fn ready(&self) -> Result<Health, ClientError> {
        self.call(&call(Method::GET, "/readyz?verbose=true".to_owned())).await
    }
}

/// A call without a body. Reads are always repeatable.
fn call(method: Method, path: String) -> Call {
    let repeatable = method == Method::GET;
    Call {
        method,
        path,
        content_type: "application/json",
        headers: Vec::new(),
        body: Bytes::new(),
        repeatable,
    }
}

/// A write: repeatable if and only if it carries a request id.
fn write<T: Serialize>(path: String, body: &T, options: &WriteOptions) -> Result<Call, ClientError> {
    let mut headers = Vec::new();
    match &options.request_id {
        Some(RequestId::Key(key)) => {
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                let why = format!("the key has {} bytes; 1 to {KEY_BYTES_MAX} are allowed", key.len());
                return Err(ClientError::Invalid(why));
            }
            headers.push(header(IDEMPOTENCY_KEY, key)?);
        }
        Some(RequestId::Session(place)) => headers.push(header(QUORATE_REQUEST, &place.to_string())?),
        None => {}
    }
    if let Some(actor) = &options.actor {
        headers.push(header(QUORATE_ACTOR, actor)?);
    }
    let repeatable = options.request_id.is_some();
    Ok(Call { headers, body: json(body)?, repeatable, ..call(Method::POST, path) })
}

fn header(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue), ClientError> {
    let value = HeaderValue::from_str(value).map_err(|_| {
        ClientError::Invalid(format!("`{value}` cannot be sent as {name}: use visible ASCII"))
    })?;
    Ok((HeaderName::from_static(name), value))
}

fn json<T: Serialize>(value: &T) -> Result<Bytes, ClientError> {
    let body = serde_json::to_vec(value).map_err(|error| ClientError::Invalid(error.to_string()))?;
    Ok(Bytes::from(body))
}

fn instance_path(machine: &str, id: &str) -> String {
    format!("/v1/machines/{}/instances/{}", encode(machine), encode(id))
}

fn with_query(path: String, pairs: &[(&str, Option<String>)]) -> String {
    let mut path = path;
    let mut separator = '?';
    for (name, value) in pairs {
        if let Some(value) = value {
            path.push(separator);
            path.push_str(name);
            path.push('=');
            path.push_str(&encode(value));
            separator = '&';
        }
    }
    path
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3): an id may hold `/` and still is one segment.
pub fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    encoded
}
