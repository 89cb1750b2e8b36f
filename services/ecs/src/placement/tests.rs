use super::expression::Expression;
use super::*;

fn instance(id: &str, zone: &str, cpu: i64, memory: i64) -> Candidate {
    Candidate {
        id: id.into(),
        ec2_instance: format!("i-{id}"),
        is_connected: true,
        attributes: [("ecs.availability-zone".to_owned(), zone.to_owned())].into(),
        free: Amounts { cpu, memory },
        ..Default::default()
    }
}

fn three() -> Vec<Candidate> {
    vec![
        instance("a", "z1", 1024, 1000),
        instance("b", "z1", 2048, 900),
        instance("c", "z2", 4096, 2000),
    ]
}

fn need() -> Need {
    Need {
        amounts: Amounts {
            cpu: 256,
            memory: 100,
        },
        group: "service:web".into(),
        ..Default::default()
    }
}

/// Places as many tasks as there are letters, one after another.
fn check(need: &Need, strategies: &[Strategy], expected: &str) {
    let mut all = three();
    for (number, wanted) in expected.chars().enumerate() {
        let chosen = choose(&all, need, strategies, 0).unwrap();
        assert_eq!(
            all[chosen].id,
            wanted.to_string(),
            "{strategies:?} {number}"
        );
        all[chosen].take(need);
    }
}

#[test]
fn strategies_are_asked_one_after_another() {
    let zones = || Strategy::Spread("ecs.availability-zone".into());
    check(&need(), &[Strategy::BinpackMemory], "bbbbbbbbaaaac");
    check(&need(), &[Strategy::BinpackCpu], "aaaabbbbbbbbc");
    check(&need(), &[Strategy::SpreadOverInstances], "abcabc");
    check(&need(), &[zones()], "acac");
    check(&need(), &[zones(), Strategy::SpreadOverInstances], "acbca");
    check(&need(), &[zones(), Strategy::BinpackMemory], "bcbcb");
    check(&need(), &[Strategy::Random], "aaaab");
}

#[test]
fn what_does_not_fit_says_why_and_the_closest_is_named() {
    let why = |need: &Need, all: &[Candidate]| choose(all, need, &[], 0).unwrap_err();
    let large = Need {
        amounts: Amounts {
            cpu: 3000,
            memory: 950,
        },
        ..need()
    };
    let found = why(&large, &three()[..2]);
    let expected = [("a".into(), Misfit::Cpu), ("b".into(), Misfit::Memory)];
    assert_eq!(found.0, expected);
    assert_eq!(
        found.event(),
        "was unable to place a task because no container instance met all of its requirements. The \
         closest matching (container-instance a) has insufficient CPU units available. For more \
         information, see the Troubleshooting section of the Amazon ECS Developer Guide."
    );
    let none = why(&need(), &[]);
    assert!(none.event().contains(NO_INSTANCES));

    let mut one = three()[..1].to_vec();
    one[0].is_connected = false;
    assert_eq!(why(&need(), &one).0[0].1.reason(), "AGENT");
    let picky = Need {
        attributes: vec!["ecs.capability.task-eni".into()],
        ..need()
    };
    assert_eq!(why(&picky, &one).0[0].1.reason(), "ATTRIBUTE");
    let member = Need {
        constraints: vec![Constraint::MemberOf(
            Expression::parse("attribute:ecs.availability-zone == z2").unwrap(),
        )],
        ..need()
    };
    assert_eq!(why(&member, &one).0[0].1, Misfit::NotMember);
    assert_eq!(choose(&three(), &member, &[], 0).unwrap(), 2);
}

#[test]
fn ports_and_groups_are_taken_once() {
    let fixed = Need {
        ports: vec![(PortProtocol::Tcp, 80)],
        ..need()
    };
    check(&fixed, &[], "abc");
    let mut all = three();
    all.iter_mut().for_each(|it| drop(it.take(&fixed)));
    let error = choose(&all, &fixed, &[], 0).unwrap_err();
    assert!(error.0.iter().all(|it| it.1 == Misfit::Ports));
    let udp = Need {
        ports: vec![(PortProtocol::Udp, 80)],
        ..need()
    };
    assert!(choose(&all, &udp, &[], 0).is_ok());

    let dynamic = Need {
        dynamic_ports: vec![PortProtocol::Tcp, PortProtocol::Udp],
        ..need()
    };
    assert_eq!(all[0].take(&dynamic).ports, [32_768, 32_769]);
    assert_eq!(all[0].take(&dynamic).ports, [32_770, 32_771]);

    let distinct = Need {
        constraints: vec![Constraint::DistinctInstance],
        ..need()
    };
    let error = choose(&all, &distinct, &[], 0).unwrap_err();
    assert!(error.0.iter().all(|it| it.1 == Misfit::NotDistinct));
}
