//! Filters: services around services that alter requests and responses.
