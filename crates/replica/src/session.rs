//! Which requests were answered, and how.

/// The bounds of the tables, the same on all nodes of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// How many sessions are kept; the least recently used one goes.
    pub sessions_len_max: usize,
    /// How many unacknowledged replies a session keeps; the lowest sequence goes.
    pub session_replies_len_max: usize,
    /// How many bytes of replies a session keeps.
    pub session_bytes_max: usize,
    /// How many bytes of replies all sessions keep; the least recently used session goes.
    pub sessions_bytes_max: usize,
    /// How many keys are kept; the oldest goes.
    pub keys_len_max: usize,
    /// How many bytes of keys and their replies are kept; the oldest key goes.
    pub keys_bytes_max: usize,
    /// How old a key gets, in milliseconds of log time.
    pub key_age_ms_max: u64,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            sessions_len_max: 10_000,
            session_replies_len_max: 262_144,
            session_bytes_max: 64 << 20,
            sessions_bytes_max: 256 << 20,
            keys_len_max: 65_536,
            keys_bytes_max: 16 << 20,
            key_age_ms_max: 24 * 60 * 60 * 1000,
        }
    }
}
