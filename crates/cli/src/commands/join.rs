//! `server --join`: asks a member of a running cluster to take this node in. Done once: afterwards the node knows from its data whose it is.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use quorate_api::cluster::{AddMember, MemberAdded};
use quorate_api::meaning::Exit;
use quorate_api::problem::Fate;
use quorate_client::{Client, ClientConfig, ClientError, Endpoint};
use quorate_server::{Listeners, Origin, ServerConfig};

use crate::failure::{Failure, words};

/// Makes the node a member if it is none yet, and notes in the settings who it is. Gives back the socket that was bound for it: its
/// address is what the cluster was told.
pub(crate) async fn join(config: &mut ServerConfig) -> Result<Listeners, Failure> {
    let Some(member) = config.cluster.join.clone() else { return Ok(Listeners::default()) };
    if config.joined().map_err(|error| Failure::new(Exit::Error, error.to_string()))?.is_some() {
        words("the data of this node names its cluster: nobody needs to be asked");
        return Ok(Listeners::default());
    }
    let listener = TcpListener::bind(&config.listen.peer).map_err(|error| {
        Failure::new(Exit::Error, format!("cannot listen on {}: {error}", config.listen.peer))
    })?;
    let address = listener.local_addr();
    let address = address.map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    let advertised = config.advertised_peer(address).ok_or_else(|| {
        Failure::usage(format!("{address} is no address at which the other nodes reach this one"))
            .hint("name one with --advertise-peer HOST:PORT, or listen on it with --listen-peer HOST:PORT")
    })?;
    // A name stays a name: it is looked up anew at each connect. Port 0 became a port just now.
    let told = match config.listen.peer.rsplit_once(':') {
        Some((host, port)) if port != "0" && config.advertise.peer.is_none() => format!("{host}:{port}"),
        Some(_) | None => advertised,
    };
    let client = Client::new(ClientConfig::new(vec![Endpoint::parse(&member)?]))?;
    // An operator who has added the node before, perhaps in another one's place, names its id: then there is nothing to be added.
    let named = config
        .dump()
        .into_iter()
        .any(|setting| setting.key == "node.id" && setting.origin != Origin::Default);
    let id = named.then_some(config.node.id);
    let understood = Some(u64::from(quorate_machine::FEATURE_LEVEL_MAX));
    let peer = told.clone();
    let add = AddMember { id, peer, voter: true, replaces: None, feature_level_max: understood };
    let added = match client.add_member(&add).await {
        Err(error) if error.fate() == Fate::Unknown => found_added(&client, add, error).await?,
        told => told?,
    };
    words(&format!("node {} of cluster {}, reached at {told}", added.id, added.cluster));
    config.join_as(added.id, &added.cluster).map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    Ok(Listeners { peer: Some(listener), api: None })
}

/// The answer was lost, and the node may be a member: then one stands in the status at its address, which nobody else has. Asked for once more by its
/// id, the cluster tells the same again.
async fn found_added(
    client: &Client,
    mut add: AddMember,
    lost: ClientError,
) -> Result<MemberAdded, ClientError> {
    words(&format!("whether the node was added is not known ({lost}): looking for it among the members"));
    let begin = Instant::now();
    loop {
        let status = client.cluster().await?;
        let members = status.members.into_iter().map(|member| (member.id, member.peer));
        let all = members.chain(status.failed.into_iter().map(|member| (member.id, member.peer)));
        let found = all.into_iter().find(|(_, peer)| peer.as_deref() == Some(add.peer.as_str()));
        if let Some((id, _)) = found {
            add.id = Some(id);
            return client.add_member(&add).await;
        }
        if begin.elapsed() > LOST_PATIENCE {
            return Err(lost);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// How long a request whose answer was lost may still be carried out: a leader gives it up before.
const LOST_PATIENCE: Duration = Duration::from_secs(12);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
