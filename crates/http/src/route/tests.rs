use std::sync::Arc;

use doorstep_model::PathMatcher;
use doorstep_net::TlsInfo;

use super::*;
use crate::BoxFuture;

/// Answers with its name, and what was captured.
struct Named(&'static str);

impl Service for Named {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let text = format!("{}{}", self.0, request.captures.number(1));
        Box::pin(std::future::ready(Response::text(StatusCode::OK, text)))
    }
}

fn site(name: &'static str, hosts: &[&str]) -> SiteRoutes {
    let hosts = match hosts {
        [] => HostPolicy::Any,
        names => HostPolicy::Names(names.iter().map(|name| name.parse().unwrap()).collect()),
    };
    let service: Arc<dyn Service> = Arc::new(Named(name));
    SiteRoutes { name: Some(name.to_owned()), ..SiteRoutes::new(hosts, vec![(Matcher::any(), service)]) }
}

fn table(options: TableOptions, sites: Vec<SiteRoutes>) -> RouteTable {
    let mut table = RouteTable::new(options);
    sites.into_iter().for_each(|site| table.add_site(site).unwrap());
    table
}

/// `url` decides scheme, authority and target.
fn request(url: &str, sni: Option<&str>) -> Request {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, target) = rest.split_at(rest.find('/').unwrap());
    let mut request = Request::get(target);
    request.authority = authority.to_owned();
    let mut conn = (*request.conn).clone();
    conn.tls = (scheme == "https").then(|| TlsInfo { sni: sni.map(str::to_owned), ..TlsInfo::default() });
    request.conn = Arc::new(conn);
    request
}

/// Status, and the text of the answer or where it leads.
async fn ask(table: &RouteTable, mut request: Request) -> (u16, String) {
    let response = match table.find(&mut request).to {
        Destination::Service(service) => service.call(request).await,
        Destination::Answer(response) => response,
    };
    let status = response.status.as_u16();
    match response.headers.get(header::LOCATION) {
        Some(location) => (status, location.to_str().unwrap().to_owned()),
        None => (status, String::from_utf8(response.body.collect(9999).await.unwrap().to_vec()).unwrap()),
    }
}

#[tokio::test]
async fn first_match_in_order() {
    let route = |path, name| (Matcher { path, ..Matcher::any() }, Arc::new(Named(name)) as Arc<dyn Service>);
    let mut entry = site("a", &["a.example"]);
    entry.routes = vec![
        route(PathMatcher::Exact("/x/1".to_owned()), "exact"),
        route(PathMatcher::Glob("/x/*.jpg".to_owned()), "glob "),
        route(PathMatcher::Prefix("/x".to_owned()), "prefix"),
    ];
    let table = table(TableOptions::default(), vec![entry]);
    for (target, expected) in [("/x/1", "exact"), ("/x/hot.jpg", "glob hot"), ("/x/2", "prefix"), ("/x/%31", "exact")] {
        assert_eq!(ask(&table, request(&format!("http://a.example{target}"), None)).await.1, expected, "{target}");
    }
    assert_eq!(ask(&table, request("http://a.example/y", None)).await.0, 404);
}

#[tokio::test]
async fn strangers_reach_nothing_and_learn_nothing() {
    let sites = || vec![site("a", &["a.example"])];
    let quiet = table(TableOptions { strangers: Strangers::Quiet, ..TableOptions::default() }, sites());
    for host in ["b.example", "192.0.2.1", "[2001:db8::1]:8080", "", "www.a.example"] {
        let (status, text) = ask(&quiet, request(&format!("http://{host}/"), None)).await;
        assert!(status == 421 && !text.contains("a.example") && !text.contains("share"), "{host} {text}");
    }
    let share = table(TableOptions::default(), sites());
    let (_, text) = ask(&share, request("http://b.example/", None)).await;
    assert!(text.contains("--host b.example"), "{text}");
}

#[tokio::test]
async fn the_connection_must_be_of_the_same_site() {
    let mut locked = site("locked", &["locked.example"]);
    locked.client_auth = true;
    let mut upgraded = site("upgraded", &["upgraded.example"]);
    upgraded.client_auth = true;
    upgraded.https = HttpsPolicy::Redirect;
    let mut aliased = site("a.example", &["a.example", "*.a.example"]);
    aliased.redirect_from = vec!["old.example".parse().unwrap()];
    let table = table(TableOptions::default(), vec![aliased, site("b", &["b.example"]), locked, upgraded]);
    for (url, sni, status) in [
        ("https://a.example/", Some("a.example"), 200),
        ("https://a.example:8443/", Some("a.example"), 200),
        ("https://x.a.example/", Some("a.example"), 200),
        ("https://a.example/", Some("old.example"), 200),
        ("https://b.example/", Some("a.example"), 421),
        ("https://a.example/", Some("nobody.example"), 421),
        ("https://a.example/", None, 200),
        ("https://nobody.example/", Some("a.example"), 421),
        ("https://locked.example/", Some("locked.example"), 200),
        ("https://locked.example/", Some("a.example"), 421),
        ("https://locked.example/", None, 403),
        ("http://locked.example/", None, 403),
        ("https://a.example/", Some("locked.example"), 421),
        ("http://upgraded.example/", None, 308),
        ("https://upgraded.example/", None, 403),
    ] {
        assert_eq!(ask(&table, request(url, sni)).await.0, status, "{url} {sni:?}");
    }
}

#[tokio::test]
async fn redirects_to_the_name_and_to_https() {
    let aliases = |entry: SiteRoutes| SiteRoutes { redirect_from: vec!["www.a.example".parse().unwrap()], ..entry };
    let open = table(TableOptions::default(), vec![aliases(site("a.example", &["a.example"]))]);
    let moved = |to: &str| (308, to.to_owned());
    assert_eq!(ask(&open, request("http://www.a.example:8080/x?y", None)).await, moved("http://a.example:8080/x?y"));
    assert_eq!(ask(&open, request("https://www.a.example/x", None)).await, moved("https://a.example/x"));

    let only_wild = aliases(site("*.a.example", &["*.a.example"]));
    let only_wild = table(TableOptions::default(), vec![only_wild]);
    assert_eq!(ask(&only_wild, request("http://www.a.example/", None)).await.0, 200);

    let secure = |entry: SiteRoutes| SiteRoutes { https: HttpsPolicy::Redirect, ..entry };
    let port = TableOptions { https_port: Some(8443), ..TableOptions::default() };
    for (options, suffix) in [(TableOptions::default(), ""), (port, ":8443")] {
        let any = secure(site("default", &[]));
        let table = table(options, vec![secure(aliases(site("a.example", &["a.example"]))), any]);
        let ask = |url| ask(&table, request(url, None));
        assert_eq!(ask("http://a.example:8080//x?y").await, moved(&format!("https://a.example{suffix}//x?y")));
        assert_eq!(ask("http://www.a.example/").await, moved(&format!("https://a.example{suffix}/")));
        assert_eq!(ask("http://[::1]:80/").await, moved(&format!("https://[::1]{suffix}/")));
        assert_eq!(ask("https://a.example/").await.0, 200);
        assert_eq!(ask("http:///").await.0, 400);
    }
}

#[tokio::test]
async fn challenges_come_before_everything() {
    let challenges: Challenges = Arc::new(|token| (token == "t0ken").then(|| "t0ken.key".to_owned()));
    let mut entry = site("a.example", &["a.example"]);
    entry.https = HttpsPolicy::Redirect;
    let table = table(TableOptions { challenges: Some(challenges), ..TableOptions::default() }, vec![entry]);
    for host in ["a.example", "b.example", "192.0.2.1"] {
        let url = format!("http://{host}/.well-known/acme-challenge/");
        assert_eq!(ask(&table, request(&format!("{url}t0ken"), None)).await, (200, "t0ken.key".to_owned()));
        assert!([308, 421].contains(&ask(&table, request(&format!("{url}other"), None)).await.0));
    }
}

/// Hosts below `lent.test`: one with a certificate, the others without.
struct Lent(Arc<str>);

impl DynamicHosts for Lent {
    fn policy(&self, host: &str, _: bool) -> Option<HttpsPolicy> {
        let label = host.strip_suffix(".lent.test")?;
        Some(if label == "safe" { HttpsPolicy::Redirect } else { HttpsPolicy::Optional })
    }

    fn service(&self) -> &dyn Service {
        self
    }

    fn site(&self) -> &Arc<str> {
        &self.0
    }
}

impl Service for Lent {
    fn call<'a>(&'a self, request: Request) -> crate::BoxFuture<'a, Response> {
        Box::pin(async move { Response::text(StatusCode::OK, format!("lent {}", request.host())) })
    }
}

#[test]
fn hosts_that_come_and_go_stand_between_names_and_the_default() {
    let options = TableOptions { dynamic: Some(Arc::new(Lent("relay".into()))), ..TableOptions::default() };
    let site = |policy| SiteRoutes { name: Some("site".to_owned()), ..SiteRoutes::new(policy, Vec::new()) };
    let mut table = RouteTable::new(options);
    table.add_site(site(HostPolicy::Names(vec!["own.lent.test".parse().unwrap()]))).unwrap();
    table.add_site(site(HostPolicy::Any)).unwrap();
    let routed = |host: &str, sni: Option<&str>| {
        let mut asked = Request::get("/a");
        asked.authority = host.to_owned();
        let mut conn = (*asked.conn).clone();
        conn.tls = sni.map(|sni| TlsInfo { sni: Some(sni.to_owned()), ..TlsInfo::default() });
        asked.conn = Arc::new(conn);
        let routed = table.find(&mut asked);
        let status = match routed.to {
            Destination::Service(_) => 200,
            Destination::Answer(response) => response.status.as_u16(),
        };
        (routed.site.map(|site| site.to_string()).unwrap_or_default(), status)
    };
    assert_eq!(routed("a.lent.test", None), ("relay".to_owned(), 200));
    assert_eq!(routed("a.lent.test", Some("a.lent.test")), ("relay".to_owned(), 200));
    assert_eq!(
        routed("a.lent.test", Some("b.lent.test")),
        ("relay".to_owned(), 421),
        "a connection is for one of them"
    );
    assert_eq!(routed("safe.lent.test", None), ("relay".to_owned(), 308));
    assert_eq!(routed("own.lent.test", None), ("site".to_owned(), 404), "a site of that name goes before");
    assert_eq!(routed("other.test", None), ("site".to_owned(), 404), "the default site is for what is left");
}
