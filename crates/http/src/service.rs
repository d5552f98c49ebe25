use std::future::Future;
use std::pin::Pin;

use crate::{Request, Response};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What answers requests: a folder, an app behind a proxy, a guard in front of another service.
///
/// A service does not fail: whatever goes wrong before the response starts is itself a response
/// (see [`crate::pages`]); afterwards it is an error of the response's body, which closes the stream.
/// Dropping the future cancels the request: the client went away.
pub trait Service: Send + Sync {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response>;
}
