use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// One value of a metric that others keep count of.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Without `doorstep_` in front and `_total` behind: `app_restarts`, `certificate_not_after_seconds`.
    pub name: &'static str,
    /// The same for all samples of one name.
    pub help: &'static str,
    pub kind: SampleKind,
    /// Values of few different kinds: nothing that a client chooses.
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Only grows; its name gets `_total`.
    Counter,
    Gauge,
}

/// Samples of one name together, in the order in which the names come first.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, samples: &[Sample]) -> Result<(), std::fmt::Error> {
    for (place, first) in samples.iter().enumerate() {
        if samples.iter().take(place).any(|before| before.name == first.name) {
            continue;
        }
        let kind = match first.kind {
            SampleKind::Counter => MetricType::Counter,
            SampleKind::Gauge => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(first.name, first.help, None, kind)?;
        for sample in samples.iter().skip(place).filter(|sample| sample.name == first.name) {
            if sample.labels.is_empty() {
                encode_value(&mut metric, first.kind, sample.value)?;
            } else {
                encode_value(&mut metric.encode_family(&sample.labels)?, first.kind, sample.value)?;
            }
        }
    }
    Ok(())
}

fn encode_value(metric: &mut MetricEncoder<'_>, kind: SampleKind, value: f64) -> Result<(), std::fmt::Error> {
    match kind {
        SampleKind::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
        SampleKind::Gauge => metric.encode_gauge(&value),
    }
}
