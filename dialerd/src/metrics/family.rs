//! Making Prometheus families out of plain numbers.

use prometheus::proto;
use std::collections::BTreeMap;

/// Families under construction, by name. What is told more than once under the same labels is added up: campaigns and
/// trunks may share a label.
#[derive(Default)]
pub struct Families {
    families: BTreeMap<&'static str, Family>,
}

/// Label names and values of one metric.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

struct Family {
    help: &'static str,
    kind: proto::MetricType,
    metrics: BTreeMap<Vec<(&'static str, String)>, Value>,
}

enum Value {
    Number(f64),
    Histogram(Histogram),
}

struct Histogram {
    bounds: Vec<f64>,
    /// Not cumulated; one more than bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Families {
    /// Something that only grows.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: u64) {
        self.counter_f64(name, help, labels, value as f64);
    }

    /// Something that only grows, with a fraction.
    pub fn counter_f64(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: f64) {
        self.add(name, help, proto::MetricType::COUNTER, labels, Value::Number(value));
    }

    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: f64) {
        self.add(name, help, proto::MetricType::GAUGE, labels, Value::Number(value));
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
        let histogram = Histogram { bounds: bounds.collect(), counts: counts.to_vec(), sum };
        self.add(name, help, proto::MetricType::HISTOGRAM, labels, Value::Histogram(histogram));
    }

    fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: proto::MetricType,
        labels: Labels<'_>,
        value: Value,
    ) {
        let family =
            self.families.entry(name).or_insert_with(|| Family { help, kind, metrics: BTreeMap::new() });
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        match (family.metrics.get_mut(&labels), value) {
            (Some(Value::Number(sum)), Value::Number(more)) => *sum += more,
            (Some(Value::Histogram(sum)), Value::Histogram(more)) => {
                sum.counts.iter_mut().zip(&more.counts).for_each(|(count, more)| *count += more);
                sum.sum += more.sum;
            }
            // Of one name there is one kind.
            (Some(_), _) => {}
            (None, value) => drop(family.metrics.insert(labels, value)),
        }
    }

    /// All families, by name.
    pub fn into_vec(self) -> Vec<proto::MetricFamily> {
        let told = |(name, family): (&str, Family)| {
            let mut told = proto::MetricFamily::default();
            told.set_name(name.into());
            told.set_help(family.help.into());
            told.set_field_type(family.kind);
            for (labels, value) in family.metrics {
                told.mut_metric().push(metric(family.kind, labels, &value));
            }
            told
        };
        self.families.into_iter().map(told).collect()
    }
}

fn metric(kind: proto::MetricType, labels: Vec<(&'static str, String)>, value: &Value) -> proto::Metric {
    let pairs = labels.into_iter().map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value);
        pair
    });
    let mut metric = proto::Metric::from_label(pairs.collect());
    match value {
        Value::Number(value) if kind == proto::MetricType::COUNTER => {
            let mut counter = proto::Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        }
        Value::Number(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        Value::Histogram(histogram) => metric.set_histogram(cumulated(histogram)),
    }
    metric
}

fn cumulated(histogram: &Histogram) -> proto::Histogram {
    let mut sum = 0;
    let mut buckets = Vec::new();
    for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
        sum += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(sum);
        buckets.push(bucket);
    }
    let mut told = proto::Histogram::default();
    told.set_bucket(buckets);
    told.set_sample_count(histogram.counts.iter().sum());
    told.set_sample_sum(histogram.sum);
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Encoder, TextEncoder};

    #[test]
    fn what_shares_its_labels_is_added_up() {
        let mut families = Families::default();
        for campaign in ["__other__", "a", "__other__"] {
            families.counter("calls_total", "Calls.", &[("campaign", campaign)], 2);
            families.gauge("size", "Size.", &[("campaign", campaign)], 0.5);
            families.histogram(
                "wait",
                "Wait.",
                &[("campaign", campaign)],
                [1.0, 2.0].into_iter(),
                &[1, 0, 1],
                4.0,
            );
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&families.into_vec(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "calls_total{campaign=\"__other__\"} 4",
            "calls_total{campaign=\"a\"} 2",
            "size{campaign=\"__other__\"} 1",
            "wait_bucket{campaign=\"__other__\",le=\"2\"} 2",
            "wait_count{campaign=\"__other__\"} 4",
            "wait_sum{campaign=\"__other__\"} 8",
            "wait_count{campaign=\"a\"} 2",
        ] {
            assert_eq!(text.matches(&format!("{line}\n")).count(), 1, "{line}: {text}");
        }
    }
}
