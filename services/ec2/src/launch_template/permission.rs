//! What operations on templates touch.

use cloud::permission::on;
use cloud::{Cx, Permission, Touched};
use shapes::ec2::ModifyLaunchTemplateInput;

use super::record::{self, TemplateRecord};
use crate::keys;
use crate::permissions::{region, touched, with_attributes};
use crate::tags::Tagged;

/// The template's id and its name, of which a request gives one.
type Named<I> = fn(&I) -> (Option<&String>, Option<&String>);

/// The template that an id or a name stands for.
pub fn touched_template(cx: &Cx, id: Option<&String>, name: Option<&String>) -> Touched {
    if let Some(id) = id {
        return touched::<TemplateRecord>(cx, id);
    }
    let found = name.map(|name| cx.read(|tx| record::by_name(cx, tx, name)));
    match found {
        Some(Ok(Some(found))) => touched::<TemplateRecord>(cx, &found.id),
        Some(Ok(None)) => Touched::absent(cx.arn("ec2", "launch-template/*")),
        _ => Touched::any(cx.arn("ec2", "launch-template/*")),
    }
}

fn on_named<I: 'static>(named: Named<I>) -> Permission<I> {
    on(TemplateRecord::TYPE.as_str(), move |cx, it| {
        let (id, name) = named(it);
        touched_template(cx, id, name)
    })
}

/// On the template that a request names.
pub fn on_template<I: 'static>(named: Named<I>) -> Permission<I> {
    on_named(named).supplying(keys::OF_TEMPLATE, region)
}

/// On a template of which something is changed.
pub fn on_changed_template() -> Permission<ModifyLaunchTemplateInput> {
    on_named(|it: &ModifyLaunchTemplateInput| {
        (
            it.launch_template_id.as_ref(),
            it.launch_template_name.as_ref(),
        )
    })
    .supplying(
        keys::OF_CHANGED_TEMPLATE,
        with_attributes("LaunchTemplateId"),
    )
}
