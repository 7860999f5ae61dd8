//! Values that operators set and that outlive a restart, in the table of settings.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::Refused;
use crate::store::{Expect, StateChange, StateTable, Store, StoreError};

/// The setting `name`; what it is where nobody set it. One that cannot be read counts as not set,
/// which is traced: an older version may have to read what a newer one wrote.
pub(super) fn load<T: DeserializeOwned + Default>(
    store: &Store,
    name: &str,
) -> Result<T, StoreError> {
    let value = store.state_value(StateTable::Setting, name.as_bytes())?;
    let Some(value) = value else {
        return Ok(T::default());
    };
    Ok(rmp_serde::from_slice(&value).unwrap_or_else(|error| {
        tracing::error!(name, %error, "a setting in the store cannot be read and is passed over");
        T::default()
    }))
}

/// The change that makes `value` the setting `name`, whatever it was.
pub(super) fn change<T: Serialize>(name: &str, value: &T) -> Result<StateChange, Refused> {
    let value = rmp_serde::to_vec_named(value).map_err(|error| Refused::failed(&error))?;
    Ok(StateChange {
        table: StateTable::Setting,
        key: name.as_bytes().to_vec(),
        value: Some(value),
        expect: Expect::Any,
    })
}
