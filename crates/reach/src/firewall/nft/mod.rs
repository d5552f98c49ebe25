//! The rule set of nftables, as `nft -j list ruleset` prints it (libnftables-json(5)).

use serde_json::Value;

use super::walk::{Action, Chains, Fate, Match, Packet, Rule, walk};

mod condition;

use condition::{Subject, condition};

/// The chain that drops the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseChain {
    pub family: String,
    pub table: String,
    pub name: String,
}

/// What the whole rule set does with the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Accepts,
    Drops(BaseChain),
    /// It depends on something that cannot be known beforehand.
    Depends(BaseChain),
}

/// Follows `packet` through every base chain on its way to a program of this computer. `None` if the text is not a
/// rule set.
///
/// nft cannot print all that iptables wrote (`xt`), so with `without_iptables` its tables are left out, for
/// iptables-save to tell about.
pub(super) fn judge(json: &str, packet: &Packet, without_iptables: bool) -> Option<Judgement> {
    let document: Value = serde_json::from_str(json).ok()?;
    let objects = document.get("nftables")?.as_array()?;
    let of = |kind: &'static str| objects.iter().filter_map(move |object| object.get(kind));
    let mut depends = None;
    let skipped = |chain: &Value| without_iptables && is_of_iptables(chain);
    for chain in of("chain").filter(|chain| is_inbound(chain, packet) && !skipped(chain)) {
        let (family, table) = (text(chain, "family"), text(chain, "table"));
        let in_table = |object: &&Value| text(object, "family") == family && text(object, "table") == table;
        let sets = Sets(of("set").chain(of("map")).filter(in_table).collect());
        let mut chains: Chains =
            of("chain").filter(in_table).map(|c| (text(c, "name").to_owned(), Vec::new())).collect();
        for rule in of("rule").filter(in_table) {
            chains.entry(text(rule, "chain").to_owned()).or_default().extend(rules(rule, packet, &sets));
        }
        let drops = text(chain, "policy") == "drop";
        let name = text(chain, "name");
        let fate = walk(&chains, name, Fate { accepted: !drops, dropped: drops });
        let base = BaseChain { family: family.to_owned(), table: table.to_owned(), name: name.to_owned() };
        match fate {
            Fate { dropped: true, accepted: false } => return Some(Judgement::Drops(base)),
            Fate { dropped: true, accepted: true } => depends = Some(base),
            _ => {}
        }
    }
    Some(depends.map_or(Judgement::Accepts, Judgement::Depends))
}

/// Whether a chain is a base chain that sees the packet and may drop it. Address translation (`nat`) does not drop.
fn is_inbound(chain: &Value, packet: &Packet) -> bool {
    let family = match text(chain, "family") {
        "inet" => true,
        "ip" => packet.destination.is_ipv4(),
        "ip6" => packet.destination.is_ipv6(),
        "netdev" => text(chain, "dev") == packet.interface,
        _ => false,
    };
    family && text(chain, "type") == "filter" && matches!(text(chain, "hook"), "input" | "prerouting" | "ingress")
}

/// Whether a base chain has the name that iptables gives it.
fn is_of_iptables(chain: &Value) -> bool {
    matches!(text(chain, "family"), "ip" | "ip6")
        && matches!(text(chain, "table"), "filter" | "raw" | "mangle" | "security")
        && matches!(text(chain, "name"), "INPUT" | "PREROUTING")
}

/// One nft rule as steps of a walk: several, if a verdict map chooses among verdicts.
fn rules(rule: &Value, packet: &Packet, sets: &Sets<'_>) -> Vec<Rule> {
    let mut matches = Match::Yes;
    let mut steps = Vec::new();
    for statement in rule.get("expr").and_then(Value::as_array).into_iter().flatten() {
        let Some((keyword, body)) = statement.as_object().and_then(|object| object.iter().next()) else { continue };
        match keyword.as_str() {
            "match" => matches = matches.and(condition(body, packet, sets)),
            // Only so many packets pass: this one may or may not be among them.
            "limit" | "quota" | "ct count" | "xt" => matches = matches.and(Match::Maybe),
            "vmap" => {
                steps.extend(
                    verdict_map(body, packet, sets)
                        .into_iter()
                        .map(|(element, action)| Rule { matches: matches.and(element), action }),
                );
            }
            "queue" | "synproxy" => steps.push(Rule { matches, action: Action::Unknown }),
            _ => steps.extend(verdict(keyword, body).map(|action| Rule { matches, action })),
        }
    }
    steps
}

fn verdict(keyword: &str, body: &Value) -> Option<Action> {
    let target = || text(body, "target").to_owned();
    match keyword {
        "accept" => Some(Action::Accept),
        "drop" | "reject" => Some(Action::Drop),
        "return" => Some(Action::Return),
        "jump" => Some(Action::Jump(target())),
        "goto" => Some(Action::Goto(target())),
        _ => None,
    }
}

/// The branches of a verdict map: `tcp dport vmap { 22 : accept, 8000-9000 : jump web }`.
fn verdict_map(body: &Value, packet: &Packet, sets: &Sets<'_>) -> Vec<(Match, Action)> {
    let unknown = || vec![(Match::Maybe, Action::Unknown)];
    let (Some(key), Some(data)) = (body.get("key"), body.get("data")) else { return unknown() };
    let elements = match data.as_str() {
        Some(name) => sets.elements(name),
        None => data.get("set").and_then(Value::as_array),
    };
    let Some(elements) = elements else { return unknown() };
    let subject = Subject::of(key, packet);
    if subject == Subject::Absent {
        return Vec::new();
    }
    let mut branches = Vec::new();
    // The wildcard holds for what no other element holds for, wherever it stands.
    let (wild, named): (Vec<_>, Vec<_>) =
        elements.iter().partition(|element| element.get(0).and_then(Value::as_str) == Some("*"));
    for element in named.into_iter().chain(wild) {
        let (Some(value), Some(target)) = (element.get(0), element.get(1).and_then(Value::as_object)) else {
            return unknown();
        };
        let Some((keyword, body)) = target.iter().next() else { return unknown() };
        if keyword == "continue" {
            match subject.is(value, packet, sets) {
                Match::Yes => return branches,
                Match::No => continue,
                Match::Maybe => return unknown(),
            }
        }
        let Some(action) = verdict(keyword, body) else { return unknown() };
        branches.push((subject.is(value, packet, sets), action));
    }
    branches
}

/// The named sets and maps of a table.
struct Sets<'a>(Vec<&'a Value>);

impl<'a> Sets<'a> {
    /// The elements of a set or map. `None` if there is none of that name: then its content is not known.
    fn elements(&self, name: &str) -> Option<&'a Vec<Value>> {
        let name = name.trim_start_matches('@');
        static EMPTY: Vec<Value> = Vec::new();
        let set = self.0.iter().find(|set| text(set, "name") == name)?;
        // nft leaves `elem` out of an empty set.
        Some(set.get("elem").and_then(Value::as_array).unwrap_or(&EMPTY))
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
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

    #[derive(Debug, PartialEq)]
    enum Short {
        Accepts,
        Drops,
        Depends,
    }

    fn short(json: &str, packet: &Packet) -> Short {
        match judge(json, packet, false).unwrap() {
            Judgement::Accepts => Short::Accepts,
            Judgement::Drops(_) => Short::Drops,
            Judgement::Depends(_) => Short::Depends,
        }
    }

    #[test]
    fn many_kinds_of_rules() {
        let rules = include_str!("../fixtures/many-kinds-of-rules.json");
        for (port, verdict, why) in [
            (8080, Short::Accepts, "in a range of a named set"),
            (3000, Short::Accepts, "an element of a named set"),
            (8101, Short::Drops, "past the range: the policy"),
            (22, Short::Accepts, "verdict map"),
            (9090, Short::Accepts, "verdict map, then a chain that asks for our network"),
            (7000, Short::Drops, "from another network only"),
            (7001, Short::Depends, "from one neighbour only"),
            (7002, Short::Drops, "on another interface only"),
            (7003, Short::Accepts, "on this interface"),
            (7015, Short::Accepts, "range in a set"),
            (7004, Short::Depends, "so many a second"),
            (7005, Short::Drops, "IPv6 only"),
            (7006, Short::Drops, "refused"),
            (60001, Short::Accepts, "comparison"),
            (60000, Short::Drops, "comparison"),
        ] {
            assert_eq!(short(rules, &packet(port)), verdict, "{port}: {why}");
        }
        let elsewhere = Packet { interface: "wg0".into(), ..packet(7002) };
        assert_eq!(short(rules, &elsewhere), Short::Accepts);
    }

    #[test]
    fn the_chain_that_drops_is_named() {
        let rules = include_str!("../fixtures/many-kinds-of-rules.json");
        let base = BaseChain { family: "inet".into(), table: "filter".into(), name: "input".into() };
        assert_eq!(judge(rules, &packet(9999), false), Some(Judgement::Drops(base)));
    }

    #[test]
    fn firewalld() {
        let rules = include_str!("../fixtures/firewalld.json");
        for (port, verdict) in
            [(8080, Short::Accepts), (80, Short::Accepts), (22, Short::Accepts), (8081, Short::Drops)]
        {
            assert_eq!(short(rules, &packet(port)), verdict, "{port}");
        }
        let v6 = |port| Packet {
            source: "2001:db8:1::/64".parse().unwrap(),
            destination: "2001:db8:1::23".parse().unwrap(),
            ..packet(port)
        };
        assert_eq!(short(rules, &v6(8080)), Short::Accepts);
        assert_eq!(short(rules, &v6(8081)), Short::Drops);
    }

    #[test]
    fn a_wildcard_holds_for_what_the_others_leave_and_for_tcp_alone() {
        let rules = |key: &str| {
            let elements = r#"[["*", {"drop": null}], [8080, {"accept": null}], [8081, {"continue": null}]]"#;
            format!(
                r#"{{"nftables": [
          {{"chain": {{"family": "inet", "table": "t", "name": "in", "type": "filter", "hook": "input", "policy": "accept"}}}},
          {{"rule": {{"family": "inet", "table": "t", "chain": "in", "expr": [
            {{"vmap": {{"key": {{"payload": {{"protocol": "{key}", "field": "dport"}}}}, "data": {{"set": {elements}}}}}}}]}}}}]}}"#
            )
        };
        for (key, port, verdict) in [
            ("tcp", 8080, Short::Accepts),
            ("tcp", 8081, Short::Accepts),
            ("tcp", 8082, Short::Drops),
            ("udp", 8082, Short::Accepts),
        ] {
            assert_eq!(short(&rules(key), &packet(port)), verdict, "{key} {port}");
        }
    }

    #[test]
    fn tables_of_iptables_can_be_left_to_it() {
        let rules = r#"{"nftables": [
          {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "type": "filter", "hook": "input", "policy": "drop"}},
          {"rule": {"family": "ip", "table": "filter", "chain": "INPUT", "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}},
            {"xt": {"type": "match", "name": "conntrack"}}, {"accept": null}]}}]}"#;
        assert_eq!(short(rules, &packet(22)), Short::Depends);
        assert_eq!(short(rules, &packet(23)), Short::Drops);
        assert_eq!(judge(rules, &packet(23), true), Some(Judgement::Accepts));
    }

    #[test]
    fn what_is_no_rule_set_is_not_judged() {
        for text in ["", "{}", "[]", r#"{"nftables": 5}"#, "Error: syntax"] {
            assert_eq!(judge(text, &packet(80), false), None, "{text:?}");
        }
        assert_eq!(judge(r#"{"nftables": []}"#, &packet(80), false), Some(Judgement::Accepts));
    }
}
