//! Filters as a faulty server reads them.

use bytes::Bytes;
use mosaicd::wire::Filter;

use super::fault::Fault;

/// What the server makes of `filter`.
pub(super) fn bent(filter: &Filter, fault: Fault) -> Filter {
    if !matches!(
        fault,
        Fault::Ignores(_) | Fault::FirstOnly(_) | Fault::SwapsKeys | Fault::LastElementCounts
    ) {
        return filter.clone();
    }
    let bytes = filter.bytes();
    let (header, mut rest) = bytes.split_at(8);
    let mut elements: Vec<u8> = Vec::new();
    while !rest.is_empty() {
        let (element, behind) = rest.split_at(usize::from(rest[1]) * 8);
        rest = behind;
        let mut element = element.to_vec();
        match (fault, element[0]) {
            (Fault::Ignores(kind), of) if kind == of => continue,
            (Fault::FirstOnly(kind), of) if kind == of => element = first_of(&element),
            (Fault::SwapsKeys, 0x1 | 0x2) => element[0] = 3 - element[0],
            _ => {}
        }
        match fault {
            Fault::LastElementCounts => elements.splice(..0, element).for_each(drop),
            _ => elements.extend(element),
        }
    }
    let length = u16::try_from(8 + elements.len()).unwrap();
    let bytes: Vec<u8> = [&length.to_le_bytes(), &header[2..], &elements].concat();
    Filter::parse(Bytes::from(bytes)).unwrap()
}

/// The element with its first value alone.
fn first_of(element: &[u8]) -> Vec<u8> {
    let value_bytes = match element[0] {
        0x1 | 0x2 | 0x84 => 32,
        0x5 | 0x85 => usize::from(u16::from_le_bytes([element[8], element[9]])),
        _ => 8,
    };
    let mut first = element[..8 + value_bytes].to_vec();
    first.resize(first.len().next_multiple_of(8), 0);
    first[1] = u8::try_from(first.len() / 8).unwrap();
    first
}
