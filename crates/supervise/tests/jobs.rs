//! Jobs, with real processes.

mod common;

use std::time::Duration;

use common::{Fixture, until};
use doorstep_supervise::JobStatus;

async fn job(fixture: &Fixture, name: &str) -> JobStatus {
    let jobs = fixture.supervisor.jobs().await;
    jobs.into_iter().find(|job| job.name.0 == name).unwrap()
}

#[tokio::test]
async fn runs_at_its_time_and_says_how_it_went() {
    let fixture = Fixture::new();
    let good = fixture.job("good", "echo working", Duration::from_secs(1));
    let bad = fixture.job("bad", "echo 'disk is full'; exit 4", Duration::from_secs(1));
    fixture.supervisor.apply(vec![], vec![good, bad]);
    until("two runs", || async { (fixture.log("good").matches(" working").count() >= 2).then_some(()) }).await;
    let finding = fixture.finding("job-failed").await;
    assert!(finding.what.contains("exit code 4") && finding.what.contains("disk is full"), "{finding:?}");
    let status = job(&fixture, "good").await;
    assert_eq!(status.last_result.as_deref(), Some("done"));
    assert!(status.next.is_some() && status.last_start.is_some());
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn runs_do_not_overlap_and_have_a_timeout() {
    let fixture = Fixture::new();
    let slow = fixture.job("slow", "echo run; sleep 1000", Duration::from_secs(1));
    let mut late = fixture.job("late", "sleep 1000", Duration::from_secs(3600));
    late.timeout = Some(Duration::from_millis(200));
    fixture.supervisor.apply(vec![], vec![slow, late]);
    fixture.finding("job-skipped").await;
    until("a run left out", || async { (job(&fixture, "slow").await.skipped >= 1).then_some(()) }).await;
    assert_eq!(fixture.log("slow").matches(" run\n").count(), 1);

    fixture.supervisor.run_job("late").await.unwrap();
    assert!(fixture.supervisor.run_job("other").await.is_err());
    let finding = fixture.finding("job-failed").await;
    assert!(finding.what.contains("timeout"), "{finding:?}");
    fixture.supervisor.stop_all().await;
    assert!(fixture.supervisor.jobs().await.iter().all(|job| !job.running));
}
