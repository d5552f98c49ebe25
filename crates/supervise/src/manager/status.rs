use std::time::{Duration, Instant};

use super::Manager;
use super::app::AppState;
use crate::event::{AppStatus, InstanceState, InstanceStatus};
use crate::machine::{Phase, Preparation};
use crate::process::usage;

impl Manager {
    pub(super) fn app_statuses(&self) -> Vec<AppStatus> {
        self.apps.values().map(|state| self.app_status(state)).collect()
    }

    fn app_status(&self, state: &AppState) -> AppStatus {
        let now = Instant::now();
        let pid = |running: &super::app::Running| running.unit.as_ref().map_or(0, |unit| unit.started.pid);
        let pids: Vec<u32> = state.instances.values().map(pid).collect();
        let used = usage(&pids);
        let instances = state.instances.iter().zip(used).map(|((number, running), of_group)| {
            let (memory, cpu) = running.unit.as_ref().map_or(of_group, |unit| unit.usage(of_group));
            let phase = state.machine.processes().find(|(n, _)| n == number).map(|(_, process)| process.phase);
            InstanceStatus {
                id: running.id.clone(),
                pid: pid(running),
                addr: running.addr.upstream(),
                state: match phase {
                    Some(Phase::Starting { .. }) => InstanceState::Starting,
                    Some(Phase::Ready { .. }) => InstanceState::Ready,
                    Some(Phase::Draining { .. }) => InstanceState::Draining,
                    Some(Phase::Stopping { .. }) | None => InstanceState::Stopping,
                },
                uptime: now.saturating_duration_since(running.started),
                memory,
                cpu,
            }
        });
        AppStatus {
            name: state.app.name.clone(),
            wanted: if state.machine.is_stopping() { 0 } else { state.app.instances.max(1) },
            instances: instances.collect(),
            restarts: state.machine.restarts(),
            crash_loop: state.machine.crash_loop(),
            note: self.note(state, now),
            last_failure: state.last_failure.clone(),
            static_files: state.static_files.clone(),
        }
    }

    fn note(&self, state: &AppState, now: Instant) -> String {
        if state.machine.is_stopping() {
            return "stopping".to_owned();
        }
        if !self.orphans_ended {
            return "ending what an earlier doorstep left running".to_owned();
        }
        if !state.machine.is_allowed() {
            let missing = state
                .app
                .after
                .iter()
                .filter(|name| self.apps.get(&name.0).is_some_and(|other| !other.machine.is_up()));
            let missing: Vec<String> = missing.map(ToString::to_string).collect();
            return format!("waiting for {}", missing.join(", "));
        }
        match state.machine.preparation() {
            Preparation::Running => "preparing".to_owned(),
            Preparation::Failed { retry_at } => {
                let wait = retry_at.saturating_duration_since(now);
                format!("preparing failed; tried again in {} s", wait.max(Duration::from_secs(1)).as_secs())
            }
            _ if state.machine.in_trouble() => {
                "the new version does not become ready; the one before goes on".to_owned()
            }
            _ if state.machine.is_rolling() => "replacing".to_owned(),
            _ => String::new(),
        }
    }
}
