//! Whatever bytes come, the answer is a value or an error, never a panic.

use crate::common::{EC2, JSON, MODELS, QUERY, ec2_service, json_service, query_service};
use http::Request;
use proptest::prelude::*;
use wire::{Door, Node, Signer};

/// Goes as far as a request can go: the tree is read as the input of every service.
fn read_as_everything(node: &Node) {
    let _ = wire::decode_input::<json_service::MakeInput>(&JSON, node.clone());
    let _ = wire::decode_input::<query_service::MakeInput>(&QUERY, node.clone());
    let _ = wire::decode_input::<ec2_service::MakeInput>(&EC2, node.clone());
    let _ = wire::lenient::<json_service::MakeInput>(wire::write_json(node));
    for service in MODELS {
        let _ = wire::answer(service.protocol, "Make", "id", node);
    }
}

fn any_node() -> impl Strategy<Value = Node> {
    let name = || {
        prop_oneof![
            "name|names|port|Name|Names|Tags|entry|member|key|1|2|é",
            any::<String>()
        ]
    };
    let leaf = prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        any::<i64>().prop_map(Node::Int),
        any::<f64>().prop_map(Node::Float),
        any::<String>().prop_map(Node::Str),
        any::<f64>().prop_map(Node::Time),
        any::<Vec<u8>>().prop_map(Node::Blob),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let members = prop::collection::vec((name(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Node::List),
            members.prop_map(|members| Node::Map(
                members.into_iter().map(|(k, v)| (k.into(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn any_tree_is_read_or_refused(node in any_node()) {
        read_as_everything(&node);
    }

    #[test]
    fn any_text_is_a_form_or_is_refused(pairs in prop::collection::vec(("[A-Za-z.0-9]{0,12}", any::<String>()), 0..20)) {
        if let Ok(node) = wire::read_query(pairs) {
            read_as_everything(&node);
        }
    }

    #[test]
    fn any_head_and_body_get_an_answer(
        authorization in "(AWS4-HMAC-SHA256 )?(Credential=[A-Z/0-9a-z_-]{0,40}, ?)?(SignedHeaders=[a-z;-]{0,20}, ?)?(Signature=[0-9a-fé]{0,70})?",
        date in "[0-9TZ]{0,17}",
        query in "(X-Amz-Algorithm=AWS4-HMAC-SHA256)?[&=%a-zA-Z0-9.+-]{0,60}",
        target in "[ -~]{0,30}",
        body in any::<Vec<u8>>(),
    ) {
        let request = Request::builder().uri(format!("/?{query}"));
        let request = request.header("authorization", authorization.as_bytes()).header("x-amz-date", date);
        let Ok(request) = request.header("x-amz-target", target).body(()) else { return Ok(()) };
        let head = request.into_parts().0;
        let door = Door { models: MODELS, find_key: &|_, _| Some(Signer::new("secret".into(), ())), now: 0.0 };
        let refusal = wire::receive(&head, &body, &door).expect_err("nobody guesses a signature");
        prop_assert!(wire::refuse(refusal.protocol, "id", &refusal.error).status().as_u16() >= 400);
    }
}

#[test]
fn large_input_is_bounded() {
    let door = Door::<()> {
        models: MODELS,
        find_key: &|_, _| None,
        now: 0.0,
    };
    let head = Request::builder().body(()).unwrap().into_parts().0;
    let refusal = wire::receive(&head, &vec![b'['; wire::MAX_BODY_BYTES + 1], &door).unwrap_err();
    assert_eq!(refusal.error.status, 413);
    let many = (0..2_000).map(|_| Node::empty()).collect();
    let input = Node::Map(vec![("tags".into(), Node::List(many))]);
    let error = wire::decode_input::<json_service::MakeInput>(&JSON, input).unwrap_err();
    // Structures take more than what they are made of: too many are none at all.
    let many = (0..400_000).map(|_| Node::empty()).collect();
    let input = Node::Map(vec![
        ("name".into(), Node::text("a")),
        ("tags".into(), Node::List(many)),
    ]);
    let too_many = wire::decode_input::<json_service::MakeInput>(&JSON, input).unwrap_err();
    assert!(
        too_many.message.contains("400000 items"),
        "{}",
        too_many.message
    );
    assert!(
        error.message.len() < 20_000,
        "the answer stays short, however much is wrong"
    );
}
