//! The sockets on which the kernel is asked, and on which it tells of changes.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tracing::debug;

use super::InterfacesError;
use super::message::{self, Entry, Message, Request};
use crate::base::limits;

/// A socket on which the kernel answers.
pub(super) struct Netlink {
    socket: TokioSocket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind_auto()?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(limits::INTERFACES_ANSWER_BYTES),
            sequence: 0,
        })
    }

    /// Has the kernel list what `request` names, and hands each entry on. Tells whether the list is
    /// consistent: nothing changed while it was made.
    ///
    /// Its length is the kernel's; only one part of it at a time is held here.
    pub(super) async fn list(
        &mut self,
        request: Request,
        mut add: impl FnMut(Entry),
    ) -> Result<bool, InterfacesError> {
        self.sequence += 1;
        let kernel = SocketAddr::new(0, 0);
        let asked = request.encode(self.sequence);
        self.socket.send_to(&asked, &kernel).await?;
        let mut is_whole = true;
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer).await?;
            for message in message::messages(&self.buffer) {
                // Something else than this socket's current question has no answer here.
                if message.sequence != self.sequence {
                    continue;
                }
                is_whole &= !message.is_interrupted();
                match message.end() {
                    None => message.entry().into_iter().for_each(&mut add),
                    Some(Ok(())) => return Ok(is_whole),
                    Some(Err(source)) => {
                        let what = request.name();
                        return Err(InterfacesError::Refused { what, source });
                    }
                }
            }
        }
    }
}

/// A socket on which the kernel tells of changes.
pub(super) struct Events {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl Events {
    pub(super) fn subscribe() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let bit = |group: MulticastGroup| 1 << (group as u32 - 1);
        let groups = GROUPS.into_iter().map(bit).fold(0, |all, bit| all | bit);
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(limits::INTERFACES_EVENT_BYTES),
        })
    }

    /// Waits for a change that can matter.
    ///
    /// Cancel safe: a message is taken only in the poll that is ready.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            let received = self.socket.recv(&mut self.buffer).await;
            if can_matter(received, &self.buffer)? {
                return Ok(());
            }
        }
    }

    /// Takes off what is there, without waiting for more.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let waker = Waker::from(Arc::new(Nobody));
        let mut context = Context::from_waker(&waker);
        // There may be no end of changes, and one too many does no harm.
        for _ in 0..limits::INTERFACES_EVENTS_MAX {
            self.buffer.clear();
            match self.socket.poll_recv(&mut context, &mut self.buffer) {
                Poll::Ready(received) => can_matter(received, &self.buffer).map(drop)?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// Whoever waits for a change polls the socket again, and registers itself then.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// Whether what was received is a change that can matter.
fn can_matter(received: io::Result<()>, buffer: &[u8]) -> io::Result<bool> {
    match received {
        Ok(()) => {
            // One that was cut off because it is longer than the buffer has no whole message.
            let mut changes = message::messages(buffer).peekable();
            let is_whole = changes.peek().is_some();
            Ok(!is_whole || !changes.all(|change: Message<'_>| change.is_narrow_route()))
        }
        // The socket had no room for what the kernel had to tell: anything may have changed.
        Err(error) if error.raw_os_error() == Some(NO_BUFFER_SPACE) => {
            debug!("changes of addresses or routes were lost; all are read anew");
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// What changes of are heard of.
const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// `ENOBUFS` of Linux.
const NO_BUFFER_SPACE: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_were_lost_are_a_change() {
        let lost = Err(io::Error::from_raw_os_error(NO_BUFFER_SPACE));
        assert!(can_matter(lost, &[]).unwrap());
    }

    #[test]
    fn a_change_that_does_not_fit_the_buffer_is_a_change() {
        assert!(can_matter(Ok(()), &[0xFF; 64]).unwrap());
        assert!(can_matter(Ok(()), &[]).unwrap());
    }

    #[test]
    fn a_broken_socket_is_an_error_and_no_change() {
        let broken = Err(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(can_matter(broken, &[]).is_err());
    }
}
