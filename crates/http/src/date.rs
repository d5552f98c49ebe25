use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

thread_local! {
    static CACHED: RefCell<(SystemTime, HeaderValue)> =
        const { RefCell::new((SystemTime::UNIX_EPOCH, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))) };
}

/// The value of `Date` (RFC 9110 section 6.6.1), made once a second.
pub fn now() -> HeaderValue {
    CACHED.with_borrow_mut(|(at, value)| {
        let now = SystemTime::now();
        // A clock that was set back shows as an error here and refreshes the value too.
        if now.duration_since(*at).map_or(true, |age| age >= Duration::from_secs(1)) {
            let text = httpdate::fmt_http_date(now);
            if let Ok(fresh) = HeaderValue::from_str(&text) {
                *value = fresh;
            }
            *at = now;
        }
        value.clone()
    })
}
