//! HTTP/1.1 message syntax (RFC 9112), strict: whatever two implementations could read differently is refused.

mod chunked;
mod encode;
mod error;
mod fields;
mod head;
pub mod limits;
mod request;
mod response;

pub use chunked::{ChunkedDecoder, Decoded};
pub use encode::{
    write_chunk_size, write_decimal, write_field, write_fields, write_request_head, write_response_head,
    write_status_line,
};
pub use error::{ChunkError, HeadError};
pub use fields::{connection_tokens, parse_fields};
pub use head::HeadScanner;
pub use request::{BodyFraming, RequestHead, parse_request, valid_authority};
pub use response::{ResponseHead, parse_response};
