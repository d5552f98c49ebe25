//! The vocabulary of doorstep: what should be reachable ([`Spec`]), who may reach it ([`Guards`]),
//! and what was found out about the world ([`Finding`]).
//!
//! Plain data, without IO. `doorstep share`, a configuration file and the relay all build a
//! [`Spec`], and one engine makes it true.

mod finding;
mod hostname;
mod secret;
mod spec;

pub use finding::{Blame, Finding, Severity};
pub use hostname::{Hostname, HostnameError, ip_literal};
pub use secret::Secret;
pub use spec::{
    Action, ByteRate, FileOptions, Guards, HostPolicy, Listener, Matcher, Password, Proxy, Route, Site, Spec,
    TlsPolicy, UploadPolicy, Upstream, UpstreamAddr,
};
