//! A link to the broker that can be cut, or die without a word.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Takes connections at an address of its own and passes them on to a broker.
pub(crate) struct Proxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Bytes pass.
    Whole,
    /// Connections are ended, new ones as soon as they come.
    Cut,
    /// Connections stay, and new ones are taken, but nothing passes: what one end is told of the other's fate is silence.
    Silent,
}

impl Proxy {
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (link, links) = watch::channel(Link::Whole);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(socket, port, links.clone()));
            }
        });
        Self { address, link }
    }

    /// The broker's address through here, with the question part `query`.
    pub(crate) fn url(&self, query: &str) -> String {
        format!("amqp://guest:guest@{}/%2f{query}", self.address)
    }

    pub(crate) fn cut(&self) {
        self.link.send_replace(Link::Cut);
    }

    pub(crate) fn silence(&self) {
        self.link.send_replace(Link::Silent);
    }

    /// New connections pass; those that were silenced stay dead.
    pub(crate) fn mend(&self) {
        self.link.send_replace(Link::Whole);
    }
}

/// Ends with its connection; the test's runtime ends what is left.
async fn pass(mut near: TcpStream, port: u16, mut links: watch::Receiver<Link>) {
    let begun = *links.borrow();
    if begun == Link::Whole {
        let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
        let changed = tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => return,
            link = links.wait_for(|link| *link != Link::Whole) => link.map_or(Link::Cut, |link| *link),
        };
        if changed == Link::Silent {
            // Both ends keep what they have; it takes a cut to end it.
            let _ = links.wait_for(|link| *link == Link::Cut).await;
        }
    } else if begun == Link::Silent {
        let _ = links.wait_for(|link| *link == Link::Cut).await;
    }
}
