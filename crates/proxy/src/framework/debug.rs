use doorstep_model::{Blame, Finding, Severity};
use http::StatusCode;

/// Recognises the page of a debug mode by the beginning of its body.
pub fn debug_mode(status: StatusCode, body: &str) -> Option<Finding> {
    if body.contains("__debugger__=yes") || body.contains("EVALEX = true") {
        return Some(werkzeug_debugger());
    }
    // Django marks its technical pages so; its CSRF page, a 403, has the mark without DEBUG as well.
    let technical = matches!(status.as_u16(), 400 | 404 | 500) && body.contains("NONE,NOARCHIVE");
    (technical || body.contains("You're seeing this error because you have <code>DEBUG = True")).then(django_debug)
}

pub fn werkzeug_debugger() -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Upstream,
        id: "werkzeug-debugger",
        what: "The Werkzeug debugger is on.".to_owned(),
        why:
            "Whoever causes an error sees source code and gets a console that runs Python on this computer, with only \
              a PIN in front of it."
                .to_owned(),
        fix: "Run Flask without --debug (and without app.run(debug=True)) while you share it.".to_owned(),
    }
}

pub fn django_debug() -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Upstream,
        id: "django-debug",
        what: "Django shows its debug page to whoever causes an error (DEBUG = True).".to_owned(),
        why: "It tells settings, paths and source code.".to_owned(),
        fix: "For people you do not know: DEBUG = False in settings.py.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_debug_modes() {
        let id =
            |status: u16, body: &str| debug_mode(StatusCode::from_u16(status).unwrap(), body).map(|finding| finding.id);
        let mark = "<meta name=\"robots\" content=\"NONE,NOARCHIVE\">";
        assert_eq!(id(404, mark), Some("django-debug"));
        assert_eq!(id(500, mark), Some("django-debug"));
        assert_eq!(id(403, mark), None);
        assert_eq!(id(500, "<script src=\"?__debugger__=yes&amp;cmd=resource\">"), Some("werkzeug-debugger"));
        assert_eq!(id(500, "Internal Server Error"), None);
    }
}
