//! What happened to alarms.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::cloudwatch::errors::InvalidNextToken;
use shapes::cloudwatch::{
    AlarmHistoryItem, AlarmType, DescribeAlarmHistoryInput, DescribeAlarmHistoryOutput,
    HistoryItemType, ScanBy, StateValue,
};
use wire::Timestamp;

use crate::alarm::Alarm;
use crate::statistics::millis;

/// AWS keeps them for 30 days (the API reference of `DescribeAlarmHistory`).
const KEPT_MS: i64 = 30 * 24 * 3_600_000;
/// Of one alarm: one that flaps every two seconds must not fill the disk.
const KEPT_PER_ALARM: usize = 500;
const PAGE: usize = 100;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub region: String,
    pub alarm: String,
    pub at_ms: i64,
    pub number: i64,
    pub kind: HistoryItemType,
    pub summary: String,
    pub data: String,
}

impl Record for Item {
    const KIND: &'static str = "cloudwatch.alarm-history";
    fn key(&self) -> String {
        // Numbers are given in order.
        format!("{}{:015}", prefix(&self.region, &self.alarm), self.number)
    }
}

fn prefix(region: &str, alarm: &str) -> String {
    format!("{region}/{alarm}/")
}

pub struct Happened {
    pub kind: HistoryItemType,
    pub summary: String,
    pub data: serde_json::Value,
}

pub fn say(tx: &Records<'_>, alarm: &Alarm, at_ms: i64, happened: Happened) -> Result<(), Error> {
    let item = Item {
        region: alarm.region.clone(),
        alarm: alarm.name().to_owned(),
        at_ms,
        number: tx.next(Item::KIND)?,
        kind: happened.kind,
        summary: happened.summary,
        data: happened.data.to_string(),
    };
    tx.put(&item)?;
    let keys = tx.keys::<Item>(&prefix(&item.region, &item.alarm))?;
    let over = keys.len().saturating_sub(KEPT_PER_ALARM);
    for key in &keys[..over] {
        tx.delete::<Item>(key)?;
    }
    Ok(())
}

pub struct NewState {
    pub state: StateValue,
    pub reason: String,
    pub data: Option<String>,
}

/// What became of an action.
pub struct Ran {
    pub action: String,
    pub failed: Option<String>,
}

/// Writes an alarm's new state down, with what tells of it.
pub fn change_state(
    tx: &Records<'_>,
    alarm: &mut Alarm,
    new: NewState,
    now_ms: i64,
    ran: &[Ran],
) -> Result<(), Error> {
    let old = alarm.state;
    let parsed = |data: &Option<String>| -> serde_json::Value {
        let text = data.as_deref().unwrap_or("null");
        serde_json::from_str(text).unwrap_or_default()
    };
    let data = serde_json::json!({
        "version": "1.0",
        "oldState": {
            "stateValue": old.as_str(),
            "stateReason": alarm.reason,
            "stateReasonData": parsed(&alarm.reason_data),
        },
        "newState": {
            "stateValue": new.state.as_str(),
            "stateReason": new.reason,
            "stateReasonData": parsed(&new.data),
        },
    });
    alarm.state = new.state;
    alarm.reason = new.reason;
    alarm.reason_data = new.data;
    alarm.state_updated_ms = now_ms;
    if old != new.state {
        alarm.transitioned_ms = now_ms;
    }
    tx.put(alarm)?;
    if old == new.state {
        return Ok(());
    }
    let happened = Happened {
        kind: HistoryItemType::StateUpdate,
        summary: format!("Alarm updated from {old} to {}", new.state),
        data,
    };
    say(tx, alarm, now_ms, happened)?;
    for it in ran {
        let (word, state) = match &it.failed {
            None => ("Successfully executed action".to_owned(), "Succeeded"),
            Some(why) => (format!("Failed to execute action ({why})"), "Failed"),
        };
        let happened = Happened {
            kind: HistoryItemType::Action,
            summary: format!("{word} {}", it.action),
            data: serde_json::json!({
                "actionState": state,
                "stateUpdateTimestamp": now_ms,
                "notificationResource": it.action,
                "error": it.failed,
            }),
        };
        say(tx, alarm, now_ms, happened)?;
    }
    Ok(())
}

pub async fn describe_alarm_history(
    cx: Cx,
    input: DescribeAlarmHistoryInput,
) -> Result<DescribeAlarmHistoryOutput, Error> {
    let known = |types: &Vec<AlarmType>| types.contains(&AlarmType::MetricAlarm);
    let prefix = match &input.alarm_name {
        Some(name) => prefix(&cx.region, name),
        None => cx.key(""),
    };
    let mut items = cx.read(|tx| tx.list::<Item>(&prefix))?;
    items.retain(|it| {
        input.alarm_types.as_ref().is_none_or(known)
            && input
                .alarm_name
                .as_ref()
                .is_none_or(|name| it.alarm == *name)
            && input.history_item_type.is_none_or(|kind| it.kind == kind)
            && input.start_date.is_none_or(|from| it.at_ms >= millis(from))
            && input.end_date.is_none_or(|to| it.at_ms <= millis(to))
    });
    items.sort_by_key(|it| it.number);
    if input.scan_by != Some(ScanBy::TimestampAscending) {
        items.reverse();
    }
    let skip: usize = match &input.next_token {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| InvalidNextToken.because("Invalid NextToken"))?,
    };
    let count = input.max_records.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(PAGE);
    let more = items.len().saturating_sub(skip) > count;
    let shown = items
        .into_iter()
        .skip(skip)
        .take(count)
        .map(|it| AlarmHistoryItem {
            alarm_name: Some(it.alarm),
            alarm_type: Some(AlarmType::MetricAlarm),
            timestamp: Some(Timestamp(it.at_ms as f64 / 1000.0)),
            history_item_type: Some(it.kind),
            history_summary: Some(it.summary),
            history_data: Some(it.data),
            ..Default::default()
        });
    Ok(DescribeAlarmHistoryOutput {
        alarm_history_items: Some(shown.collect()),
        next_token: more.then(|| (skip + count).to_string()),
    })
}

pub fn expire(cx: &Cx) -> Result<(), Error> {
    let before_ms = cx.clock().now_ms() - KEPT_MS;
    let all = cx.read(|tx| tx.readable::<Item>(""))?;
    let old: Vec<_> = all.iter().filter(|it| it.at_ms < before_ms).collect();
    if old.is_empty() {
        return Ok(());
    }
    cx.write(|tx| {
        for item in old {
            tx.delete::<Item>(&item.key())?;
        }
        Ok(())
    })
}
