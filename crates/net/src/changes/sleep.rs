use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, read};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::limits::SLEPT;

/// Notices at once that the computer woke up: the kernel then sets the clock, and cancels timers that ask for it.
pub(super) struct WakeWatch {
    timer: AsyncFd<OwnedFd>,
    /// How far the clock of the wall is before the one that stands still while the computer sleeps.
    offset: Duration,
}

/// The timer itself never fires (it is the year 2242).
const NEVER: Itimerspec = Itimerspec {
    it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
    it_value: Timespec { tv_sec: 8_589_934_592, tv_nsec: 0 },
};

impl WakeWatch {
    pub fn open() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        arm(&timer)?;
        // SAFETY: the descriptor is owned, and nobody replaces or closes it before the `AsyncFd`.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE)? };
        Ok(Self { timer, offset: offset() })
    }

    /// How long it slept. A clock that was set forwards by as much looks the same, and does no harm.
    pub async fn next(&mut self) -> Duration {
        loop {
            match self.timer.readable().await {
                Ok(mut ready) => {
                    let _ = ready.try_io(|timer| Ok(read(timer, &mut [0u8; 8])?));
                }
                Err(_) => std::future::pending().await,
            }
            if arm(self.timer.get_ref()).is_err() {
                std::future::pending::<()>().await;
            }
            let before = std::mem::replace(&mut self.offset, offset());
            if let Some(slept) = self.offset.checked_sub(before).filter(|slept| *slept >= SLEPT) {
                return slept;
            }
        }
    }
}

fn arm(timer: &OwnedFd) -> Result<(), Errno> {
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer, flags, &NEVER).map(drop)
}

fn offset() -> Duration {
    let time = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    time(ClockId::Realtime).saturating_sub(time(ClockId::Monotonic))
}
