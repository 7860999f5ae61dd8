//! What goes into the audit trail.

use serde_json::{Map, Value};

use super::cut;
use crate::base::limits;
use crate::wire::{AdminCall, AdminValue, PublicKey, RecordId, Reference};

/// Who ordered what: what the audit trail keeps of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The operator.
    pub by: PublicKey,
    /// The call.
    pub call: String,
    /// Its arguments as a JSON object. No call takes a secret, and what a call answers, such as the
    /// code of an invitation, is not in it.
    pub detail: String,
}

impl Order {
    pub(super) fn of(by: PublicKey, call: &AdminCall) -> Self {
        let args = call.args.iter();
        let args: Map<String, Value> = args
            .take(ARGUMENTS_MAX)
            .map(|(name, value)| (cut(name), json(name, value)))
            .collect();
        Self {
            by,
            call: cut(&call.call),
            detail: bounded(Value::Object(args).to_string()),
        }
    }
}

fn json(name: &str, value: &AdminValue) -> Value {
    match value {
        AdminValue::Nil => Value::Null,
        AdminValue::Bool(is) => (*is).into(),
        AdminValue::Unsigned(number) => (*number).into(),
        AdminValue::Negative(number) => (*number).into(),
        AdminValue::Text(text) => text.as_str().into(),
        AdminValue::Bytes(bytes) => shown(name, bytes).into(),
        // The log entry of the change names every record.
        AdminValue::List(values) => {
            let first = values
                .iter()
                .take(LISTED_MAX)
                .map(|value| json(name, value));
            let mut list: Vec<Value> = first.collect();
            if values.len() > LISTED_MAX {
                list.push(format!("and {} more", values.len() - LISTED_MAX).into());
            }
            list.into()
        }
    }
}

/// A key of a user and an ID as people write them, other bytes as hexadecimal digits.
fn shown(name: &str, bytes: &[u8]) -> String {
    let key = || PublicKey::from_bytes(bytes.try_into().ok()?).ok();
    let id = || RecordId::from_bytes(bytes.try_into().ok()?).ok();
    if let (true, Some(key)) = (name == "user", key()) {
        return key.to_string();
    }
    if let Some(id) = id() {
        return Reference::Id(id).to_string();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A detail that is too long, which no call of ours has, says so and no more.
fn bounded(detail: String) -> String {
    if detail.len() > limits::ADMIN_TEXT_MAX_BYTES {
        return format!("{{\"bytes\":{}}}", detail.len());
    }
    detail
}

/// Arguments that are shown; no call takes as many.
const ARGUMENTS_MAX: usize = 16;

/// Values of a list that are shown.
const LISTED_MAX: usize = 16;
