use super::*;

fn fault(file: &str, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::write(dir.path().join(file), text).unwrap();
    let error = Registry::open(dir.path(), options()).err().expect("refused");
    assert!(!error.fix().is_empty());
    let text = error.to_string();
    text.split_once(", ").unwrap().1.to_owned()
}

const AGENT: &str = "# mine\n[[agent]]\nname = \"studio\"\njoined = 2026-01-01\n";

#[test]
fn mistakes_are_told_with_their_line() {
    let agents = |text: &str| fault("agents.toml", &format!("{AGENT}{text}"));
    assert_eq!(agents("names = [\n  \"a*b*\",\n]\n"), "line 6: \"a*b*\": at most one `*` in a pattern");
    assert_eq!(agents(AGENT), "line 7: there are two agents \"studio\"");
    assert!(agents("port = 3\n").starts_with("line 5: unknown field `port`"));
    assert!(agents("ports = \"3\"\n").starts_with("line 5: invalid type: string \"3\", expected "));
    assert!(agents("ports = \n").starts_with("line 5: "));
    let key = "[[agent.key]]\nadded = 2026-01-01T00:00:00Z\nkey = \"abc\"\n";
    assert_eq!(agents(key), "line 7: \"abc\" is not 43 letters and digits of base64url");
    assert_eq!(
        agents(&key.replace("2026-01-01T00:00:00Z", "10:00:00")),
        "line 7: \"abc\" is not 43 letters and digits of base64url"
    );
    let twice = key.replace("abc", &"A".repeat(43));
    assert_eq!(agents(&format!("{twice}{twice}")), "line 10: this key is in the file twice, also for studio");
    let names = |text: &str| fault("names.toml", text);
    assert_eq!(
        names(
            "[[owner]]\nagent = \"a\"\nnames = [\"x\"]\n\n[[owner]]\nagent = \"b\"\nnames = [\"x.tun.example.com\"]\n"
        ),
        "line 7: x.tun.example.com is in the file twice, also for a"
    );
    assert!(names("[[owner]]\nagent = \"a\"\nnames = [\"a b\"]\n").starts_with("line 3: \"a b\" is not a host name: "));
    assert!(names("[[owner]]\nagent = \"a\"\ntcp = [70000]\n").starts_with("line 3: "));
}

#[tokio::test]
async fn what_is_right_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let key = URL_SAFE_NO_PAD.encode([5; 32]);
    let text =
        format!("{AGENT}ports = 0\nuntil = 2999-01-01\n[[agent.key]]\nkey = \"{key}\"\nadded = 2026-01-01 10:00:00\n");
    std::fs::write(dir.path().join("agents.toml"), text).unwrap();
    std::fs::write(dir.path().join("names.toml"), "[[owner]]\nagent = \"studio\"\nnames = [\"Blog\"]\n").unwrap();
    let registry = open(dir.path());
    let agent = registry.authenticate(&[5; 32]).unwrap();
    assert_eq!((agent.limits.ports, agent.limits.until), (0, Some(32_472_144_000)));
    let session = session(&registry, &agent);
    claim(&registry, session, 1, &agent, &http("blog")).await.unwrap();
    assert_eq!(refused(claim(&registry, session, 2, &agent, &Claim::Tcp { port: 0 }).await), Code::TooManyPorts);
}

#[test]
fn damaged_secrets_are_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    doorstep_store::write_private(&dir.path().join("secret"), b"abc").unwrap();
    let error = Registry::open(dir.path(), options()).err().unwrap();
    assert!(error.to_string().ends_with("secret: it is damaged"), "{error}");
    let error = Registry::open(dir.path(), RegistryOptions::new("a b")).err().unwrap();
    assert!(matches!(error, RegistryError::Domain(_)));
}
