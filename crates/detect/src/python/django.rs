//! Django: what `manage.py` and the settings say.

use std::path::{Path, PathBuf};

use crate::found::{Part, Program, Serve, Start};
use crate::tree::Tree;
use crate::words::code;

/// The project whose `manage.py` lies in `folder`.
pub fn look(tree: &Tree, folder: &Path) -> Option<Part> {
    let manage = tree.text(folder.join("manage.py"));
    if !manage.contains("django") {
        return None;
    }
    let module = quoted_after(&manage, "DJANGO_SETTINGS_MODULE");
    let Some(module) = module else { return Some(single_file(folder)) };
    let package = module.split('.').next().unwrap_or_default().to_owned();
    let asgi = tree.text(folder.join(&package).join("asgi.py"));
    let has_wsgi = tree.has(folder.join(&package).join("wsgi.py"));
    let channels = asgi.contains("ProtocolTypeRouter");
    let server = if channels || !has_wsgi { "asgi" } else { "wsgi" };
    let settings = settings(tree, folder, &module);
    let text: String = settings.iter().map(|path| tree.text(path)).collect();
    // doorstep gives `collectstatic` a folder of its own, so the project need not name one.
    let collects = text.contains("django.contrib.staticfiles");
    let program = Program {
        start: Start::Python(format!("{package}.{server}:application")),
        pre_start: vec!["python manage.py migrate --noinput".to_owned()],
        collectstatic: static_url(&text).filter(|_| collects),
        keep_one: channels
            .then(|| "Channels needs a layer such as Redis before several instances share messages".to_owned()),
        knows_api: tree.text(folder.join(&package).join("urls.py")).contains("\"api/"),
        ..Program::default()
    };
    let mut part =
        Part::new(folder, format!("a Django project ({}, {})", code("manage.py"), code(&module)), Serve::App(program))
            .assuming("`python manage.py migrate` may run before each new version starts.");
    part = hints(part, &text);
    if !["requirements.txt", "pyproject.toml"].iter().any(|name| tree.has(folder.join(name))) {
        part = part.todo("There is no requirements.txt, so Django would not be installed: write `django` into one.");
    }
    Some(part)
}

/// What the settings will stumble over behind a proxy with a real name.
fn hints(mut part: Part, text: &str) -> Part {
    let line = |name: &str| {
        text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('=')))
    };
    if line("DEBUG").is_some_and(|line| line.contains("True")) {
        part = part.todo("DEBUG = True shows the inside of the program to whoever causes an error: set it to False before others visit.");
    }
    if line("ALLOWED_HOSTS").is_none_or(|line| line.replace(' ', "").ends_with("=[]")) {
        part = part
            .todo("ALLOWED_HOSTS is empty: with DEBUG = False, or under a real name, write the site's name into it.");
    }
    if !text.contains("SECURE_PROXY_SSL_HEADER") {
        part = part.todo(
            "So that Django knows a request came by HTTPS, write SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\") into the settings; forms need it.",
        );
    }
    part
}

/// `manage.py` that holds everything: settings, views and all.
fn single_file(folder: &Path) -> Part {
    let run = "python manage.py runserver --noreload 127.0.0.1:$PORT";
    Part::new(
        folder,
        format!("a Django project in one file ({})", code("manage.py")),
        Serve::App(Program { start: Start::Run(run.to_owned()), ..Program::default() }),
    )
    .todo("Only its development server can run it as it is. For others to visit, give it a WSGI module: `application = get_wsgi_application()`.")
}

/// The files of the settings module, or of its package.
fn settings(tree: &Tree, folder: &Path, module: &str) -> Vec<PathBuf> {
    let stem: PathBuf = folder.join(module.split('.').collect::<PathBuf>());
    let file = stem.with_extension("py");
    if tree.has(&file) {
        let beside = stem.parent().map(|dir| dir.join("base.py")).filter(|base| *base != file && tree.has(base));
        return beside.into_iter().chain([file]).collect();
    }
    tree.files_in(&stem).map(Path::to_owned).filter(|path| path.extension().is_some_and(|end| end == "py")).collect()
}

/// Where static files are served, with a slash at the front and none at the end. `None`: it has none, or by another host.
fn static_url(text: &str) -> Option<String> {
    let url = text.lines().filter(|line| line.starts_with("STATIC_URL")).find_map(quoted)?;
    let path = url.trim_matches('/');
    (!path.is_empty() && !url.contains("://") && !path.contains(['{', '\\', ' '])).then(|| format!("/{path}"))
}

fn quoted_after(text: &str, word: &str) -> Option<String> {
    let (_, rest) = text.split_once(word)?;
    let (_, rest) = rest.split_once(',')?;
    let module = quoted(rest.lines().next()?)?;
    let is_module = !module.is_empty() && module.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    (is_module && !module.starts_with('.')).then_some(module)
}

/// The first string literal of a line.
fn quoted(line: &str) -> Option<String> {
    let start = line.find(['"', '\''])?;
    let quote = &line[start..=start];
    let rest = &line[start + 1..];
    Some(rest[..rest.find(quote)?].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        assert_eq!(static_url("STATIC_URL = \"static/\"").as_deref(), Some("/static"));
        assert_eq!(static_url("STATIC_URL = '/assets/'").as_deref(), Some("/assets"));
        assert_eq!(static_url("STATIC_URL = 'https://cdn.example.com/'"), None);
        assert_eq!(static_url("STATIC_URL = os.environ['X'"), Some("/X".to_owned()));
        assert_eq!(
            quoted_after(
                "os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"shop.settings\")",
                "DJANGO_SETTINGS_MODULE"
            ),
            Some("shop.settings".to_owned())
        );
        assert_eq!(quoted_after("DJANGO_SETTINGS_MODULE\", '../../etc'", "DJANGO_SETTINGS_MODULE"), None);
    }
}
