//! The extension messages, where the server grants them.

use bytes::Bytes;

use super::super::check::{Outcome, Stop, checks, ensure, failed, skipped};
use super::super::talk::{Talk, name};
use super::super::world::{TEST_APP, Who, World};
use crate::base::Role;
use crate::wire::{
    Body, BodyRefusal, ExtensionReply, ExtensionRequest, Info, InfoReply, ResultCode, RoleOpen,
    RoleStatus, ServerMessage, StreamRole,
};

checks! {
    "extension.ungranted", "ext, Negotiation", |world| ungranted(world),
        "Without the grant, a request of the set is answered UNRECOGNIZED, and over QUIC the stream is closed.";
    "extension.unknown", "ext, Negotiation", |world| unknown(world),
        "A request of the set that the server does not know is answered UNRECOGNIZED.";
    "extension.info", "ext, INFO REPLY", |world| info(world),
        "INFO is answered with INFO REPLY, which has the listed keys and the server's own key.";
    "extension.request-id", "ext, Frame", |world| request_id(world),
        "A reply echoes the request ID.";
    "extension.body", "ext, Frame", |world| body(world),
        "A body that does not decode is answered by its type's reply with INVALID, and nothing else happens.";
    "extension.role-open", "ext, A stream belongs to a role", |world| role_open(world),
        "ROLE OPEN is answered SUCCESS for the roles that INFO calls open, and for no other.";
    "extension.role-open.late", "ext, A stream belongs to a role", |world| late(world),
        "ROLE OPEN behind another message is answered INVALID.";
    "extension.role-open.twice", "ext, A stream belongs to a role", |world| twice(world),
        "A second ROLE OPEN is answered INVALID.";
    "extension.operator.anonymous", "ext, A stream belongs to a role",
        |world| operator(world, Who::Anonymous, &[ResultCode::RequiresAuthentication, ResultCode::Unauthorized]),
        "ROLE OPEN for the operator without authentication is answered REQUIRES_AUTHENTICATION, or UNAUTHORIZED where there is none.";
    "extension.operator.stranger", "ext, A stream belongs to a role",
        |world| operator(world, Who::Stranger, &[ResultCode::Unauthorized]),
        "ROLE OPEN for the operator with a key that is no operator's is answered UNAUTHORIZED.";
}

async fn reply(talk: &mut Talk, request: Bytes) -> Result<ExtensionReply, Stop> {
    talk.send(request).await?;
    match talk.message().await?.0 {
        ServerMessage::Extension(reply) => Ok(reply),
        other => Err(failed("a reply of the extension set", name(&other))),
    }
}

async fn status(talk: &mut Talk, role: StreamRole) -> Result<ResultCode, Stop> {
    let reply = reply(talk, RoleOpen { role, app: None }.encode(1)).await?;
    ensure(reply.kind == RoleStatus::KIND, "ROLE STATUS", || {
        format!("reply {:#04x}", reply.kind)
    })?;
    let status = RoleStatus::decode(&reply.body);
    let status = status.map_err(|error| failed("a ROLE STATUS", error.to_string()))?;
    Ok(status.result)
}

async fn unrecognized(world: &World, talk: &mut Talk) -> Outcome {
    let (message, _) = talk.message().await?;
    let is_it = message == ServerMessage::Unrecognized;
    ensure(is_it, "UNRECOGNIZED", || name(&message))?;
    super::framing::closes_stream(world, talk).await
}

async fn ungranted(world: &World) -> Outcome {
    let mut talk = world.silent(Who::Anonymous).await?;
    talk.hello(vec![TEST_APP]).await?;
    talk.send(Info {}.encode(1)).await?;
    unrecognized(world, &mut talk).await
}

async fn unknown(world: &World) -> Outcome {
    let mut talk = world.fresh(Who::Anonymous).await?;
    talk.send(Bytes::from_static(&[0x4f, 9, 0, 0, 1, 0, 0, 0, 0x80]))
        .await?;
    unrecognized(world, &mut talk).await
}

async fn info(world: &World) -> Outcome {
    let info = world.need_info()?;
    let key = world.fresh(Who::Anonymous).await?.connection.server_key();
    ensure(info.key == key, "the key of the certificate", || {
        info.key.to_server_string()
    })?;
    ensure(info.spec == "0.8", "the specification 0.8", || {
        info.spec.clone()
    })?;
    let bytes = info.limits.record_bytes;
    ensure(bytes <= 1 << 20, "records of at most 1 MiB", || {
        bytes.to_string()
    })
}

async fn request_id(world: &World) -> Outcome {
    world.need_extensions()?;
    let mut talk = world.talk(Who::Anonymous).await?;
    for id in [0, 0x1234, u16::MAX] {
        let reply = reply(&mut talk, Info {}.encode(id)).await?;
        let is_it = reply.request_id == id && reply.kind == InfoReply::KIND;
        ensure(is_it, &format!("INFO REPLY to request {id}"), || {
            format!("reply {:#04x} to request {}", reply.kind, reply.request_id)
        })?;
    }
    Ok(())
}

async fn body(world: &World) -> Outcome {
    world.need_extensions()?;
    let mut talk = world.talk(Who::Anonymous).await?;
    let request = ExtensionRequest {
        kind: RoleOpen::KIND,
        request_id: 5,
        body: Bytes::from_static(&[0xc1]),
    };
    let request = crate::wire::ClientMessage::Extension(request);
    let reply = reply(&mut talk, request.encode()).await?;
    let refusal = BodyRefusal::decode(&reply.body);
    let result = refusal.map(|refusal| refusal.result);
    let is_it = reply.kind == RoleStatus::KIND && matches!(result, Ok(ResultCode::Invalid));
    ensure(is_it, "ROLE STATUS (INVALID)", || {
        format!("reply {:#04x}", reply.kind)
    })?;
    talk.fence().await
}

async fn role_open(world: &World) -> Outcome {
    world.need_info()?;
    for role in Role::ALL {
        let mut talk = world.talk(Who::User).await?;
        let result = status(&mut talk, role.into()).await?;
        let is_open = world.says_open(role) == Some(true);
        let is_right = (result == ResultCode::Success) == is_open;
        let expected = match is_open {
            true => format!("SUCCESS for {role}"),
            false => format!("a refusal for {role}"),
        };
        ensure(is_right, &expected, || result.to_string())?;
    }
    Ok(())
}

/// A role that is open.
fn some_role(world: &World) -> Result<StreamRole, Stop> {
    world.need_info()?;
    let mut open = Role::ALL
        .into_iter()
        .filter(|role| world.says_open(*role) == Some(true));
    let role = open.next().ok_or_else(|| skipped("no role is open"))?;
    Ok(role.into())
}

async fn late(world: &World) -> Outcome {
    let role = some_role(world)?;
    let mut talk = world.talk(Who::User).await?;
    talk.fence().await?;
    let result = status(&mut talk, role).await?;
    ensure(result == ResultCode::Invalid, "INVALID", || {
        result.to_string()
    })
}

async fn twice(world: &World) -> Outcome {
    let role = some_role(world)?;
    let mut talk = world.talk(Who::User).await?;
    status(&mut talk, role).await?;
    let result = status(&mut talk, role).await?;
    ensure(result == ResultCode::Invalid, "INVALID", || {
        result.to_string()
    })
}

async fn operator(world: &World, who: Who, expected: &[ResultCode]) -> Outcome {
    world.need_extensions()?;
    let mut talk = world.talk(who).await?;
    let result = status(&mut talk, StreamRole::Operator).await?;
    let codes: Vec<String> = expected.iter().map(ResultCode::to_string).collect();
    ensure(expected.contains(&result), &codes.join(" or "), || {
        result.to_string()
    })
}
