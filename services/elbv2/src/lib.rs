//! Elastic Load Balancing v2: Application Load Balancers.
//!
//! Handlers check and record. Every change counts a generation up in its transaction, which wakes
//! [`apply::EdgeReconciler`]: it makes one [`engine::Snapshot`] of all records ([`plan`]) and hands
//! it to the edge process, which balances, probes and drains. Health is never recorded: it is asked
//! of the edge whenever somebody wants to know.

mod access_log;
mod apply;
mod attributes;
mod balancer;
mod certificates;
mod cfn;
mod conditions;
mod health;
mod linked_role;
mod listener;
mod machines;
mod metrics;
mod names;
mod paging;
mod permissions;
mod places;
mod plan;
mod policies;
mod record;
mod rule;
mod tags;
mod target_group;
mod targets;

use cloud::permission::everywhere;
use cloud::{Service, Watch};
use permissions::{
    on_arns, on_balancer, on_changed_listener, on_group, on_listener, on_moved, on_new_balancer,
    on_new_group, on_new_listener, on_new_rule, on_regrouped, on_rule, on_rules, on_tagged,
};

pub fn service() -> Service {
    let turn = apply::Turn::default();
    let service = Service::new(&shapes::elbv2::MODEL)
        .on(balancer::create_load_balancer, on_new_balancer())
        .on(balancer::describe_load_balancers, everywhere())
        .on(
            balancer::delete_load_balancer,
            on_balancer(|it| &it.load_balancer_arn),
        )
        .on(balancer::set_security_groups, on_regrouped())
        .on(places::set_subnets, on_moved())
        .on(
            places::set_ip_address_type,
            on_balancer(|it| &it.load_balancer_arn),
        )
        .on(
            attributes::modify_load_balancer_attributes,
            on_balancer(|it| &it.load_balancer_arn),
        )
        .on(attributes::describe_load_balancer_attributes, everywhere())
        .on(
            attributes::modify_target_group_attributes,
            on_group(|it| &it.target_group_arn),
        )
        .on(attributes::describe_target_group_attributes, everywhere())
        .on(attributes::describe_listener_attributes, everywhere())
        .on(
            attributes::modify_listener_attributes,
            on_listener(|it| &it.listener_arn),
        )
        .on(attributes::describe_capacity_reservation, everywhere())
        .on(target_group::create_target_group, on_new_group())
        .on(target_group::describe_target_groups, everywhere())
        .on(
            target_group::modify_target_group,
            on_group(|it| &it.target_group_arn),
        )
        .on(
            target_group::delete_target_group,
            on_group(|it| &it.target_group_arn),
        )
        .on(
            targets::register_targets,
            on_group(|it| &it.target_group_arn),
        )
        .on(
            targets::deregister_targets,
            on_group(|it| &it.target_group_arn),
        )
        .on(health::describe_target_health, everywhere())
        .on(listener::create_listener, on_new_listener())
        .on(listener::describe_listeners, everywhere())
        .on(listener::modify_listener, on_changed_listener())
        .on(
            listener::delete_listener,
            on_listener(|it| &it.listener_arn),
        )
        .on(
            certificates::add_listener_certificates,
            on_listener(|it| &it.listener_arn),
        )
        .on(
            certificates::remove_listener_certificates,
            on_listener(|it| &it.listener_arn),
        )
        .on(certificates::describe_listener_certificates, everywhere())
        .on(policies::describe_ssl_policies, everywhere())
        .on(rule::create_rule, on_new_rule())
        .on(rule::describe_rules, everywhere())
        .on(rule::modify_rule, on_rule(|it| &it.rule_arn))
        .on(rule::delete_rule, on_rule(|it| &it.rule_arn))
        .on(rule::set_rule_priorities, on_rules())
        .on(tags::add_tags, on_tagged())
        .on(tags::remove_tags, on_arns(|it| &it.resource_arns))
        .on(tags::describe_tags, everywhere())
        .reconciles(apply::BalancerReconciler(turn.clone()))
        .reconciles(apply::EdgeReconciler(turn))
        .reconciles(metrics::MetricsReconciler::default())
        .reconciles(access_log::AccessLogReconciler::default())
        .follows("elbv2.load-balancer", metrics::KIND, metrics::KEY)
        .follows("elbv2.load-balancer", access_log::KIND, access_log::KEY)
        .lends_servers(certificates::servers)
        .follows("acm.certificate", record::EDGE, record::EDGE_KEY)
        .follows("ec2.security-group", record::EDGE, record::EDGE_KEY)
        .follows("ec2.interface", record::EDGE, record::EDGE_KEY)
        .reconciles(machines::MachinesReconciler)
        .follows(machines::CHANGED, machines::KIND, machines::KEY)
        .watches(Watch {
            changes: |engine| engine.edge.changes(),
            keys: |_, _| vec![(record::EDGE, record::EDGE_KEY.to_owned())],
        });
    cfn::register(service)
}
