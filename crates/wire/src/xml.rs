//! A tree as XML.

use crate::node::Node;
use crate::time::to_iso;
use crate::value::base64_text;

/// Writes `<name>…</name>`; the members of lists are called `item`.
pub(crate) fn write_element(out: &mut String, name: &str, node: &Node, item: &str) {
    if *node == Node::Null {
        return;
    }
    open(out, name);
    write_content(out, node, item);
    close(out, name);
}

/// Writes what stands between the tags.
pub(crate) fn write_content(out: &mut String, node: &Node, item: &str) {
    match node {
        Node::Null => (),
        Node::List(nodes) => {
            for node in nodes {
                write_element(out, item, node, item);
            }
        }
        Node::Items(own, nodes) => {
            for node in nodes {
                write_element(out, own, node, item);
            }
        }
        Node::Map(members) | Node::Form(members) => {
            for (name, node) in members {
                write_element(out, name, node, item);
            }
        }
        Node::Dict(entries) => {
            for (key, node) in entries {
                open(out, "entry");
                write_text_element(out, "key", key);
                write_element(out, "value", node, item);
                close(out, "entry");
            }
        }
        Node::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Node::Int(number) => out.push_str(&number.to_string()),
        Node::Float(number) => out.push_str(&format!("{number:?}")),
        Node::Time(seconds) => out.push_str(&to_iso(*seconds)),
        Node::Str(text) => push_escaped(out, text),
        Node::Blob(bytes) => out.push_str(&base64_text(bytes)),
    }
}

pub(crate) fn write_text_element(out: &mut String, name: &str, text: &str) {
    open(out, name);
    push_escaped(out, text);
    close(out, name);
}

pub(crate) fn open(out: &mut String, name: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
}

pub(crate) fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// Whether XML 1.0 can say a character at all, written out or by its number.
pub fn is_xml(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => true,
    }
}

/// Writes text; what XML cannot say becomes U+FFFD, so that every answer can be read.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // A parser would read a bare carriage return as a line feed.
            '\r' => out.push_str("&#xD;"),
            character if is_xml(character) => out.push(character),
            _ => out.push('\u{fffd}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_can_be_read() {
        let all: String = ('\0'..=char::MAX).collect();
        let mut out = String::new();
        push_escaped(&mut out, &all);
        assert!(out.chars().all(is_xml));
        assert!(!out.contains(['<', '>', '"', '\r']));
    }

    #[test]
    fn every_kind_of_node_is_written() {
        let node = Node::Map(vec![
            ("Text".into(), Node::text("a<b>&\"\r\u{1}")),
            ("Absent".into(), Node::Null),
            (
                "List".into(),
                Node::List(vec![Node::Int(1), Node::Bool(false)]),
            ),
            ("None".into(), Node::List(vec![])),
            ("Own".into(), Node::Items("own", vec![Node::Int(2)])),
            (
                "Dict".into(),
                Node::Dict(vec![("k".into(), Node::Float(1.0))]),
            ),
            ("At".into(), Node::Time(1.5)),
            ("Bytes".into(), Node::Blob(vec![1, 2])),
        ]);
        let mut out = String::new();
        write_element(&mut out, "R", &node, "member");
        assert_eq!(
            out,
            "<R><Text>a&lt;b&gt;&amp;&quot;&#xD;\u{fffd}</Text><List><member>1</member><member>false</member></List>\
             <None></None><Own><own>2</own></Own><Dict><entry><key>k</key><value>1.0</value></entry></Dict>\
             <At>1970-01-01T00:00:01.500Z</At><Bytes>AQI=</Bytes></R>"
        );
    }
}
