//! The order in which apps start.

use crate::context::Context;
use crate::suggest::nearest;
use crate::tree::{Entry, Node, Table};

/// Reports apps that wait for ones that do not exist, for themselves, or for each other.
pub(super) fn check(context: &mut Context<'_>, file: &Table) {
    let apps: Vec<&Entry> = file.table("app").into_iter().flat_map(Table::iter).collect();
    let index = |name: &str| apps.iter().position(|app| app.key == name);
    let mut edges: Vec<Vec<(usize, &Node)>> = Vec::new();
    for app in &apps {
        let mut after = Vec::new();
        for node in app.node.table().into_iter().flat_map(|table| table.each("after")) {
            let Some(name) = node.text() else { continue };
            match index(name) {
                Some(at) => after.push((at, node)),
                None => {
                    context
                        .error("no-such-app", &node.place, format!("there is no app `{}`", node.raw()))
                        .meant(nearest(name, apps.iter().map(|app| app.key.as_str())));
                }
            }
        }
        edges.push(after);
    }
    let mut state = vec![State::New; apps.len()];
    for start in 0..apps.len() {
        visit(context, start, &edges, &mut state, &apps);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    /// On the way from the start; to come here again is a circle.
    Open,
    Done,
}

/// Depth first, with a stack of its own: files may be long.
fn visit(context: &mut Context<'_>, start: usize, edges: &[Vec<(usize, &Node)>], state: &mut [State], apps: &[&Entry]) {
    if state[start] != State::New {
        return;
    }
    let mut way = vec![(start, 0)];
    state[start] = State::Open;
    while let Some((at, next)) = way.last_mut() {
        let Some((to, node)) = edges[*at].get(*next) else {
            state[*at] = State::Done;
            way.pop();
            continue;
        };
        *next += 1;
        match state[*to] {
            State::Done => {}
            State::New => {
                state[*to] = State::Open;
                way.push((*to, 0));
            }
            State::Open => {
                let from = way.iter().position(|(app, _)| app == to).unwrap_or(0);
                let mut names: Vec<&str> = way[from..].iter().map(|(app, _)| apps[*app].key.as_str()).collect();
                names.push(&apps[*to].key);
                context
                    .error("circle", &node.place, "these apps wait for each other, so none of them would ever start")
                    .note(names.join(" waits for "));
            }
        }
    }
}
