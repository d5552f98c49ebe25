//! The rules of iptables and ip6tables, as `iptables-save` prints them (iptables-extensions(8)).

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::walk::{Action, Chains, Fate, Match, Packet, Rule, source_in, walk};

/// What the rules do with the packet; the name is of the table and chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Accepts,
    Drops { table: String, chain: String },
    Depends { table: String, chain: String },
}

/// Follows `packet` through the chains on its way to a program of this computer.
pub(super) fn judge(saved: &str, packet: &Packet) -> Judgement {
    let mut depends = Judgement::Accepts;
    for (table, base) in [("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", "INPUT"), ("filter", "INPUT")] {
        let Some(parsed) = parse_table(saved, table, packet) else { continue };
        let Some(policy) = parsed.policies.get(base) else { continue };
        let drops = policy == "DROP";
        match walk(&parsed.chains, base, Fate { accepted: !drops, dropped: drops }) {
            Fate { dropped: true, accepted: false } => {
                return Judgement::Drops { table: table.into(), chain: base.into() };
            }
            Fate { dropped: true, accepted: true } => {
                depends = Judgement::Depends { table: table.into(), chain: base.into() };
            }
            _ => {}
        }
    }
    depends
}

struct Table {
    chains: Chains,
    policies: HashMap<String, String>,
}

fn parse_table(saved: &str, name: &str, packet: &Packet) -> Option<Table> {
    let mut lines = saved.lines().skip_while(|line| line.strip_prefix('*') != Some(name));
    lines.next()?;
    let mut table = Table { chains: Chains::new(), policies: HashMap::new() };
    for line in lines.take_while(|line| *line != "COMMIT") {
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_ascii_whitespace();
            let (Some(chain), Some(policy)) = (words.next(), words.next()) else { continue };
            table.chains.entry(chain.to_owned()).or_default();
            table.policies.insert(chain.to_owned(), policy.to_owned());
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words = words(rule);
            let Some((chain, options)) = words.split_first() else { continue };
            if let Some(rule) = parse_rule(options, packet) {
                table.chains.entry(chain.clone()).or_default().push(rule);
            }
        }
    }
    Some(table)
}

/// Splits a rule into words; double quotes keep a comment together.
fn words(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in rule.chars() {
        match c {
            _ if escaped => {
                word.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// `None`: the rule has no effect on what becomes of the packet.
fn parse_rule(options: &[String], packet: &Packet) -> Option<Rule> {
    let mut matches = Match::Yes;
    let mut words = options.iter().map(String::as_str);
    let mut inverted = false;
    while let Some(word) = words.next() {
        if word == "!" {
            inverted = true;
            continue;
        }
        if let "-j" | "-g" = word {
            let target = words.next()?;
            let action = match target {
                "ACCEPT" => Action::Accept,
                "DROP" | "REJECT" | "TARPIT" => Action::Drop,
                "RETURN" => Action::Return,
                "NFQUEUE" | "QUEUE" | "SYNPROXY" => Action::Unknown,
                _ if is_extension(target) => return None,
                _ if word == "-g" => Action::Goto(target.to_owned()),
                _ => Action::Jump(target.to_owned()),
            };
            return Some(Rule { matches, action });
        }
        let holds = condition(word, &mut words, packet);
        matches = matches.and(if std::mem::take(&mut inverted) { holds.not() } else { holds });
    }
    None
}

/// Targets that note or change something and let the packet go on. Chains of users are lower case or mixed by custom,
/// but need not be, so the names are listed.
fn is_extension(target: &str) -> bool {
    const TARGETS: [&str; 18] = [
        "LOG",
        "NFLOG",
        "ULOG",
        "AUDIT",
        "MARK",
        "CONNMARK",
        "CT",
        "NOTRACK",
        "TRACE",
        "SET",
        "TCPMSS",
        "DSCP",
        "TOS",
        "TTL",
        "HL",
        "CLASSIFY",
        "SECMARK",
        "CONNSECMARK",
    ];
    TARGETS.contains(&target)
}

/// One condition of a rule. Takes its arguments off `words`.
fn condition<'a>(option: &str, words: &mut impl Iterator<Item = &'a str>, packet: &Packet) -> Match {
    let mut argument = || words.next().unwrap_or_default();
    match option {
        // Loads an extension, whose options say what is asked; we know those of a few.
        "-m" => match argument() {
            "icmp" | "icmp6" | "ipv6-icmp" | "udp" | "sctp" => Match::No,
            "tcp" | "multiport" | "conntrack" | "state" | "comment" | "addrtype" | "rpfilter" => Match::Yes,
            _ => Match::Maybe,
        },
        "-p" => matches!(argument(), "tcp" | "all" | "6" | "0").into(),
        "-i" => {
            let name = argument();
            match name.strip_suffix('+') {
                Some(prefix) => packet.interface.starts_with(prefix).into(),
                None => (name == packet.interface).into(),
            }
        }
        "-s" => addresses(argument(), |network| source_in(&packet.source, network)),
        "-d" => addresses(argument(), |network| network.contains(&packet.destination).into()),
        "--dport" => port_in(argument(), packet.port),
        "--dports" | "--ports" => {
            argument().split(',').fold(Match::No, |found, range| found.or(port_in(range, packet.port)))
        }
        "--ctstate" | "--state" => argument().split(',').any(|state| state == "NEW").into(),
        "--syn" => Match::Yes,
        "--tcp-flags" => {
            let (mask, wanted) = (argument(), argument());
            let syn_seen = mask.split(',').any(|flag| flag == "SYN" || flag == "ALL");
            (if syn_seen { wanted == "SYN" } else { wanted == "NONE" }).into()
        }
        "--dst-type" => argument().split(',').any(|kind| kind == "LOCAL").into(),
        "--ctdir" => (argument() == "ORIGINAL").into(),
        "--src-type" => {
            let kinds = argument();
            if kinds.split(',').any(|kind| kind == "UNICAST") { Match::Yes } else { Match::No }
        }
        "--comment" => {
            argument();
            Match::Yes
        }
        // The reverse path filter: a neighbour passes it.
        "--invert" => Match::No,
        "-f" => Match::No,
        // An option that we do not know, or its argument.
        _ => Match::Maybe,
    }
}

fn addresses(list: &str, within: impl Fn(&IpNet) -> Match) -> Match {
    list.split(',').fold(Match::No, |found, text| {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        found.or(network.map_or(Match::Maybe, |network| within(&network)))
    })
}

/// `80`, `8000:9000`, `:1023`, `1024:`.
fn port_in(range: &str, port: u16) -> Match {
    let (low, high) = range.split_once(':').unwrap_or((range, range));
    let number = |text: &str, default: u16| if text.is_empty() { Some(default) } else { text.parse().ok() };
    match (number(low, 0), number(high, u16::MAX)) {
        (Some(low), Some(high)) => (low..=high).contains(&port).into(),
        _ => Match::Maybe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(port: u16) -> Packet {
        Packet {
            interface: "lan0".into(),
            source: "192.168.1.0/24".parse().unwrap(),
            destination: "192.168.1.23".parse().unwrap(),
            port,
        }
    }

    fn drops() -> Judgement {
        Judgement::Drops { table: "filter".into(), chain: "INPUT".into() }
    }

    fn depends() -> Judgement {
        Judgement::Depends { table: "filter".into(), chain: "INPUT".into() }
    }

    #[test]
    fn ufw() {
        let saved = include_str!("fixtures/ufw.iptables-save");
        for (port, verdict) in [
            (22, Judgement::Accepts),
            (3000, Judgement::Accepts),
            (8000, Judgement::Accepts),
            (8100, Judgement::Accepts),
            (8101, drops()),
            (2222, depends()),
        ] {
            assert_eq!(judge(saved, &packet(port)), verdict, "{port}");
        }
        let from_elsewhere = Packet { source: "10.0.0.0/24".parse().unwrap(), ..packet(3000) };
        assert_eq!(judge(saved, &from_elsewhere), drops());
    }

    #[test]
    fn single_rules_before_a_policy_of_drop() {
        for (rule, verdict) in [
            ("-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT", Judgement::Accepts),
            ("-A INPUT -p udp -m udp --dport 8080 -j ACCEPT", drops()),
            ("-A INPUT -p tcp -m multiport --dports 80,443,8000:9000 -j ACCEPT", Judgement::Accepts),
            ("-A INPUT -p tcp -m tcp ! --dport 22 -j ACCEPT", Judgement::Accepts),
            ("-A INPUT -i lan+ -j ACCEPT", Judgement::Accepts),
            ("-A INPUT ! -i lan0 -j ACCEPT", drops()),
            ("-A INPUT -s 192.168.0.0/16 -j ACCEPT", Judgement::Accepts),
            ("-A INPUT -s 192.168.1.7/32 -j ACCEPT", depends()),
            ("-A INPUT -d 192.168.1.23/32 -j ACCEPT", Judgement::Accepts),
            ("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", drops()),
            (
                "-A INPUT -m conntrack --ctstate NEW -m comment --comment \"-j DROP \\\"x\" -j ACCEPT",
                Judgement::Accepts,
            ),
            ("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT", Judgement::Accepts),
            ("-A INPUT -m set --match-set friends src -j ACCEPT", depends()),
            ("-A INPUT -m some-new-thing --knob 7 -j ACCEPT", depends()),
            ("-A INPUT -j LOG --log-prefix \"in \"", drops()),
            ("-A INPUT -g web\n-A web -p tcp -m tcp --dport 8000:8999 -j ACCEPT", Judgement::Accepts),
            ("-A INPUT -j NFQUEUE --queue-num 0", depends()),
        ] {
            let saved = format!("*filter\n:INPUT DROP [0:0]\n:web - [0:0]\n{rule}\nCOMMIT\n");
            assert_eq!(judge(&saved, &packet(8080)), verdict, "{rule}");
        }
    }

    #[test]
    fn other_tables_drop_too() {
        let saved = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 8080 -j DROP\nCOMMIT\n";
        let raw = Judgement::Drops { table: "raw".into(), chain: "PREROUTING".into() };
        assert_eq!(judge(saved, &packet(8080)), raw);
        assert_eq!(judge(saved, &packet(8081)), Judgement::Accepts);
        assert_eq!(judge("", &packet(8080)), Judgement::Accepts);
    }
}
