//! What a metric is: a namespace, a name and dimensions; and the records of those that have data.

use cloud::{Cx, Error, Record, Records, token_hex};
use serde::{Deserialize, Serialize};
use shapes::cloudwatch::{Dimension, Metric, StandardUnit};

/// AWS's metrics are not listed any more two weeks after their last datum (User Guide, "Metrics
/// retention").
pub const LISTED_MS: i64 = 14 * 24 * 3_600_000;
/// How exactly the time of the last datum is kept: each change costs a write.
const LAST_SEEN_MS: i64 = 5 * 60_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MetricId {
    pub namespace: String,
    pub name: String,
    /// By name.
    pub dimensions: Vec<(String, String)>,
}

impl MetricId {
    pub fn new(namespace: &str, name: &str, dimensions: Option<&[Dimension]>) -> Self {
        let given = dimensions.unwrap_or_default().iter();
        let mut dimensions: Vec<_> = given
            .map(|it| (it.name.clone(), it.value.clone()))
            .collect();
        dimensions.sort();
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions,
        }
    }

    pub fn of(metric: &Metric) -> Self {
        Self::new(
            metric.namespace.as_deref().unwrap_or_default(),
            metric.metric_name.as_deref().unwrap_or_default(),
            metric.dimensions.as_deref(),
        )
    }

    pub fn shown(&self) -> Metric {
        Metric {
            namespace: Some(self.namespace.clone()),
            metric_name: Some(self.name.clone()),
            dimensions: Some(self.shown_dimensions()),
        }
    }

    pub fn shown_dimensions(&self) -> Vec<Dimension> {
        let dimensions = self.dimensions.iter();
        dimensions
            .map(|(name, value)| Dimension {
                name: name.clone(),
                value: value.clone(),
            })
            .collect()
    }

    /// Where its records are: a name for people, and a hash that tells it from all others.
    pub fn place(&self, region: &str) -> String {
        let whole = format!("{self:?}");
        let hash = token_hex(&whole, "metric", 16);
        format!("{region}/{}/{}/{hash}", self.namespace, self.name)
    }

    /// neargate takes its samples itself, at its own pace: so it is paced, and its alarms are.
    pub fn is_sampled(&self) -> bool {
        is_own_namespace(&self.namespace)
    }
}

/// Namespaces that AWS's services write, and nobody else.
pub fn is_own_namespace(namespace: &str) -> bool {
    namespace.starts_with("AWS/") || namespace == "ECS/ContainerInsights"
}

/// A metric that has data in one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub region: String,
    pub id: MetricId,
    pub unit: StandardUnit,
    pub last_ms: i64,
}

impl Record for Series {
    const KIND: &'static str = "cloudwatch.metric";
    fn key(&self) -> String {
        format!("{}/{}", self.id.place(&self.region), self.unit)
    }
}

/// Remembers that there are data of this time.
pub fn seen(tx: &Records<'_>, series: Series) -> Result<(), Error> {
    let known: Option<Series> = tx.get(&series.key())?;
    match known {
        Some(known) if series.last_ms < known.last_ms + LAST_SEEN_MS => Ok(()),
        _ => tx.put(&series),
    }
}

/// The units that a metric has data in: all of them, or the one asked for.
pub fn units(
    cx: &Cx,
    tx: &Records<'_>,
    id: &MetricId,
    unit: Option<StandardUnit>,
) -> Result<Vec<Series>, Error> {
    let mut found = tx.list::<Series>(&format!("{}/", id.place(&cx.region)))?;
    found.retain(|it| it.id == *id && unit.is_none_or(|unit| it.unit == unit));
    Ok(found)
}
