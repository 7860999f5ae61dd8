//! Requests of the extension set: ROLE OPEN, INFO, REDEEM, and the tests of reachability.

use super::{Next, Open, Stance, unrecognized};
use crate::base::Role;
use crate::policy;
use crate::session::connection::Connection;
use crate::session::event::{Action, Answer, Ask, Ticket};
use crate::session::fault::Fault;
use crate::session::output::Output;
use crate::wire::{
    AdminCall, Body as _, BodyRefusal, Dialback, ExtensionRequest, Info, InfoReply, ProbeRequest,
    Redeem, RedeemResult, ResultCode, RoleOpen, RoleStatus, StreamRole, Voucher,
};

impl Open {
    /// Tells the peer what the server says of itself.
    pub(in crate::session) fn info(
        &mut self,
        ticket: Ticket,
        mut reply: InfoReply,
        connection: &Connection,
        output: &mut Output,
    ) {
        if let Some(place) = self.infos.iter().position(|(asked, _)| *asked == ticket) {
            let (_, request_id) = self.infos.swap_remove(place);
            reply.refused = connection.refused();
            output.push(Action::Send(reply.encode(request_id)));
        }
    }

    /// Tells the peer part of the answer to a probe, a voucher, a dial-back or an invitation.
    pub(in crate::session) fn answered(
        &mut self,
        ticket: Ticket,
        answer: &Answer,
        output: &mut Output,
    ) {
        self.asks.answer(ticket, answer, output);
    }

    /// Takes note that nothing more comes of one of those.
    pub(in crate::session) fn ask_ended(&mut self, ticket: Ticket, output: &mut Output) {
        self.asks.end(ticket, output);
    }

    /// Carries out one request of the extension set; `stance` is the stream's before it came.
    pub(super) fn extension(
        &mut self,
        request: &ExtensionRequest,
        stance: Stance,
        connection: &Connection,
        output: &mut Output,
    ) -> Next {
        if !connection.has_extensions() {
            return unrecognized();
        }
        let request_id = request.request_id;
        let decoded = match request.kind {
            RoleOpen::KIND => RoleOpen::decode(&request.body)
                .map(|open| self.role_open(&open, request_id, stance, connection, output)),
            Info::KIND => {
                Info::decode(&request.body).map(|Info {}| self.ask_info(request_id, output))
            }
            ProbeRequest::KIND => ProbeRequest::decode(&request.body).map(|probe| {
                let ask = Ask::Probe(Box::new(probe));
                self.asks.start(ask, request_id, output);
            }),
            Voucher::KIND => Voucher::decode(&request.body).map(|voucher| {
                let ask = Ask::Vouch(Box::new(voucher));
                self.asks.start(ask, request_id, output);
            }),
            Dialback::KIND => Dialback::decode(&request.body).map(|dialback| {
                self.asks.start(Ask::Dialback(dialback), request_id, output);
            }),
            AdminCall::KIND => {
                return self.admin(request, connection, output);
            }
            Redeem::KIND => Redeem::decode(&request.body)
                .map(|redeem| self.redeem(redeem, request_id, connection, output)),
            // Synchronisation has no code here yet.
            _ => return unrecognized(),
        };
        match decoded {
            Ok(()) => Next::Go,
            Err(fault) => {
                let refusal = BodyRefusal::of(&fault);
                refuse(&refusal, request.kind, request_id, connection, output)
            }
        }
    }

    fn ask_info(&mut self, request_id: u16, output: &mut Output) {
        let ticket = output.ticket();
        self.infos.push((ticket, request_id));
        output.push(Action::Info { ticket });
    }

    /// Hands an invitation on. Only a key can become a user's.
    fn redeem(
        &mut self,
        redeem: Redeem,
        request_id: u16,
        connection: &Connection,
        output: &mut Output,
    ) {
        if connection.peer().key().is_some() {
            return self.asks.start(Ask::Redeem(redeem), request_id, output);
        }
        let refused = RedeemResult {
            result: ResultCode::RequiresAuthentication,
            why: Some("an invitation is for a key; connect with yours".to_owned()),
        };
        output.push(Action::Send(refused.encode(request_id)));
    }

    fn role_open(
        &mut self,
        open: &RoleOpen,
        request_id: u16,
        stance: Stance,
        connection: &Connection,
        output: &mut Output,
    ) {
        let outcome = match stance {
            Stance::Undecided if open.role == StreamRole::Operator => {
                match self.sign_in(request_id, connection, output) {
                    Ok(()) => return,
                    Err(refused) => Err(refused),
                }
            }
            Stance::Undecided => check_role_open(open, connection),
            Stance::Unbound | Stance::Bound { .. } | Stance::Operator => {
                let fault = Fault::LateRoleOpen;
                Err((fault.code(), fault.to_string()))
            }
        };
        let (result, why) = match outcome {
            Ok(role) => {
                self.stance = Stance::Bound {
                    role,
                    app: open.app,
                };
                (ResultCode::Success, None)
            }
            Err((result, why)) => (result, Some(why)),
        };
        let status = RoleStatus {
            role: open.role,
            result,
            why,
        };
        output.push(Action::Send(status.encode(request_id)));
    }
}

/// Whether a stream may be bound as `open` asks, and to which role.
///
/// # Source
/// `extensions.md`, "A stream belongs to a role".
fn check_role_open(open: &RoleOpen, connection: &Connection) -> Result<Role, (ResultCode, String)> {
    let Some(role) = open.role.role() else {
        unreachable!("an operator signs in by another way");
    };
    let settings = connection.settings();
    policy::bind(&settings.rules.now(), &settings.gate, role, open.app)?;
    Ok(role)
}

/// Answers a request of the extension set that does not decode; one that nobody here could have
/// understood is not recognized.
pub(super) fn refuse(
    refusal: &BodyRefusal,
    kind: u8,
    request_id: u16,
    connection: &Connection,
    output: &mut Output,
) -> Next {
    match refusal.encode(kind, request_id) {
        Some(reply) if connection.has_extensions() => {
            output.push(Action::Send(reply));
            Next::Go
        }
        Some(_) | None => unrecognized(),
    }
}
