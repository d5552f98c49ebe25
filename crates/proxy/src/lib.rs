//! The reverse proxy service: requests to an app and back.
