use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::carrier::Visitor;
use crate::limits::{ACCEPT_PAUSE, DATAGRAM, FLOW_IDLE, FLOW_QUEUE, FLOW_QUEUE_BYTES, FLOWS};
use crate::registry::{Lent, Place};

/// The visitors of a port, by their addresses.
type Flows = Arc<Mutex<HashMap<SocketAddr, Arc<Queue>>>>;

/// Datagrams of one visitor on their way to the agent.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<Bytes>,
    bytes: usize,
}

impl Waiting {
    fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.datagrams.pop_front()?;
        self.bytes -= datagram.len();
        Some(datagram)
    }
}

impl Queue {
    /// The newest are worth more than the oldest.
    fn push(&self, datagram: Bytes) {
        let mut waiting = self.waiting.lock();
        waiting.bytes += datagram.len();
        waiting.datagrams.push_back(datagram);
        while waiting.datagrams.len() > FLOW_QUEUE || waiting.bytes > FLOW_QUEUE_BYTES {
            waiting.pop();
        }
        drop(waiting);
        self.more.notify_one();
    }

    async fn next(&self) -> Bytes {
        loop {
            if let Some(datagram) = self.waiting.lock().pop() {
                return datagram;
            }
            self.more.notified().await;
        }
    }
}

/// Receives until it is closed, and never waits for an agent.
pub(super) async fn serve(socket: std::net::UdpSocket, place: Arc<Place>, mut closed: watch::Receiver<()>) {
    let Ok(socket) = UdpSocket::from_std(socket) else { return };
    let Ok(local) = socket.local_addr() else { return };
    let (socket, flows) = (Arc::new(socket), Flows::default());
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            _ = closed.changed() => return,
        };
        let (length, peer) = match received {
            Ok(received) => received,
            // An earlier datagram of ours could not be delivered, for instance.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let known = flows.lock().get(&peer).cloned();
        let queue = match known {
            Some(queue) => queue,
            None => {
                let Some(lent) = place.lent() else { continue };
                let mut open = flows.lock();
                if open.len() >= FLOWS {
                    continue;
                }
                let queue = Arc::new(Queue::default());
                open.insert(peer, queue.clone());
                let flow = Flow { socket: socket.clone(), peer, local, queue: queue.clone(), flows: flows.clone() };
                tokio::spawn(flow.run(lent, closed.clone()));
                queue
            }
        };
        queue.push(Bytes::copy_from_slice(&buffer[..length]));
    }
}

struct Flow {
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    local: SocketAddr,
    queue: Arc<Queue>,
    flows: Flows,
}

impl Flow {
    async fn run(self, lent: Arc<Lent>, mut closed: watch::Receiver<()>) {
        let visitor = Visitor { peer: self.peer, local: self.local, tls: None };
        let Ok(mut stream) = lent.open_datagrams(visitor).await else { return };
        let mut buffer = vec![0; DATAGRAM];
        let idle = tokio::time::sleep(FLOW_IDLE);
        tokio::pin!(idle);
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(length) if length > 0 => {
                        let _ = self.socket.send_to(&buffer[..length], self.peer).await;
                    }
                    _ => return,
                },
                datagram = self.queue.next() => {
                    if stream.write(&datagram).await.is_err() {
                        return;
                    }
                }
                () = &mut idle => return,
                _ = closed.changed() => return,
            }
            idle.as_mut().reset(Instant::now() + FLOW_IDLE);
        }
    }
}

impl Drop for Flow {
    /// The visitor's next datagram begins another one.
    fn drop(&mut self) {
        self.flows.lock().remove(&self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_slow_agent_is_bounded_in_number_and_in_bytes() {
        let queue = Queue::default();
        for number in 0..200_u8 {
            queue.push(Bytes::copy_from_slice(&[number]));
        }
        assert_eq!(queue.waiting.lock().datagrams.len(), FLOW_QUEUE);
        assert_eq!(queue.next().await[..], [200 - FLOW_QUEUE as u8]);
        for _ in 0..20 {
            queue.push(Bytes::from(vec![0; DATAGRAM]));
        }
        let waiting = queue.waiting.lock();
        let bytes: usize = waiting.datagrams.iter().map(Bytes::len).sum();
        assert!(bytes == waiting.bytes && (1..=FLOW_QUEUE_BYTES).contains(&bytes), "{bytes}");
    }
}
