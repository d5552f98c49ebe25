//! Metrics for Prometheus.

mod sample;
mod service;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::counters::{BOUNDS, CLASSES, Counters, METHODS, Sum};

pub use sample::{Sample, SampleKind};
pub use service::MetricsService;

/// Before every name.
const PREFIX: &str = "doorstep";

/// The text format of OpenMetrics 1.0.
pub(crate) fn render(counters: &Counters, samples: &[Sample]) -> String {
    let scrape = Scrape { sites: counters.sums(), samples: samples.to_vec() };
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Scrape {
    sites: Vec<(std::sync::Arc<str>, Sum, u64)>,
    samples: Vec<Sample>,
}

type Encoded = Result<(), std::fmt::Error>;

impl prometheus_client::collector::Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        self.encode_requests(&mut encoder)?;
        self.encode_durations(&mut encoder)?;
        let bytes = Some(&Unit::Bytes);
        self.encode_counter(&mut encoder, "sent", "Body bytes sent to clients", bytes, |sum| sum.sent)?;
        self.encode_counter(&mut encoder, "received", "Body bytes received from clients", bytes, |sum| sum.received)?;
        let mut family = encoder.encode_descriptor("active_requests", "Requests under way", None, MetricType::Gauge)?;
        for (site, _, active) in &self.sites {
            let active = i64::try_from(*active).unwrap_or(i64::MAX);
            ConstGauge::new(active).encode(family.encode_family(&[("site", &**site)])?)?;
        }
        sample::encode(&mut encoder, &self.samples)
    }
}

impl Scrape {
    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let help = "Requests by site, method and class of status";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (site, sum, _) in &self.sites {
            for (method, classes) in METHODS.iter().zip(&sum.requests) {
                for (class, count) in CLASSES.iter().zip(classes).filter(|(_, count)| **count > 0) {
                    let labels = [("site", &**site), ("method", *method), ("status", *class)];
                    ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let help = "Time from a request's first byte to its response's last";
        let mut family =
            encoder.encode_descriptor("request_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        let bounds: Vec<f64> =
            BOUNDS.iter().map(|micros| *micros as f64 / 1e6).chain(std::iter::once(f64::INFINITY)).collect();
        for (site, sum, _) in self.sites.iter().filter(|(_, sum, _)| sum.total() > 0) {
            let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(sum.buckets).collect();
            let count = sum.buckets.iter().sum();
            let labels = [("site", &**site)];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<[(&str, &str); 0]>(sum.micros as f64 / 1e6, count, &buckets, None)?;
        }
        Ok(())
    }

    fn encode_counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        of: impl Fn(&Sum) -> u64,
    ) -> Encoded {
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (site, sum, _) in &self.sites {
            ConstCounter::new(of(sum)).encode(family.encode_family(&[("site", &**site)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::exchange;

    #[test]
    fn is_what_prometheus_reads() {
        let counters = Counters::new();
        counters.count(&exchange("/", 200));
        counters.count(&exchange("/", 502));
        let samples = [
            Sample {
                name: "upstream_up",
                help: "Whether a member of a pool is well",
                kind: SampleKind::Gauge,
                labels: vec![("pool", "blog".to_owned()), ("member", "a\"b\\c\nd".to_owned())],
                value: 1.0,
            },
            Sample { name: "reloads", help: "Reloads", kind: SampleKind::Counter, labels: Vec::new(), value: 3.0 },
            Sample {
                name: "upstream_up",
                help: "Whether a member of a pool is well",
                kind: SampleKind::Gauge,
                labels: vec![("pool", "blog".to_owned()), ("member", "b".to_owned())],
                value: 0.0,
            },
        ];
        let text = render(&counters, &samples);
        for line in [
            "doorstep_requests_total{site=\"blog.example.com\",method=\"GET\",status=\"2xx\"} 1",
            "doorstep_requests_total{site=\"blog.example.com\",method=\"GET\",status=\"5xx\"} 1",
            "doorstep_request_duration_seconds_bucket{le=\"0.01\",site=\"blog.example.com\"} 0",
            "doorstep_request_duration_seconds_bucket{le=\"0.025\",site=\"blog.example.com\"} 2",
            "doorstep_request_duration_seconds_bucket{le=\"+Inf\",site=\"blog.example.com\"} 2",
            "doorstep_request_duration_seconds_count{site=\"blog.example.com\"} 2",
            "doorstep_sent_bytes_total{site=\"blog.example.com\"} 8246",
            "doorstep_active_requests{site=\"-\"} 0",
            "doorstep_upstream_up{pool=\"blog\",member=\"a\\\"b\\\\c\\nd\"} 1.0",
            "doorstep_upstream_up{pool=\"blog\",member=\"b\"} 0.0",
            "doorstep_reloads_total 3.0",
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# TYPE doorstep_upstream_up gauge").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }
}
