/// Addresses that a line of a server's output names, in their order.
pub(super) fn urls(line: &str) -> Vec<String> {
    plain(line)
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '(' | ')' | ',' | ';'))
        .filter(|word| ["https://", "http://", "tcp://", "tls://"].iter().any(|scheme| word.starts_with(scheme)))
        .map(|word| word.trim_end_matches(['.', ':']).to_owned())
        .collect()
}

/// A line without what commands a terminal (ECMA-48 control sequences and control characters).
pub(super) fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // A control sequence ends with a byte from 0x40 on.
                Some('[') => drop(chars.find(|c| ('@'..='~').contains(c))),
                // An operating system command ends with BEL or ESC \.
                Some(']') => drop(chars.find(|c| matches!(c, '\u{7}' | '\\'))),
                _ => {}
            },
            '\t' => text.push(' '),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_what_servers_print() {
        assert_eq!(urls("\u{1b}[1mHTTPS: https://x.example.net\u{1b}[0m\r"), ["https://x.example.net"]);
        assert_eq!(
            urls("Forwarding HTTP traffic from https://a.example.net and http://a.example.net."),
            ["https://a.example.net", "http://a.example.net"]
        );
        assert_eq!(urls("tcp://tun.example.com:4000  (-R 0)"), ["tcp://tun.example.com:4000"]);
        assert!(urls("12:00:01 GET /index.html 200").is_empty());
    }

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(plain("a\u{1b}]0;title\u{7}b\u{1b}[2Jc\u{8}\td"), "abc d");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_server_prints(line in ".{0,120}") {
            proptest::prop_assert!(!plain(&line).contains(char::is_control));
            let _ = urls(&line);
        }
    }
}
