//! The rows of the table.

/// A name, the bytes, and the statuses of all answers: those to the row, and 200 to the request after it if it is served.
pub type Row = (&'static str, Vec<u8>, &'static [u16]);

pub const AFTER: &[u8] = b"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A row of text.
pub fn row(name: &'static str, text: impl Into<String>, statuses: &'static [u16]) -> Row {
    (name, text.into().into_bytes(), statuses)
}

/// A GET with these lines after a good Host.
fn get(name: &'static str, lines: &str, statuses: &'static [u16]) -> Row {
    row(name, format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n"), statuses)
}

/// A GET with this Host line, or none.
fn host(name: &'static str, line: &str, statuses: &'static [u16]) -> Row {
    row(name, format!("GET / HTTP/1.1\r\n{line}\r\n"), statuses)
}

/// A request line, then a good Host.
fn line(name: &'static str, line: &str, statuses: &'static [u16]) -> Row {
    row(name, format!("{line}\r\nHost: a\r\n\r\n"), statuses)
}

/// A POST with these framing lines and this body.
pub fn post(name: &'static str, lines: &str, body: &str, statuses: &'static [u16]) -> Row {
    row(name, format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}"), statuses)
}

/// A chunked POST.
pub fn chunked(name: &'static str, body: impl AsRef<str>, statuses: &'static [u16]) -> Row {
    post(name, "Transfer-Encoding: chunked", body.as_ref(), statuses)
}

pub const OK: &[u16] = &[200, 200];
pub const OK_LAST: &[u16] = &[200];
pub const BAD: &[u16] = &[400];

pub fn hosts() -> Vec<Row> {
    vec![
        host("no Host", "", BAD),
        host("Host twice", "Host: a\r\nHost: a\r\n", BAD),
        host("Host twice, different", "Host: a\r\nHost: b\r\n", BAD),
        host("empty Host", "Host:\r\n", BAD),
        host("Host with a user", "Host: u@a\r\n", BAD),
        host("Host with user and password", "Host: u:p@a\r\n", BAD),
        host("Host with a path", "Host: a/b\r\n", BAD),
        host("Host with a query", "Host: a?b\r\n", BAD),
        host("Host with a comma", "Host: a, b\r\n", BAD),
        host("Host with a space inside", "Host: a b\r\n", BAD),
        host("Host with a scheme", "Host: http://a\r\n", BAD),
        host("Host with a bad port", "Host: a:b\r\n", BAD),
        host("Host with an empty port", "Host: a:\r\n", BAD),
        host("Host with too high a port", "Host: a:65536\r\n", BAD),
        host("Host with half an IPv6 address", "Host: [::1\r\n", BAD),
        host("Host with an IPv6 address of rubbish", "Host: [zz]\r\n", BAD),
        host("Host with text after its IPv6 address", "Host: [::1]a\r\n", BAD),
        host("Host with an escape", "Host: a%2eb\r\n", BAD),
        host("Host that is too long", &format!("Host: {}\r\n", "a".repeat(300)), BAD),
        host("Host with a port", "Host: a:8080\r\n", OK),
        host("Host that is an IPv6 address", "Host: [::1]:8080\r\n", OK),
        host("Host in capitals", "hOST: A\r\n", OK),
        host("Host with blanks around it", "Host: \t a \t\r\n", OK),
        row("HTTP/1.0 may do without Host", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", OK),
        row("HTTP/1.0 may not have a bad one", "GET / HTTP/1.0\r\nHost: a,b\r\n\r\n", BAD),
    ]
}

pub fn lengths_and_codings() -> Vec<Row> {
    vec![
        post("a body with its length", "Content-Length: 5", "hello", OK),
        post("a length of zeros", "Content-Length: 000", "", OK),
        post("a length with leading zeros", "Content-Length: 0005", "hello", OK),
        post("no length, no body", "X: y", "", OK),
        post("the same length twice", "Content-Length: 5\r\nContent-Length: 5", "hello", BAD),
        post("two lengths", "Content-Length: 5\r\nContent-Length: 6", "hello", BAD),
        post("a list of lengths", "Content-Length: 5, 5", "hello", BAD),
        post("an empty length", "Content-Length:", "", BAD),
        post("a length with a plus", "Content-Length: +5", "hello", BAD),
        post("a length with a minus", "Content-Length: -5", "hello", BAD),
        post("a length with a space inside", "Content-Length: 1 0", "hello", BAD),
        post("a length in hexadecimal", "Content-Length: 0x5", "hello", BAD),
        post("a length with a fraction", "Content-Length: 5.0", "hello", BAD),
        post("a length beyond 64 bits", "Content-Length: 18446744073709551621", "hello", BAD),
        post("a length in quotes", "Content-Length: \"5\"", "hello", BAD),
        post("length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n", BAD),
        post("chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", BAD),
        post("length zero and chunks", "Content-Length: 0\r\nTransfer-Encoding: chunked", "0\r\n\r\n", BAD),
        post("chunked in capitals", "transfer-ENCODING: CHUNKED", "0\r\n\r\n", OK),
        post("chunked, then identity", "Transfer-Encoding: chunked, identity", "0\r\n\r\n", BAD),
        post("identity alone", "Transfer-Encoding: identity", "0\r\n\r\n", BAD),
        post("identity, then chunked", "Transfer-Encoding: identity, chunked", "0\r\n\r\n", &[501]),
        post("gzip, then chunked", "Transfer-Encoding: gzip, chunked", "0\r\n\r\n", &[501]),
        post("gzip alone", "Transfer-Encoding: gzip", "0\r\n\r\n", BAD),
        post("chunked twice in one line", "Transfer-Encoding: chunked, chunked", "0\r\n\r\n", &[501]),
        post(
            "chunked twice in two lines",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
            BAD,
        ),
        post("chunked and identity in two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "", BAD),
        post("xchunked", "Transfer-Encoding: xchunked", "0\r\n\r\n", BAD),
        post("chunked with a parameter", "Transfer-Encoding: chunked;q=1", "0\r\n\r\n", BAD),
        post("chunked after a vertical tab", "Transfer-Encoding: \x0bchunked", "0\r\n\r\n", BAD),
        post("an empty coding", "Transfer-Encoding:", "", BAD),
        post("a coding under an odd name", "Transfer_Encoding: chunked", "", OK),
        post("a coding with a space before its colon", "Transfer-Encoding : chunked", "0\r\n\r\n", BAD),
        row("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
        post(
            "a body that looks like a request",
            &format!("Content-Length: {}", AFTER.len()),
            std::str::from_utf8(AFTER).unwrap(),
            OK,
        ),
        row("a body on GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", OK),
        row("a body on HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", OK),
        row(
            "chunks on DELETE",
            "DELETE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            OK,
        ),
    ]
}

pub fn field_lines() -> Vec<Row> {
    let raw = |name, inside: &[u8], statuses| {
        (name, [b"GET / HTTP/1.1\r\nHost: a\r\n", inside, b"\r\n\r\n"].concat(), statuses)
    };
    vec![
        row("bare line feeds", "GET / HTTP/1.1\nHost: a\n\n", BAD),
        row("a bare line feed after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", BAD),
        row("a bare line feed at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", BAD),
        get("a bare carriage return in a value", "X: a\rb", BAD),
        row("a bare carriage return in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
        get("a carriage return too many", "X: a\r", BAD),
        get("a folded line", "X: a\r\n b", BAD),
        get("a folded line with a tab", "X: a\r\n\tb", BAD),
        row("a folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", BAD),
        raw("NUL in a value", b"X: a\0b", BAD),
        raw("NUL in a name", b"X\0: a", BAD),
        raw("a control byte in a value", b"X: a\x01b", BAD),
        raw("an escape byte in a value", b"X: \x1b[2J", BAD),
        raw("DEL in a value", b"X: a\x7fb", BAD),
        raw("a high byte in a value", b"X: caf\xc3\xa9 \xff", OK),
        raw("a high byte in a name", b"X\xc3: a", BAD),
        get("a tab in a value", "X: a\tb", OK),
        get("a space before the colon", "X : y", BAD),
        get("a tab before the colon", "X\t: y", BAD),
        get("a space in a name", "X y: z", BAD),
        get("no name", ": y", BAD),
        get("no colon", "X", BAD),
        get("an empty value", "X:", OK),
        get("a name with every sign there is", "!#$%&'*+-.^_`|~: y", OK),
        get("a name in parentheses", "(X): y", BAD),
        get("a thousand colons", &format!("X{}", ":".repeat(1000)), OK),
        get("127 fields", "X: y\r\n".repeat(127).trim_end(), OK),
        get("129 fields", "X: y\r\n".repeat(128).trim_end(), &[431]),
        get("a thousand fields", "X: y\r\n".repeat(1000).trim_end(), &[431]),
        get("60 KB in one value", &format!("X: {}", "y".repeat(60 << 10)), OK),
        get("65 KB in one value", &format!("X: {}", "y".repeat(65 << 10)), &[431]),
        get("a megabyte in one value", &format!("X: {}", "y".repeat(1 << 20)), &[431]),
        get("a megabyte in one name", &"x".repeat(1 << 20), &[431]),
    ]
}

pub fn request_lines() -> Vec<Row> {
    let long = |length: usize| format!("GET /{} HTTP/1.1", "a".repeat(length));
    vec![
        line("a method of our own", "FROB / HTTP/1.1", OK),
        line("a method in lower case is another method", "get / HTTP/1.1", OK),
        line("a method that is no token", "G@T / HTTP/1.1", BAD),
        line("a method with a colon", "GET: / HTTP/1.1", BAD),
        line("no method", " / HTTP/1.1", BAD),
        line("a quoted method", "\"GET\" / HTTP/1.1", BAD),
        line("two spaces after the method", "GET  / HTTP/1.1", BAD),
        line("a tab after the method", "GET\t/ HTTP/1.1", BAD),
        line("two spaces before the version", "GET /  HTTP/1.1", BAD),
        line("a space in the target", "GET /a b HTTP/1.1", BAD),
        line("a space after the version", "GET / HTTP/1.1 ", BAD),
        line("a space before the method", " GET / HTTP/1.1", BAD),
        line("no version: HTTP/0.9", "GET /", BAD),
        line("no target", "GET HTTP/1.1", BAD),
        line("HTTP/1.2", "GET / HTTP/1.2", &[505]),
        line("HTTP/0.9 by name", "GET / HTTP/0.9", &[505]),
        line("HTTP/2.0 in HTTP/1", "GET / HTTP/2.0", &[505]),
        line("HTTP/3.0 in HTTP/1", "GET / HTTP/3.0", &[505]),
        line("HTTP/2", "GET / HTTP/2", BAD),
        line("HTTP/11", "GET / HTTP/11", BAD),
        line("HTTP/1.10", "GET / HTTP/1.10", BAD),
        line("http in lower case", "GET / http/1.1", BAD),
        line("another protocol", "GET / HTTQ/1.1", BAD),
        line("a signed version", "GET / HTTP/+1.1", BAD),
        row("SSH", "SSH-2.0-OpenSSH_9.6\r\n\r\n", BAD),
        row("an RTSP request", "OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n", BAD),
        (
            "a TLS hello on a plain port",
            [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[0; 40], b"\r\n\r\n"].concat(),
            BAD,
        ),
        line("a target of 16,000 bytes", &long(16_000), OK),
        line("a target of 17,000 bytes", &long(17_000), &[414]),
        row("a megabyte of target", format!("{}\r\nHost: a\r\n\r\n", long(1 << 20)), &[431]),
        line("a target without its slash", "GET index.html HTTP/1.1", BAD),
        line("a fragment", "GET /a#b HTTP/1.1", BAD),
        line("an asterisk for GET", "GET * HTTP/1.1", BAD),
        line("an asterisk for OPTIONS", "OPTIONS * HTTP/1.1", &[204, 200]),
        line("an asterisk and more", "OPTIONS ** HTTP/1.1", BAD),
        line("CONNECT", "CONNECT a:443 HTTP/1.1", &[405, 200]),
        line("CONNECT with a path", "CONNECT / HTTP/1.1", BAD),
        line("CONNECT without a port", "CONNECT a HTTP/1.1", BAD),
        line("CONNECT with a user", "CONNECT u@a:1 HTTP/1.1", BAD),
        line("absolute form", "GET http://a/b HTTP/1.1", OK),
        line("absolute form, another host: it counts", "GET http://b.example/c HTTP/1.1", OK),
        line("absolute form without a host", "GET http:///b HTTP/1.1", BAD),
        line("absolute form with a user", "GET http://u@a/b HTTP/1.1", BAD),
        line("absolute form of another scheme", "GET ftp://a/b HTTP/1.1", BAD),
        line("absolute form of a file", "GET file:///etc/passwd HTTP/1.1", BAD),
        line("a path with parent folders", "GET /a/../../etc/passwd HTTP/1.1", &[400, 200]),
        line("the same in escapes", "GET /%2e%2E/%2e%2e/etc/passwd HTTP/1.1", &[400, 200]),
        line("a slash in escapes", "GET /a%2f..%2fb HTTP/1.1", &[400, 200]),
        line("NUL in escapes", "GET /a%00b HTTP/1.1", &[400, 200]),
        line("half an escape", "GET /a%4 HTTP/1.1", &[400, 200]),
        line("an escape of nothing", "GET /%zz HTTP/1.1", &[400, 200]),
        ("a raw high byte in the target", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), BAD),
        line("two slashes are a path", "GET //b.example/c HTTP/1.1", OK),
        line("a bare backslash, which many take for a slash", "GET /a\\b HTTP/1.1", &[400, 200]),
        line("a backslash in escapes is a path", "GET /a%5cb HTTP/1.1", OK),
        line("parent folders with parameters", "GET /a/..;/b HTTP/1.1", &[400, 200]),
        row("a few empty lines ahead", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
        row("a flood of empty lines", "\r\n".repeat(50_000), BAD),
        row("bare line feeds ahead", "\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ]
}

pub fn chunks() -> Vec<Row> {
    vec![
        chunked("two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", OK),
        chunked("a chunk size in capitals", "A\r\n0123456789\r\n0\r\n\r\n", OK),
        chunked("a chunk size with zeros ahead", "0003\r\nabc\r\n0\r\n\r\n", OK),
        chunked("an empty body", "0\r\n\r\n", OK),
        chunked("several zeros at the end", "0000\r\n\r\n", OK),
        chunked("a chunk size of 64 bits and more", "10000000000000000\r\na\r\n0\r\n\r\n", BAD),
        chunked("a chunk size of 64 bits", "ffffffffffffffff\r\na\r\n0\r\n\r\n", &[400]),
        chunked("endless zeros in a chunk size", "0".repeat(1 << 20), BAD),
        chunked("a chunk size with a sign", "+3\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("a chunk size of less than nothing", "-1\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("a chunk size with 0x", "0x3\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("a chunk size with an underscore", "1_0\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("no chunk size", "\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("a chunk size that is none", "xyz\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("a blank before the chunk size", " 3\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("a blank after the chunk size", "3 \r\nabc\r\n0\r\n\r\n", BAD),
        chunked("a bare line feed after the chunk size", "3\nabc\r\n0\r\n\r\n", BAD),
        chunked("a bare carriage return after the chunk size", "3\rabc\r\n0\r\n\r\n", BAD),
        chunked("an extension", "3;a\r\nabc\r\n0\r\n\r\n", OK),
        chunked("extensions with values", "3;a=b;c=\"d;\\\"e\";f\r\nabc\r\n0;last\r\n\r\n", OK),
        chunked("blanks around an extension", "3 ; a = b\r\nabc\r\n0\r\n\r\n", OK),
        chunked("an extension without a name", "3;\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("an extension without a value", "3;a=\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("an extension with a bare line feed", "3;a\nabc\r\n0\r\n\r\n", BAD),
        chunked("an extension with a bare carriage return", "3;a\rb\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("an extension with an open quote", "3;a=\"b\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("an extension with a control byte", "3;a\x01\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("an extension that is too long", format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(1000)), BAD),
        chunked("a megabyte of extension", format!("3;{}", "a".repeat(1 << 20)), BAD),
        chunked("a flood of extensions", format!("{}0\r\n\r\n", "1;aaaaaaaaaaaaaaaa\r\nx\r\n".repeat(10_000)), BAD),
        chunked("a chunk longer than its size", "3\r\nabcd\r\n0\r\n\r\n", BAD),
        chunked("a chunk shorter than its size", "5\r\nabc\r\n0\r\n\r\n", BAD),
        chunked("a chunk with a bare line feed after it", "3\r\nabc\n0\r\n\r\n", BAD),
        chunked("a chunk with nothing after it", "3\r\nabc0\r\n\r\n", BAD),
        chunked("trailers", "1\r\na\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", OK),
        chunked(
            "trailers that would change framing are dropped",
            "0\r\nContent-Length: 100\r\nTransfer-Encoding: x\r\n\r\n",
            OK,
        ),
        chunked(
            "trailers that would change routing are dropped",
            "0\r\nHost: evil.example\r\nAuthorization: x\r\n\r\n",
            OK,
        ),
        chunked("a trailer without a colon", "0\r\nX\r\n\r\n", BAD),
        chunked("a folded trailer", "0\r\nX: a\r\n b\r\n\r\n", BAD),
        chunked("a trailer with a bare line feed", "0\r\nX: a\n\r\n", BAD),
        chunked("a trailer with NUL", "0\r\nX: a\0\r\n\r\n", BAD),
        chunked(
            "endless trailers",
            format!("0\r\n{}", "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(20_000)),
            BAD,
        ),
        chunked("one endless trailer", format!("0\r\nX: {}", "a".repeat(1 << 20)), BAD),
        chunked("too many trailers", format!("0\r\n{}\r\n", "X: a\r\n".repeat(100)), BAD),
    ]
}

pub fn connections() -> Vec<Row> {
    let one = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    vec![
        row("two at once", one, OK),
        get("close", "Connection: close", OK_LAST),
        get("close in a list", "Connection: x, CLOSE", OK_LAST),
        get("close in a second line", "Connection: keep-alive\r\nConnection: close", OK_LAST),
        get("a Connection field that names Host", "Connection: Host", OK),
        row("HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", OK_LAST),
        row("HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", OK),
        get("an unknown expectation", "Expect: pizza", &[417]),
        get("two expectations", "Expect: 100-continue\r\nExpect: 100-continue", &[417]),
        get("an expectation without a body", "Expect: 100-continue", OK),
        post("the body comes without waiting", "Expect: 100-continue\r\nContent-Length: 2", "hi", OK),
        row(
            "HTTP/1.0 expects nothing",
            "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
            OK_LAST,
        ),
        get("an upgrade nobody offered", "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", OK),
        get("an Upgrade without its Connection", "Upgrade: websocket", OK),
        row("the HTTP/2 preface as a second request", format!("{one}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), &[200, 400]),
        row("the HTTP/2 preface after an empty line", "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
        row("almost the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", &[505]),
    ]
}
