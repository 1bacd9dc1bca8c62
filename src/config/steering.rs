//! What steering needs to know of a mirror in any cloud: the other members, and values that may be automatic.

/// `[[mirror.peer]]`: another member of the mirror, asked before anything is taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, as it appears in pools and records.
    pub address: String,
    /// Its status page.
    pub page: super::HttpTarget,
    /// Its name; `None` takes the name that it answers with first.
    pub member: Option<String>,
}

/// What the page of a superseded member says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Superseded {
    /// FAILED: the later promotion wins.
    #[default]
    Refuse,
    /// What the instance says; only a warning is logged.
    Warn,
}

/// A value that may be left to the instance metadata service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value<T = String> {
    /// `"auto"`: as the instance metadata service reports it.
    #[default]
    Auto,
    /// As written.
    Is(T),
}
