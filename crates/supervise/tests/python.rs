//! Python apps: environments made by pip from the package registry, gunicorn and uvicorn in them.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Fixture, get, until};
use doorstep_model::{App, AppCommand, Python};
use doorstep_sandbox::{OWN_BINARY, User};
use doorstep_supervise::{AppStatus, SandboxSpawn};

doorstep_sandbox::launch_in_tests!();

/// An installation from a registry.
const INSTALL: Duration = Duration::from_secs(280);

fn python(fixture: &Fixture, entry: &str) -> App {
    let mut app = fixture.app("web", "");
    app.command = AppCommand::Python(Python {
        entry: entry.into(),
        asgi: None,
        threads: 4,
        interpreter: "/usr/bin/python3".into(),
        collectstatic: None,
    });
    app
}

fn write(fixture: &Fixture, name: &str, text: &str) {
    let path = fixture.dir.join("app").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

async fn installed(fixture: &Fixture) -> AppStatus {
    let ready = async {
        loop {
            let findings = fixture.seen.lock().unwrap().findings.clone();
            assert!(findings.is_empty(), "{findings:?}\n{}", fixture.log("web"));
            let status = fixture.status("web").await.unwrap();
            if status.instances.len() == 1 && status.instances[0].state == doorstep_supervise::InstanceState::Ready {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(INSTALL, ready).await.expect("an installation in time")
}

fn environments(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir.join("state/python/web")).unwrap().flatten();
    entries.filter(|entry| entry.file_name().len() == 32).count()
}

#[tokio::test]
async fn flask_by_gunicorn_and_a_failing_installation_leaves_it_running() {
    let fixture = Fixture::new();
    write(&fixture, "requirements.txt", "flask\n");
    let main = "from flask import Flask, request
app = Flask(__name__)
@app.get('/')
def index():
    return 'hello from ' + request.environ['SERVER_SOFTWARE']
";
    write(&fixture, "main.py", main);
    let mut app = python(&fixture, "main:app");
    app.pre_start = vec!["python -c 'import flask, sys; print(\"migrated by\", sys.prefix)'".into()];
    fixture.supervisor.apply(vec![app.clone()], vec![]);
    let status = installed(&fixture).await;
    assert!(get(&status.instances[0].addr, "/").await.unwrap().contains("hello from gunicorn"));
    fixture.logged("web", "migrated by").await;
    assert!(!fixture.log("web").contains("Control socket"));
    assert!(!fixture.dir.join("app/venv").exists() && !fixture.dir.join("app/.venv").exists());

    write(&fixture, "requirements.txt", "flask\n./there-is-no-such-folder\n");
    fixture.supervisor.restart("web").await.unwrap();
    let finding = fixture.finding("app-preparation-failed").await;
    assert!(finding.what.contains("pip install") && finding.what.contains("there-is-no-such-folder"), "{finding:?}");
    let after = fixture.ready("web", 1).await;
    assert_eq!(after.instances[0].pid, status.instances[0].pid);
    assert_eq!(environments(&fixture.dir), 2);

    // With requirements that are as before, nothing is installed; what is left of the failure goes.
    write(&fixture, "requirements.txt", "flask\n");
    fixture.supervisor.restart("web").await.unwrap();
    until("another process", || async {
        let now = fixture.ready("web", 1).await;
        (now.instances[0].pid != status.instances[0].pid).then_some(())
    })
    .await;
    until("one environment", || async { (environments(&fixture.dir) == 1).then_some(()) }).await;
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn an_environment_belongs_to_the_app_user() {
    let Ok(Some(nobody)) = User::find("nobody") else { return };
    if User::current().uid != 0 {
        eprintln!("left out: only root can start programs as others");
        return;
    }
    let temporary = tempfile::Builder::new().prefix("ds").tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let fixture = Fixture::at(temporary.path(), Arc::new(SandboxSpawn::new(OWN_BINARY.into())));
    let main = "import os
def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '1')])
    return [b'x']
";
    write(&fixture, "main.py", main);
    let mut app = python(&fixture, "main:app");
    app.exec.user = Some("nobody".into());
    app.exec.writes = Some(vec![]);
    app.exec.umask = Some(0o077);
    fixture.supervisor.apply(vec![app], vec![]);
    let status = installed(&fixture).await;
    assert!(get(&status.instances[0].addr, "/").await.is_ok());
    let state = temporary.path().join("state");
    assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o777, 0o711, "others pass, and see nothing");
    assert_eq!(std::fs::metadata(state.join("python/web")).unwrap().uid(), nobody.uid);
    assert_eq!(std::fs::metadata(state.join("apps.json")).unwrap().mode() & 0o777, 0o600);
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn an_asgi_app_is_recognised() {
    let fixture = Fixture::new();
    write(&fixture, "pyproject.toml", "[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\"idna\"]\n");
    let main = "import idna
async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        return
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'over ' + scope['type'].encode()})
";
    write(&fixture, "main.py", main);
    fixture.supervisor.apply(vec![python(&fixture, "main:app")], vec![]);
    let status = installed(&fixture).await;
    assert!(get(&status.instances[0].addr, "/").await.unwrap().contains("over http"));
    assert!(fixture.log("web").to_lowercase().contains("uvicorn"));
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn django_static_files_are_collected_without_touching_the_project() {
    let fixture = Fixture::new();
    write(&fixture, "requirements.txt", "django\n");
    write(&fixture, "site1/__init__.py", "");
    write(&fixture, "site1/static/site.css", "body { color: red }");
    let settings = "SECRET_KEY = 'x'
DEBUG = False
ALLOWED_HOSTS = ['*']
ROOT_URLCONF = 'site1.urls'
INSTALLED_APPS = ['django.contrib.staticfiles', 'site1']
STATIC_URL = 'static/'
STORAGES = {
    'default': {'BACKEND': 'django.core.files.storage.FileSystemStorage'},
    'staticfiles': {'BACKEND': 'django.contrib.staticfiles.storage.ManifestStaticFilesStorage'},
}
";
    write(&fixture, "site1/settings.py", settings);
    let urls = "from django.http import HttpResponse
from django.templatetags.static import static
from django.urls import path
urlpatterns = [path('', lambda request: HttpResponse(static('site.css')))]
";
    write(&fixture, "site1/urls.py", urls);
    let wsgi = "import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')
application = get_wsgi_application()
";
    write(&fixture, "site1/wsgi.py", wsgi);
    let manage = "import os, sys
def main():
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
if __name__ == '__main__':
    main()
";
    write(&fixture, "manage.py", manage);
    let mut app = python(&fixture, "site1.wsgi:application");
    if let AppCommand::Python(python) = &mut app.command {
        python.collectstatic = Some("/static".into());
    }
    fixture.supervisor.apply(vec![app], vec![]);
    let status = installed(&fixture).await;
    let files = status.static_files.unwrap();
    assert_eq!(fixture.seen.lock().unwrap().statics, [Some(files.clone())]);
    // The app knows the collected file's name from the manifest, in a folder that its settings do not name.
    let url = get(&status.instances[0].addr, "/").await.unwrap();
    let name = url.lines().find_map(|line| line.strip_prefix("/static/")).unwrap_or_else(|| panic!("{url}"));
    assert!(name.starts_with("site.") && name != "site.css", "{name}");
    assert_eq!(files.path, "/static");
    assert!(files.dir.join(name).is_file());
    assert!(!fixture.dir.join("app/static").exists());
    fixture.supervisor.stop_all().await;
}
