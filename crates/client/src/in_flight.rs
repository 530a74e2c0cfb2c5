//! The attempts of one call that are under way at the same time: mostly one; a second one only when the first is silent for long.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use crate::endpoint::Endpoint;
use crate::error::FailureKind;
use crate::exchange::RawAnswer;

/// How an attempt ended: where the endpoint stands in the list, the endpoint, what came of it.
type Ended = (usize, Endpoint, Result<RawAnswer, FailureKind>);

/// An attempt that can be waited for.
type Attempt<'a> = Pin<Box<dyn Future<Output = Ended> + Send + 'a>>;

/// Attempts under way. Dropping it breaks them off.
#[derive(Default)]
pub(crate) struct InFlight<'a> {
    attempts: Vec<(usize, Attempt<'a>)>,
}

impl<'a> InFlight<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// One more, to the endpoint at this position.
    pub(crate) fn push(&mut self, position: usize, attempt: impl Future<Output = Ended> + Send + 'a) {
        self.attempts.push((position, Box::pin(attempt)));
    }

    /// The endpoints that have not answered.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.attempts.iter().map(|(position, _)| *position)
    }

    /// Waits for the first that ends. Waits for ever if there is none.
    pub(crate) async fn next(&mut self) -> Ended {
        poll_fn(|context| {
            for at in 0..self.attempts.len() {
                if let Poll::Ready(ended) = self.attempts[at].1.as_mut().poll(context) {
                    drop(self.attempts.swap_remove(at));
                    return Poll::Ready(ended);
                }
            }
            Poll::Pending
        })
        .await
    }
}
