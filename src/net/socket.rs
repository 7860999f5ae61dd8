//! The UDP socket of a listener.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use crate::base::limits::SOCKET_BUFFER_BYTES;

/// Binds a UDP socket for QUIC to `address`.
///
/// An IPv6 socket takes IPv6 only, whatever the system's default: each bind address is an endpoint
/// of its own, with its own verdict about its reachability.
///
/// The system may give smaller buffers than asked for; what it gave is traced.
///
/// # Errors
/// What the system says, above all that the address is in use or not ours.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    ask_for_buffers(&socket, address);
    Ok(socket.into())
}

/// A listener with small buffers works, it only loses more packets in a burst.
fn ask_for_buffers(socket: &Socket, address: SocketAddr) {
    let asked = socket
        .set_recv_buffer_size(SOCKET_BUFFER_BYTES)
        .and_then(|()| socket.set_send_buffer_size(SOCKET_BUFFER_BYTES));
    if let Err(error) = asked {
        warn!(%address, %error, "cannot set the size of the socket's buffers");
    }
    if let (Ok(receive), Ok(send)) = (socket.recv_buffer_size(), socket.send_buffer_size()) {
        info!(
            %address,
            asked_bytes = SOCKET_BUFFER_BYTES,
            receive_bytes = receive,
            send_bytes = send,
            "socket buffers"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn both_families_share_a_port_because_ipv6_sockets_take_ipv6_only() {
        let v4 = bind((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = v4.local_addr().unwrap().port();
        match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
            Ok(v6) => assert!(v6.local_addr().unwrap().is_ipv6()),
            // A machine without IPv6 has nothing to show here.
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::AddrInUse, "{error}"),
        }
    }

    #[test]
    fn an_address_that_is_taken_is_an_error() {
        let first = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let again = bind(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }
}
