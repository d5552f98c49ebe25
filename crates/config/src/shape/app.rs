use super::format::{
    CRON, DURATION, ENTRY, NAME, PATH, PERCENT, POSITIVE, SIZE, TEXT, UMASK, URL_PATH, USER, VARIABLE,
};
use super::{Key, Kind, Shape};
use crate::limits::{INSTANCES, THREADS};

/// `[app.NAME]`.
pub(super) const APP: Shape = Shape {
    name: "app",
    about: "A program that doorstep starts and keeps running. One of `run` and `python` says how.",
    keys: &[COMMAND, EXEC, LIFE],
};

/// `[job.NAME]`.
pub(super) const JOB: Shape = Shape {
    name: "job",
    about: "A program that runs at certain times. One of `every` and `cron` says when.",
    keys: &[TIMES, EXEC],
};

const COMMAND: &[Key] = &[
    Key::new(
        "run",
        Kind::Shell,
        "",
        "A command for the shell. `$PORT` or `$SOCKET` says where it must listen. `${…}` is left to the shell.",
        "run = \"node server.js\"",
    ),
    Key::new(
        "python",
        Kind::Either(&[Kind::Text(&ENTRY), Kind::Table(&PYTHON)]),
        "",
        "A WSGI or ASGI app, as `module:name`. doorstep makes the virtual environment, installs what requirements.txt or pyproject.toml asks for, and runs gunicorn or uvicorn in it.",
        "python = \"main:app\"",
    ),
    Key::new("instances", Kind::Integer(1, INSTANCES), "1", "How many processes.", "instances = 3"),
    Key::new(
        "listen",
        Kind::Word(&["port", "socket", "nothing"]),
        "\"socket\" with `python`, \"port\" with `run`",
        "What the program gets to listen on: a port of 127.0.0.1 in `$PORT`, or the path of a unix socket in `$SOCKET`; `nothing` is for programs that no site leads to, such as those that work off a queue.",
        "listen = \"socket\"",
    ),
];

const EXEC: &[Key] = &[
    Key::new("dir", Kind::Text(&PATH), "the folder of this file", "Where it runs.", "dir = \"/srv/blog\""),
    Key::new(
        "user",
        Kind::Text(&USER),
        "whoever runs doorstep; as root it must be said",
        "Who it runs as.",
        "user = \"blog\"",
    ),
    Key::new("group", Kind::Text(&USER), "the user's own", "The group that it runs as.", "group = \"www-data\""),
    Key::new("umask", Kind::Text(&UMASK), "\"022\"", "Rights that new files do not get.", "umask = \"027\""),
    Key::new(
        "env",
        Kind::Map { key: "VARIABLE", names: &VARIABLE, value: &Kind::Secret(&TEXT) },
        "",
        "Environment variables, besides PATH, HOME, LANG, USER and TZ.",
        "env = { DEBUG = \"0\", TOKEN = \"file:token.txt\" }",
    ),
    Key::new(
        "env_file",
        Kind::Many(&Kind::Text(&PATH)),
        "",
        "Files with lines `NAME=VALUE`; what `env` says goes first.",
        "env_file = \".env\"",
    ),
    Key::new(
        "limits",
        Kind::Table(&LIMITS),
        "",
        "The most that each process may use.",
        "limits = { memory = \"512MB\" }",
    ),
    Key::new(
        "writes",
        Kind::Many(&Kind::Text(&PATH)),
        "everywhere",
        "The only folders that it may write to.",
        "writes = [\"uploads\"]",
    ),
    Key::new(
        "private_tmp",
        Kind::Bool,
        "false",
        "A `/tmp` of its own, where the system lets us.",
        "private_tmp = true",
    ),
    Key::new(
        "new_privileges",
        Kind::Bool,
        "false",
        "It may become another user by setuid programs such as sudo.",
        "new_privileges = true",
    ),
    Key::new(
        "log",
        Kind::Table(&ROTATION),
        "",
        "When its log file is set aside.",
        "log = { max = \"10MB\", keep = 3 }",
    ),
];

const LIFE: &[Key] = &[
    Key::new(
        "after",
        Kind::Many(&Kind::Text(&NAME)),
        "",
        "Start only when these apps are ready.",
        "after = [\"database\"]",
    ),
    Key::new(
        "pre_start",
        Kind::Many(&Kind::Shell),
        "",
        "Commands that must succeed before a new version starts.",
        "pre_start = [\"python manage.py migrate\"]",
    ),
    Key::new(
        "ready",
        Kind::Either(&[Kind::Text(&URL_PATH), Kind::Table(&READY)]),
        "when it accepts connections",
        "When a process counts as ready: it answers this path with a status from 200 to 399.",
        "ready = \"/healthz\"",
    ),
    Key::new("stop_grace", Kind::Text(&DURATION), "\"10s\"", "From SIGTERM to SIGKILL.", "stop_grace = \"30s\""),
    Key::new(
        "drain",
        Kind::Text(&DURATION),
        "\"30s\"",
        "How long a process that is replaced may finish its requests.",
        "drain = \"5m\"",
    ),
    Key::new("watch", Kind::Bool, "false", "Restart when files in `dir` change (for development).", "watch = true"),
    Key::new(
        "orphans",
        Kind::Word(&["end", "adopt"]),
        "\"end\"",
        "What becomes of processes whose doorstep was killed, when the next one starts.",
        "orphans = \"adopt\"",
    ),
];

const TIMES: &[Key] = &[
    Key::required("run", Kind::Shell, "A command for the shell.", "run = \"./backup.sh\""),
    Key::new("every", Kind::Text(&POSITIVE), "", "How often.", "every = \"1h\""),
    Key::new(
        "cron",
        Kind::Text(&CRON),
        "",
        "Minute, hour, day of month, month, day of week; local time.",
        "cron = \"30 4 * * *\"",
    ),
    Key::new("timeout", Kind::Text(&POSITIVE), "", "Ended when it takes longer.", "timeout = \"10m\""),
];

const PYTHON: Shape = Shape {
    name: "python",
    about: "A Python app with options.",
    keys: &[&[
        Key::required("entry", Kind::Text(&ENTRY), "`module:name`.", "entry = \"main:app\""),
        Key::new(
            "interface",
            Kind::Word(&["wsgi", "asgi"]),
            "found out by looking at it",
            "What the app speaks.",
            "interface = \"asgi\"",
        ),
        Key::new("threads", Kind::Integer(1, THREADS), "4", "Threads of each process (WSGI).", "threads = 8"),
        Key::new("interpreter", Kind::Text(&TEXT), "\"python3\"", "Which Python.", "interpreter = \"python3.12\""),
        Key::new(
            "static",
            Kind::Text(&URL_PATH),
            "",
            "Django: run `collectstatic` and serve the result at this path.",
            "static = \"/static\"",
        ),
    ]],
};

const LIMITS: Shape = Shape {
    name: "limits",
    about: "By cgroups where possible, else by rlimits.",
    keys: &[&[
        Key::new("memory", Kind::Text(&SIZE), "", "Memory.", "memory = \"512MB\""),
        Key::new("cpu", Kind::Text(&PERCENT), "", "Processor time; 100% is one core.", "cpu = \"50%\""),
        Key::new("open_files", Kind::Integer(16, 10_000_000), "", "Open files and connections.", "open_files = 4096"),
        Key::new("processes", Kind::Integer(1, 1_000_000), "", "Processes and threads.", "processes = 64"),
    ]],
};

const READY: Shape = Shape {
    name: "ready",
    about: "When a process counts as ready.",
    keys: &[&[
        Key::new(
            "path",
            Kind::Text(&URL_PATH),
            "",
            "It answers this path with a status from 200 to 399.",
            "path = \"/healthz\"",
        ),
        Key::new(
            "timeout",
            Kind::Text(&POSITIVE),
            "\"1m\"",
            "Not ready by then: the start has failed.",
            "timeout = \"2m\"",
        ),
    ]],
};

/// Also of the access log.
pub(super) const ROTATION: Shape = Shape {
    name: "rotation",
    about: "When a log file is set aside, and how many of these are kept.",
    keys: &[ROTATION_KEYS],
};

pub(super) const ROTATION_KEYS: &[Key] = &[
    Key::new("max", Kind::Text(&SIZE), "64 MiB", "Set aside at this size.", "max = \"10MB\""),
    Key::new("keep", Kind::Integer(0, 10_000), "7", "How many are kept.", "keep = 3"),
];
