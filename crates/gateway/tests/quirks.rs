//! Each habit of real routers, and what becomes of a mapping there.

mod fake;

use std::sync::Arc;
use std::time::Duration;

use doorstep_gateway::{Family, Mapped, Mapper, News, Options, Protocol, Removed, State, Want, remove};
use doorstep_model::Change;
use fake::{Device, Mapping, Notebook, Quirks};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

struct Case {
    device: Device,
    notebook: Arc<Notebook>,
    mapper: Mapper,
    news: mpsc::UnboundedReceiver<News>,
}

impl Case {
    async fn new(quirks: Quirks, port: u16, external: u16) -> Self {
        Self::with(Device::start(quirks).await, Notebook::default(), port, external)
    }

    fn with(device: Device, notebook: Notebook, port: u16, external: u16) -> Self {
        let notebook = Arc::new(notebook);
        let surroundings = device.surroundings();
        let options = Options {
            wants: vec![Want { protocol: Protocol::Tcp, family: Family::V4, port, external }],
            ledger: notebook.clone(),
            look: Arc::new(move || surroundings.clone()),
        };
        let (says, news) = mpsc::unbounded_channel();
        Self { device, notebook, mapper: Mapper::start(options, says), news }
    }

    async fn next(&mut self) -> News {
        timeout(PATIENCE, self.news.recv()).await.expect("no news").expect("the mapper ended")
    }

    async fn mapped(&mut self) -> Mapped {
        match self.next().await {
            News::Mapped { mapped, .. } => mapped,
            News::Refused { why, .. } => panic!("refused: {why}"),
            News::Gone { why, .. } => panic!("gone: {why}"),
        }
    }

    async fn refused(&mut self) -> String {
        match self.next().await {
            News::Refused { why, .. } => format!("{why} / {}", why.fix()),
            news => panic!("{news:?}"),
        }
    }

    fn only(&self) -> Mapping {
        let mappings = self.device.mappings();
        assert_eq!(mappings.len(), 1, "{mappings:?}");
        mappings[0].clone()
    }

    /// Leaves, and looks that nothing is left behind.
    async fn leaves_nothing(self) {
        self.mapper.leave(PATIENCE).await;
        assert_eq!(self.device.mappings(), []);
        assert_eq!(self.notebook.standing(), []);
    }
}

/// Each case with a router of its own, at the same time: most of it is waiting for protocols that nobody speaks.
async fn all<T, F: Future<Output = ()>>(cases: impl IntoIterator<Item = T>, run: impl Fn(T) -> F) {
    futures_util::future::join_all(cases.into_iter().map(run)).await;
}

#[tokio::test]
async fn an_ordinary_router_maps_and_forgets_when_told() {
    let mut case = Case::new(Quirks::default(), 8080, 443).await;
    let mapped = case.mapped().await;
    assert_eq!((mapped.external, mapped.by, mapped.lease), (443, "UPnP", Some(Duration::from_secs(600))));
    assert_eq!(mapped.outside, Some("11.0.0.20".parse().unwrap()));
    let only = case.only();
    assert_eq!((only.internal, only.client.as_str(), only.description.as_str()), (8080, "127.0.0.1", "doorstep"));
    assert!(matches!(&case.mapper.status()[0].state, State::Mapped { until: Some(_), .. }));
    let standing = case.notebook.standing();
    let [Change::Mapping(change)] = &standing[..] else { panic!("{standing:?}") };
    assert_eq!((change.by.as_str(), change.external_port, change.internal.port()), ("upnp", 443, 8080));
    case.leaves_nothing().await;
}

#[tokio::test]
async fn leases_are_what_the_router_grants() {
    let ladder = [
        (Quirks { permanent_only: true, ..Quirks::default() }, None),
        (Quirks { no_permanent: true, ..Quirks::default() }, Some(600)),
        (Quirks { week_only: true, ..Quirks::default() }, Some(604_800)),
    ];
    all(ladder, |(quirks, lease)| async move {
        let mut case = Case::new(quirks.clone(), 8080, 8080).await;
        assert_eq!(case.mapped().await.lease, lease.map(Duration::from_secs), "{quirks:?}");
        if lease.is_none() {
            let [Change::Mapping(change)] = &case.notebook.standing()[..] else { panic!() };
            assert_eq!(change.ends_at, None, "the journal knows that it does not end by itself");
        }
        case.leaves_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn another_port_is_taken_where_the_wished_one_cannot_be_had() {
    let router = [
        (Quirks { conflict: Some(443), ..Quirks::default() }, 8080),
        (Quirks { conflict: Some(443), igd2: true, ..Quirks::default() }, 444),
        (Quirks { same_port: true, ..Quirks::default() }, 8080),
        (Quirks { privileged: true, ..Quirks::default() }, 8080),
        (Quirks { upnp: false, nat_pmp: true, other_port: Some(40_001), ..Quirks::default() }, 40_001),
        (Quirks { upnp: false, pcp: true, other_port: Some(40_002), ..Quirks::default() }, 40_002),
    ];
    all(router, |(quirks, external)| async move {
        let mut case = Case::new(quirks.clone(), 8080, 443).await;
        assert_eq!(case.mapped().await.external, external, "{quirks:?}");
        let [Change::Mapping(change)] = &case.notebook.standing()[..] else { panic!() };
        assert_eq!(change.external_port, external);
        case.leaves_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn a_protocol_that_grants_the_wished_port_is_preferred() {
    let mut case = Case::new(Quirks { pcp: true, other_port: Some(40_002), ..Quirks::default() }, 8080, 443).await;
    let mapped = case.mapped().await;
    assert_eq!((mapped.external, mapped.by), (443, "UPnP"));
    assert_eq!(case.only().external, 443, "what PCP granted was given back");
    case.leaves_nothing().await;
}

#[tokio::test]
async fn ours_is_taken_over_and_nobody_elses() {
    all(
        [
            ("doorstep", "127.0.0.1", 9999, true),
            ("doorstep", "192.168.1.99", 9999, false),
            ("game", "127.0.0.1", 9999, false),
        ],
        |(description, client, internal, taken_over)| async move {
            let device = Device::start(Quirks::default()).await;
            let before = Mapping {
                protocol: "TCP".into(),
                external: 443,
                client: client.into(),
                internal,
                description: description.into(),
                lease: 0,
            };
            device.with(|memory| memory.mappings.push(before.clone()));
            let mut case = Case::with(device, Notebook::default(), 8080, 443);
            assert_eq!(case.mapped().await.external == 443, taken_over, "{before:?}");
            let notebook = case.notebook.clone();
            case.mapper.leave(PATIENCE).await;
            assert_eq!(case.device.mappings(), if taken_over { vec![] } else { vec![before] });
            assert_eq!(notebook.standing(), []);
        },
    )
    .await;
}

#[tokio::test]
async fn what_another_doorstep_here_asked_for_is_left_to_it() {
    let served = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let device = Device::start(Quirks::default()).await;
    let before = Mapping {
        protocol: "TCP".into(),
        external: 443,
        client: "127.0.0.1".into(),
        internal: served.local_addr().unwrap().port(),
        description: "doorstep".into(),
        lease: 0,
    };
    device.with(|memory| memory.mappings.push(before.clone()));
    let mut case = Case::with(device, Notebook::default(), 8080, 443);
    assert_ne!(case.mapped().await.external, 443);
    case.mapper.leave(PATIENCE).await;
    assert_eq!(case.device.mappings(), [before]);
}

#[tokio::test]
async fn the_router_is_found_however_it_answers() {
    let odd = [
        Quirks { location_host: "10.9.9.9", ..Quirks::default() },
        Quirks { answers_from_elsewhere: true, ..Quirks::default() },
        Quirks { noise: true, ..Quirks::default() },
        Quirks { ppp: true, ..Quirks::default() },
        Quirks { igd2: true, ..Quirks::default() },
        Quirks { idle_service: true, ..Quirks::default() },
        Quirks { upnp: false, nat_pmp: true, ..Quirks::default() },
        Quirks { upnp: false, pcp: true, ..Quirks::default() },
    ];
    all(odd, |quirks| async move {
        let mut case = Case::new(quirks.clone(), 8080, 8080).await;
        let mapped = case.mapped().await;
        assert_eq!((mapped.external, mapped.outside), (8080, "11.0.0.20".parse().ok()), "{quirks:?}");
        case.leaves_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_none_is_not_told() {
    all(["", "0.0.0.0", "nonsense"], |external| async move {
        let mut case = Case::new(Quirks { external, ..Quirks::default() }, 8080, 8080).await;
        assert_eq!(case.mapped().await.outside, None, "{external:?}");
        case.leaves_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn refusals_say_whose_side_it_is_on_and_what_to_do() {
    let refusals = [
        (Quirks { no_external: true, ..Quirks::default() }, "no address of its own"),
        (Quirks { full: true, ..Quirks::default() }, "Remove mappings"),
        (Quirks { upnp: false, nat_pmp: true, refuses: Some(3), ..Quirks::default() }, "no address of its own"),
        (Quirks { upnp: false, pcp: true, refuses: Some(2), ..Quirks::default() }, "Allow port mappings"),
        (Quirks { upnp: false, ..Quirks::default() }, "Switch on UPnP"),
    ];
    all(refusals, |(quirks, words)| async move {
        let mut case = Case::new(quirks.clone(), 8080, 8080).await;
        let told = case.refused().await;
        assert!(told.contains(words), "{quirks:?}: {told}");
        assert_eq!(case.notebook.standing(), [], "nothing stands, so nothing is to be undone");
    })
    .await;
}

#[tokio::test]
async fn a_router_that_was_started_anew_is_asked_again() {
    all(
        [
            Quirks::default(),
            Quirks { forgetful: true, ..Quirks::default() },
            Quirks { upnp: false, nat_pmp: true, ..Quirks::default() },
            Quirks { upnp: false, pcp: true, ..Quirks::default() },
        ],
        |quirks| async move {
            let mut case = Case::new(quirks.clone(), 8080, 443).await;
            case.mapped().await;
            case.device.reboot().await;
            case.mapper.refresh();
            let again = async {
                while case.device.mappings().is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, again).await.unwrap_or_else(|_| panic!("not mapped again: {quirks:?}"));
            // What is in the journal must be settled before it can be taken back.
            while !matches!(case.mapper.status()[0].state, State::Mapped { .. }) || case.notebook.standing().len() != 1
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(case.only().external, 443);
            case.leaves_nothing().await;
        },
    )
    .await;
}

#[tokio::test]
async fn what_a_router_lists_falsely_costs_nothing() {
    let mut case = Case::new(Quirks { forgetful: true, ..Quirks::default() }, 8080, 8080).await;
    case.mapped().await;
    let written = case.notebook.written();
    case.mapper.refresh();
    while case.device.heard("AddPortMapping") < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(case.news.try_recv().is_err(), "the mapping stands all the while");
    assert_eq!(case.notebook.written(), written, "a renewal is no new change");
    case.leaves_nothing().await;
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let device = Device::start(Quirks::default()).await;
    let mut case = Case::with(device, Notebook { full: true, ..Notebook::default() }, 8080, 8080);
    let told = case.refused().await;
    assert!(told.contains("could not be written down"), "{told}");
    assert_eq!(case.device.heard("AddPortMapping"), 0);
}

#[tokio::test]
async fn a_router_that_does_not_remove_leaves_the_journal_s_entry() {
    let mut case = Case::new(Quirks { no_delete: true, ..Quirks::default() }, 8080, 8080).await;
    case.mapped().await;
    let notebook = case.notebook.clone();
    case.mapper.leave(PATIENCE).await;
    assert_eq!(notebook.standing().len(), 1);
}

#[tokio::test]
async fn what_an_earlier_run_left_is_removed_once() {
    all(
        [
            Quirks::default(),
            Quirks { upnp: false, nat_pmp: true, ..Quirks::default() },
            Quirks { upnp: false, pcp: true, ..Quirks::default() },
        ],
        |quirks| async move {
            let mut case = Case::new(quirks, 8080, 443).await;
            case.mapped().await;
            // As if it had been killed.
            let Case { device, notebook, mapper, .. } = case;
            mapper.hand_over();
            let standing = notebook.standing();
            let [Change::Mapping(change)] = &standing[..] else { panic!() };
            assert_eq!(device.mappings().len(), 1);
            assert_eq!(remove(change, &device.surroundings()).await.unwrap(), Removed::Now);
            assert_eq!(device.mappings(), []);
            remove(change, &device.surroundings()).await.expect("again is no error");
            let elsewhere = doorstep_model::MappingChange { gateway: "192.0.2.1".parse().unwrap(), ..change.clone() };
            assert!(remove(&elsewhere, &device.surroundings()).await.is_err(), "that gateway is not here");
        },
    )
    .await;
}

#[tokio::test]
async fn another_computer_s_entry_is_never_removed() {
    let mut case = Case::new(Quirks::default(), 8080, 443).await;
    case.mapped().await;
    case.device.with(|memory| memory.mappings[0].client = "192.168.1.99".into());
    let Case { device, notebook, mapper, .. } = case;
    mapper.hand_over();
    let [Change::Mapping(change)] = &notebook.standing()[..] else { panic!() };
    assert_eq!(remove(change, &device.surroundings()).await.unwrap(), Removed::Before);
    assert_eq!(device.mappings().len(), 1);
}
