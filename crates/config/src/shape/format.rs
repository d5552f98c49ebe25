//! Forms that texts have.

use crate::text::{address, env_file, hash, host, path, place, ports, quantity};

/// A form of text, with the words for it.
pub(crate) struct Format {
    /// With article, after "expected": `a duration`.
    pub(crate) name: &'static str,
    /// As it stands in the file, quotes included.
    pub(crate) example: &'static str,
    pub(crate) check: fn(&str) -> Result<(), String>,
    /// A regular expression (ECMA 262) for editors, which may accept more than `check`.
    pub(crate) pattern: Option<&'static str>,
}

const fn format(name: &'static str, example: &'static str, check: fn(&str) -> Result<(), String>) -> Format {
    Format { name, example, check, pattern: None }
}

pub(crate) const TEXT: Format = format("a text", "\"text\"", |_| Ok(()));
pub(crate) const PATH: Format = format("a path", "\"/srv/files\"", filled);
pub(crate) const URL: Format = format("an address", "\"http://127.0.0.1:3000\"", filled);
pub(crate) const TEMPLATE: Format = format("a text that may have `{…}` in it", "\"https://{host}{uri}\"", |_| Ok(()));
pub(crate) const EMAIL: Format = format("a mail address", "\"me@example.com\"", |text| match text.split_once('@') {
    Some((user, host)) if !user.is_empty() && host.contains('.') && !text.contains(char::is_whitespace) => Ok(()),
    _ => Err(String::new()),
});
pub(crate) const CONTACT: Format = format("a mail address or an `https://` address", "\"abuse@example.com\"", |text| {
    if text.starts_with("https://") && text.bytes().all(|byte| byte > b' ' && byte < 0x7f) {
        return Ok(());
    }
    (EMAIL.check)(text)
});
pub(crate) const PORTS: Format = Format {
    pattern: Some("^\\s*(none|[0-9]+\\s*(-\\s*[0-9]+)?)\\s*$"),
    ..format("a range of ports", "\"20000-29999\"", |text| ports::range(text).map(|_| ()))
};
pub(crate) const DURATION: Format = Format {
    pattern: Some("^\\s*([0-9.]+\\s*(ms|s|sec|m|min|h|d|w)\\s*)+$"),
    ..format("a duration", "\"30s\"", |text| quantity::duration(text).map(|_| ()))
};
pub(crate) const POSITIVE: Format = Format {
    pattern: DURATION_PATTERN,
    ..format("a duration", "\"30s\"", |text| match quantity::duration(text)?.is_zero() {
        true => Err("it must be longer than nothing".to_owned()),
        false => Ok(()),
    })
};
const DURATION_PATTERN: Option<&str> = Some("^\\s*([0-9.]+\\s*(ms|s|sec|m|min|h|d|w)\\s*)+$");
pub(crate) const SIZE: Format = Format {
    pattern: Some("^\\s*[0-9.]+\\s*[kKMGT]?i?B$"),
    ..format("a size", "\"10MB\"", |text| quantity::size(text).map(|_| ()))
};
pub(crate) const BANDWIDTH: Format = Format {
    pattern: Some("^\\s*[0-9.]+\\s*[kKMGT]?i?(B|bit)/s$"),
    ..format("a bandwidth", "\"2MB/s\"", |text| quantity::bandwidth(text).map(|_| ()))
};
pub(crate) const RATE: Format = Format {
    pattern: Some("^\\s*[0-9]+\\s*/\\s*(s|sec|second|m|min|minute|h|hour|d|day)$"),
    ..format("a rate", "\"100/s\"", |text| quantity::request_rate(text).map(|_| ()))
};
pub(crate) const PERCENT: Format = Format {
    pattern: Some("^\\s*[0-9]+\\s*%$"),
    ..format("a percentage of one core", "\"50%\"", |text| quantity::percent(text).map(|_| ()))
};
pub(crate) const NETWORK: Format =
    format("a network", "\"192.168.1.0/24\"", |text| address::networks(text).map(|_| ()));
pub(crate) const LISTEN: Format = format("an address", "\":8080\"", |text| address::listen(text).map(|_| ()));
pub(crate) const ADDRESS: Format =
    format("an address with its port", "\"127.0.0.1:9090\"", |text| address::one(text).map(|_| ()));
pub(crate) const SITE: Format = format("a host name", "\"example.com\"", |text| match text {
    host::DEFAULT => Ok(()),
    name => host::pattern(name).map(|_| ()),
});
pub(crate) const HOST: Format = format("a host name", "\"www.example.com\"", |text| host::pattern(text).map(|_| ()));
pub(crate) const SERVER_NAME: Format =
    format("a host name", "\"api.internal\"", |text| match text.parse::<doorstep_model::Hostname>() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    });
pub(crate) const VIA: Format = format("a relay", "\"tun.example.com\"", |text| {
    text.parse::<doorstep_model::Via>().map(|_| ()).map_err(|error| match error.meant {
        Some(meant) => format!("{}; did you mean `{meant}`?", error.why),
        None => error.why,
    })
});
pub(crate) const LENT_NAME: Format =
    format("a name", "\"blog\"", |text| match text.parse::<doorstep_model::Hostname>() {
        Ok(name) if name.as_str().contains('_') => Err("names on the internet have no `_`".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    });
pub(crate) const PLACE: Format = format("a host and a port", "\"localhost:22\"", |text| place::parse(text).map(|_| ()));
pub(crate) const NAME: Format = Format {
    pattern: Some("^[A-Za-z0-9_-]{1,64}$"),
    ..format("a name", "\"blog\"", |text| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        match plain && (1..=64).contains(&text.len()) && !text.starts_with('-') {
            true => Ok(()),
            false => Err("names have letters, digits, `-` and `_`, at most 64".to_owned()),
        }
    })
};
pub(crate) const USER: Format = format("the name of a user", "\"www-data\"", |text| {
    match !text.is_empty() && text.len() <= 64 && !text.contains([':', '/', '\0', ' ']) {
        true => Ok(()),
        false => Err(String::new()),
    }
});
pub(crate) const ROUTE_PATH: Format = format("a path", "\"/api/*\"", |text| path::matcher(text).map(|_| ()));
pub(crate) const URL_PATH: Format = format("a path", "\"/healthz\"", |text| match url_path(text) {
    true => Ok(()),
    false => Err("a path begins with `/` and has no blanks".to_owned()),
});
pub(crate) const REGEX: Format =
    format("a regular expression", "'/article/(?<id>[0-9]+)'", |text| path::regex(text).map(|_| ()));
pub(crate) const METHOD: Format = format("a method", "\"GET\"", |text| {
    match !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') {
        true => Ok(()),
        false => Err(String::new()),
    }
});
pub(crate) const FIELD: Format = Format {
    pattern: Some("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"),
    ..format("the name of a header field", "\"X-Frame-Options\"", |text| {
        match http::HeaderName::from_bytes(text.as_bytes()) {
            Ok(_) => Ok(()),
            Err(_) => Err(String::new()),
        }
    })
};
pub(crate) const ORIGIN: Format = format("an origin", "\"https://app.example.com\"", |text| {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match (text, host) {
        ("*", _) => Ok(()),
        (_, Some(host)) if !host.is_empty() && !host.contains(['/', '*', ' ']) => Ok(()),
        (_, Some(_)) => Err("an origin has no path and no `*`".to_owned()),
        _ => Err("an origin begins with `https://` or `http://`".to_owned()),
    }
});
pub(crate) const HASH: Format = format("the hash of a password", "\"$argon2id$…\"", hash::check);
pub(crate) const VARIABLE: Format = Format {
    pattern: Some("^[A-Za-z_][A-Za-z0-9_]*$"),
    ..format("the name of a variable", "\"DEBUG\"", env_file::name_of_variable)
};
pub(crate) const UMASK: Format = Format {
    pattern: Some("^[0-7]{3,4}$"),
    ..format("a umask", "\"027\"", |text| match u32::from_str_radix(text, 8) {
        Ok(mask) if mask <= 0o777 && text.len() >= 3 => Ok(()),
        _ => Err("a umask has three octal digits".to_owned()),
    })
};
pub(crate) const CRON: Format = format("a schedule", "\"30 4 * * *\"", |text| {
    if text.split_whitespace().count() != 5 {
        return Err("it must have five fields: minute, hour, day of month, month, day of week".to_owned());
    }
    match text.parse::<croner::Cron>() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
});
pub(crate) const STATUSES: Format = Format {
    pattern: Some("^([45][0-9][0-9]|[45]xx)(,\\s*([45][0-9][0-9]|[45]xx))*$"),
    ..format("the status of an error", "\"404\"", |text| crate::lower::filters::statuses(text).map(|_| ()))
};
pub(crate) const ENTRY: Format = Format {
    pattern: Some("^[\\w.]+:[\\w.]+(\\(\\))?$"),
    ..format("a module with the name of the app in it", "\"main:app\"", |text| {
        let name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_.".contains(c));
        match text.split_once(':') {
            Some((module, object)) if name(module) && name(object.trim_end_matches("()")) => Ok(()),
            Some(_) => Err("it must be the name of a module, `:` and the name of the app in it".to_owned()),
            None => Err("the name of the app in the module is missing, as in `main:app`".to_owned()),
        }
    })
};

fn filled(text: &str) -> Result<(), String> {
    match text.trim().is_empty() || text.contains('\0') {
        true => Err("it is empty".to_owned()),
        false => Ok(()),
    }
}

fn url_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'#')
}
