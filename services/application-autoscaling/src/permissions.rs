//! What operations touch: the scalable target of a resource, whose ARN ends in an id of its own.

use cloud::permission::on;
use cloud::{ConditionKey, Cx, Permission, Touched};
use shapes::application_autoscaling::{
    RegisterScalableTargetInput, ScalableDimension, ServiceNamespace,
};

use crate::target::TargetRecord;

/// What is scaled: service, resource and dimension.
type Scaled<'a> = (ServiceNamespace, &'a String, ScalableDimension);

const KEYS: &[&str] = &[
    "application-autoscaling:service-namespace",
    "application-autoscaling:scalable-dimension",
];
const KIND: &str = "ScalableTarget";

/// On the target of this resource.
pub fn on_target<I: 'static>(scaled: fn(&I) -> Scaled<'_>) -> Permission<I> {
    on(KIND, move |cx, it| touched(cx, scaled(it).1)).supplying(KEYS, move |_, it| {
        let (service, _, dimension) = scaled(it);
        vec![
            ConditionKey::new(KEYS[0], Some(service)),
            ConditionKey::new(KEYS[1], Some(dimension)),
        ]
    })
}

/// On a target that is made or changed. A role that is given is handed over, and tags need the
/// permission to tag.
pub fn on_registered() -> Permission<RegisterScalableTargetInput> {
    on_target(|it: &RegisterScalableTargetInput| {
        (it.service_namespace, &it.resource_id, it.scalable_dimension)
    })
    .and("application-autoscaling:TagResource", KIND, |cx, it| {
        let tagged = it.tags.as_ref().is_some_and(|it| !it.is_empty());
        tagged.then(|| touched(cx, &it.resource_id))
    })
    .passing("application-autoscaling.amazonaws.com", |it| {
        it.role_arn.iter().cloned().collect()
    })
}

/// On the target with this ARN.
pub fn on_arn<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on(KIND, move |cx, it| {
        let targets = cx.read(|tx| tx.list::<TargetRecord>(&cx.key("")));
        let found = targets.unwrap_or_default().into_iter();
        match found.into_iter().find(|target| target.arn() == *arn(it)) {
            Some(found) => Touched::named(found.arn()).tagged(found.tags),
            None => Touched::absent(arn(it)),
        }
    })
}

fn touched(cx: &Cx, resource_id: &str) -> Touched {
    // Nobody knows the id of a target to be made.
    let new = || cx.arn("application-autoscaling", "scalable-target/*");
    match cx.read(|tx| tx.get::<TargetRecord>(&cx.key(resource_id))) {
        Ok(Some(found)) => (Touched::named(found.arn()).tagged(found.tags)).asked_as(new()),
        Ok(None) => Touched::absent(new()),
        // Nothing is known of its tags.
        Err(_) => Touched::named(new()),
    }
}
