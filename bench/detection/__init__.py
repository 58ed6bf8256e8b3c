"""Detection quality on public data: anomalies, failures, logs."""
