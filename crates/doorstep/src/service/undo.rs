//! `doorstep undo`.

use std::process::ExitCode;

use doorstep_store::{Change, Entry};
use time::OffsetDateTime;

use super::steps::{Hands, Step, run_really};
use super::{mapping, open_journal, record, say};
use crate::args::service::UndoArgs;
use crate::dirs::Dirs;
use crate::exit::{Code, Failure};

/// Lists what stands, or takes some or all of it back, the last change first.
///
/// # Errors
/// What could not be taken back; it stays in the list.
pub fn undo(args: &UndoArgs) -> Result<ExitCode, Failure> {
    let state = Dirs::of(args.state.as_deref())?.state;
    // A look makes no folder.
    let exists = state.join("journal.json").exists();
    let mut journal = if exists { Some(open_journal(&state)?) } else { None };
    let standing = journal.as_ref().map(doorstep_store::Journal::standing).unwrap_or_default();
    if standing.is_empty() {
        say("doorstep has changed nothing on this computer outside of its own folder.");
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(&standing, args)?;
    if chosen.is_empty() {
        list(&standing);
        return Ok(ExitCode::SUCCESS);
    }
    let Some(journal) = &mut journal else { return Ok(ExitCode::SUCCESS) };
    let mut hands = Hands { run: &mut run_really, say: &mut |line| say(&format!("  {line}")) };
    let mut failed = None;
    for entry in &chosen {
        if let Change::Mapping(mapping) = &entry.change {
            // One router that is not here is no reason to leave everything else as it is.
            if let Err(failure) = mapping::close(mapping, entry.id, journal, args.dry_run, hands.say) {
                failed.get_or_insert(failure);
            }
            continue;
        }
        if let Change::Record(change) = &entry.change {
            if let Err(failure) = record::take_back(change, entry.id, journal, args.dry_run, hands.say) {
                failed.get_or_insert(failure);
            }
            continue;
        }
        for step in Step::undoing(&entry.change) {
            if args.dry_run {
                (hands.say)(&format!("would {}", step.said()));
            } else {
                step.take(journal, &mut hands)?;
            }
        }
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn chosen<'a>(standing: &'a [Entry], args: &UndoArgs) -> Result<Vec<&'a Entry>, Failure> {
    if args.all {
        return Ok(standing.iter().collect());
    }
    if let Some(unknown) = args.changes.iter().find(|id| standing.iter().all(|entry| entry.id != **id)) {
        return Err(Failure::new(Code::Usage, format!("there is no change {unknown}"))
            .fix("`doorstep undo` lists what there is."));
    }
    Ok(standing.iter().filter(|entry| args.changes.contains(&entry.id)).collect())
}

fn list(standing: &[Entry]) {
    say("Changed on this computer, the last first:\n");
    for entry in standing {
        let day = OffsetDateTime::from_unix_timestamp(entry.at).map(|at| at.date().to_string()).unwrap_or_default();
        say(&format!("  {:>3}  {day}  {}", entry.id, words(&entry.change)));
    }
    say("\n`doorstep undo NUMBER…` takes these back, `doorstep undo --all` everything.");
}

fn words(change: &Change) -> String {
    match change {
        Change::File { path, .. } => format!("wrote {}", path.display()),
        Change::Unit { name, of_user: false } => format!("enabled {name}"),
        Change::Unit { name, of_user: true } => format!("enabled {name} of this user"),
        Change::User { name } => format!("made the user {name}"),
        Change::Mapping(mapping) => mapping::words(mapping),
        Change::Record(change) => record::words(change),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_chosen_by_number_and_taken_back_last_first() {
        let entry = |id| Entry { id, at: 0, change: Change::User { name: format!("user{id}") } };
        let standing = [entry(3), entry(2), entry(1)];
        let ids = |changes: &[u64], all| {
            let args = UndoArgs { changes: changes.to_vec(), all, dry_run: false, state: None };
            chosen(&standing, &args).map(|chosen| chosen.iter().map(|entry| entry.id).collect::<Vec<_>>())
        };
        assert_eq!(ids(&[], false), Ok(vec![]));
        assert_eq!(ids(&[1, 3], false), Ok(vec![3, 1]));
        assert_eq!(ids(&[], true), Ok(vec![3, 2, 1]));
        assert_eq!(ids(&[7], false).unwrap_err().what, "there is no change 7");
        assert_eq!(words(&standing[0].change), "made the user user3");
    }
}
