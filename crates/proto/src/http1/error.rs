use http::StatusCode;

/// Why a message head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    #[error("the header section is larger than {} bytes", super::limits::MAX_HEAD)]
    TooLarge,
    #[error("more than {} header fields", super::limits::MAX_FIELDS)]
    TooManyFields,
    #[error("the request line is longer than {} bytes", super::limits::MAX_REQUEST_LINE)]
    RequestLineTooLong,
    #[error("this HTTP version is not spoken here")]
    Version,
    #[error("this transfer coding is not supported")]
    TransferCoding,
    #[error("this expectation is not supported")]
    Expectation,
}

impl HeadError {
    /// What a server answers.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RequestLineTooLong => StatusCode::URI_TOO_LONG,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
        }
    }
}

/// Why a chunked body is refused. The connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("malformed chunk size")]
    Size,
    #[error("malformed chunk extension")]
    Extension,
    #[error("too many bytes of chunk extensions")]
    TooManyExtensions,
    #[error("a chunk does not end where its size says")]
    Terminator,
    #[error("malformed trailer section")]
    Trailers,
    #[error("the trailer section is too large")]
    TrailersTooLarge,
}

impl ChunkError {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Size => "chunk size",
            Self::Extension => "chunk extension",
            Self::TooManyExtensions => "too many chunk extensions",
            Self::Terminator => "chunk terminator",
            Self::Trailers => "trailer section",
            Self::TrailersTooLarge => "trailer section too large",
        }
    }
}
