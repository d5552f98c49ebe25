//! Records that were put at a DNS provider, and are taken away again.

use std::path::Path;

use doorstep_config::Sources;
use doorstep_dns::undo;
use doorstep_model::{DnsProvider, RecordChange};
use doorstep_store::Journal;

use crate::exit::{Code, Failure, cause};
use crate::up::supervisor::configuration::{parse, privileges};

/// `set home.example.com A 203.0.113.7 at desec`
pub fn words(record: &RecordChange) -> String {
    format!("set {} {} at {}", record.name, record.record, record.provider)
}

/// Puts back what was there before, and writes that down.
///
/// # Errors
/// The file with the provider's settings is gone, or the provider refuses; the entry stays then.
pub fn take_back(
    record: &RecordChange,
    id: u64,
    journal: &mut Journal,
    dry_run: bool,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let what = match record.before.as_slice() {
        [] => format!("remove {} {} at {}", record.name, record.record, record.provider),
        before => format!("set {} {} back to {} at {}", record.name, record.record, before.join(", "), record.provider),
    };
    if dry_run {
        say(&format!("would {what}"));
        return Ok(());
    }
    let settings = settings(record)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Failed, "no runtime").because(cause(&error)))?;
    runtime.block_on(undo(record, &settings, None)).map_err(|fault| {
        let failure = Failure::new(Code::Failed, format!("{} {} was left as it is", record.name, record.record));
        failure.because(fault.what).fix(fault.fix)
    })?;
    say(&what);
    journal.undone(id).map_err(|error| {
        Failure::new(Code::Failed, "the journal cannot be written").because(cause(&error)).fix("Make room on the disk.")
    })
}

/// What makes us known to the provider: it stands in the file that the record was put for.
fn settings(record: &RecordChange) -> Result<DnsProvider, Failure> {
    let unknown = |why: String| {
        let what = format!("{} {} was left as it is", record.name, record.record);
        Failure::new(Code::Failed, what)
            .because(why)
            .fix(format!("Remove the record at {} yourself, or bring the file back.", record.provider))
    };
    let file = record.config.as_deref().ok_or_else(|| unknown("No file says what the provider wants.".to_owned()))?;
    let provider = provider_in(file).map_err(|why| unknown(format!("{}: {why}", file.display())))?;
    provider
        .filter(|provider| provider.kind == record.provider)
        .ok_or_else(|| unknown(format!("{} says nothing of {} any more.", file.display(), record.provider)))
}

fn provider_in(file: &Path) -> Result<Option<DnsProvider>, String> {
    let spec = parse(&Sources::gather(file), privileges()).map_err(|failure| failure.to_string())?;
    Ok(spec.issuance.dns)
}
