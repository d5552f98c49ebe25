use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use doorstep_gateway::Surroundings;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use super::{Memory, Quirks, Shared, igd, natpmp, surroundings};

/// A router at work.
pub struct Device {
    pub memory: Shared,
    pub quirks: Arc<Mutex<Quirks>>,
    datagrams: SocketAddr,
    search: SocketAddr,
    http: Arc<Mutex<(u16, JoinHandle<()>)>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Device {
    pub async fn start(quirks: Quirks) -> Self {
        let memory: Shared = Arc::new(Mutex::new(Memory { uptime: 1000, ..Memory::default() }));
        let quirks = Arc::new(Mutex::new(quirks));
        let http = Arc::new(Mutex::new(serve(&memory, &quirks).await));
        let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let search = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addresses = (datagrams.local_addr().unwrap(), search.local_addr().unwrap());
        let tasks = vec![
            tokio::spawn(natpmp::serve(datagrams, memory.clone(), quirks.clone())),
            tokio::spawn(igd::answer_searches(search, http.clone(), quirks.clone())),
        ];
        Self { memory, quirks, datagrams: addresses.0, search: addresses.1, http, tasks }
    }

    pub fn surroundings(&self) -> Surroundings {
        surroundings(self.datagrams.port(), self.search)
    }

    /// Everything is forgotten, and control is at another port.
    pub async fn reboot(&self) {
        let fresh = serve(&self.memory, &self.quirks).await;
        let (_, old) = std::mem::replace(&mut *self.http.lock().unwrap(), fresh);
        old.abort();
        let mut memory = self.memory.lock().unwrap();
        memory.mappings.clear();
        memory.pinholes.clear();
        memory.uptime = 1;
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap())
    }

    pub fn mappings(&self) -> Vec<super::Mapping> {
        self.with(|memory| memory.mappings.clone())
    }

    pub fn heard(&self, what: &str) -> usize {
        self.with(|memory| memory.heard.iter().filter(|heard| heard.starts_with(what)).count())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.http.lock().unwrap().1.abort();
    }
}

async fn serve(memory: &Shared, quirks: &Arc<Mutex<Quirks>>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, tokio::spawn(igd::serve(listener, memory.clone(), quirks.clone())))
}
