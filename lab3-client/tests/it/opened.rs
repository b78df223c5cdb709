//! The link between the servers in the hands of one who has their key: a test that looks into
//! frames, or says them again, puts its proxy between two of these.
//!
//! `A ══ decrypting ── proxy ── encrypting ══ B`: what is plain is plain within the test alone.

use std::net::{SocketAddr, TcpListener as Listener};
use std::path::Path;
use std::sync::Arc;

use common::identity::Identity;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::proxy::Proxy;

/// What stands at both ends of a proxy. Ends when it is dropped.
pub(crate) struct Opened {
    /// Where A dials.
    pub(crate) port: u16,
    runtime: Option<Runtime>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn listener(runtime: &Runtime) -> (TcpListener, u16) {
    let listener = Listener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    listener.set_nonblocking(true).expect("an option");
    let _within = runtime.enter();
    (TcpListener::from_std(listener).expect("a listener"), port)
}

async fn to(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn join(mut one: impl Ends, mut other: impl Ends) {
    // Whichever end fails, both are over.
    let _ = copy_bidirectional(&mut one, &mut other).await;
}

trait Ends: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Ends for T {}

/// A proxy to this port of B, which passes frames, and what has to stay around it.
pub(crate) fn opened(place: &Path, port: u16) -> (Proxy, Opened) {
    let identity = Arc::new(Identity::open(Some(place)).expect("an identity"));
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (plain, encrypting) = listener(&runtime);
    let proxy = Proxy::to(encrypting);
    let (sealed, decrypting) = listener(&runtime);
    let connector = TlsConnector::from(identity.dialling());
    runtime.spawn(async move {
        while let Ok((from, _)) = plain.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let nobody = ServerName::try_from("lab3").expect("a name");
                let Ok(stream) = to(port).await else { return };
                let Ok(stream) = connector.connect(nobody, stream).await else { return };
                join(from, stream).await;
            });
        }
    });
    let (acceptor, inner) = (TlsAcceptor::from(identity.dialled()), proxy.port);
    runtime.spawn(async move {
        while let Ok((from, _)) = sealed.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = from.set_nodelay(true);
                let Ok(stream) = acceptor.accept(from).await else { return };
                let Ok(plain) = to(inner).await else { return };
                join(stream, plain).await;
            });
        }
    });
    (proxy, Opened { port: decrypting, runtime: Some(runtime) })
}
