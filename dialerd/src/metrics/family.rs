//! Making Prometheus families out of plain numbers.

use prometheus::proto;
use std::collections::BTreeMap;

/// Families under construction, by name.
#[derive(Default)]
pub struct Families {
    families: BTreeMap<&'static str, proto::MetricFamily>,
}

/// Label names and values of one metric.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Families {
    /// Something that only grows.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: u64) {
        let mut counter = proto::Counter::default();
        counter.set_value(value as f64);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        self.add(name, help, proto::MetricType::COUNTER, metric);
    }

    /// Something that only grows, with a fraction.
    pub fn counter_f64(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: f64) {
        let mut counter = proto::Counter::default();
        counter.set_value(value);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        self.add(name, help, proto::MetricType::COUNTER, metric);
    }

    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: f64) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.add(name, help, proto::MetricType::GAUGE, metric);
    }

    /// Counts by upper bound, not cumulated; one more count than bounds.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        bounds: impl Iterator<Item = f64>,
        counts: &[u64],
        sum: f64,
    ) {
        let mut cumulated = 0;
        let mut buckets = Vec::new();
        for (bound, count) in bounds.zip(counts) {
            cumulated += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(cumulated);
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.add(name, help, proto::MetricType::HISTOGRAM, metric);
    }

    fn add(&mut self, name: &'static str, help: &str, kind: proto::MetricType, metric: proto::Metric) {
        let family = self.families.entry(name).or_insert_with(|| {
            let mut family = proto::MetricFamily::default();
            family.set_name(name.into());
            family.set_help(help.into());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }

    /// All families, by name.
    pub fn into_vec(self) -> Vec<proto::MetricFamily> {
        self.families.into_values().collect()
    }
}

fn labelled(labels: Labels<'_>) -> proto::Metric {
    let pairs = labels
        .iter()
        .map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).into());
            pair.set_value((*value).into());
            pair
        })
        .collect();
    proto::Metric::from_label(pairs)
}
