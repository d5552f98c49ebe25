//! What must never come out of a share.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use common::Share;
use doorstep_model::FileOptions;
use http::StatusCode;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode};

#[tokio::test]
async fn secrets_are_as_if_they_were_not_there() {
    let names = [".env", ".git/config", "sub/.hidden/x", "server.key", "app.sqlite3", "id_rsa", "a.php~", "x.bak"];
    for hidden in [false, true] {
        let share = Share::with(FileOptions { hidden, ..FileOptions::default() });
        share.file(".well-known/security.txt", "mail");
        assert_eq!(share.get("/.well-known/security.txt").await.text(), "mail");
        for name in names {
            share.file(name, "secret");
            let status = if hidden { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(share.get(&format!("/{name}")).await.status, status, "{name}");
            assert_eq!(share.get(&format!("/{}", name.replace('.', "%2e"))).await.status, status, "{name}");
        }
        let folder = share.get("/.git/").await.status;
        assert_eq!(folder, if hidden { StatusCode::OK } else { StatusCode::NOT_FOUND });
        share.file(".doorstep-upload-1", "half");
        assert_eq!(share.get("/.doorstep-upload-1").await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn no_spelling_leads_out() {
    let share = Share::new();
    share.file("sub/a.txt", "a");
    fs::write(share.dir.path().join("secret"), "secret").unwrap();
    symlink("../secret", share.path("out")).unwrap();
    symlink(share.dir.path(), share.path("outside")).unwrap();
    symlink("sub/a.txt", share.path("inside")).unwrap();
    symlink("loop", share.path("loop")).unwrap();
    for target in [
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/sub/..%2f..%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/sub/%00/../../secret",
        "/a%00.txt",
        "/sub/a.txt%00",
        "/out",
        "/outside/secret",
        "/outside/",
        "/loop",
        "/%c0%ae%c0%ae/secret",
        "/%252e%252e/secret",
    ] {
        let answer = share.get(target).await;
        assert_ne!(answer.text(), "secret", "{target}");
        assert!(!answer.text().contains("share/"), "{target}");
        assert!(answer.status == StatusCode::NOT_FOUND || target.contains(".."), "{target}: {}", answer.status);
    }
    assert_eq!(share.get("/inside").await.text(), "a");
    assert_eq!(share.get(&format!("/{}", "n".repeat(5000))).await.status, StatusCode::NOT_FOUND);
    assert_eq!(share.get(&format!("/{}", "n".repeat(256))).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_link_that_is_turned_outwards_stops_working() {
    let share = Share::new();
    share.file("a.txt", "a");
    fs::write(share.dir.path().join("secret"), "secret").unwrap();
    symlink("a.txt", share.path("link")).unwrap();
    assert_eq!(share.get("/link").await.text(), "a");
    tokio::time::sleep(Duration::from_millis(60)).await;
    fs::remove_file(share.path("link")).unwrap();
    symlink("../secret", share.path("link")).unwrap();
    assert_eq!(share.get("/link").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_compressed_sibling_does_not_lead_out_either() {
    let share = Share::new();
    share.file("a.css", "body{}").file("big.css", vec![b' '; 100_000]);
    fs::write(share.dir.path().join("secret.gz"), "secret").unwrap();
    symlink("../secret.gz", share.path("a.css.gz")).unwrap();
    symlink("../secret.gz", share.path("big.css.br")).unwrap();
    for target in ["/a.css", "/big.css"] {
        let answer = share.get_with(target, &[("accept-encoding", "gzip, br")]).await;
        assert_ne!(answer.body, "secret", "{target}");
    }
}

#[tokio::test]
async fn pipes_and_sockets_are_nothing() {
    let share = Share::new();
    rustix::fs::mknodat(CWD, share.path("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(share.path("socket")).unwrap();
    for target in ["/pipe", "/socket", "/pipe/"] {
        assert_eq!(share.get(target).await.status, StatusCode::NOT_FOUND, "{target}");
    }
}

/// As a user without rights, whoever runs the test.
#[test]
fn what_may_not_be_read_is_forbidden() {
    let share = Share::new();
    share.file("locked.txt", "locked").file("closed/a.txt", "a").file("open.txt", "open");
    for path in ["", "open.txt"] {
        fs::set_permissions(share.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(share.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["locked.txt", "closed"] {
        fs::set_permissions(share.path(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let asking = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = |target: &str| runtime.block_on(share.get(target)).status;
        let found = [status("/open.txt"), status("/locked.txt"), status("/closed/a.txt"), status("/closed/")];
        (found, share)
    });
    let (found, share) = asking.join().unwrap();
    fs::set_permissions(share.path("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    let forbidden = StatusCode::FORBIDDEN;
    assert_eq!(found, [StatusCode::OK, forbidden, forbidden, forbidden]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a visitor writes, a secret beside or inside the share stays one, and nothing panics.
    #[test]
    fn no_target_reveals_a_secret(
        parts in prop::collection::vec(
            prop_oneof![
                Just("sub".to_owned()), Just("..".to_owned()), Just("%2e%2e".to_owned()), Just("out".to_owned()),
                Just("secret".to_owned()), Just(".env".to_owned()), Just("%2eenv".to_owned()), Just("%2f".to_owned()),
                "[ -~]{0,6}",
            ],
            0..6,
        )
    ) {
        let share = Share::new();
        share.file("sub/a.txt", "a").file(".env", "the secret").file("sub/.env", "the secret");
        fs::write(share.dir.path().join("secret"), "the secret").unwrap();
        symlink("..", share.path("out")).unwrap();
        let target = format!("/{}", parts.join("/").replace(['?', '#', ' '], ""));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(share.get(&target));
        prop_assert!(!String::from_utf8_lossy(&answer.body).contains("the secret"), "{}", target);
    }
}
