//! How single fields of a body travel: keys and other bytes as MessagePack *bin*, times as a count
//! of nanoseconds, addresses as text.

/// A key as MessagePack *bin*.
pub(super) mod key_as_bin {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use serde_bytes::ByteArray;

    use crate::wire::key::PublicKey;

    pub(in crate::wire::extension) fn serialize<S: Serializer>(
        key: &PublicKey,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(key.as_bytes())
    }

    pub(in crate::wire::extension) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PublicKey, D::Error> {
        let bytes = ByteArray::<32>::deserialize(deserializer)?;
        PublicKey::from_bytes(&bytes).map_err(D::Error::custom)
    }
}

/// A signature as MessagePack *bin*.
pub(super) mod signature_as_bin {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use serde_bytes::ByteArray;

    use crate::wire::key::Signature;

    pub(in crate::wire::extension) fn serialize<S: Serializer>(
        signature: &Signature,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(signature.as_bytes())
    }

    pub(in crate::wire::extension) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Signature, D::Error> {
        let bytes = ByteArray::<64>::deserialize(deserializer)?;
        Ok(Signature::from_bytes(bytes.into_array()))
    }
}

/// A time as a count of nanoseconds.
pub(super) mod time_as_nanos {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::wire::time::Timestamp;

    pub(in crate::wire::extension) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.nanos())
    }

    pub(in crate::wire::extension) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let nanos = u64::deserialize(deserializer)?;
        Timestamp::from_nanos(nanos).map_err(D::Error::custom)
    }
}

/// An IP address, or one with a port, as text.
pub(super) mod address_as_text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::wire::extension) fn serialize<T: Display, S: Serializer>(
        address: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub(in crate::wire::extension) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A key that may be absent.
pub(super) mod optional_key {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::wire::key::PublicKey;

    #[derive(Serialize, Deserialize)]
    struct Form(#[serde(with = "super::key_as_bin")] PublicKey);

    pub(in crate::wire::extension) fn serialize<S: Serializer>(
        value: &Option<PublicKey>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Form).serialize(serializer)
    }

    pub(in crate::wire::extension) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PublicKey>, D::Error> {
        Ok(Option::<Form>::deserialize(deserializer)?.map(|form| form.0))
    }
}

/// A signature that may be absent.
pub(super) mod optional_signature {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::wire::key::Signature;

    #[derive(Serialize, Deserialize)]
    struct Form(#[serde(with = "super::signature_as_bin")] Signature);

    pub(in crate::wire::extension) fn serialize<S: Serializer>(
        value: &Option<Signature>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Form).serialize(serializer)
    }

    pub(in crate::wire::extension) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Signature>, D::Error> {
        Ok(Option::<Form>::deserialize(deserializer)?.map(|form| form.0))
    }
}

/// An IP address that may be absent.
pub(super) mod optional_ip {
    use std::net::IpAddr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Form(#[serde(with = "super::address_as_text")] IpAddr);

    pub(in crate::wire::extension) fn serialize<S: Serializer>(
        value: &Option<IpAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Form).serialize(serializer)
    }

    pub(in crate::wire::extension) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<IpAddr>, D::Error> {
        Ok(Option::<Form>::deserialize(deserializer)?.map(|form| form.0))
    }
}

/// An address that may be absent.
pub(super) mod optional_address {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Form(#[serde(with = "super::address_as_text")] SocketAddr);

    pub(in crate::wire::extension) fn serialize<S: Serializer>(
        value: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Form).serialize(serializer)
    }

    pub(in crate::wire::extension) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        Ok(Option::<Form>::deserialize(deserializer)?.map(|form| form.0))
    }
}
