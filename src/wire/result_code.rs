//! Result codes, with which a server answers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Defines the codes once: variant, byte and printed name can never drift apart.
macro_rules! result_codes {
    ($($(#[$doc:meta])* $variant:ident = $byte:literal, $name:literal;)*) => {
        /// How a server answers a request.
        ///
        /// # Source
        /// `mosaic-wire.md` section 7, "Result codes".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ResultCode {
            $($(#[$doc])* $variant,)*
            /// A byte that stands for no result this version knows. Only reading makes one, so a
            /// client can report it and go on.
            Unknown(UnknownCode),
        }

        impl ResultCode {
            /// Every known code, in the order of their bytes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code of that byte; every byte has one.
            #[must_use]
            pub const fn from_u8(byte: u8) -> Self {
                match byte {
                    $($byte => Self::$variant,)*
                    _ => Self::Unknown(UnknownCode(byte)),
                }
            }

            /// The byte on the wire.
            #[must_use]
            pub const fn as_u8(self) -> u8 {
                match self {
                    $(Self::$variant => $byte,)*
                    Self::Unknown(UnknownCode(byte)) => byte,
                }
            }
        }

        impl fmt::Display for ResultCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.pad($name),)*
                    Self::Unknown(UnknownCode(byte)) => write!(f, "UNKNOWN_{byte}"),
                }
            }
        }
    };
}

result_codes! {
    /// Done.
    Success = 1, "SUCCESS";
    /// The record is stored, or an ephemeral one was passed on.
    Accepted = 2, "ACCEPTED";
    /// Already here, or something newer is; also the answer to a second HELLO.
    Duplicate = 3, "DUPLICATE";
    /// The record is ephemeral and nobody listens.
    NoConsumers = 4, "NO_CONSUMERS";
    /// There is nothing under that reference, hash or query ID for this client.
    NotFound = 16, "NOT_FOUND";
    /// Only a client that proved its key may do this.
    RequiresAuthentication = 32, "REQUIRES_AUTHENTICATION";
    /// This client may not do this.
    Unauthorized = 33, "UNAUTHORIZED";
    /// The request breaks the protocol.
    Invalid = 36, "INVALID";
    /// The query would match too much.
    TooOpen = 37, "TOO_OPEN";
    /// The submission or the result is too large.
    TooLarge = 38, "TOO_LARGE";
    /// Requests come too quickly.
    TooFast = 39, "TOO_FAST";
    /// This address is banned for a time.
    IpTemporarilyBanned = 48, "IP_TEMPORARILY_BANNED";
    /// This address is banned.
    IpPermanentlyBanned = 49, "IP_PERMANENTLY_BANNED";
    /// This key is banned for a time.
    KeyTemporarilyBanned = 50, "KEY_TEMPORARILY_BANNED";
    /// This key is banned.
    KeyPermanentlyBanned = 51, "KEY_PERMANENTLY_BANNED";
    /// The server stops.
    ShuttingDown = 64, "SHUTTING_DOWN";
    /// The server cannot do this now; later it may.
    TemporaryError = 65, "TEMPORARY_ERROR";
    /// The server cannot do this, and trying again will not help.
    PersistentError = 66, "PERSISTENT_ERROR";
    /// Something else went wrong.
    GeneralError = 67, "GENERAL_ERROR";
}

/// A byte that is no known result code. It can only come from [`ResultCode::from_u8`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownCode(u8);

impl ResultCode {
    /// Whether the request was done, or was needless because it had been done before.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(
            self,
            Self::Success | Self::Accepted | Self::Duplicate | Self::NoConsumers
        )
    }
}

impl Serialize for ResultCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.as_u8())
    }
}

impl<'de> Deserialize<'de> for ResultCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self::from_u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_specification_and_no_others() {
        let bytes: Vec<u8> = ResultCode::ALL.iter().map(|code| code.as_u8()).collect();
        let expected = [
            1, 2, 3, 4, 16, 32, 33, 36, 37, 38, 39, 48, 49, 50, 51, 64, 65, 66, 67,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn every_byte_comes_back_as_it_went_in() {
        for byte in 0..=u8::MAX {
            let code = ResultCode::from_u8(byte);
            assert_eq!(code.as_u8(), byte);
            let known = ResultCode::ALL.contains(&code);
            assert_eq!(matches!(code, ResultCode::Unknown(_)), !known);
        }
    }

    #[test]
    fn codes_are_printed_as_the_specification_writes_them() {
        assert_eq!(ResultCode::TooOpen.to_string(), "TOO_OPEN");
        assert_eq!(ResultCode::from_u8(0).to_string(), "UNKNOWN_0");
    }

    #[test]
    fn only_the_first_four_are_success() {
        let successes: Vec<_> = (0..=u8::MAX)
            .filter(|byte| ResultCode::from_u8(*byte).is_success())
            .collect();
        assert_eq!(successes, [1, 2, 3, 4]);
    }
}
