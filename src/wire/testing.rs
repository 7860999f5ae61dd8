//! What the unit tests of this folder share: hexadecimal text, and the vectors.

use std::sync::LazyLock;

use serde_json::Value;

/// The vectors of the reference library.
pub(crate) fn vectors() -> &'static Value {
    static VECTORS: LazyLock<Value> = LazyLock::new(|| {
        let text = include_str!("../../tests/vectors/mosaic-core.json");
        serde_json::from_str(text).unwrap()
    });
    &VECTORS
}

/// The bytes of a hexadecimal text.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// The bytes of a hexadecimal JSON string.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex(value.as_str().unwrap())
}

/// The bytes of a hexadecimal JSON string of known length.
pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

/// Record `index` of the vectors, as bytes.
pub(crate) fn record(index: usize) -> Vec<u8> {
    bytes(&vectors()["records"][index]["hex"])
}
