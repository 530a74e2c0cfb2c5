//! The client: asks one endpoint after the other until one answers, as often as the policy says and never so that a thing could
//! happen twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_api::problem::{Fate, Problem};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::config::ClientConfig;
use crate::endpoint::Endpoints;
use crate::error::{ClientError, ConfigError, Failure, FailureKind};
use crate::exchange::{Call, Exchange, RawAnswer};
use crate::in_flight::InFlight;
use crate::retry::{Jitter, RetryPolicy, may_repeat};

/// A client of one cluster. Cheap to clone; all clones share the connections and what is known of the endpoints.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    exchange: Exchange,
    retry: RetryPolicy,
    hedge_after: Duration,
    /// The zero of the breakers' clock.
    started: Instant,
    knowledge: Mutex<Knowledge>,
}

/// What the client has learnt. Locked for a few instructions at a time, never across an await.
#[derive(Debug)]
struct Knowledge {
    endpoints: Endpoints,
    jitter: Jitter,
    /// The last failure of any endpoint, told when all are left alone.
    last_failure: Option<Failure>,
    /// The last failure of any attempt in words.
    last_trouble: Option<String>,
    /// Whether any call has been answered.
    answered: bool,
}

/// What is known of a call while it is tried.
#[derive(Default)]
struct Attempts {
    count: u32,
    /// Whether one attempt may have happened. It stays true: a later "not accepted" speaks of the later attempt only.
    unknown: bool,
    last: Option<Failure>,
}

impl Client {
    /// A client of the cluster that these settings describe. Nothing is connected yet.
    ///
    /// # Errors
    /// When there is no endpoint.
    pub fn new(config: ClientConfig) -> Result<Client, ConfigError> {
        let exchange = Exchange::new(&config);
        let endpoints = Endpoints::new(config.endpoints, &config.breaker)?;
        let knowledge = Knowledge {
            endpoints,
            jitter: Jitter::from_entropy(),
            last_failure: None,
            last_trouble: None,
            answered: false,
        };
        let shared = Shared {
            exchange,
            retry: config.retry,
            hedge_after: config.hedge_after,
            started: Instant::now(),
            knowledge: Mutex::new(knowledge),
        };
        Ok(Client { shared: Arc::new(shared) })
    }

    /// The addresses that this client asks, for a message.
    pub fn endpoint_list(&self) -> String {
        self.knowledge().endpoints.list()
    }

    /// What stands in the way of the first answer, for a user who waits: the last failure in words, or that nobody has said anything yet.
    /// `None` once a call was answered.
    pub fn trouble(&self) -> Option<String> {
        let knowledge = self.knowledge();
        if knowledge.answered {
            return None;
        }
        let silence = || format!("no answer yet from {}", knowledge.endpoints.list());
        Some(knowledge.last_trouble.clone().unwrap_or_else(silence))
    }

    /// Calls and reads the answer as `T`, whether its status says yes or no; a problem is an error.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let answer = self.answer(call).await?;
        serde_json::from_slice(&answer.body).map_err(|error| ClientError::Malformed {
            endpoint: answer.endpoint,
            detail: format!("status {}: {error}", answer.status),
            fate: call.fate_in_doubt(),
        })
    }

    /// Calls until an endpoint gives a final answer.
    pub(crate) async fn answer(&self, call: &Call) -> Result<RawAnswer, ClientError> {
        let mut attempts = Attempts::default();
        let mut failed_rounds = 0;
        loop {
            if let Some(answer) = self.round(call, &mut attempts).await? {
                return final_answer(call, answer, &attempts);
            }
            failed_rounds += 1;
            if failed_rounds >= self.shared.retry.attempts_max {
                return Err(attempts.give_up());
            }
            let bound = self.shared.retry.delay_bound(failed_rounds);
            let delay = self.knowledge().jitter.up_to(bound);
            tokio::time::sleep(delay).await;
        }
    }

    /// Asks each endpoint once at most. None: each one failed in a way that allows another try.
    async fn round(&self, call: &Call, attempts: &mut Attempts) -> Result<Option<RawAnswer>, ClientError> {
        let mut tried = Vec::new();
        let mut in_flight = InFlight::default();
        let mut overloaded = false;
        loop {
            if in_flight.is_empty()
                && (overloaded || !self.ask_next(call, &mut tried, &mut in_flight, attempts))
            {
                break;
            }
            let hedge = call.repeatable && !overloaded && tried.contains(&false);
            let (position, endpoint, result) = tokio::select! {
                done = in_flight.next() => done,
                () = tokio::time::sleep(self.shared.hedge_after), if hedge => {
                    self.ask_next(call, &mut tried, &mut in_flight, attempts);
                    continue;
                }
            };
            let kind = match result {
                Ok(answer) => {
                    self.on_won(position, &in_flight);
                    return Ok(Some(answer));
                }
                Err(kind) => kind,
            };
            // The other nodes would carry it to the same leader: an overloaded cluster needs a pause, not another knock.
            overloaded |= matches!(kind, FailureKind::Problem(429, _));
            let failure = Failure { endpoint: endpoint.authority().to_owned(), kind };
            self.note(position, &failure);
            let fate = if call.only_reads() { Fate::NotAccepted } else { failure.fate() };
            attempts.unknown |= fate == Fate::Unknown;
            attempts.remember(failure);
            if !may_repeat(fate, call.repeatable) {
                return Err(attempts.give_up());
            }
        }
        if attempts.last.is_none() {
            attempts.last = Some(self.left_alone());
        }
        Ok(None)
    }

    /// Sends the call to one endpoint more. False: each one was asked or is left alone.
    fn ask_next<'a>(
        &'a self,
        call: &'a Call,
        tried: &mut Vec<bool>,
        in_flight: &mut InFlight<'a>,
        attempts: &mut Attempts,
    ) -> bool {
        let Some((position, endpoint)) = self.choose(tried) else { return false };
        attempts.count += 1;
        let exchange = &self.shared.exchange;
        in_flight.push(position, async move {
            let result = exchange.send(&endpoint, call).await;
            (position, endpoint, result)
        });
        true
    }

    /// An endpoint answered. Those that were asked before it and are still silent are slow at least.
    fn on_won(&self, position: usize, in_flight: &InFlight<'_>) {
        let now = self.shared.started.elapsed();
        let mut knowledge = self.knowledge();
        knowledge.answered = true;
        knowledge.endpoints.on_answer(position);
        for silent in in_flight.positions() {
            knowledge.endpoints.on_failure(silent, now);
        }
    }

    fn choose(&self, tried: &mut Vec<bool>) -> Option<(usize, crate::Endpoint)> {
        let now = self.shared.started.elapsed();
        let mut knowledge = self.knowledge();
        tried.resize(knowledge.endpoints.len(), false);
        let position = knowledge.endpoints.choose(now, tried)?;
        tried[position] = true;
        Some((position, knowledge.endpoints.get(position).clone()))
    }

    fn note(&self, position: usize, failure: &Failure) {
        let now: Duration = self.shared.started.elapsed();
        let mut knowledge = self.knowledge();
        knowledge.last_trouble = Some(failure.to_string());
        if failure.is_the_endpoints() {
            knowledge.endpoints.on_failure(position, now);
            knowledge.last_failure = Some(failure.clone());
            return;
        }
        knowledge.endpoints.on_answer(position);
        knowledge.endpoints.on_refusal(position);
        if let FailureKind::Problem(_, problem) = &failure.kind
            && let Some(leader) = problem.leader.as_ref().and_then(|leader| leader.api.as_ref())
        {
            knowledge.endpoints.on_leader_hint(leader);
        }
    }

    /// Prefers this address from now on, if it is one of the client's endpoints: the leader's saves a hop.
    pub fn prefer(&self, address: &str) {
        self.knowledge().endpoints.on_leader_hint(address);
    }

    fn left_alone(&self) -> Failure {
        let knowledge = self.knowledge();
        match &knowledge.last_failure {
            Some(failure) => Failure {
                endpoint: failure.endpoint.clone(),
                kind: FailureKind::LeftAlone(failure.to_string()),
            },
            None => Failure {
                endpoint: knowledge.endpoints.list(),
                kind: FailureKind::LeftAlone("every endpoint is busy with a probe".to_owned()),
            },
        }
    }

    fn knowledge(&self) -> MutexGuard<'_, Knowledge> {
        // What is known are hints: a panic elsewhere cannot leave them wrong in a way that matters.
        self.shared.knowledge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A problem is an error; and one that follows an attempt of unknown fate does not make that attempt undone.
fn final_answer(call: &Call, answer: RawAnswer, attempts: &Attempts) -> Result<RawAnswer, ClientError> {
    if !answer.is_problem {
        return Ok(answer);
    }
    let RawAnswer { endpoint, status, body, .. } = answer;
    let problem = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Box::new(problem),
        Err(error) => {
            let (detail, fate) = (format!("status {status}: {error}"), call.fate_in_doubt());
            return Err(ClientError::Malformed { endpoint, detail, fate });
        }
    };
    if attempts.unknown && problem.fate == Fate::NotAccepted {
        let failure = Failure { endpoint, kind: FailureKind::Problem(status, problem) };
        return Err(ClientError::Unknown { attempts: attempts.count + 1, failure });
    }
    Err(ClientError::Refused { endpoint, status, problem })
}

impl Attempts {
    /// Keeps the failure to tell. What a living node says of the cluster tells more than that another one cannot be reached.
    fn remember(&mut self, failure: Failure) {
        let said = self.last.as_ref().is_some_and(|last| matches!(last.kind, FailureKind::Problem(..)));
        let unreachable = matches!(failure.kind, FailureKind::NoListener | FailureKind::Unreachable(_));
        if !(said && unreachable) {
            self.last = Some(failure);
        }
    }

    /// The end of a call that no endpoint answered, with the worst fate of its attempts.
    fn give_up(&mut self) -> ClientError {
        let failure = self.last.take().unwrap_or_else(|| Failure {
            endpoint: String::new(),
            kind: FailureKind::LeftAlone("no endpoint was asked".to_owned()),
        });
        let attempts = self.count;
        if self.unknown {
            ClientError::Unknown { attempts, failure }
        } else {
            ClientError::NotAccepted { attempts, failure }
        }
    }
}
