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
        .on(balancer::create_load_balancer)
        .on(balancer::describe_load_balancers)
        .on(balancer::delete_load_balancer)
        .on(balancer::set_security_groups)
        .on(attributes::modify_load_balancer_attributes)
        .on(attributes::describe_load_balancer_attributes)
        .on(attributes::modify_target_group_attributes)
        .on(attributes::describe_target_group_attributes)
        .on(attributes::describe_listener_attributes)
        .on(attributes::describe_capacity_reservation)
        .on(target_group::create_target_group)
        .on(target_group::describe_target_groups)
        .on(target_group::modify_target_group)
        .on(target_group::delete_target_group)
        .on(targets::register_targets)
        .on(targets::deregister_targets)
        .on(health::describe_target_health)
        .on(listener::create_listener)
        .on(listener::describe_listeners)
        .on(listener::modify_listener)
        .on(listener::delete_listener)
        .on(rule::create_rule)
        .on(rule::describe_rules)
        .on(rule::modify_rule)
        .on(rule::delete_rule)
        .on(rule::set_rule_priorities)
        .on(tags::add_tags)
        .on(tags::remove_tags)
        .on(tags::describe_tags)
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
