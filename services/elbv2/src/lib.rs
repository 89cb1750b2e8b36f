//! Elastic Load Balancing v2: Application Load Balancers.
//!
//! Handlers check and record. Every change counts a generation up in its transaction, which wakes
//! [`apply::EdgeReconciler`]: it makes one [`engine::Snapshot`] of all records ([`plan`]) and hands
//! it to the edge process, which balances, probes and drains. Health is never recorded: it is asked
//! of the edge whenever somebody wants to know.

mod apply;
mod attributes;
mod balancer;
mod cfn;
mod health;
mod listener;
mod metrics;
mod plan;
mod record;
mod rule;
mod tags;
mod target_group;
mod targets;

use cloud::{Service, Watch};

pub fn service() -> Service {
    let turn = apply::Turn::default();
    let service = Service::new(&shapes::elbv2::MODEL)
        .on_unlisted(balancer::create_load_balancer)
        .on_unlisted(balancer::describe_load_balancers)
        .on_unlisted(balancer::delete_load_balancer)
        .on_unlisted(balancer::set_security_groups)
        .on_unlisted(attributes::modify_load_balancer_attributes)
        .on_unlisted(attributes::describe_load_balancer_attributes)
        .on_unlisted(attributes::modify_target_group_attributes)
        .on_unlisted(attributes::describe_target_group_attributes)
        .on_unlisted(attributes::describe_listener_attributes)
        .on_unlisted(attributes::describe_capacity_reservation)
        .on_unlisted(target_group::create_target_group)
        .on_unlisted(target_group::describe_target_groups)
        .on_unlisted(target_group::modify_target_group)
        .on_unlisted(target_group::delete_target_group)
        .on_unlisted(targets::register_targets)
        .on_unlisted(targets::deregister_targets)
        .on_unlisted(health::describe_target_health)
        .on_unlisted(listener::create_listener)
        .on_unlisted(listener::describe_listeners)
        .on_unlisted(listener::modify_listener)
        .on_unlisted(listener::delete_listener)
        .on_unlisted(rule::create_rule)
        .on_unlisted(rule::describe_rules)
        .on_unlisted(rule::modify_rule)
        .on_unlisted(rule::delete_rule)
        .on_unlisted(rule::set_rule_priorities)
        .on_unlisted(tags::add_tags)
        .on_unlisted(tags::remove_tags)
        .on_unlisted(tags::describe_tags)
        .reconciles(apply::BalancerReconciler(turn.clone()))
        .reconciles(apply::EdgeReconciler(turn))
        .reconciles(metrics::MetricsReconciler::default())
        .follows("elbv2.load-balancer", metrics::KIND, metrics::KEY)
        .follows("ec2.security-group", record::EDGE, record::EDGE_KEY)
        .follows("ec2.interface", record::EDGE, record::EDGE_KEY)
        .watches(Watch {
            changes: |engine| engine.edge.changes(),
            keys: |_, _| vec![(record::EDGE, record::EDGE_KEY.to_owned())],
        });
    cfn::register(service)
}
