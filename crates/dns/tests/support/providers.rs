//! How each provider's API answers, as its documentation has it.

use serde_json::{Value, json};

use super::api::{Answer, Api, Ask, Records, ZONE};

pub async fn cloudflare() -> Api {
    Api::start("Bearer", || (400, json!({ "success": false, "errors": [{ "code": 6003, "message": "Invalid request headers" }], "result": null })), |records, ask| {
        let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
        let result = |result: Value| (200, json!({ "success": true, "errors": [], "messages": [], "result": result }));
        let refused = |status, code: u32, message: &str| {
            (status, json!({ "success": false, "errors": [{ "code": code, "message": message }], "result": null }))
        };
        match (ask.method.as_str(), &path[..]) {
            ("GET", ["client", "v4", "zones"]) => match ask.query["name"] == ZONE {
                true => result(json!([{ "id": "023e105f", "name": ZONE }])),
                false => result(json!([])),
            },
            ("GET", ["client", "v4", "zones", "023e105f", "dns_records"]) => {
                let (name, kind) = (label(&ask.query["name"]), &ask.query["type"]);
                let found = records.get(&(name.clone(), kind.clone())).into_iter().flat_map(|(values, ttl)| {
                    let (name, kind) = (&name, &kind);
                    values.iter().map(move |value| {
                        json!({ "id": format!("{name}~{kind}~{value}"), "name": ask.query["name"], "type": kind, "content": value, "ttl": ttl, "proxied": false })
                    })
                });
                result(found.collect())
            }
            ("POST", ["client", "v4", "zones", "023e105f", "dns_records"]) => {
                let body = &ask.body;
                let key = (label(text(&body["name"])), text(&body["type"]).to_owned());
                let (value, ttl) = (text(&body["content"]).to_owned(), body["ttl"].as_u64().unwrap());
                if ttl < 60 {
                    return refused(400, 9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.");
                }
                let set = records.entry(key).or_default();
                if set.0.contains(&value) {
                    return refused(400, 81058, "An identical record already exists.");
                }
                set.0.push(value);
                set.1 = ttl;
                result(json!({}))
            }
            (method @ ("PATCH" | "DELETE"), ["client", "v4", "zones", "023e105f", "dns_records", id]) => {
                let [name, kind, value] = id.split('~').collect::<Vec<_>>()[..] else { panic!("{id}") };
                let Some(set) = records.get_mut(&(name.to_owned(), kind.to_owned())) else {
                    return refused(404, 81044, "Record does not exist.");
                };
                set.0.retain(|there| there != value);
                if method == "PATCH" {
                    set.0.push(ask.body["content"].as_str().unwrap_or(value).to_owned());
                    set.1 = ask.body["ttl"].as_u64().unwrap_or(set.1);
                }
                result(json!({}))
            }
            _ => refused(404, 7000, "No route for that URI"),
        }
    })
    .await
}

pub async fn desec() -> Api {
    Api::start(
        "Token",
        || (401, json!({ "detail": "Invalid token." })),
        |records, ask| {
            let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
            let missing = || (404, json!({ "detail": "Not found." }));
            match (ask.method.as_str(), &path[..]) {
                ("GET", ["update"]) => {
                    let Some(name) = ask.query["hostname"].strip_suffix(ZONE) else { return (404, "nohost".into()) };
                    for (kind, key) in [("A", "myipv4"), ("AAAA", "myipv6")] {
                        let ips = ask.query[key].split(',').filter(|ip| !ip.is_empty()).map(str::to_owned);
                        put(records, name.trim_end_matches('.'), kind, ips.collect(), 60);
                    }
                    (200, "good".into())
                }
                ("GET", ["api", "v1", "domains", ZONE]) => (200, json!({ "name": ZONE, "minimum_ttl": 3600 })),
                ("PUT", ["api", "v1", "domains", ZONE, "rrsets"]) => {
                    for set in ask.body.as_array().unwrap() {
                        let values =
                            set["records"].as_array().unwrap().iter().map(|value| text(value).to_owned()).collect();
                        let ttl = set["ttl"].as_u64().unwrap();
                        if ttl < 3600 {
                            return (400, json!([{ "ttl": ["Ensure this value is greater than or equal to 3600."] }]));
                        }
                        put(records, text(&set["subname"]), text(&set["type"]), values, ttl);
                    }
                    (200, ask.body.clone())
                }
                ("GET", ["api", "v1", "domains", ZONE, "rrsets", name, kind]) => {
                    match records.get(&((*name).to_owned(), (*kind).to_owned())) {
                        Some((values, ttl)) => {
                            (200, json!({ "subname": name, "type": kind, "records": values, "ttl": ttl }))
                        }
                        None => missing(),
                    }
                }
                _ => missing(),
            }
        },
    )
    .await
}

pub async fn gandi() -> Api {
    Api::start("Bearer", || (403, json!({ "object": "HTTPForbidden", "cause": "Forbidden", "code": 403, "message": "The PAT is not valid" })), |records, ask| {
        let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
        let missing = || (404, json!({ "object": "HTTPNotFound", "cause": "Not Found", "code": 404, "message": "The resource could not be found." }));
        let ["v5", "livedns", "domains", ZONE, "records", name, kind] = path[..] else { return missing() };
        let key = (name.to_owned(), kind.to_owned());
        match ask.method.as_str() {
            "GET" => records.get(&key).map_or_else(missing, |(values, ttl)| (200, json!({ "rrset_name": name, "rrset_type": kind, "rrset_values": values, "rrset_ttl": ttl }))),
            "PUT" => {
                let ttl = ask.body["rrset_ttl"].as_u64().unwrap();
                if ttl < 300 {
                    let why = json!([{ "location": "body", "name": "rrset_ttl", "description": "rrset_ttl: 300 is the minimum" }]);
                    return (400, json!({ "status": "error", "errors": why }));
                }
                let values = ask.body["rrset_values"].as_array().unwrap().iter().map(|value| text(value).to_owned());
                put(records, name, kind, values.collect(), ttl);
                (201, json!({ "message": "DNS Record Created" }))
            }
            "DELETE" => records.remove(&key).map_or_else(missing, |_| (204, Value::Null)),
            _ => missing(),
        }
    })
    .await
}

pub async fn hetzner() -> Api {
    fn error(status: u16, code: &str, message: &str) -> Answer {
        (status, json!({ "error": { "code": code, "message": message, "details": {} } }))
    }
    Api::start(
        "Bearer",
        || error(401, "unauthorized", "unable to authenticate"),
        |records, ask| {
            let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
            let action = || {
                (
                    201,
                    json!({ "action": { "id": 1, "command": "x", "status": "running", "progress": 0, "error": null } }),
                )
            };
            let missing = || error(404, "not_found", "not found");
            let values = |ask: &Ask| {
                ask.body["records"].as_array().unwrap().iter().map(|record| text(&record["value"]).to_owned()).collect()
            };
            match (ask.method.as_str(), &path[..]) {
                ("POST", ["v1", "zones", ZONE, "rrsets"]) => {
                    let (name, kind) = (text(&ask.body["name"]), text(&ask.body["type"]));
                    if records.contains_key(&(name.to_owned(), kind.to_owned())) {
                        return error(409, "uniqueness_error", "rrset already exists");
                    }
                    put(records, name, kind, values(ask), ask.body["ttl"].as_u64().unwrap());
                    action()
                }
                (method, ["v1", "zones", ZONE, "rrsets", name, kind, rest @ ..]) => {
                    let key = ((*name).to_owned(), (*kind).to_owned());
                    let Some(set) = records.get_mut(&key) else { return missing() };
                    match (method, rest) {
                        ("GET", []) => {
                            let found: Vec<Value> =
                                set.0.iter().map(|value| json!({ "value": value, "comment": "" })).collect();
                            return (
                                200,
                                json!({ "rrset": { "name": name, "type": kind, "ttl": set.1, "records": found } }),
                            );
                        }
                        ("DELETE", []) => drop(records.remove(&key)),
                        ("POST", ["actions", "set_records"]) => set.0 = values(ask),
                        ("POST", ["actions", "change_ttl"]) => set.1 = ask.body["ttl"].as_u64().unwrap(),
                        _ => return missing(),
                    }
                    action()
                }
                _ => missing(),
            }
        },
    )
    .await
}

fn put(records: &mut Records, name: &str, kind: &str, values: Vec<String>, ttl: u64) {
    let key = (if name.is_empty() { "@" } else { name }.to_owned(), kind.to_owned());
    if values.is_empty() {
        records.remove(&key);
    } else {
        records.insert(key, (values, ttl));
    }
}

/// `home` of `home.example.com`.
fn label(name: &str) -> String {
    match name.strip_suffix(ZONE).unwrap().trim_end_matches('.') {
        "" => "@".to_owned(),
        label => label.to_owned(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
