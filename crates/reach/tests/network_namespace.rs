//! Two computers on one cable: network namespaces joined by a virtual Ethernet pair. Needs root and the programs `ip`
//! and `nft`; a test that cannot run says so by name and is skipped.

#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::net::IpAddr;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use doorstep_reach::firewall::{self, Firewall};
use doorstep_reach::interfaces::{self, Kind};
use doorstep_reach::mdns::{Announcement, Publisher, Status, Taken};
use tokio::time::timeout;

const LAPTOP: &str = "192.168.77.1";
const ROOMMATE: &str = "192.168.77.2";

/// A computer of its own: a thread in a new network namespace. Work is sent to it, and done in order.
struct Computer {
    work: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<thread::JoinHandle<()>>,
    thread_id: u32,
}

impl Computer {
    /// `None` without the right to make one.
    fn new() -> Option<Self> {
        let (ready, is_ready) = mpsc::channel();
        let (work, to_do) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let thread = thread::spawn(move || {
            // SAFETY: only the network namespace of this thread changes. No memory or file descriptor table that other
            // threads rely on stops being shared.
            let made = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
            let id = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
            ready.send(made.is_ok().then_some(id)).expect("the test waits");
            if made.is_ok() {
                to_do.into_iter().for_each(|job| job());
            }
        });
        let thread_id = is_ready.recv().expect("the thread answers")?;
        let computer = Self { work: Some(work), thread: Some(thread), thread_id };
        computer.ip("link set lo up").then_some(computer)
    }

    /// Does `job` on this computer and waits for it.
    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, is_done) = mpsc::channel();
        let job = Box::new(move || {
            let _ = done.send(job());
        });
        self.work.as_ref().expect("not dropped").send(job).expect("the thread lives");
        is_done.recv().expect("the job does not panic")
    }

    /// Runs asynchronous work on this computer.
    fn block_on<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(future)
        })
    }

    fn program(&self, line: &str) -> bool {
        let line = line.to_owned();
        self.run(move || {
            let mut words = line.split(' ');
            let program = words.next().expect("a program");
            Command::new(program).args(words).status().is_ok_and(|status| status.success())
        })
    }

    fn ip(&self, arguments: &str) -> bool {
        self.program(&format!("ip {arguments}"))
    }

    fn connect(&self, other: &Self) -> bool {
        self.ip(&format!("link add lan0 type veth peer name lan0 netns {}", other.thread_id))
            && [(self, LAPTOP), (other, ROOMMATE)].into_iter().all(|(computer, address)| {
                computer.ip(&format!("addr add {address}/24 dev lan0")) && computer.ip("link set lan0 up")
            })
            && [self, other].into_iter().all(Self::has_carrier)
    }

    /// Waits until the cable is plugged in, so to speak: the kernel notices a moment later.
    fn has_carrier(&self) -> bool {
        self.run(|| {
            (0..100).any(|_| {
                thread::sleep(Duration::from_millis(50));
                interfaces::list().iter().any(|interface| interface.name == "lan0" && interface.up)
            })
        })
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Two connected computers, or a word about why `test` is skipped.
fn two_computers(test: &str) -> Option<(Computer, Computer)> {
    let connected = Computer::new().zip(Computer::new()).filter(|(laptop, roommate)| laptop.connect(roommate));
    if connected.is_none() {
        skipped(test, "root and the program ip");
    }
    connected
}

/// Says that a test did not run; past the test harness, which hides what a passing test prints.
fn skipped(test: &str, needs: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: needs {needs}");
}

fn announcement(host_name: &str) -> Announcement {
    Announcement {
        host_name: host_name.into(),
        service_name: format!("photos on {host_name}"),
        port: 8080,
        tls: false,
        bind: vec!["0.0.0.0".parse().unwrap(), "::".parse().unwrap()],
    }
}

/// The first status that is not "still at it".
async fn settled(publisher: &Publisher) -> Status {
    let mut status = publisher.status();
    let settled = status.wait_for(|status| *status != Status::Publishing);
    timeout(Duration::from_secs(20), settled).await.expect("in time").expect("the publisher lives").clone()
}

/// Asks for `name` the way phones do: by multicast, from a port of its own (RFC 6762 section 5.1). The IPv4 address in
/// the answer, if there is one within two seconds.
fn ask(name: &str, from: &str) -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut query = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    socket.send_to(&query, ("224.0.0.251", 5353)).unwrap();
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).ok()?;
    // One answer, of four bytes, at the very end or before additional records: found by its type, class and length.
    let head = answer[..length].windows(10).position(|w| w[..4] == [0, 1, 0, 1] && w[8..] == [0, 4])?;
    let octets: [u8; 4] = answer[head + 10..head + 14].try_into().unwrap();
    Some(IpAddr::from(octets))
}

#[test]
fn a_name_is_published_resolves_next_door_and_is_withdrawn() {
    let Some((laptop, roommate)) = two_computers("a_name_is_published_resolves_next_door_and_is_withdrawn") else {
        return;
    };
    let (publisher_sender, publisher) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    thread::scope(|scope| {
        let laptop = &laptop;
        scope.spawn(move || {
            laptop.block_on(async move {
                let publisher = Publisher::start(announcement("My Laptop"));
                publisher_sender.send(settled(&publisher).await).unwrap();
                let _ = stopped.await;
                publisher.withdraw().await;
            });
        });
        let status = publisher.recv().unwrap();
        assert_eq!(status, Status::Published { name: "my-laptop.local".into(), taken: None });
        assert_eq!(roommate.run(|| ask("my-laptop.local", ROOMMATE)), Some(LAPTOP.parse().unwrap()));
        stop.send(()).unwrap();
    });
    assert_eq!(roommate.run(|| ask("my-laptop.local", ROOMMATE)), None);
}

#[test]
fn a_name_that_another_computer_has_is_numbered_and_reported() {
    let Some((laptop, roommate)) = two_computers("a_name_that_another_computer_has_is_numbered_and_reported") else {
        return;
    };
    let (first_sender, first) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    thread::scope(|scope| {
        let roommate = &roommate;
        scope.spawn(move || {
            roommate.block_on(async move {
                let publisher = Publisher::start(announcement("laptop"));
                first_sender.send(settled(&publisher).await).unwrap();
                let _ = stopped.await;
            });
        });
        assert_eq!(first.recv().unwrap(), Status::Published { name: "laptop.local".into(), taken: None });
        let second = laptop.block_on(async { settled(&Publisher::start(announcement("laptop"))).await });
        let taken = Taken { name: "laptop.local".into(), by: Some(ROOMMATE.parse().unwrap()) };
        assert_eq!(second, Status::Published { name: "laptop-2.local".into(), taken: Some(taken) });
        stop.send(()).unwrap();
    });
}

#[test]
fn a_name_that_this_computer_answers_for_already_is_used_and_taken_over_when_that_ends() {
    let test = "a_name_that_this_computer_answers_for_already_is_used_and_taken_over_when_that_ends";
    let Some((laptop, roommate)) = two_computers(test) else { return };
    let (status_sender, statuses) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let answers = thread::scope(|scope| {
        let laptop = &laptop;
        scope.spawn(move || {
            laptop.block_on(async move {
                let other_responder = Publisher::start(announcement("laptop"));
                status_sender.send(settled(&other_responder).await).unwrap();
                let second = Publisher::start(announcement("laptop"));
                status_sender.send(settled(&second).await).unwrap();
                other_responder.withdraw().await;
                status_sender.send(second.status().borrow().clone()).unwrap();
                let _ = stopped.await;
            });
        });
        for _ in 0..3 {
            let published = Status::Published { name: "laptop.local".into(), taken: None };
            assert_eq!(statuses.recv().unwrap(), published);
        }
        let answers = (0..5).any(|_| roommate.run(|| ask("laptop.local", ROOMMATE)).is_some());
        stop.send(()).unwrap();
        answers
    });
    assert!(answers, "the second one answers now");
}

#[test]
fn without_a_network_there_is_no_name_and_the_reason_is_said() {
    let Some(alone) = Computer::new() else {
        skipped("without_a_network_there_is_no_name_and_the_reason_is_said", "root and the program ip");
        return;
    };
    let status = alone.block_on(async { settled(&Publisher::start(announcement("laptop"))).await });
    assert_eq!(status, Status::Failed("this computer is not connected to a local network".into()));
}

#[test]
fn interfaces_of_this_computer() {
    let Some((laptop, _roommate)) = two_computers("interfaces_of_this_computer") else { return };
    assert!(laptop.ip("link add docker0 type bridge") && laptop.ip("addr add 172.17.0.1/16 dev docker0"));
    assert!(laptop.ip("link set docker0 up") && laptop.ip("route add default via 192.168.77.2"));
    let found = laptop.run(interfaces::list);
    let lan = found.first().expect("the interface with the default route comes first");
    assert_eq!((lan.name.as_str(), lan.kind, lan.up, lan.has_default_route), ("lan0", Kind::Lan, true, true));
    assert!(found.iter().any(|interface| interface.name == "docker0" && interface.kind == Kind::Container));
    let shared = interfaces::share_addresses(&found);
    assert_eq!(shared.iter().map(|address| address.ip.to_string()).collect::<Vec<_>>(), [LAPTOP]);
}

#[test]
fn a_firewall_that_drops_is_seen() {
    let Some((laptop, _roommate)) = two_computers("a_firewall_that_drops_is_seen") else { return };
    let check = |port| laptop.block_on(async move { firewall::check(port, &interfaces::list()).await });
    if !laptop.program("nft list ruleset") {
        skipped("a_firewall_that_drops_is_seen", "the program nft");
        return;
    }
    assert_eq!(check(8080), Firewall::Open);
    assert!(laptop.program("nft add table inet filter"));
    assert!(laptop.program("nft add chain inet filter input { type filter hook input priority 0 ; policy drop ; }"));
    assert!(laptop.program("nft add rule inet filter input tcp dport 3000-3010 accept"));
    let how_to_allow = "sudo nft insert rule inet filter input tcp dport 8080 accept";
    assert_eq!(
        check(8080),
        Firewall::Drops {
            which: "nftables (table inet filter, chain input)".into(),
            how_to_allow: how_to_allow.into()
        }
    );
    assert_eq!(check(3005), Firewall::Open);
    assert!(laptop.program(how_to_allow.strip_prefix("sudo ").unwrap()));
    assert_eq!(check(8080), Firewall::Open);

    assert!(laptop.ip("addr add 2001:db8:7::1/64 dev lan0 nodad"));
    assert!(laptop.program("nft add table ip6 more"));
    assert!(laptop.program("nft add chain ip6 more input { type filter hook input priority 0 ; policy drop ; }"));
    assert_eq!(
        check(8080),
        Firewall::Drops {
            which: "nftables (table ip6 more, chain input) for IPv6".into(),
            how_to_allow: "sudo nft insert rule ip6 more input tcp dport 8080 accept".into()
        }
    );
}
