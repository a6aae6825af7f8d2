//! A metric with all its samples, before it is text.

use std::borrow::Cow;

/// A metric: one name, one meaning, a sample for each combination of labels.
///
/// Names and labels are the program's own words, or what the operator has configured. What a client sends never gets
/// here: it could fill a time series database with names.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Without the ending that its kind adds.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) samples: Vec<Sample>,
}

/// What can be done with the numbers of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows. Its samples end with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
    /// Facts, as labels. Its only sample ends with `_info`.
    Info,
    /// Only grows, under a name that another server has given it and that does not say so.
    ForeignCounter,
}

/// One number of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Behind the name, in a histogram.
    pub(super) ending: &'static str,
    pub(super) labels: Vec<Label>,
    pub(super) value: Number,
}

/// A label's name and value.
pub type Label = (&'static str, Cow<'static, str>);

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A measure.
    Real(f64),
}

impl Family {
    fn new(name: &'static str, help: &'static str, kind: Kind) -> Self {
        Self { name, help, kind, samples: Vec::new() }
    }

    /// A number that only grows, until the server starts again. The name goes without `_total`.
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Counter)
    }

    /// A number that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Gauge)
    }

    /// Counts by size, filled with [`Self::buckets`].
    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Histogram)
    }

    /// Facts, as labels. The name goes without `_info`.
    pub(super) fn info<const N: usize>(
        name: &'static str,
        help: &'static str,
        facts: [(&'static str, Cow<'static, str>); N],
    ) -> Self {
        Self::new(name, help, Kind::Info).with(facts, 1_u64)
    }

    /// A counter whose name is kept as it is.
    pub(super) fn foreign_counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::ForeignCounter)
    }

    /// With the one number it has.
    pub fn only(self, value: impl Into<Number>) -> Self {
        self.with::<0, &'static str>([], value)
    }

    /// With one more number, told from the others by its labels.
    pub fn with<const N: usize, V: Into<Cow<'static, str>>>(
        mut self,
        labels: [(&'static str, V); N],
        value: impl Into<Number>,
    ) -> Self {
        let labels = labels.map(|(name, value)| (name, value.into())).into();
        self.samples.push(Sample { ending: "", labels, value: value.into() });
        self
    }

    /// With one number for each value of a label.
    pub fn by<V: Into<Cow<'static, str>>, N: Into<Number>>(
        self,
        label: &'static str,
        numbers: impl IntoIterator<Item = (V, N)>,
    ) -> Self {
        numbers.into_iter().fold(self, |family, (value, number)| family.with([(label, value)], number))
    }

    /// With the counts of a histogram: one for each upper bound, and a last one for what is above all of them.
    pub(super) fn buckets(mut self, bounds: &[u64], counts: &[u64], sum: f64) -> Self {
        let mut so_far = 0;
        let bounds = bounds.iter().map(|bound| format!("{bound}.0")).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(counts) {
            so_far += count;
            let labels = vec![("le", bound.into())];
            self.samples.push(Sample { ending: "_bucket", labels, value: so_far.into() });
        }
        for (ending, value) in [("_sum", Number::Real(sum)), ("_count", so_far.into())] {
            self.samples.push(Sample { ending, labels: Vec::new(), value });
        }
        self
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}
