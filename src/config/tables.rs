//! How providers declare their steering tables: one declaration per key, with its meaning, its default and its reader.

use std::fmt;

use super::diagnostic::Reported;
use super::keys::{Key, WhenAbsent};
use super::rules::ObjectClaims;
use super::section::{Section, Value};

/// The steering tables of a configuration, of all kinds.
pub trait Tables: Clone + fmt::Debug + PartialEq + Sized + 'static {
    /// Each kind, in the order in which the documentation lists them.
    fn kinds() -> &'static [TableKind<Self>];

    /// The table's header: `[[mirror.hook]]`.
    fn table(&self) -> String;

    /// Whether a promotion changes through this table which member receives traffic.
    fn moves_traffic(&self) -> bool;
}

/// One kind of steering table, and how it is read.
pub struct TableKind<T> {
    /// Its dotted path: `mirror.hook`.
    pub(crate) section: &'static str,
    pub(crate) keys: &'static [Key],
    pub(crate) read: fn(&Section<'_>, &mut ObjectClaims<'_>) -> Result<T, Reported>,
}

/// A steering table that declares its keys.
pub(crate) trait Declared: Sized {
    /// Its dotted path: `mirror.hook`.
    const SECTION: &'static str;
    /// Its keys, in the order in which the documentation lists them.
    const KEYS: &'static [Key];

    /// Reads all keys before it gives up on one, and claims the object for this table alone.
    fn read(section: &Section<'_>, claims: &mut ObjectClaims<'_>) -> Result<Self, Reported>;
}

/// One key of a table, and how its value is read.
pub(crate) struct Setting<T> {
    /// Its row in the documentation.
    pub(crate) key: Key,
    /// Reads its value, or its default.
    pub(super) read: fn(&Value<'_>) -> Result<T, Reported>,
}

// === impl Setting ===

impl<T> Setting<T> {
    /// A key that must be written.
    pub(crate) const fn required(
        section: &'static str,
        name: &'static str,
        meaning: &'static str,
        read: fn(&Value<'_>) -> Result<T, Reported>,
    ) -> Self {
        Self { key: Key { section, name, when_absent: WhenAbsent::Refused, meaning }, read }
    }

    /// A key whose absence means `default`, a value in TOML.
    pub(crate) const fn or(
        section: &'static str,
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
        read: fn(&Value<'_>) -> Result<T, Reported>,
    ) -> Self {
        Self { key: Key { section, name, when_absent: WhenAbsent::Means(default), meaning }, read }
    }

    /// A key without which the feature is off.
    pub(crate) const fn off(
        section: &'static str,
        name: &'static str,
        meaning: &'static str,
        read: fn(&Value<'_>) -> Result<T, Reported>,
    ) -> Self {
        Self { key: Key { section, name, when_absent: WhenAbsent::Off, meaning }, read }
    }
}
