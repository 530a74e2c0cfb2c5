//! Tests of quorate-client: its rules as tables, and its calls against a server that does what the test says.

mod breaker;
mod calls;
mod endpoint;
mod fake;
mod retry;
