//! An operator's stream: signing in, and one order after the other.

use super::extensions::refuse;
use super::{Next, Open, Stance, close_query, refuse_blob, submission_result};
use crate::session::connection::Connection;
use crate::session::event::{Action, Order, Report, Ticket};
use crate::session::fault::Fault;
use crate::session::output::Output;
use crate::wire::{
    AdminCall, AdminReply, BlobHash, Body as _, BodyRefusal, ClientMessage, ExtensionRequest, Info,
    ResultCode, RoleOpen, RoleStatus, ServerMessage, StreamRole,
};

/// An order that has no answer yet, or not all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenOrder {
    ticket: Ticket,
    request_id: u16,
    kind: OrderKind,
}

#[derive(Clone, Copy, Debug)]
enum OrderKind {
    SignIn,
    Call,
}

impl Open {
    /// Tells the peer what came of an order, or part of that.
    pub(in crate::session) fn reported(
        &mut self,
        ticket: Ticket,
        report: Report,
        output: &mut Output,
    ) {
        let Some(order) = self.order.filter(|order| order.ticket == ticket) else {
            return;
        };
        match (order.kind, report) {
            (OrderKind::SignIn, Report::SignedIn(outcome)) => {
                self.order = None;
                let (result, why) = match outcome {
                    Ok(()) => {
                        self.stance = Stance::Operator;
                        (ResultCode::Success, None)
                    }
                    Err((result, why)) => (result, Some(why)),
                };
                let status = RoleStatus {
                    role: StreamRole::Operator,
                    result,
                    why,
                };
                output.push(Action::Send(status.encode(order.request_id)));
            }
            (OrderKind::Call, Report::Reply(reply)) => {
                if !reply.more {
                    self.order = None;
                }
                for message in reply.encode_all(order.request_id) {
                    output.push(Action::Send(message));
                }
            }
            (kind @ (OrderKind::SignIn | OrderKind::Call), _) => {
                tracing::debug!(?kind, "a report out of turn");
            }
        }
    }

    /// Asks the driver whether the peer is an operator. Whatever comes behind waits for the answer.
    ///
    /// The gate is not asked: the role does not depend on reachability.
    pub(super) fn sign_in(
        &mut self,
        request_id: u16,
        connection: &Connection,
        output: &mut Output,
    ) -> Result<(), (ResultCode, String)> {
        if connection.peer().key().is_none() {
            let why = "an operator has to prove a key".to_owned();
            return Err((ResultCode::RequiresAuthentication, why));
        }
        self.start(OrderKind::SignIn, Order::SignIn, request_id, output);
        Ok(())
    }

    /// Hands an order on. Elsewhere than on an operator's stream it is not even read.
    pub(super) fn admin(
        &mut self,
        request: &ExtensionRequest,
        connection: &Connection,
        output: &mut Output,
    ) -> Next {
        let request_id = request.request_id;
        if !matches!(self.stance, Stance::Operator) {
            let fault = Fault::NotOperator;
            let refused = AdminReply::refused(fault.code(), &fault.to_string());
            output.push(Action::Send(refused.encode(request_id)));
            return Next::Go;
        }
        match AdminCall::decode(&request.body) {
            Ok(call) => {
                self.start(OrderKind::Call, Order::Call(call), request_id, output);
                Next::Go
            }
            Err(fault) => {
                let refusal = BodyRefusal::of(&fault);
                refuse(&refusal, request.kind, request_id, connection, output)
            }
        }
    }

    fn start(&mut self, kind: OrderKind, order: Order, request_id: u16, output: &mut Output) {
        assert!(self.order.is_none(), "messages wait while there is one");
        let ticket = output.ticket();
        self.order = Some(OpenOrder {
            ticket,
            request_id,
            kind,
        });
        output.push(Action::Operate { ticket, order });
    }
}

/// Refuses what has no place on an operator's stream; `None` for what has.
pub(super) fn refuse_records(
    message: &ClientMessage,
    connection: &Connection,
    output: &mut Output,
) -> Option<Next> {
    let fault = Fault::OperatorStream;
    let result = fault.code();
    match message {
        ClientMessage::Get { id, .. }
        | ClientMessage::Query { id, .. }
        | ClientMessage::Subscribe { id, .. } => close_query(*id, result, output),
        ClientMessage::Submission { record } => {
            submission_result(result, super::id_prefix(record), output);
        }
        ClientMessage::BlobGet { hash } => output.send(&ServerMessage::BlobResult {
            result,
            data_bytes: 0,
            hash: *hash,
        }),
        ClientMessage::BlobSubmission { hash, data_bytes } => {
            let hash = BlobHash::from_bytes(*hash);
            return Some(refuse_blob(hash, *data_bytes, result, output));
        }
        ClientMessage::Extension(request) => {
            if matches!(request.kind, RoleOpen::KIND | Info::KIND | AdminCall::KIND) {
                return None;
            }
            let refusal = BodyRefusal {
                result,
                why: fault.to_string(),
            };
            let (kind, request_id) = (request.kind, request.request_id);
            return Some(refuse(&refusal, kind, request_id, connection, output));
        }
        ClientMessage::Hello { .. }
        | ClientMessage::HelloAuth
        | ClientMessage::Unsubscribe { .. }
        | ClientMessage::DhtLookup
        | ClientMessage::Unrecognized => return None,
    }
    Some(Next::Go)
}
