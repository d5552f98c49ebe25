use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub const ZONE: &str = "example.com";
pub const TOKEN: &str = "s3cr3t-t0ken";

/// Values and time to live of a set of records, by name (within the zone, `@` for its own) and type.
pub type Records = BTreeMap<(String, String), (Vec<String>, u64)>;

/// What a fake answers: status and body.
pub type Answer = (u16, Value);

/// From the so-many-th request on, nothing but this: status and `Retry-After`.
pub type Trouble = Option<(usize, u16, Option<u64>)>;

/// One request.
pub struct Ask {
    pub method: String,
    /// Without what is behind `?`.
    pub path: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub body: Value,
}

impl Ask {
    pub fn is(&self, method: &str, path: &[&str]) -> bool {
        self.method == method && self.path == path
    }
}

/// A provider with the zone [`ZONE`].
pub struct Api {
    pub url: String,
    pub records: Arc<Mutex<Records>>,
    /// `METHOD /path`, without what is behind `?`.
    pub asked: Arc<Mutex<Vec<String>>>,
    pub trouble: Arc<Mutex<Trouble>>,
    serving: JoinHandle<()>,
}

impl Api {
    /// `scheme` is the word before the token, `stranger` what is said to another one.
    pub async fn start(
        scheme: &'static str,
        stranger: fn() -> Answer,
        answer: fn(&mut Records, &Ask) -> Answer,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let records: Arc<Mutex<Records>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let trouble: Arc<Mutex<Trouble>> = Arc::default();
        let (held, heard, troubled) = (records.clone(), asked.clone(), trouble.clone());
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some((head, body)) = read(&mut stream).await else { continue };
                let (ask, line) = parse(&head, &body);
                heard.lock().unwrap().push(line);
                let count = heard.lock().unwrap().len();
                let known =
                    head.lines().any(|line| line.eq_ignore_ascii_case(&format!("authorization: {scheme} {TOKEN}")));
                let trouble = *troubled.lock().unwrap();
                let (status, said, wait) = match trouble {
                    Some((from, status, wait)) if count > from => (status, json!({}), wait),
                    _ if !known => {
                        let (status, said) = stranger();
                        (status, said, None)
                    }
                    _ => {
                        let (status, said) = answer(&mut held.lock().unwrap(), &ask);
                        (status, said, None)
                    }
                };
                let said = match said {
                    Value::String(text) => text,
                    Value::Null => String::new(),
                    said => said.to_string(),
                };
                let wait = wait.map_or_else(String::new, |wait| format!("Retry-After: {wait}\r\n"));
                let length = said.len();
                let text =
                    format!("HTTP/1.1 {status} X\r\n{wait}Content-Length: {length}\r\nConnection: close\r\n\r\n{said}");
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        Self { url, records, asked, trouble, serving }
    }

    pub fn has(&self, name: &str, kind: &str) -> Vec<String> {
        self.records
            .lock()
            .unwrap()
            .get(&(name.into(), kind.into()))
            .map(|(values, _)| values.clone())
            .unwrap_or_default()
    }

    pub fn ttl(&self, name: &str, kind: &str) -> u64 {
        self.records.lock().unwrap()[&(name.into(), kind.into())].1
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let body = &bytes[end + 4..];
            if body.len() >= length.unwrap_or(0) {
                return Some((head, body.to_vec()));
            }
        }
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => bytes.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    }
}

fn parse(head: &str, body: &[u8]) -> (Ask, String) {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), decoded(value)));
    let line = format!("{method} {path}");
    let path = path.trim_matches('/').split('/').map(decoded).collect();
    (Ask { method, path, query: query.collect(), body: serde_json::from_slice(body).unwrap_or_default() }, line)
}
