use doorstep_model::{App, AppCommand, Exec};

/// FNV-1a over 128 bits. Tells definitions and requirement files apart; keeps nobody from forging one, which would only harm
/// whoever wrote both.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut add = |byte: u8| hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    for part in parts {
        (part.len() as u64).to_le_bytes().into_iter().for_each(&mut add);
        part.iter().copied().for_each(&mut add);
    }
    format!("{hash:032x}")
}

/// Changes when running instances no longer are what the definition says. What can be changed under them (how many, how long to
/// wait, what comes before) does not count.
pub(crate) fn definition_hash(app: &App) -> String {
    let command = match &app.command {
        AppCommand::Run(command) => format!("run {command}"),
        AppCommand::Python(python) => format!("{python:?}"),
    };
    let pre_start = app.pre_start.join("\0");
    let listen = format!("{:?}", app.listen);
    let (exec, env) = exec_parts(&app.exec);
    fingerprint(&[command.as_bytes(), pre_start.as_bytes(), listen.as_bytes(), exec.as_bytes(), env.as_bytes()])
}

/// Values of the environment are printed as `[redacted]` by `Debug`, so they come apart.
fn exec_parts(exec: &Exec) -> (String, String) {
    let env: Vec<String> = exec.env.iter().map(|(name, value)| format!("{name}={}", value.reveal())).collect();
    (format!("{exec:?}"), env.join("\0"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use doorstep_model::{AppListen, AppName, Orphans, Readiness, Rotation, Secret};

    use super::*;

    pub(crate) fn app(command: &str) -> App {
        App {
            name: AppName("blog".into()),
            command: AppCommand::Run(command.into()),
            exec: Exec { dir: "/".into(), ..Exec::default() },
            listen: AppListen::Socket,
            instances: 1,
            after: Vec::new(),
            pre_start: Vec::new(),
            ready: Readiness::default(),
            stop_grace: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            watch: false,
            orphans: Orphans::End,
            log: Rotation::default(),
        }
    }

    #[test]
    fn what_needs_new_instances_changes_the_hash() {
        let before = app("./serve");
        let mut after = before.clone();
        after.instances = 4;
        after.drain = Duration::from_secs(1);
        assert_eq!(definition_hash(&before), definition_hash(&after));
        after.exec.env.push(("KEY".into(), Secret::new("1".into())));
        let one = definition_hash(&after);
        after.exec.env[0].1 = Secret::new("2".into());
        assert_ne!(definition_hash(&after), one);
        assert_ne!(definition_hash(&before), definition_hash(&app("./other")));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        // The FNV-1a test vector, without the length that we put before it, would be the offset basis.
        assert_eq!(fingerprint(&[]), "6c62272e07bb014262b821756295c58d");
    }
}
