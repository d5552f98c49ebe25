use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigResponseContext, TSigner};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// The key for updates: its name, and base64 of its bytes.
pub const TSIG_KEY: (&str, &str) = ("doorstep-key", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0");

/// A name server for one zone, over UDP and TCP: every name in it is 127.0.0.1 unless something else is said. Takes updates
/// (RFC 2136) that are signed with [`TSIG_KEY`], and no others.
#[derive(Clone)]
pub struct DnsServer {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

struct Zone {
    apex: Name,
    records: HashMap<Name, Vec<RData>>,
    missing: Vec<Name>,
    updates: usize,
}

impl DnsServer {
    pub async fn start(apex: &str) -> Self {
        let zone = Zone { apex: name(apex), records: HashMap::new(), missing: Vec::new(), updates: 0 };
        let zone = Arc::new(Mutex::new(zone));
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let for_udp = zone.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = udp.recv_from(&mut buffer).await {
                let answer = for_udp.lock().answer(&buffer[..length]);
                if let Some(answer) = answer {
                    let _ = udp.send_to(&answer, peer).await;
                }
            }
        });
        let for_tcp = zone.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let zone = for_tcp.clone();
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut question = vec![0; usize::from(length)];
                        if stream.read_exact(&mut question).await.is_err() {
                            return;
                        }
                        let answer = zone.lock().answer(&question);
                        let Some(answer) = answer else { return };
                        let _ = stream.write_u16(answer.len() as u16).await;
                        let _ = stream.write_all(&answer).await;
                    }
                });
            }
        });
        Self { address, zone }
    }

    /// Instead of 127.0.0.1.
    pub fn set_address(&self, at: &str, address: [u8; 4]) {
        self.zone.lock().records.insert(name(at), vec![RData::A(A(address.into()))]);
    }

    pub fn set_cname(&self, at: &str, target: &str) {
        self.zone.lock().records.insert(name(at), vec![RData::CNAME(CNAME(name(target)))]);
    }

    /// The name does not exist.
    pub fn remove(&self, at: &str) {
        self.zone.lock().missing.push(name(at));
    }

    /// Updates taken.
    pub fn updates(&self) -> usize {
        self.zone.lock().updates
    }

    /// Texts at a name.
    pub fn texts(&self, at: &str) -> usize {
        let zone = self.zone.lock();
        let records = zone.records.get(&name(at)).map_or(&[][..], Vec::as_slice);
        records.iter().filter(|data| data.record_type() == RecordType::TXT).count()
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap().to_lowercase();
    name.set_fqdn(true);
    name
}

impl Zone {
    fn answer(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let message = Message::from_vec(bytes).ok()?;
        if message.metadata.op_code == OpCode::Update {
            return self.update(bytes, &message);
        }
        let question = message.queries.first()?.clone();
        let mut answer = Message::new(message.metadata.id, MessageType::Response, OpCode::Query);
        answer.add_query(question.clone());
        answer.metadata.authoritative = true;
        answer.metadata.recursion_available = true;
        let mut at = question.name().to_lowercase();
        if !self.apex.zone_of(&at) || self.missing.contains(&at) {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return answer.to_vec().ok();
        }
        // As a resolver does: CNAME records are followed, and all are shown.
        for _ in 0..8 {
            let records = self.of(&at, question.query_type());
            let next = records.iter().find_map(|data| match data {
                RData::CNAME(target) if question.query_type() != RecordType::CNAME => Some(target.0.to_lowercase()),
                _ => None,
            });
            answer.add_answers(records.into_iter().map(|data| Record::from_rdata(at.clone(), 0, data)));
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        if answer.answers.is_empty() {
            answer.add_authority(Record::from_rdata(self.apex.clone(), 0, self.soa()));
        }
        answer.to_vec().ok()
    }

    fn of(&self, at: &Name, kind: RecordType) -> Vec<RData> {
        let own = self.records.get(at).cloned().unwrap_or_default();
        if own.iter().any(|data| data.record_type() == RecordType::CNAME) {
            return own;
        }
        let mut found: Vec<RData> = own.into_iter().filter(|data| data.record_type() == kind).collect();
        let is_challenge = at.to_ascii().starts_with("_acme-challenge");
        match kind {
            RecordType::SOA if *at == self.apex => found.push(self.soa()),
            RecordType::A if found.is_empty() && *at != self.apex && !is_challenge => {
                found.push(RData::A(A::new(127, 0, 0, 1)));
            }
            _ => {}
        }
        found
    }

    fn soa(&self) -> RData {
        RData::SOA(SOA::new(self.apex.clone(), self.apex.clone(), 1, 60, 60, 60, 0))
    }

    fn update(&mut self, bytes: &[u8], message: &Message) -> Option<Vec<u8>> {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.decode(TSIG_KEY.1).unwrap();
        let signer = TSigner::new(key, TsigAlgorithm::HmacSha256, name(TSIG_KEY.0), 300).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let id = message.metadata.id;
        let mut answer = Message::new(id, MessageType::Response, OpCode::Update);
        let context = match signer.verify_message_byte(bytes, None, true) {
            Ok((mac, _, times)) if times.contains(&now) => {
                let zone = message.queries.first().map(|query| query.name().to_lowercase());
                if zone == Some(self.apex.clone()) {
                    message.authorities.iter().for_each(|record| self.change(record));
                    self.updates += 1;
                } else {
                    answer.metadata.response_code = ResponseCode::NotZone;
                }
                TSigResponseContext::new(id, now, signer, mac, None)
            }
            _ => {
                answer.metadata.response_code = ResponseCode::NotAuth;
                TSigResponseContext::bad_signature(id, now, signer)
            }
        };
        let signature = context.sign(&answer.to_vec().ok()?).ok()?;
        answer.set_signature(signature);
        answer.to_vec().ok()
    }

    /// RFC 2136 section 2.5.
    fn change(&mut self, record: &Record) {
        let records = self.records.entry(record.name.to_lowercase()).or_default();
        match record.dns_class {
            DNSClass::NONE => records.retain(|data| *data != record.data),
            DNSClass::ANY => records.retain(|data| data.record_type() != record.data.record_type()),
            _ => records.push(record.data.clone()),
        }
    }
}
