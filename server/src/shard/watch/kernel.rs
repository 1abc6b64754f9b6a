//! What the kernel knows of our sockets, by its diagnosis (`sock_diag(7)`): as `ss` asks, without any right that a server does not have.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::Look;

/// A way to ask. Questions are answered before the call that asks them returns.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: OwnedFd,
    questions: Vec<u8>,
    answer: Vec<u8>,
}

/// A TCP connection, as the kernel is asked about it (`inet_diag_sockid`).
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Way {
    is_v4: bool,
    ports: [u8; 4],
    addresses: [[u8; 16]; 2],
}

impl Way {
    /// The connection between these two.
    pub(in crate::shard) fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        let [local_port, peer_port] = [local, peer].map(|address| address.port().to_be_bytes());
        let ends = [local, peer].map(|address| address.ip().to_canonical());
        let addresses = ends.map(|ip| match ip {
            IpAddr::V4(ip) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&ip.octets());
                bytes
            }
            IpAddr::V6(ip) => ip.octets(),
        });
        Self { is_v4: ends[1].is_ipv4(), ports: [local_port[0], local_port[1], peer_port[0], peer_port[1]], addresses }
    }

    /// Appends the question of this number.
    fn push_question(&self, out: &mut Vec<u8>, number: u32) {
        // struct nlmsghdr, then struct inet_diag_req_v2.
        out.extend((QUESTION_BYTES as u32).to_ne_bytes());
        out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        out.extend(NLM_F_REQUEST.to_ne_bytes());
        out.extend(number.to_ne_bytes());
        out.extend(0_u32.to_ne_bytes());
        out.extend([if self.is_v4 { AF_INET } else { AF_INET6 }, IPPROTO_TCP, 0, 0]);
        out.extend(u32::MAX.to_ne_bytes());
        out.extend(self.ports);
        out.extend(self.addresses.as_flattened());
        out.extend(0_u32.to_ne_bytes());
        out.extend([0xff; 8]);
    }
}

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
        Ok(Self { socket, questions: Vec::new(), answer: vec![0; ANSWER_BYTES] })
    }

    /// Asks about all of `ways`, and tells once for each what the answer is.
    pub(super) fn ask(&mut self, ways: &[Way], tell: &mut dyn FnMut(usize, Look)) {
        for (n, ways) in ways.chunks(QUESTIONS_MAX).enumerate() {
            self.ask_some(n * QUESTIONS_MAX, ways, tell);
        }
    }

    fn ask_some(&mut self, first: usize, ways: &[Way], tell: &mut dyn FnMut(usize, Look)) {
        self.questions.clear();
        for (number, way) in (0..).zip(ways) {
            way.push_question(&mut self.questions, number);
        }
        let mut looks = [Look::Unknown; QUESTIONS_MAX];
        if sendto(&self.socket, &self.questions, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).is_ok() {
            let mut missing = ways.len();
            while missing > 0 {
                let Ok((_, length)) = recv(&self.socket, &mut *self.answer, RecvFlags::empty()) else { break };
                let Some((number, look)) = self.answer.get(..length).and_then(read_answer) else { break };
                if let Some(place) = looks.get_mut(number as usize) {
                    *place = look;
                }
                missing -= 1;
            }
        }
        looks.into_iter().take(ways.len()).enumerate().for_each(|(n, look)| tell(first + n, look));
    }
}

/// The number of the question, and the answer: `inet_diag_msg`, or an error.
fn read_answer(message: &[u8]) -> Option<(u32, Look)> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let number = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
    // A connection that has gone is answered for by the listener, whose counts are others.
    if kind != SOCK_DIAG_BY_FAMILY || !OPEN_STATES.contains(message.get(STATE_AT)?) {
        return Some((number, Look::Unknown));
    }
    let outstanding = u32::from_ne_bytes(*message.get(OUTSTANDING_AT..)?.first_chunk()?);
    Some((number, Look::Outstanding(outstanding)))
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// Bytes of a question.
const QUESTION_BYTES: usize = 16 + 56;
/// Where an answer has `idiag_state`.
const STATE_AT: usize = 16 + 1;
/// Established, and half closed by the client.
const OPEN_STATES: [u8; 2] = [1, 8];
/// Where an answer has `idiag_wqueue`: for a connection, bytes that were written and not acknowledged.
const OUTSTANDING_AT: usize = 16 + 60;
/// Questions at a time. Their answers fit into the smallest buffer that a socket of the kernel has.
const QUESTIONS_MAX: usize = 32;
/// Bytes of an answer that are read; the rest is of no interest.
const ANSWER_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Every way of an own socket is known: over IPv4, IPv6, and IPv4 as IPv6 has it.
    #[test]
    fn the_kernel_knows_what_has_not_been_acknowledged() {
        for (bind, reach) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let Ok(listener) = TcpListener::bind(bind) else { continue };
            let port = listener.local_addr().unwrap().port();
            let mut client = TcpStream::connect((reach, port)).unwrap();
            let (mut socket, peer) = listener.accept().unwrap();
            let way = Way::new(socket.local_addr().unwrap(), peer);
            let stranger = Way::new(socket.local_addr().unwrap(), SocketAddr::from(([192, 0, 2, 1], 9)));
            let mut kernel = Kernel::open().unwrap();
            let mut outstanding = || {
                let mut looks = vec![None; 70];
                let ways = [vec![stranger], vec![way; 68], vec![stranger]].concat();
                kernel.ask(&ways, &mut |n, look| assert_eq!(looks[n].replace(look), None, "told twice"));
                assert_eq!((looks[0], looks[69]), (Some(Look::Unknown), Some(Look::Unknown)));
                // Between the first and the last question, something may have been acknowledged.
                looks[68]
            };
            socket.set_nonblocking(true).unwrap();
            let mut written = 0;
            // What the client's buffer does not take is not acknowledged.
            while let Ok(length) = socket.write(&[7; 65_536]) {
                written += length;
            }
            let Some(Look::Outstanding(many)) = outstanding() else { panic!("{reach} at {bind} is not known") };
            assert!(many > 0 && (many as usize) < written, "{many} of {written}");
            let mut buffer = vec![0; 1 << 20];
            while written > 0 {
                written -= client.read(&mut buffer).unwrap();
            }
            while outstanding() != Some(Look::Outstanding(0)) {
                std::thread::yield_now();
            }
            drop((client, socket));
        }
    }
}
