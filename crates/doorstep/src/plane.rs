//! The data plane: threads that accept on their sockets and serve what comes in.

use std::net::TcpListener as StdListener;
use std::sync::Arc;

use doorstep_net::{Accepting, DrainControl, Handler, Patience, Quota, TlsSelect, WorkerMain, Workers, accept_loop};
use tokio::net::TcpListener;

/// A bound socket, what is spoken on it, and who answers.
pub struct Socket {
    pub listener: StdListener,
    pub tls: Option<Arc<dyn TlsSelect>>,
    pub handler: Arc<dyn Handler>,
    /// See [`Accepting::proxy_from`].
    pub proxy_from: Arc<[ipnet::IpNet]>,
}

/// Running threads.
pub struct Plane {
    workers: Workers,
    /// Over when no thread accepts any more.
    accepting: DrainControl,
    drain: DrainControl,
    close: DrainControl,
    quota: Arc<Quota>,
}

impl Plane {
    /// Starts one thread for each element of `sockets`, which accepts on these. `began` is called in each, within its runtime.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        sockets: Vec<Vec<Socket>>,
        quota: Arc<Quota>,
        began: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let began = Arc::new(began);
        let (drain, watch) = DrainControl::new();
        let (close, closing) = DrainControl::new();
        let (accepting_control, accepts) = DrainControl::new();
        let mut mains: Vec<WorkerMain> = Vec::new();
        for sockets in sockets {
            let (quota, watch, closing) = (quota.clone(), watch.clone(), closing.clone());
            let (accepts, began) = (accepts.clone(), began.clone());
            mains.push(Box::new(move || {
                Box::pin(async move {
                    began();
                    for socket in sockets {
                        // A socket that the runtime cannot watch leaves the others at work.
                        let Ok(listener) = TcpListener::from_std(socket.listener) else { continue };
                        let (tls, handler, quota) = (socket.tls, socket.handler, quota.clone());
                        let proxy_from = socket.proxy_from;
                        let accepting = Accepting { tls, proxy_from, quota, handler };
                        let (watch, accepts) = (watch.clone(), accepts.clone());
                        tokio::spawn(async move {
                            accept_loop(listener, accepting, watch).await;
                            drop(accepts);
                        });
                    }
                    drop((quota, watch, accepts));
                    closing.started().await;
                })
            }));
        }
        drop((watch, accepts));
        Ok(Self { workers: Workers::start(mains)?, accepting: accepting_control, drain, close, quota })
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.quota.open()
    }

    /// Stops accepting and lets connections finish what is in flight.
    pub fn drain(&self, patience: Patience) {
        self.drain.start(patience);
    }

    /// Ends when a drain has reached every thread: whoever connects from now on is not served here.
    pub async fn accepts_no_more(&self) {
        self.accepting.finished().await;
    }

    /// Ends when the last connection of a drain is gone.
    pub async fn drained(&self) {
        self.drain.finished().await;
    }

    /// Ends at once; what is in flight is cut.
    pub fn close(self) {
        self.drain.start(Patience::Now);
        self.close.start(Patience::Now);
        self.workers.join();
    }
}
