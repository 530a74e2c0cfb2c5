//! `server --join`: asks a member of a running cluster to take this node in. Done once: afterwards the node knows from its data whose it is.

use std::net::TcpListener;

use quorate_api::cluster::AddMember;
use quorate_api::meaning::Exit;
use quorate_client::{Client, ClientConfig, Endpoint};
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
    if address.ip().is_unspecified() {
        return Err(Failure::usage(format!(
            "{address} is no address at which the other nodes reach this one"
        ))
        .hint("name one with --listen-peer HOST:PORT"));
    }
    // A name stays a name: it is looked up anew at each connect. Port 0 became a port just now.
    let told = match config.listen.peer.rsplit_once(':') {
        Some((host, port)) if port != "0" => format!("{host}:{port}"),
        Some(_) | None => address.to_string(),
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
    let added = client.add_member(&add).await?;
    words(&format!("node {} of cluster {}, reached at {told}", added.id, added.cluster));
    config.join_as(added.id, &added.cluster).map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    Ok(Listeners { peer: Some(listener), api: None })
}
