//! Test reports: groups, and reports that builds make of their JUnit files.

use cloud::{Cx, Error, Need, Record, Records};
use engine::Selection;
use serde::{Deserialize, Serialize};
use shapes::codebuild::errors::{ResourceAlreadyExistsException, ResourceNotFoundException};
use shapes::codebuild::*;
use wire::Timestamp;

use crate::artifacts::inner_path;
use crate::buildspec::{self, Buildspec};
use crate::junit;
use crate::log;
use crate::names::{invalid, last_part, unsupported};
use crate::page::page;
use crate::permissions::group_touched;
use crate::record::BuildRecord;
use crate::source::Failure;

/// Files of one report, and bytes of one file.
const FILES_MAX: usize = 1000;
const FILE_BYTES_MAX: u64 = 32 << 20;
/// AWS keeps so many test cases of a report (quotas of CodeBuild).
const CASES_MAX: usize = 500;
/// Reports of a group that are kept.
const REPORTS_MAX: usize = 500;
/// AWS forgets reports after thirty days.
const EXPIRES_S: f64 = 30.0 * 24.0 * 3600.0;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    pub region: String,
    pub name: String,
    pub shape: ReportGroup,
    pub made_by: Option<String>,
}

impl Record for GroupRecord {
    const KIND: &'static str = "codebuild.report-group";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportRecord {
    pub region: String,
    /// `group:uuid`
    pub id: String,
    pub shape: Report,
    pub cases: Vec<TestCase>,
}

impl Record for ReportRecord {
    const KIND: &'static str = "codebuild.report";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

pub fn group_arn(cx: &Cx, name: &str) -> String {
    cx.arn("codebuild", &format!("report-group/{name}"))
}

fn check_export(export: &ReportExportConfig) -> Result<(), Error> {
    match export.export_config_type {
        None | Some(ReportExportConfigType::NoExport) => Ok(()),
        Some(other) => Err(unsupported(format!("exportConfigType {other}"))),
    }
}

pub fn find_group(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<GroupRecord, Error> {
    let name = last_part(arn, "report-group");
    tx.get(&cx.key(name))?.ok_or_else(|| {
        ResourceNotFoundException.because(format!(
            "Report group cannot be found: {}",
            group_arn(cx, name)
        ))
    })
}

fn new_group(cx: &Cx, name: &str, kind: ReportType) -> GroupRecord {
    let now = Timestamp(cx.clock().now());
    GroupRecord {
        region: cx.region.clone(),
        name: name.to_owned(),
        shape: ReportGroup {
            arn: Some(group_arn(cx, name)),
            name: Some(name.to_owned()),
            r#type: Some(kind),
            export_config: Some(ReportExportConfig {
                export_config_type: Some(ReportExportConfigType::NoExport),
            }),
            created: Some(now),
            last_modified: Some(now),
            tags: Some(Vec::new()),
            status: Some(ReportGroupStatusType::Active),
        },
        made_by: cx.token.clone(),
    }
}

pub async fn create_report_group(
    cx: Cx,
    input: CreateReportGroupInput,
) -> Result<CreateReportGroupOutput, Error> {
    check_export(&input.export_config)?;
    if input.r#type != ReportType::Test {
        return Err(unsupported(format!("report type {}", input.r#type)));
    }
    let mut group = new_group(&cx, &input.name, input.r#type);
    group.shape.tags = Some(input.tags.unwrap_or_default());
    let group = cx.write(|tx| match tx.get::<GroupRecord>(&group.key())? {
        Some(known) if known.made_by.is_some() && known.made_by == group.made_by => Ok(known),
        Some(_) => Err(ResourceAlreadyExistsException.because(format!(
            "Report group already exists: {}",
            group_arn(&cx, &group.name)
        ))),
        None => {
            tx.put(&group)?;
            Ok(group)
        }
    })?;
    Ok(CreateReportGroupOutput {
        report_group: Some(group.shape),
    })
}

pub async fn update_report_group(
    cx: Cx,
    input: UpdateReportGroupInput,
) -> Result<UpdateReportGroupOutput, Error> {
    if let Some(export) = &input.export_config {
        check_export(export)?;
    }
    let group = cx.write(|tx| {
        let mut group = find_group(&cx, tx, &input.arn)?;
        if let Some(tags) = input.tags {
            group.shape.tags = Some(tags);
        }
        group.shape.last_modified = Some(Timestamp(cx.clock().now()));
        tx.put(&group)?;
        Ok(group)
    })?;
    Ok(UpdateReportGroupOutput {
        report_group: Some(group.shape),
    })
}

pub async fn delete_report_group(
    cx: Cx,
    input: DeleteReportGroupInput,
) -> Result<DeleteReportGroupOutput, Error> {
    let name = last_part(&input.arn, "report-group");
    cx.write(|tx| {
        let reports = tx.keys::<ReportRecord>(&format!("{}:", cx.key(name)))?;
        if !reports.is_empty() && input.delete_reports != Some(true) {
            return Err(invalid(
                "Report group still contains reports: delete them, or set deleteReports",
            ));
        }
        for key in reports {
            tx.delete::<ReportRecord>(&key)?;
        }
        tx.delete::<GroupRecord>(&cx.key(name)).map(drop)
    })?;
    Ok(DeleteReportGroupOutput {})
}

pub async fn batch_get_report_groups(
    cx: Cx,
    input: BatchGetReportGroupsInput,
) -> Result<BatchGetReportGroupsOutput, Error> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    cx.read(|tx| {
        for arn in &input.report_group_arns {
            match tx.get::<GroupRecord>(&cx.key(last_part(arn, "report-group")))? {
                Some(group) => found.push(group.shape),
                None => missing.push(arn.clone()),
            }
        }
        Ok(())
    })?;
    Ok(BatchGetReportGroupsOutput {
        report_groups: Some(found),
        report_groups_not_found: Some(missing),
    })
}

pub async fn list_report_groups(
    cx: Cx,
    input: ListReportGroupsInput,
) -> Result<ListReportGroupsOutput, Error> {
    let mut groups: Vec<GroupRecord> = cx.read(|tx| tx.list(&cx.key("")))?;
    let time = |it: Option<Timestamp>| it.map_or(0.0, |it| it.0);
    match input.sort_by {
        Some(ReportGroupSortByType::CreatedTime) => {
            groups.sort_by(|a, b| time(a.shape.created).total_cmp(&time(b.shape.created)));
        }
        Some(ReportGroupSortByType::LastModifiedTime) => groups
            .sort_by(|a, b| time(a.shape.last_modified).total_cmp(&time(b.shape.last_modified))),
        Some(ReportGroupSortByType::Name) | None => {}
    }
    if input.sort_order == Some(SortOrderType::Descending) {
        groups.reverse();
    }
    let arns = groups.into_iter().filter_map(|it| it.shape.arn).collect();
    let (report_groups, next_token) = page(arns, input.next_token.as_deref(), input.max_results)?;
    Ok(ListReportGroupsOutput {
        report_groups: Some(report_groups),
        next_token,
    })
}

/// ARNs of reports, the newest first unless it is asked otherwise.
fn listed(
    mut reports: Vec<ReportRecord>,
    order: Option<SortOrderType>,
    filter: Option<ReportFilter>,
) -> Vec<String> {
    let wanted = filter.and_then(|it| it.status);
    reports.retain(|it| wanted.is_none() || it.shape.status == wanted);
    let time = |it: &ReportRecord| it.shape.created.map_or(0.0, |it| it.0);
    reports.sort_by(|a, b| time(b).total_cmp(&time(a)));
    if order == Some(SortOrderType::Ascending) {
        reports.reverse();
    }
    reports.into_iter().filter_map(|it| it.shape.arn).collect()
}

pub async fn list_reports(cx: Cx, input: ListReportsInput) -> Result<ListReportsOutput, Error> {
    let reports = cx.read(|tx| tx.list(&cx.key("")))?;
    let arns = listed(reports, input.sort_order, input.filter);
    let (reports, next_token) = page(arns, input.next_token.as_deref(), input.max_results)?;
    Ok(ListReportsOutput {
        reports: Some(reports),
        next_token,
    })
}

pub async fn list_reports_for_report_group(
    cx: Cx,
    input: ListReportsForReportGroupInput,
) -> Result<ListReportsForReportGroupOutput, Error> {
    let reports = cx.read(|tx| {
        let group = find_group(&cx, tx, &input.report_group_arn)?;
        tx.list(&format!("{}:", group.key()))
    })?;
    let arns = listed(reports, input.sort_order, input.filter);
    let (reports, next_token) = page(arns, input.next_token.as_deref(), input.max_results)?;
    Ok(ListReportsForReportGroupOutput {
        reports: Some(reports),
        next_token,
    })
}

pub async fn batch_get_reports(
    cx: Cx,
    input: BatchGetReportsInput,
) -> Result<BatchGetReportsOutput, Error> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    cx.read(|tx| {
        for arn in &input.report_arns {
            match tx.get::<ReportRecord>(&cx.key(last_part(arn, "report")))? {
                Some(report) => found.push(report.shape),
                None => missing.push(arn.clone()),
            }
        }
        Ok(())
    })?;
    Ok(BatchGetReportsOutput {
        reports: Some(found),
        reports_not_found: Some(missing),
    })
}

pub async fn delete_report(cx: Cx, input: DeleteReportInput) -> Result<DeleteReportOutput, Error> {
    let key = cx.key(last_part(&input.arn, "report"));
    cx.write(|tx| tx.delete::<ReportRecord>(&key))?;
    Ok(DeleteReportOutput {})
}

pub async fn describe_test_cases(
    cx: Cx,
    input: DescribeTestCasesInput,
) -> Result<DescribeTestCasesOutput, Error> {
    let key = cx.key(last_part(&input.report_arn, "report"));
    let report = cx.read(|tx| tx.get::<ReportRecord>(&key))?.ok_or_else(|| {
        ResourceNotFoundException.because(format!("Report cannot be found: {}", input.report_arn))
    })?;
    let filter = input.filter.unwrap_or_default();
    let holds = |text: &Option<String>, part: &str| text.as_deref().unwrap_or("").contains(part);
    let wanted = |it: &TestCase| {
        (filter.status.is_none() || it.status == filter.status)
            && (filter.keyword.as_deref())
                .is_none_or(|part| holds(&it.name, part) || holds(&it.prefix, part))
    };
    let cases: Vec<TestCase> = report.cases.into_iter().filter(wanted).collect();
    let (cases, next_token) = page(cases, input.next_token.as_deref(), input.max_results)?;
    Ok(DescribeTestCasesOutput {
        test_cases: Some(cases),
        next_token,
    })
}

/// Makes the reports that a build's buildspec names. One that cannot be made is told in the log and
/// fails no build, as on AWS.
pub async fn take(cx: &Cx, build: &mut BuildRecord, spec: &Buildspec) -> Result<(), Failure> {
    let mut arns = Vec::new();
    for asked in &spec.reports {
        match take_one(cx, build, asked).await {
            Ok(arn) => arns.push(arn),
            Err(Failure::Again(error)) => return Err(Failure::Again(error)),
            Err(Failure::Phase(_, why)) => {
                let line = format!("Error processing report group {}: {why}", asked.group);
                log::say(cx, build, &[line]).await;
            }
        }
    }
    build.shape.report_arns = Some(arns);
    Ok(())
}

/// Whether the build's role may make a report of this group, and the group if there is none (user guide,
/// "Permissions to create and update reports").
fn may_report(cx: &Cx, group: &str) -> Result<(), Error> {
    let known = cx.read(|tx| tx.get::<GroupRecord>(&cx.key(group)))?;
    let make = known.is_none().then_some("codebuild:CreateReportGroup");
    let report = [
        "codebuild:CreateReport",
        "codebuild:UpdateReport",
        "codebuild:BatchPutTestCases",
    ];
    for action in make.into_iter().chain(report) {
        let need = Need::new(action, Some(group_touched(cx, group)));
        cx.authorize_one("codebuild", need)?;
    }
    Ok(())
}

async fn take_one(
    cx: &Cx,
    build: &BuildRecord,
    asked: &buildspec::Report,
) -> Result<String, Failure> {
    let cases = read_cases(cx, build, asked).await?;
    let name = match asked.group.starts_with("arn:") {
        true => last_part(&asked.group, "report-group").to_owned(),
        false => format!("{}-{}", build.project, asked.group),
    };
    may_report(cx, &name)?;
    let id = format!("{name}:{}", build.uuid);
    let now = cx.clock().now();
    let arn = cx.arn("codebuild", &format!("report/{id}"));
    let (summary, succeeded) = summary(&cases);
    let truncated = cases.len() > CASES_MAX;
    let expired = Some(Timestamp(now + EXPIRES_S));
    let cases = cases.into_iter().take(CASES_MAX).map(|it| TestCase {
        report_arn: Some(arn.clone()),
        expired,
        ..it
    });
    let report = ReportRecord {
        region: cx.region.clone(),
        id: id.clone(),
        cases: cases.collect(),
        shape: Report {
            arn: Some(arn.clone()),
            r#type: Some(ReportType::Test),
            name: Some(id),
            report_group_arn: Some(group_arn(cx, &name)),
            execution_id: build.shape.arn.clone(),
            status: Some(match succeeded {
                true => ReportStatusType::Succeeded,
                false => ReportStatusType::Failed,
            }),
            created: Some(Timestamp(now)),
            expired,
            export_config: Some(ReportExportConfig {
                export_config_type: Some(ReportExportConfigType::NoExport),
            }),
            truncated: Some(truncated),
            test_summary: Some(summary),
            code_coverage_summary: None,
        },
    };
    cx.write(|tx| {
        if tx.get::<GroupRecord>(&cx.key(&name))?.is_none() {
            if asked.group.starts_with("arn:") {
                return find_group(cx, tx, &asked.group).map(drop);
            }
            tx.put(&new_group(cx, &name, ReportType::Test))?;
        }
        let mut kept: Vec<ReportRecord> = tx.list(&format!("{}:", cx.key(&name)))?;
        kept.sort_by(|a, b| {
            let time = |it: &ReportRecord| it.shape.created.map_or(0.0, |it| it.0);
            time(a).total_cmp(&time(b))
        });
        let surplus = (kept.len() + 1).saturating_sub(REPORTS_MAX);
        for old in kept.iter().take(surplus) {
            tx.delete::<ReportRecord>(&old.key())?;
        }
        tx.put(&report)
    })?;
    Ok(arn)
}

async fn read_cases(
    cx: &Cx,
    build: &BuildRecord,
    asked: &buildspec::Report,
) -> Result<Vec<TestCase>, Failure> {
    let base = inner_path(build, &asked.base).ok_or_else(|| {
        Failure::client(format!("`{}` is outside of the source folder", asked.base))
    })?;
    let selection = Selection {
        base: base.clone(),
        files: asked.files.clone(),
        ..Default::default()
    };
    let workspaces = &cx.engine().workspaces;
    let workspace = build.source_workspace();
    let names = workspaces
        .matching(&workspace, &selection)
        .await
        .map_err(|_| Failure::client("no matching report paths found"))?;
    let mut cases = Vec::new();
    for name in names.iter().take(FILES_MAX) {
        let path = std::path::Path::new(&base).join(name);
        let bytes = workspaces.read(&workspace, &path, FILE_BYTES_MAX).await?;
        let text = String::from_utf8_lossy(&bytes);
        let found = junit::parse(&text)
            .map_err(|why| Failure::client(format!("`{name}` is no JUnit report: {why}")))?;
        cases.extend(found.into_iter().map(|it| TestCase {
            test_raw_data_path: Some(name.clone()),
            ..it
        }));
    }
    Ok(cases)
}

fn summary(cases: &[TestCase]) -> (TestReportSummary, bool) {
    let mut summary = TestReportSummary {
        total: i32::try_from(cases.len()).unwrap_or(i32::MAX),
        ..Default::default()
    };
    for status in junit::STATUSES {
        summary.status_counts.insert(status.to_owned(), 0);
    }
    for case in cases {
        summary.duration_in_nano_seconds += case.duration_in_nano_seconds.unwrap_or(0);
        let status = case.status.clone().unwrap_or_default();
        *summary.status_counts.entry(status).or_default() += 1;
    }
    let bad = |it: &TestCase| matches!(it.status.as_deref(), Some("FAILED" | "ERROR"));
    let succeeded = !cases.iter().any(bad);
    (summary, succeeded)
}
