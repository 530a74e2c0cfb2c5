//! What every command that asks the cluster has at hand: the client, the output, and the search for a name that was meant.

use std::time::Duration;

use quorate_api::definition::MachineDefinition;
use quorate_api::meaning::Exit;
use quorate_client::{Client, ClientConfig, ClientError, Endpoint};
use quorate_machine::did_you_mean;

use crate::args::Common;
use crate::failure::{Failure, words};
use crate::output::Output;

/// The client and the output of one command.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
}

impl Context {
    /// For these flags. Nothing is connected yet.
    pub(crate) fn new(common: &Common) -> Result<Context, Failure> {
        let client = Client::new(client_config(common)?)?;
        tokio::spawn(tell_who_waits(client.clone()));
        Ok(Context { client, output: Output::new(common.output) })
    }

    /// The failure for the user: an unknown machine gets the name that was probably meant.
    pub(crate) async fn explain(&self, error: ClientError, machine: &str) -> Failure {
        let failure = Failure::from(error);
        if failure.exit != Exit::NotFound {
            return failure;
        }
        self.advise(failure, machine).await
    }

    /// The failure of somebody who named an unknown machine, with the name that was probably meant.
    pub(crate) async fn advise(&self, failure: Failure, machine: &str) -> Failure {
        match self.similar_machine(machine, &failure.what).await {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Advice for a machine's name that the cluster does not know. None when it knows it, or cannot be asked. `said`: the cluster's
    /// own words, so that its guess is not made twice.
    pub(crate) async fn similar_machine(&self, machine: &str, said: &str) -> Option<String> {
        let known = self.client.machines().await.ok()?;
        let names = known.machines.iter().map(|known| known.machine.as_str());
        if names.clone().any(|name| name == machine) {
            return None;
        }
        match did_you_mean(machine, names) {
            Some(_) if said.contains(GUESS) => Some("`quorate machines` lists all of them".to_owned()),
            Some(name) => Some(format!("did you mean `{name}`? `quorate machines` lists all of them")),
            None => Some("`quorate machines` lists the machines, `quorate apply FILE` adds one".to_owned()),
        }
    }

    /// Advice for an event or a state that the machine does not know.
    pub(crate) async fn similar_word(
        &self,
        machine: &str,
        event: Option<&str>,
        state: Option<&str>,
        said: &str,
    ) -> Option<String> {
        let definition = self.client.machine(machine, None).await.ok()?;
        let words = Words::of(&definition);
        let event_hint = event.and_then(|event| similar(event, &words.events, "event", said));
        event_hint.or_else(|| state.and_then(|state| similar(state, &words.states, "state", said)))
    }
}

/// A user who sees nothing for seconds does not know whether to wait: tells once what stands in the way. It ends with the process.
async fn tell_who_waits(client: Client) {
    tokio::time::sleep(SILENCE_MAX).await;
    if let Some(trouble) = client.trouble() {
        words(&format!("still trying: {trouble} (Ctrl-C ends it)"));
    }
}

/// For how long a command says nothing while no node has answered.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// The settings of a client for these flags.
pub(crate) fn client_config(common: &Common) -> Result<ClientConfig, Failure> {
    Ok(ClientConfig::new(Endpoint::parse_list(&common.endpoint)?))
}

/// The words of a definition.
pub(crate) struct Words {
    pub(crate) states: Vec<String>,
    pub(crate) events: Vec<String>,
}

impl Words {
    /// From the canonical form: `states.NAME.on.EVENT`.
    pub(crate) fn of(definition: &MachineDefinition) -> Words {
        let mut words = Words { states: Vec::new(), events: Vec::new() };
        let Some(states) = definition.definition.get("states").and_then(|states| states.as_object()) else {
            return words;
        };
        for (name, state) in states {
            words.states.push(name.clone());
            let on = state.get("on").and_then(|on| on.as_object());
            words.events.extend(on.into_iter().flat_map(|on| on.keys().cloned()));
        }
        words.events.sort();
        words.events.dedup();
        words
    }
}

/// How the cluster's own guess at a name begins.
const GUESS: &str = "did you mean";

/// The name that was probably meant, and what there is. None when the name is known.
fn similar(word: &str, known: &[String], kind: &str, said: &str) -> Option<String> {
    if known.iter().any(|name| name == word) {
        return None;
    }
    let list = known.iter().take(12).map(String::as_str).collect::<Vec<_>>().join(", ");
    match did_you_mean(word, known.iter().map(String::as_str)).filter(|_| !said.contains(GUESS)) {
        Some(name) => Some(format!("{GUESS} `{name}`? the {kind}s are: {list}")),
        None => Some(format!("the {kind}s are: {list}")),
    }
}
