use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use doorstep_model::Secret;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::verify::Verifier;
use super::wrong::WrongLogins;
use crate::basic::Basic;
use crate::digest::{digest, random_key};
use crate::limits::{MAX_HASHING, MAX_WAITING_LOGINS, REMEMBER_LOGIN};
use crate::throttle::{Admission, Throttle};

/// Where logins are looked at.
///
/// - Hashes are slow on purpose: they are computed on blocking threads, few at once in the whole process, and what is
///   right is remembered for a while by a keyed digest.
/// - Whoever sends wrong ones has to wait, and while a client waits the right one is not looked at either: else guesses
///   could be tried, as fast as the network goes, on what is remembered.
/// - A wrong login that is sent again tells nothing new, so it neither costs a computation nor makes its client wait.
/// - An unknown user costs as much as a known one: some other user's hash is computed, always the same for one name.
pub(super) struct Desk {
    /// What it was made of.
    list: Vec<(String, Secret<String>)>,
    key: hmac::Key,
    users: HashMap<String, usize>,
    entries: Vec<Entry>,
    throttle: Throttle,
    wrong: Mutex<WrongLogins>,
    /// An attempt has ended.
    ended: Notify,
}

struct Entry {
    verifier: Verifier,
    /// The login that was right, and until when it counts.
    known: Mutex<Option<([u8; 32], Instant)>>,
}

/// What is said of a login.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Right,
    Wrong,
    /// Not looked at; the next one will be after this time.
    Wait(Duration),
    /// Not looked at: too many others wait.
    Busy,
}

/// Desks in use.
static DESKS: Mutex<Vec<Weak<Desk>>> = Mutex::new(Vec::new());

impl Desk {
    /// The desk for these users: one for all guards that have the same, those of a configuration that is about to be
    /// replaced too. So a reload makes nobody's hash be computed again, and gives no guesser a new start.
    pub(super) fn of(users: &[(String, Secret<String>)]) -> Arc<Self> {
        let mut desks = DESKS.lock();
        desks.retain(|desk| desk.strong_count() > 0);
        if let Some(known) = desks.iter().filter_map(Weak::upgrade).find(|desk| desk.list == users) {
            return known;
        }
        let desk = Arc::new(Self::new(users));
        desks.push(Arc::downgrade(&desk));
        desk
    }

    fn new(users: &[(String, Secret<String>)]) -> Self {
        let entry = |(_, hash): &(_, _)| Entry { verifier: Verifier::new(hash), known: Mutex::new(None) };
        Self {
            list: users.to_vec(),
            key: random_key(),
            users: users.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect(),
            entries: users.iter().map(entry).collect(),
            throttle: Throttle::default(),
            wrong: Mutex::default(),
            ended: Notify::new(),
        }
    }

    pub(super) async fn check(self: &Arc<Self>, client: IpAddr, login: &Basic) -> Answer {
        let digest = self.digest(login);
        let attempt = loop {
            let now = Instant::now();
            if let Some(left) = self.throttle.wait(client, now) {
                return Answer::Wait(left);
            }
            if self.remembers(&login.user, &digest, now) {
                return Answer::Right;
            }
            if self.wrong.lock().has(&digest) {
                return Answer::Wrong;
            }
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            match self.throttle.begin(client, now) {
                Admission::Go => break Attempt { desk: Arc::clone(self), client, failed: false },
                Admission::Wait(left) => return Answer::Wait(left),
                Admission::Later => ended.await,
            }
        };
        let Some(line) = Line::join() else { return Answer::Busy };
        let Ok(permit) = Arc::clone(&HASHING).acquire_owned().await else { return Answer::Busy };
        drop(line);
        // Another attempt with the same login may have come to an end meanwhile.
        if self.remembers(&login.user, &digest, Instant::now()) {
            return Answer::Right;
        }
        let (user, password) = (login.user.clone(), Secret::new(login.password.clone()));
        // It goes on if the client leaves: what is looked at counts.
        let judged = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            attempt.judge(&user, password.reveal(), digest)
        });
        if judged.await.unwrap_or(false) { Answer::Right } else { Answer::Wrong }
    }

    fn digest(&self, login: &Basic) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&self.key, &login.user, &login.password).as_ref());
        bytes
    }

    fn remembers(&self, user: &str, digest: &[u8; 32], now: Instant) -> bool {
        let Some(entry) = self.users.get(user).and_then(|place| self.entries.get(*place)) else { return false };
        entry
            .known
            .lock()
            .as_ref()
            .is_some_and(|(known, until)| constant_time::verify_slices_are_equal(known, digest).is_ok() && now < *until)
    }

    /// The entry that stands in for an unknown user.
    fn decoy(&self, user: &str) -> Option<&Entry> {
        let tag = hmac::sign(&self.key, user.as_bytes());
        let number = tag.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let place = number.checked_rem(self.entries.len() as u64)?;
        self.entries.get(usize::try_from(place).ok()?)
    }
}

/// An attempt that the throttle let in. Tells it the end, whatever that is.
struct Attempt {
    desk: Arc<Desk>,
    client: IpAddr,
    failed: bool,
}

impl Attempt {
    /// Computes the hash; takes long.
    fn judge(mut self, user: &str, password: &str, digest: [u8; 32]) -> bool {
        let desk = Arc::clone(&self.desk);
        let known = desk.users.get(user).and_then(|place| desk.entries.get(*place));
        let matches = known.or_else(|| desk.decoy(user)).is_some_and(|entry| entry.verifier.matches(password));
        match known {
            Some(entry) if matches => {
                *entry.known.lock() = Some((digest, Instant::now() + REMEMBER_LOGIN));
                true
            }
            _ => {
                self.failed = true;
                desk.wrong.lock().add(digest);
                false
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.desk.throttle.end(self.client, Instant::now(), self.failed);
        self.desk.ended.notify_waiters();
    }
}

static HASHING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    // Half of the cores are left for requests.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new((cores / 2).clamp(1, MAX_HASHING)))
});

/// A place in the line before [`HASHING`].
struct Line;

static WAITING: AtomicUsize = AtomicUsize::new(0);

impl Line {
    fn join() -> Option<Self> {
        let line = Self;
        (WAITING.fetch_add(1, Ordering::Relaxed) < MAX_WAITING_LOGINS).then_some(line)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{FIRST_WAIT, FREE_ATTEMPTS};

    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG";
    const ANN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn desk() -> Arc<Desk> {
        Arc::new(Desk::new(&[("ann".to_owned(), Secret::new(BCRYPT.to_owned()))]))
    }

    fn login(user: &str, password: &str) -> Basic {
        Basic { user: user.to_owned(), password: password.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_right_is_remembered_for_a_while() {
        let desk = desk();
        let right = login("ann", "s3cret");
        let digest = desk.digest(&right);
        assert_eq!(desk.check(ANN, &right).await, Answer::Right);
        assert!(desk.remembers("ann", &digest, Instant::now()));
        assert!(!desk.remembers("ann", &desk.digest(&login("ann", "guess")), Instant::now()));
        assert!(!desk.remembers("ann", &digest, Instant::now() + REMEMBER_LOGIN));
        assert_eq!(desk.check(ANN, &login("bob", "s3cret")).await, Answer::Wrong, "the decoy's password is no key");
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_wait_and_the_right_one_with_them() {
        let desk = desk();
        assert_eq!(desk.check(ANN, &login("ann", "s3cret")).await, Answer::Right);
        for n in 0..FREE_ATTEMPTS {
            assert_eq!(desk.check(ANN, &login("ann", &format!("guess {n}"))).await, Answer::Wrong);
        }
        assert_eq!(desk.check(ANN, &login("ann", "s3cret")).await, Answer::Wait(FIRST_WAIT));
        assert_eq!(desk.check(BOB, &login("ann", "s3cret")).await, Answer::Right);
        tokio::time::advance(FIRST_WAIT).await;
        assert_eq!(desk.check(ANN, &login("ann", "s3cret")).await, Answer::Right);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_password_sent_again_and_again_locks_nobody_out() {
        let desk = desk();
        for _ in 0..100 {
            assert_eq!(desk.check(ANN, &login("ann", "old")).await, Answer::Wrong);
        }
        assert_eq!(desk.check(ANN, &login("ann", "s3cret")).await, Answer::Right);
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_at_once_with_one_right_login_all_pass() {
        let desk = desk();
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move { desk.check(ANN, &login("ann", "s3cret")).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Answer::Right);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_sent_at_once_are_not_looked_at_all_at_once() {
        let desk = desk();
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move { desk.check(ANN, &login("ann", &format!("guess {n}"))).await })
            })
            .collect();
        let mut looked_at = 0;
        for task in tasks {
            looked_at += u32::from(task.await.unwrap() == Answer::Wrong);
        }
        assert_eq!(looked_at, FREE_ATTEMPTS);
    }

    #[tokio::test(start_paused = true)]
    async fn without_users_nobody_comes_in() {
        let desk = Arc::new(Desk::new(&[]));
        assert_eq!(desk.check(ANN, &login("", "")).await, Answer::Wrong);
    }

    #[test]
    fn the_same_users_have_one_desk_for_as_long_as_it_is_used() {
        let users = |password: &str| vec![("zoe".to_owned(), Secret::new(password.to_owned()))];
        let first = Desk::of(&users("one"));
        assert!(Arc::ptr_eq(&first, &Desk::of(&users("one"))));
        assert!(!Arc::ptr_eq(&first, &Desk::of(&users("two"))));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none());
    }
}
