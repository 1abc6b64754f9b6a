//! `grpc.health.v1`, following whether this node serves the newest data and stays.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use super::generated::ticker_server::SERVICE_NAME;
use crate::ingest::Readiness;

/// A service whose answers follow `readiness` until the node leaves, for the whole server (`""`) and for the ticker.
pub(super) fn follow(readiness: watch::Receiver<Readiness>, leaving: CancellationToken) -> HealthService {
    let reporter = HealthReporter::new();
    let service = HealthService::from_health_reporter(reporter.clone());
    tokio::spawn(report(reporter, readiness, leaving));
    service
}

async fn report(reporter: HealthReporter, mut readiness: watch::Receiver<Readiness>, leaving: CancellationToken) {
    loop {
        let ready = *readiness.borrow_and_update() == Readiness::Ready && !leaving.is_cancelled();
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in ["", SERVICE_NAME] {
            reporter.set_service_status(name, status).await;
        }
        if leaving.is_cancelled() {
            return;
        }
        tokio::select! {
            changed = readiness.changed() => if changed.is_err() { leaving.cancelled().await },
            () = leaving.cancelled() => {}
        }
    }
}
