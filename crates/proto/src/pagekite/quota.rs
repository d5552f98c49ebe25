use super::fields::Fields;

/// What is left to a back-end, as its front-end counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Of traffic.
    pub traffic: Option<i64>,
    pub days: Option<i64>,
    pub connections: Option<i64>,
}

impl Quota {
    /// From the fields `Quota`, `QDays` and `QConns` with `prefix` in front; `None` without any of them.
    pub(super) fn read(fields: &Fields, prefix: &str) -> Option<Self> {
        let number = |name: &str| fields.first(&format!("{prefix}{name}")).and_then(|text| text.parse().ok());
        let quota = Self { traffic: number("Quota"), days: number("QDays"), connections: number("QConns") };
        (quota != Self::default()).then_some(quota)
    }

    pub(super) fn lines(&self, prefix: &str) -> String {
        let fields = [("Quota", self.traffic), ("QDays", self.days), ("QConns", self.connections)];
        let lines = fields.iter().filter_map(|(name, value)| Some(format!("{prefix}{name}: {}\r\n", (*value)?)));
        lines.collect()
    }
}
