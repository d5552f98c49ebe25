//! Which of several ways are taken: the first that works, and meanwhile the next one. Knows no clock.

use std::time::Instant;

use crate::limits::NEXT_WAY;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Start(usize),
    /// A way before it works again.
    Leave(usize),
}

/// The ways, in the order of preference.
pub struct Order(Vec<Standing>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Stands by.
    Idle,
    /// Taken, and not up since then.
    Trying(Instant),
    Up,
    /// Given up: it will not work until somebody does something.
    Failed,
}

impl Order {
    pub fn new(ways: usize) -> Self {
        Self(vec![Standing::Idle; ways])
    }

    /// Visitors reach us by it.
    pub fn up(&mut self, way: usize) -> Vec<Step> {
        let Some(standing) = self.0.get_mut(way) else { return Vec::new() };
        *standing = Standing::Up;
        let mut steps = Vec::new();
        for (later, standing) in self.0.iter_mut().enumerate().skip(way + 1) {
            if matches!(standing, Standing::Up | Standing::Trying(_)) {
                *standing = Standing::Idle;
                steps.push(Step::Leave(later));
            }
        }
        steps
    }

    /// It is down, and being tried.
    pub fn down(&mut self, way: usize, now: Instant) {
        if let Some(standing) = self.0.get_mut(way).filter(|standing| **standing == Standing::Up) {
            *standing = Standing::Trying(now);
        }
    }

    /// It is given up.
    pub fn failed(&mut self, way: usize) {
        if let Some(standing) = self.0.get_mut(way).filter(|standing| **standing != Standing::Idle) {
            *standing = Standing::Failed;
        }
    }

    /// What is due at `now`.
    pub fn due(&mut self, now: Instant) -> Option<Step> {
        if self.next_at()? > now {
            return None;
        }
        let next = self.0.iter().position(|standing| *standing == Standing::Idle)?;
        self.0[next] = Standing::Trying(now);
        Some(Step::Start(next))
    }

    /// When the next way is to be taken, if nothing comes up before; `None` where that is not the question.
    pub fn next_at(&self) -> Option<Instant> {
        if self.0.contains(&Standing::Up) || !self.0.contains(&Standing::Idle) {
            return None;
        }
        let trying = self.0.iter().filter_map(|standing| match standing {
            Standing::Trying(since) => Some(*since + NEXT_WAY),
            _ => None,
        });
        // With nothing under way, at once.
        Some(trying.max().unwrap_or_else(long_ago))
    }

    /// Whether no way is left that could come up.
    pub fn is_over(&self) -> bool {
        self.0.iter().all(|standing| *standing == Standing::Failed)
    }
}

fn long_ago() -> Instant {
    let now = Instant::now();
    now.checked_sub(NEXT_WAY).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_way_is_taken_when_one_stays_down_and_left_when_it_is_back() {
        let start = Instant::now();
        let mut order = Order::new(3);
        assert_eq!(order.due(start), Some(Step::Start(0)));
        assert_eq!(order.due(start), None);
        assert_eq!(order.due(start + NEXT_WAY), Some(Step::Start(1)));
        assert_eq!(order.up(1), []);
        assert_eq!(order.next_at(), None);
        assert_eq!(order.up(0), [Step::Leave(1)]);
        order.down(0, start + NEXT_WAY * 3);
        assert_eq!(order.due(start + NEXT_WAY * 3), None);
        assert_eq!(order.due(start + NEXT_WAY * 4), Some(Step::Start(1)));
    }

    #[test]
    fn a_way_that_is_given_up_makes_room_at_once() {
        let now = Instant::now();
        let mut order = Order::new(2);
        order.due(now);
        order.failed(0);
        assert_eq!(order.due(now), Some(Step::Start(1)));
        assert!(!order.is_over());
        order.failed(1);
        assert!(order.is_over());
        assert_eq!(order.due(now + NEXT_WAY * 9), None);
    }

    #[test]
    fn what_was_left_is_not_listened_to() {
        let now = Instant::now();
        let mut order = Order::new(2);
        order.due(now);
        order.failed(1);
        order.down(1, now);
        assert_eq!(order.due(now + NEXT_WAY), Some(Step::Start(1)));
    }
}
