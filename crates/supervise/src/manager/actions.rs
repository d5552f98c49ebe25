use std::io;
use std::sync::Arc;
use std::time::Instant;

use doorstep_model::Finding;

use super::app::{Running, instance_id};
use super::{Input, Manager, random};
use crate::event::{Event, Instance};
use crate::findings::Case;
use crate::journal::{Addr, Entry, Kind};
use crate::machine::{Action, Generation, Number, Phase, Preparation, Trouble};
use crate::output::Fifo;
use crate::prepare::{Argv, Prepared, Workshop, base_env, merge, prepare};
use crate::process::{Exit, MARK, Unit};
use crate::{SpawnError, Start, limits, python, ready, run_dir, tmp};

impl Manager {
    /// Carries out what the machines say. New instances are in the journal, all of them in one write, before the first one starts.
    pub(super) fn step_apps(&mut self) {
        let names: Vec<String> = self.apps.keys().cloned().collect();
        let mut starts = Vec::new();
        for name in names {
            let actions = match self.apps.get_mut(&name) {
                Some(state) => state.machine.step(Instant::now()),
                None => continue,
            };
            for action in actions {
                match action {
                    Action::Prepare { generation, again } => self.start_preparing(&name, generation, again),
                    Action::Start { number, slot, generation } => {
                        if let Some(start) = self.plan_start(&name, number, slot, generation) {
                            starts.push((name.clone(), number, start));
                        }
                    }
                    Action::Terminate(number) => self.signal(&name, number, false),
                    Action::Kill(number) => self.signal(&name, number, true),
                    Action::Publish => self.publish(&name),
                    Action::Report(trouble) => self.report_trouble(&name, &trouble),
                }
            }
            self.clean_up(&name);
        }
        self.write_journal();
        for (name, number, start) in starts {
            self.start(name, number, start);
        }
    }

    fn start_preparing(&mut self, name: &str, generation: Generation, again: bool) {
        let Some(state) = self.apps.get_mut(name) else { return };
        let Some(plan) = state.plans.get(&generation) else { return };
        let workshop = Workshop {
            app: Arc::clone(&plan.app),
            identity: plan.identity.clone(),
            spawn: Arc::clone(&self.options.spawn),
            log: Arc::clone(&state.log),
            run_dir: state.run_dir.clone(),
            python_dir: state.python_dir.clone(),
            state_dir: self.options.state_dir.clone(),
            mark: format!("{}:prepare:{name}:{generation}", self.journal.token),
            old_goes_on: state.machine.is_up(),
        };
        let (inputs, app) = (self.inputs.clone(), name.to_owned());
        state.preparing = Some(tokio::spawn(async move {
            let result = Box::new(prepare(&workshop, again).await);
            let _ = inputs.send(Input::Prepared { app, generation, result });
        }));
    }

    pub(super) fn prepared(&mut self, name: &str, generation: Generation, result: Result<Prepared, Finding>) {
        let now = Instant::now();
        let Some(state) = self.apps.get_mut(name) else { return };
        if generation != state.machine.wanted() || state.machine.preparation() != Preparation::Running {
            return;
        }
        state.preparing = None;
        state.machine.prepared(generation, result.is_ok(), now, random());
        match result {
            Ok(prepared) => {
                let files = prepared.static_files.clone();
                if let Some(plan) = state.plans.get_mut(&generation) {
                    plan.prepared = Some(prepared);
                }
                if files != state.static_files {
                    state.static_files.clone_from(&files);
                    let app = state.app.name.clone();
                    self.tell(Event::Static { app, files });
                }
            }
            Err(finding) => {
                state.last_failure.clone_from(&finding.what);
                state.log.line("doorstep", finding.what.lines().next().unwrap_or_default());
                self.report(finding);
            }
        }
    }

    /// Makes address and pipe of a new instance, and notes it in the journal.
    fn plan_start(&mut self, name: &str, number: Number, slot: usize, generation: Generation) -> Option<Start> {
        let taken: Vec<u16> = self.journal.entries.iter().filter_map(|entry| port(&entry.addr)).collect();
        let token = &self.journal.token;
        let state = self.apps.get_mut(name)?;
        let id = instance_id(slot, number);
        let plan = state.plans.get(&generation)?;
        let prepared = plan.prepared.as_ref()?;
        let (addr, fifo) = match make_channels(&state.run_dir, &plan.app, &id, &taken) {
            Ok(channels) => channels,
            Err(error) => {
                self.not_started(name, number, &error.into());
                return None;
            }
        };
        let path = state.run_dir.join(format!("{id}.out"));
        let (output, reader) =
            match fifo.child_end().and_then(|end| Ok((end, fifo.read_into(Arc::clone(&state.log), id.clone())?))) {
                Ok(ends) => ends,
                Err(error) => {
                    self.not_started(name, number, &error.into());
                    return None;
                }
            };
        let mut env = base_env(&plan.identity, &plan.app.exec);
        merge(&mut env, &prepared.env);
        merge(&mut env, &addr_env(&addr));
        env.push(("INSTANCE".to_owned(), (slot + 1).to_string()));
        env.push((MARK.to_owned(), mark(token, Kind::Instance, name, number)));
        let argv = match &prepared.command {
            Argv::Shell(command) => shell(command),
            Argv::Server(server) => server.argv(&addr),
        };
        let start = Start {
            argv,
            exec: plan.app.exec.clone(),
            env,
            output,
            writes: vec![state.run_dir.clone()],
            private_tmp: tmp::of(&self.options.state_dir, &plan.app.exec, &format!("{name}.{id}")),
            unit: format!("{name}.{id}"),
        };
        let running = Running {
            id,
            addr: addr.clone(),
            uid: plan.identity.uid,
            unit: None,
            reader: Some(reader),
            fifo: path.clone(),
            probe: None,
            started: Instant::now(),
            doomed: (false, false),
            exit: None,
            how: String::new(),
        };
        state.instances.insert(number, running);
        let hash = plan.hash.clone();
        let entry = Entry {
            name: name.to_owned(),
            kind: Kind::Instance,
            number,
            slot,
            hash,
            process: None,
            addr,
            fifo: path,
            ready: false,
        };
        self.journal.entries.push(entry);
        self.journal.next.insert(name.to_owned(), state.machine.next_number());
        self.journal_dirty = true;
        Some(start)
    }

    fn start(&self, app: String, number: Number, start: Start) {
        let spawn = Arc::clone(&self.options.spawn);
        let mark = mark(&self.journal.token, Kind::Instance, &app, number);
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let result = spawn_held(spawn, start, mark).await;
            let _ = inputs.send(Input::Spawned { app, number, result });
        });
    }

    pub(super) fn spawned(&mut self, name: &str, number: Number, result: Result<(Unit, Vec<Finding>), SpawnError>) {
        let Some(state) = self.apps.get_mut(name) else { return };
        let Some(running) = state.instances.get_mut(&number) else { return };
        match result {
            Ok((unit, notes)) => {
                let (terminate, kill) = running.doomed;
                if terminate {
                    unit.terminate();
                }
                if kill {
                    unit.kill();
                }
                self.note_process(name, Kind::Instance, number, &unit);
                self.attend(name, number, unit);
                self.report_notes(name, notes);
            }
            Err(error) => self.not_started(name, number, &error),
        }
    }

    fn report_notes(&mut self, name: &str, notes: Vec<Finding>) {
        for mut note in notes {
            let Some(state) = self.apps.get_mut(name) else { return };
            if !state.notes.contains(&note.what) {
                state.notes.push(note.what.clone());
                note.what = format!("For the app {name}: {}", note.what);
                self.report(note);
            }
        }
    }

    /// Looks after a process: whether it becomes ready, when it ends, what it leaves.
    pub(super) fn attend(&mut self, name: &str, number: Number, unit: Unit) {
        let Some(state) = self.apps.get_mut(name) else { return };
        let Some(running) = state.instances.get_mut(&number) else { return };
        let starting = state
            .machine
            .processes()
            .any(|(n, process)| n == number && matches!(process.phase, Phase::Starting { .. }));
        if starting {
            let (inputs, app) = (self.inputs.clone(), name.to_owned());
            let look = ready::until_ready(running.addr.clone(), state.app.ready.clone(), running.uid);
            running.probe = Some(tokio::spawn(async move {
                look.await;
                let _ = inputs.send(Input::Ready { app, number });
            }));
        }
        running.unit = Some(unit.clone());
        let output = running.reader.as_ref().map(|reader| reader.catch_up());
        let grace = state.app.stop_grace.min(limits::LEFTOVER_GRACE);
        let unit_name = format!("{name}.{}", running.id);
        let (inputs, app, spawn) = (self.inputs.clone(), name.to_owned(), Arc::clone(&self.options.spawn));
        let state_dir = self.options.state_dir.clone();
        tokio::spawn(async move {
            let exit = unit.ended().await;
            if let Some(output) = output {
                output.wait().await;
            }
            let _ = inputs.send(Input::Ended { app: app.clone(), number, exit });
            unit.finish(grace).await;
            tmp::release(spawn, state_dir, unit_name).await;
            let _ = inputs.send(Input::Gone { app, number });
        });
    }

    pub(super) fn ready(&mut self, name: &str, number: Number) {
        let Some(state) = self.apps.get_mut(name) else { return };
        let Some(running) = state.instances.get_mut(&number) else { return };
        running.probe = None;
        state.machine.ready(number, Instant::now());
        state.log.line("doorstep", &format!("{} is ready", running.id));
        if let Some(entry) = entry(&mut self.journal.entries, name, Kind::Instance, number) {
            entry.ready = true;
            self.journal_dirty = true;
        }
    }

    pub(super) fn ended(&mut self, name: &str, number: Number, exit: Exit) {
        let Some(state) = self.apps.get_mut(name) else { return };
        let Some(running) = state.instances.get_mut(&number) else { return };
        if let Some(probe) = running.probe.take() {
            probe.abort();
        }
        running.exit = Some(exit);
        running.how = exit.words();
        state.log.line("doorstep", &format!("{} {}", running.id, running.how));
        state.machine.exited(number, Instant::now(), random());
    }

    /// As one that ended at once.
    fn not_started(&mut self, name: &str, number: Number, error: &SpawnError) {
        let Some(state) = self.apps.get_mut(name) else { return };
        let how = format!("could not be started: {}", error.what);
        state.log.line("doorstep", &how);
        state.last_failure.clone_from(&how);
        state.refused = (how, error.fix.clone());
        state.machine.exited(number, Instant::now(), random());
        let _ = self.inputs.send(Input::Gone { app: name.to_owned(), number });
    }

    pub(super) fn gone(&mut self, name: &str, number: Number) {
        self.forget_entry(name, Kind::Instance, number);
        let Some(state) = self.apps.get_mut(name) else { return };
        let Some(mut running) = state.instances.remove(&number) else { return };
        if let Some(reader) = running.reader.take() {
            tokio::spawn(reader.finish());
        }
        if let Addr::Socket(path) = &running.addr {
            let _ = std::fs::remove_file(path);
        }
    }

    fn signal(&mut self, name: &str, number: Number, kill: bool) {
        let Some(running) = self.apps.get_mut(name).and_then(|state| state.instances.get_mut(&number)) else { return };
        if let Some(probe) = running.probe.take() {
            probe.abort();
        }
        let (terminated, killed) = running.doomed;
        running.doomed = (terminated || !kill, killed || kill);
        match &running.unit {
            Some(unit) if kill => unit.kill(),
            Some(unit) => unit.terminate(),
            None => {}
        }
    }

    fn publish(&mut self, name: &str) {
        let Some(state) = self.apps.get(name) else { return };
        let members = state.machine.members().iter().filter_map(|(number, draining)| {
            let running = state.instances.get(number)?;
            Some(Instance { id: running.id.clone(), addr: running.addr.upstream(), draining: *draining })
        });
        self.tell(Event::Members { app: state.app.name.clone(), members: members.collect() });
    }

    fn report_trouble(&mut self, name: &str, trouble: &Trouble) {
        let Some(state) = self.apps.get_mut(name) else { return };
        let (Trouble::Exited(number)
        | Trouble::CrashLoop(number)
        | Trouble::NotReady(number)
        | Trouble::ReplacementFailed(number)) = trouble;
        let running = state.instances.get(number);
        let id = running.map(|running| running.id.clone()).unwrap_or_default();
        let (how, fix) = match running {
            Some(running) if running.doomed.0 => ("was not ready in time", ""),
            Some(running) if !running.how.is_empty() => (running.how.as_str(), ""),
            // What is not there any more, or never was.
            _ => (state.refused.0.as_str(), state.refused.1.as_str()),
        };
        let said = if id.is_empty() { Vec::new() } else { state.log.said(&id, limits::REPORT_LINES) };
        let exit = running.and_then(|running| running.exit);
        let case = Case { app: name, id: &id, how, exit, fix, said: &said };
        let finding = match trouble {
            Trouble::Exited(_) => case.exited(),
            Trouble::CrashLoop(_) => case.crash_loop(),
            Trouble::NotReady(_) => case.not_ready(state.app.ready.timeout.as_secs(), state.app.ready.path.as_deref()),
            Trouble::ReplacementFailed(_) => case.replacement_failed(),
        };
        state.last_failure.clone_from(&finding.what);
        self.report(finding);
    }

    /// Lets go of what nothing needs any more.
    fn clean_up(&mut self, name: &str) {
        let Some(state) = self.apps.get_mut(name) else { return };
        if state.is_over() {
            let files = state.static_files.take();
            let app = state.app.name.clone();
            self.apps.remove(name);
            if files.is_some() {
                self.tell(Event::Static { app, files: None });
            }
            return;
        }
        let machine = &state.machine;
        state.plans.retain(|generation, _| machine.uses(*generation));
        let wanted = machine.wanted();
        let settled = machine.is_up()
            && machine.processes().all(|(_, process)| process.generation == wanted)
            && state.instances.values().all(|running| running.exit.is_none());
        if settled && state.cleaned != wanted {
            state.cleaned = wanted;
            let used = state.plans.get(&wanted).and_then(|plan| plan.prepared.as_ref()?.environment.clone());
            if let Some(used) = used {
                let dir = state.python_dir.clone();
                tokio::task::spawn_blocking(move || python::remove_unused(&dir, &used));
            }
        }
    }

    pub(super) fn note_process(&mut self, name: &str, kind: Kind, number: Number, unit: &Unit) {
        if let Some(entry) = entry(&mut self.journal.entries, name, kind, number) {
            entry.process = Some(unit.started);
            self.journal_dirty = true;
        }
    }

    pub(super) fn forget_entry(&mut self, name: &str, kind: Kind, number: Number) {
        self.journal.entries.retain(|entry| !(entry.name == name && entry.kind == kind && entry.number == number));
        self.journal_dirty = true;
    }
}

/// Starts a program and takes hold of it.
pub(super) async fn spawn_held(
    spawn: Arc<dyn crate::Spawn>,
    start: Start,
    mark: String,
) -> Result<(Unit, Vec<Finding>), SpawnError> {
    let unit = start.unit.clone();
    let spawner = Arc::clone(&spawn);
    let spawned = tokio::task::spawn_blocking(move || spawner.spawn(start)).await.map_err(io::Error::other)??;
    let unit = Unit::hold(spawned.pid, mark, spawn.cgroup(&unit))?;
    Ok((unit, spawned.notes))
}

/// The value of [`MARK`] in the environment of what we start.
pub(super) fn mark(token: &str, kind: Kind, name: &str, number: Number) -> String {
    let kind = match kind {
        Kind::Instance => "app",
        Kind::Job => "job",
    };
    format!("{token}:{kind}:{name}:{number}")
}

fn make_channels(
    dir: &std::path::Path,
    app: &doorstep_model::App,
    id: &str,
    taken: &[u16],
) -> io::Result<(Addr, Fifo)> {
    let addr = run_dir::address(app.listen, dir, id, taken)?;
    Ok((addr, Fifo::open(&dir.join(format!("{id}.out")))?))
}

fn port(addr: &Addr) -> Option<u16> {
    match addr {
        Addr::Port(port) => Some(*port),
        _ => None,
    }
}

fn addr_env(addr: &Addr) -> Vec<(String, String)> {
    match addr {
        Addr::Socket(path) => vec![("SOCKET".to_owned(), path.display().to_string())],
        Addr::Port(port) => {
            vec![("PORT".to_owned(), port.to_string()), ("HOST".to_owned(), "127.0.0.1".to_owned())]
        }
        Addr::Nowhere => Vec::new(),
    }
}

/// A plain command replaces the shell, so that signals reach it directly; what only a shell understands keeps its shell.
pub(super) fn shell(command: &str) -> Vec<String> {
    const WORDS: [&str; 12] =
        ["if", "for", "while", "until", "case", "cd", "export", "set", ".", "exec", "!", "ulimit"];
    let first = command.split_whitespace().next().unwrap_or_default();
    let plain = !command.contains(['\n', ';', '&', '|', '{', '(', '<', '>', '`'])
        && !first.contains('=')
        && !WORDS.contains(&first);
    let text = if plain { format!("exec {command}") } else { command.to_owned() };
    vec!["/bin/sh".to_owned(), "-c".to_owned(), text]
}

fn entry<'a>(entries: &'a mut [Entry], name: &str, kind: Kind, number: Number) -> Option<&'a mut Entry> {
    entries.iter_mut().find(|entry| entry.name == name && entry.kind == kind && entry.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_command_replaces_its_shell() {
        assert_eq!(shell("node server.js")[2], "exec node server.js");
        for command in ["a && b", "FOO=1 node x", "cd x; y", "exec x", "if true; then y; fi"] {
            assert_eq!(shell(command)[2], command);
        }
    }
}
