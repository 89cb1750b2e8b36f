//! Hostile packets of a folder that is sent.

use fuzz::{Target, bucket, shape_of};
use prost::Message;

use crate::files::Transfer;
use crate::grpc::Status;
use crate::messages::{Packet, PacketKind, Stat};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn folder(packets: &[Packet]) -> Vec<u8> {
    let packets = packets.iter().map(Message::encode_length_delimited_to_vec);
    packets.collect::<Vec<_>>().concat()
}

#[test]
fn fuzz_packets() {
    let stat = |path: &str, mode: u32, link: &str| Packet {
        stat: Some(Stat {
            path: path.into(),
            mode,
            link: link.into(),
            ..Stat::default()
        }),
        ..Packet::default()
    };
    let data = |id: u32, data: &'static [u8]| Packet {
        kind: PacketKind::Data.into(),
        id,
        data: data.into(),
        ..Packet::default()
    };
    Target::new("packets", ROOT)
        .seeds([folder(&[
            stat("d", 1 << 31, ""),
            stat("d/a", 0o644, ""),
            stat("d/b", 1 << 27, "a"),
            Packet::default(),
            data(1, b"x"),
            data(1, b""),
        ])])
        .words(["../", "\u{1}\u{2}", "\u{8}\u{3}"])
        .run(|mut input| {
            let mut transfer = Transfer::default();
            let (mut steps, mut answers) = (0, 0);
            let ended = loop {
                let Ok(packet) = Packet::decode_length_delimited(&mut input) else {
                    break None;
                };
                match transfer.take(packet) {
                    Ok(_) => steps += 1,
                    Err(Status { message, .. }) => break Some(shape_of(&message)),
                }
                answers += transfer.answers().len();
            };
            (ended, bucket(steps), bucket(answers))
        });
}
