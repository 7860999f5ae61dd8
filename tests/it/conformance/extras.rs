//! What the double has beyond records: BLOBs and the extension messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use mosaicd::wire::{
    BlobHash, Body, BodyError, BodyRefusal, ExtensionReply, ExtensionRequest, Info, InfoLimits,
    InfoReply, Registration, ResultCode, RoleCondition, RoleOpen, RoleReport, RoleStatus,
    SecretKey, ServerMessage, StreamRole, Timestamp,
};

use super::double::{Then, unrecognized};
use super::fault::Fault;
use super::shelf::{Shelf, Speaker};

const BLOB_MAX_BYTES: u64 = 1 << 20;

impl Shelf {
    pub(super) fn blob(&self, speaker: &Speaker, hash: [u8; 32]) {
        let data = self.state().blobs.get(&hash).cloned();
        let result = match &data {
            _ if self.fault == Fault::BlobsAreForUsers && speaker.key.is_none() => {
                ResultCode::RequiresAuthentication
            }
            None if self.fault != Fault::AbsentBlobIsSuccess => ResultCode::NotFound,
            _ => ResultCode::Success,
        };
        let data = data.unwrap_or_default();
        speaker.say(ServerMessage::BlobResult {
            result,
            data_bytes: data.len() as u64,
            hash,
        });
        if !data.is_empty() {
            speaker.out.send(data).ok();
        }
    }

    pub(super) fn blob_begins(&self, speaker: &Speaker, hash: [u8; 32], data_bytes: u64) {
        let is_taken = match self.fault {
            Fault::Plain => false,
            Fault::BlobsOfAnySize => true,
            _ => data_bytes <= BLOB_MAX_BYTES,
        };
        if is_taken && data_bytes <= BLOB_MAX_BYTES {
            speaker.binding().upload = Some((hash, data_bytes, Vec::new()));
        } else {
            let result = match is_taken {
                true => ResultCode::Accepted,
                false => ResultCode::TooLarge,
            };
            speaker.say(ServerMessage::BlobSubmissionResult { result, hash });
        }
    }

    pub(super) fn blob_data(&self, speaker: &Speaker, data: &Bytes, left_bytes: u64) -> Then {
        let mut binding = speaker.binding();
        let Some((_, _, so_far)) = &mut binding.upload else {
            return Then::GoOn;
        };
        so_far.extend_from_slice(data);
        if left_bytes > 0 {
            return Then::GoOn;
        }
        let Some((hash, _, data)) = binding.upload.take() else {
            return Then::GoOn;
        };
        let mut state = self.state();
        let is_right = *BlobHash::of(&data).as_bytes() == hash;
        let is_there = state.blobs.contains_key(&hash);
        let result = match self.fault {
            Fault::BlobsOnce if is_there => ResultCode::Invalid,
            Fault::BlobsUnderAnyHash => ResultCode::Accepted,
            _ if !is_right => ResultCode::Invalid,
            _ if is_there => ResultCode::Duplicate,
            _ => ResultCode::Accepted,
        };
        if result == ResultCode::Accepted && self.fault != Fault::BlobsAreLost {
            state.blobs.insert(hash, data.into());
        }
        speaker.say(ServerMessage::BlobSubmissionResult { result, hash });
        match self.fault {
            Fault::BlobsEndTheStream if !is_right => Then::EndStream,
            _ => Then::GoOn,
        }
    }

    pub(super) fn extension(&self, speaker: &Speaker, request: &ExtensionRequest) -> Then {
        let reply = match request.kind {
            Info::KIND => Info::decode(&request.body).map(|_| self.info(request.request_id)),
            RoleOpen::KIND => RoleOpen::decode(&request.body)
                .map(|open| self.role(speaker, open.role).encode(request.request_id)),
            _ => {
                unrecognized(speaker);
                return match self.fault {
                    Fault::GoesOnAfterUnknown => Then::GoOn,
                    _ => Then::EndStream,
                };
            }
        };
        let refuse = |error: BodyError| {
            let refusal = BodyRefusal::of(&error);
            refusal.encode(request.kind, request.request_id).unwrap()
        };
        match reply {
            Err(_) if self.fault == Fault::BadBodyIsUnrecognized => return unrecognized(speaker),
            reply => speaker.out.send(reply.unwrap_or_else(refuse)).ok(),
        };
        Then::GoOn
    }

    fn info(&self, request_id: u16) -> Bytes {
        let request_id = match self.fault {
            Fault::OtherRequestId => request_id.wrapping_add(1),
            _ => request_id,
        };
        if self.fault == Fault::EmptyInfo {
            let reply = ExtensionReply {
                kind: InfoReply::KIND,
                request_id,
                body: Bytes::from_static(&[0x80]),
            };
            return ServerMessage::Extension(reply).encode();
        }
        let open = [
            StreamRole::Outbox,
            StreamRole::Inbox,
            StreamRole::Encryption,
        ];
        let report = || RoleReport {
            state: RoleCondition::Open,
            why: None,
            since: Timestamp::MIN,
        };
        let info = InfoReply {
            name: "double".into(),
            software: "double".into(),
            version: "1".into(),
            spec: "0.8".into(),
            key: match self.fault {
                Fault::OtherKeyInInfo => SecretKey::generate().public(),
                _ => self.key,
            },
            description: None,
            contact: None,
            terms: None,
            endpoints: Vec::new(),
            roles: BTreeMap::from_iter(open.map(|role| (role, report()))),
            applications: vec![99],
            limits: InfoLimits {
                record_bytes: 1 << 20,
                blob_bytes: BLOB_MAX_BYTES,
                filter_bytes: 1 << 16,
                query_results: 1_000,
                subscriptions_per_stream: 1_000,
                streams: 100,
                submissions_per_second: 1_000_000,
                retention_seconds: None,
            },
            registration: Registration::Open,
            probes: false,
            now: Timestamp::now(),
            you: None,
            refused: None,
        };
        info.encode(request_id)
    }

    fn role(&self, speaker: &Speaker, role: StreamRole) -> RoleStatus {
        let mut binding = speaker.binding();
        let is_late = binding.has_spoken && self.fault != Fault::BindsLate;
        let result = match role {
            _ if is_late => ResultCode::Invalid,
            StreamRole::Operator => match self.fault {
                Fault::EverybodyIsOperator => ResultCode::Success,
                Fault::NoOperators => ResultCode::Unauthorized,
                _ if speaker.key.is_none() => ResultCode::RequiresAuthentication,
                _ => ResultCode::Unauthorized,
            },
            StreamRole::Application if self.fault != Fault::OpensWhatIsOff => {
                ResultCode::Unauthorized
            }
            _ => ResultCode::Success,
        };
        if result == ResultCode::Success {
            binding.role = Some(role);
        }
        RoleStatus {
            role,
            result,
            why: None,
        }
    }
}
