//! Crates live in rings; a crate imports lower rings only, never sideways, and nobody imports the outermost.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::sh;

/// One crate of the workspace.
pub struct Member {
    pub name: String,
    /// `package.metadata.doorstep.ring` of its manifest.
    pub ring: Option<u64>,
    /// Names of what it depends on, in whatever way (normal, build, dev).
    pub dependencies: Vec<String>,
}

/// Chores are outside of the rings: they import none of the crates, and no crate imports them.
const OUTSIDE: &str = "xtask";

/// Everything in the workspace as Cargo sees it.
pub fn read_workspace() -> Result<Vec<Member>> {
    let text = sh::read(sh::cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    Ok(packages.iter().map(member).collect())
}

fn member(package: &Value) -> Member {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Member {
        name: text(&package["name"]),
        ring: package["metadata"]["doorstep"]["ring"].as_u64(),
        dependencies: package["dependencies"].as_array().into_iter().flatten().map(|dep| text(&dep["name"])).collect(),
    }
}

/// Each breach in words.
pub fn check(members: &[Member]) -> Vec<String> {
    let rings: BTreeMap<&str, Option<u64>> = members.iter().map(|member| (member.name.as_str(), member.ring)).collect();
    let mut breaches = Vec::new();
    for member in members {
        let Some(ring) = member.ring else {
            if member.name != OUTSIDE {
                breaches.push(format!("{}: its manifest names no package.metadata.doorstep.ring", member.name));
            }
            continue;
        };
        for dependency in &member.dependencies {
            match rings.get(dependency.as_str()) {
                Some(Some(lower)) if *lower < ring => {}
                Some(Some(other)) => breaches.push(format!(
                    "{} (ring {ring}) imports {dependency} (ring {other}): only lower rings may be imported",
                    member.name
                )),
                Some(None) => breaches.push(format!("{} imports {dependency}, which is in no ring", member.name)),
                None => {}
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, ring: Option<u64>, dependencies: &[&str]) -> Member {
        Member { name: name.into(), ring, dependencies: dependencies.iter().map(|&name| name.into()).collect() }
    }

    #[test]
    fn lower_rings_and_strangers_may_be_imported() {
        let members = [member("model", Some(0), &["serde"]), member("net", Some(1), &["model", "tokio"])];
        assert_eq!(check(&members), Vec::<String>::new());
    }

    #[test]
    fn sideways_upwards_and_ringless_imports_are_breaches() {
        let members = [
            member("model", Some(0), &["net"]),
            member("net", Some(1), &["reach"]),
            member("reach", Some(1), &["xtask"]),
            member("lost", None, &[]),
            member("xtask", None, &[]),
        ];
        let breaches = check(&members).join("\n");
        for expected in ["model (ring 0) imports net", "net (ring 1) imports reach", "reach imports xtask", "lost: its"]
        {
            assert!(breaches.contains(expected), "{expected} is not in:\n{breaches}");
        }
        assert_eq!(check(&members).len(), 4);
    }

    #[test]
    fn the_workspace_itself_declares_its_rings() {
        let members = read_workspace().unwrap();
        assert!(members.iter().any(|member| member.name == "doorstep" && member.ring.is_some()));
        assert!(members.iter().any(|member| member.dependencies.contains(&"doorstep-model".to_owned())));
    }
}
