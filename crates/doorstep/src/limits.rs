//! Every bound of the command line program.

use std::time::Duration;

/// Requests waiting to be shown, per worker. Beyond it they are counted and not shown.
pub const WAITING_REQUESTS: usize = 4096;

/// How often the screen takes new events: 20 times a second.
pub const SCREEN_TICK: Duration = Duration::from_millis(50);

/// Request lines that a terminal is given per tick: of a flood, 2,000 a second, which is more than anybody reads. The
/// others are counted.
pub const SHOWN_PER_TICK: usize = 100;

/// How often progress lines move while something is being transferred.
pub const PROGRESS_TICK: Duration = Duration::from_millis(250);

/// How often a program reading `--json` hears of each transfer.
pub const PROGRESS_EVENT: Duration = Duration::from_secs(1);

/// Log entries kept in memory to draw the screen again after a resize.
pub const KEPT_ENTRIES: usize = 1000;

/// Transfers followed at once; further ones appear when they end, as requests do.
pub const FOLLOWED_TRANSFERS: usize = 512;

/// Transfers drawn at once.
pub const SHOWN_TRANSFERS: usize = 4;

/// Distinct visitors counted in the summary; beyond it, it says "more than".
pub const COUNTED_VISITORS: usize = 65_536;

/// Different findings remembered so that each is told once.
pub const KNOWN_FINDINGS: usize = 256;

/// Messages waiting for the screen.
pub const WAITING_MESSAGES: usize = 1024;

/// How long transfers under way may go on after Ctrl-C.
pub const DRAIN: Duration = Duration::from_secs(2);

/// How long the screen may take to say goodbye, to a slow reader of a pipe for instance, before the program ends
/// without it. Ctrl-C does not wait so long.
pub const GOODBYE: Duration = Duration::from_secs(5);

/// The longest look at a folder before it is shared.
pub const LOOK_TIME: Duration = Duration::from_millis(400);

/// The most entries looked at in it.
pub const LOOK_ENTRIES: usize = 50_000;

/// How deep it is looked at.
pub const LOOK_DEPTH: usize = 6;

/// How long an address may take to answer our own request, each time.
pub const PROOF_TIME: Duration = Duration::from_secs(2);

/// Running apps that are named when the one that was asked for is down.
pub const APPS_NAMED: usize = 5;

/// How often an address is tried before it is given up.
pub const PROOF_TRIES: u32 = 4;

/// Ports tried above the default one.
pub const PORTS_TRIED: u16 = 100;

/// Connections to the control socket at once.
pub const CONTROL_CONNECTIONS: usize = 32;

/// Bytes of a request over the control socket.
pub const CONTROL_REQUEST: u64 = 64 * 1024;

/// Bytes of one answer that the client reads: thousands of sites.
pub const CONTROL_RESPONSE: u64 = 64 << 20;

/// Answers waiting for a client that reads slowly; then whoever answers waits.
pub const CONTROL_REPLIES: usize = 64;

/// How long a client may take to say what it wants.
pub const CONTROL_READ: Duration = Duration::from_secs(10);

/// How long a client may take to read an answer: somebody may have paused their terminal.
pub const CONTROL_WRITE: Duration = Duration::from_secs(600);

/// Pause after a connection that could not be accepted.
pub const CONTROL_ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Lines of logs that can be asked for, of each app.
pub const LOG_LINES: usize = 100_000;

/// Bytes at the end of a log file in which these lines are looked for.
pub const LOG_TAIL: u64 = 8 << 20;

/// Bytes of a log line that are shown.
pub const LOG_LINE: usize = 64 * 1024;

/// Bytes of a log file that are read at a time.
pub const LOG_PIECE: usize = 32 * 1024;

/// How often log files are looked at for new lines.
pub const LOG_LOOK: Duration = Duration::from_millis(200);

/// Space left free on the disk that standard input is stored on.
pub const SPOOL_RESERVE: u64 = 256 * 1024 * 1024;

/// Longest wait for a local app to accept a connection, to say whether it runs.
pub const APP_LOOK: Duration = Duration::from_millis(500);

/// The longest message between supervisor and worker: a configuration of some thousand sites, with certificates.
pub const MAX_LINK_MESSAGE: usize = 64 << 20;

/// Messages that may wait for a worker. One that takes none of them hangs, and is replaced.
pub const WAITING_FOR_WORKER: usize = 4096;

/// How long a new worker may take until it accepts connections.
pub const WORKER_START: Duration = Duration::from_secs(60);

/// How often the worker is asked how it does.
pub const WORKER_ASKED: Duration = Duration::from_secs(5);

/// A worker that answers nothing for so long hangs, and is replaced.
pub const WORKER_SILENCE: Duration = Duration::from_secs(60);

/// The first and the longest pause before a worker that crashed is started again.
pub const WORKER_RESTART: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A worker that ran for so long did not crash at its start.
pub const WORKER_RAN_WELL: Duration = Duration::from_secs(30);

/// How often files that the configuration names (certificates of one's own, for instance) are looked at for changes.
pub const FILES_LOOKED_AT: Duration = Duration::from_secs(5);

/// How long after its last change a file may change again without its times telling: some file systems count in twos.
pub const FILE_UNSETTLED: Duration = Duration::from_secs(3);

/// Sites whose addresses are told at the start; of those beyond, how many there are.
pub const GREETED_SITES: usize = 20;

/// How long a reload waits for new apps to be ready before it goes on without them.
pub const NEW_APPS: Duration = Duration::from_secs(60);

/// How long a start waits for a port that a worker of a daemon that was killed still holds.
pub const PORT_WAIT: Duration = Duration::from_secs(5);

/// How long a worker goes on with what is in flight when its supervisor is gone.
pub const ORPHANED_WORKER: Duration = Duration::from_secs(10);

/// Findings that `doorstep status` remembers.
pub const REMEMBERED_FINDINGS: usize = 64;

/// How long the supervisor waits for an answer of the worker to a question from the control socket.
pub const WORKER_ANSWER: Duration = Duration::from_secs(5);

/// Answers of workers that wait to be taken.
pub const REMEMBERED_ANSWERS: usize = 16;

/// Lines of the daemon's own output that may wait for a slow reader. Further ones are dropped.
pub const WAITING_LINES: usize = 1024;

/// How long what was said last may take on its way out.
pub const LAST_WORDS: Duration = Duration::from_millis(200);

/// A password that is typed or piped in must be shorter, in bytes.
pub const PASSWORD_BYTES: u64 = 4096;

/// How long `doorstep restart` watches the instances being replaced.
pub const ROLLING_RESTART: Duration = Duration::from_secs(600);

/// How long `doorstep upgrade` waits until the new program answers.
pub const TAKE_OVER: Duration = Duration::from_secs(30);

/// How often it asks.
pub const CONTROL_AGAIN: Duration = Duration::from_millis(100);

/// How long a reload waits until a worker that was told to drain has stopped accepting.
pub const LAST_ACCEPT: Duration = Duration::from_secs(5);

/// How long a new program may take to say whether it could take over.
pub const HANDOVER_CHECKED: Duration = Duration::from_secs(20);

/// How long a way from the internet may be down before the next one is taken.
pub const NEXT_WAY: Duration = Duration::from_secs(10);

/// How long an address of the internet may take until it answers us: its certificate may be on its way.
pub const TUNNEL_PROOF: Duration = Duration::from_secs(60);

/// How long after it did not it is asked again.
pub const TUNNEL_PROOF_AGAIN: Duration = Duration::from_millis(500);

/// The most that is read of an answer to such a request, in bytes.
pub const PROOF_ANSWER: u64 = 4096;

/// Names of one site that relays granted; the oldest are forgotten, so that one that grants another each time fills no memory.
pub const LENT_NAMES: usize = 64;

/// Requests of all visitors that wait for agents to come back.
pub const RELAY_HELD: usize = 1024;

/// Those of them that wait for one name.
pub const RELAY_HELD_OF_ONE: usize = 64;

/// Between two looks whether a session that broke was noticed.
pub const RELAY_AGAIN: Duration = Duration::from_millis(100);

/// What visitors of an agent that is away are told to wait, in seconds.
pub const RELAY_RETRY_AFTER: u32 = 5;

/// A visitor of an agent that ends TLS itself is asked after so long whether it is still there.
pub const RELAY_KEEPALIVE: Duration = Duration::from_secs(60);

/// Certificates that a relay keeps for names of agents.
pub const RELAY_CERTIFICATES: usize = 20_000;

/// Names of one agent, without a certificate yet, that are given one within [`RELAY_NEW_CERTIFICATES_WITHIN`]: a public
/// authority gives a domain some fifty in a week, for all agents together.
pub const RELAY_NEW_CERTIFICATES: usize = 10;
pub const RELAY_NEW_CERTIFICATES_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Claims that come within so long are looked at together.
pub const RELAY_CLAIMS_TOGETHER: Duration = Duration::from_millis(200);

/// How long the relay's own names may take to answer, when it is seen whether they lead here.
pub const RELAY_REACHED: Duration = Duration::from_secs(5);

/// How long visitors may go on by a way that is left, because one before it works again or the configuration changed.
pub const WAY_DRAIN: Duration = Duration::from_secs(600);

/// How long a worker that takes over waits until the one before has let go of the names that it was lent. Relays hold
/// requests for longer.
pub const TUNNEL_TAKEOVER: Duration = Duration::from_millis(250);

/// Refusals that a relay remembers, and how many of them `doorstep status` shows.
pub const RELAY_REFUSALS_REMEMBERED: usize = 64;
pub const RELAY_REFUSALS_SHOWN: usize = 5;

/// Lines about refusals that a relay writes to its log in [`RELAY_REFUSALS_WITHIN`], whoever comes.
pub const RELAY_REFUSALS_IN_LOG: usize = 20;
pub const RELAY_REFUSALS_WITHIN: Duration = Duration::from_secs(60);

/// After how long the same refusal is written again.
pub const RELAY_REFUSALS_AGAIN: Duration = Duration::from_secs(600);

/// How long visitors of a site wait that a relay lets in before it says under which name.
pub const LENT_UNNAMED: Duration = Duration::from_secs(5);

/// How often somebody outside looks whether a direct way still leads here.
pub const LOOK_EVERY: Duration = Duration::from_secs(20);

/// The same after a look that found nothing.
pub const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Looks in vain, one after the other, after which a direct way is given up for the next.
pub const LOOKS_MISSED: u32 = 2;

/// How long the router may take to close a port again when sharing ends: some take seconds for each of a few questions.
pub const GIVE_BACK: Duration = Duration::from_secs(8);

/// How often somebody outside is asked which address this computer has there.
pub const OBSERVE_EVERY: Duration = Duration::from_secs(60);

/// How long the end of the daemon waits for the last lines of the journal.
pub const JOURNAL_FLUSH: Duration = Duration::from_secs(3);
