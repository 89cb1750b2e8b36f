//! How large a request's head may be: an Application Load Balancer's limits ("Load balancer quotas"),
//! counted on the bytes as they come, since nobody answers for a head that was never read whole.

/// Of the request line, and of each header.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Of all of them.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Follows one head from its first byte to its empty line.
#[derive(Debug, Default)]
pub struct HeadWatch {
    line: usize,
    total: usize,
    begun: bool,
    ended: bool,
}

impl HeadWatch {
    /// Takes in what was read, which may go on behind the head. Whether the head is still within the
    /// limits.
    pub fn takes(&mut self, bytes: &[u8]) -> bool {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.ended {
                return true;
            }
            let whole = part.ends_with(b"\n");
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            // A line's end may come in two pieces.
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            self.line += text.len();
            self.total += part.len();
            if self.line > LINE_BYTES_MAX || self.total > HEAD_BYTES_MAX {
                return false;
            }
            if whole {
                // Empty lines before a request are none of its own.
                self.ended = self.line == 0 && self.begun;
                self.begun |= self.line > 0;
                self.line = 0;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same however the bytes are cut.
    fn check(head: &str, expect: bool) {
        for size in [1, 2, 7, 1000, 1 << 20] {
            let mut watch = HeadWatch::default();
            let within = head.as_bytes().chunks(size).all(|some| watch.takes(some));
            assert_eq!(within, expect, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_has_16_kib_and_a_head_64() {
        let line = |length: usize| format!("x: {}\r\n", "y".repeat(length - 3));
        let get = "GET / HTTP/1.1\r\n";
        check(&format!("{get}{}\r\n", line(16_384)), true);
        check(&format!("{get}{}\r\n", line(16_385)), false);
        check(
            &format!("GET /{} HTTP/1.1\r\n\r\n", "p".repeat(16_370)),
            true,
        );
        check(
            &format!("GET /{} HTTP/1.1\r\n\r\n", "p".repeat(16_371)),
            false,
        );
        check(&format!("{get}{}\r\n", line(13_000).repeat(5)), true);
        check(&format!("{get}{}\r\n", line(13_200).repeat(5)), false);
        check(&format!("{get}{}\r\n", line(20).repeat(2_900)), true);
        check(&"x".repeat(20_000), false);
        // What follows the head is no line of it.
        check(&format!("\r\n{get}\r\n{}", "b".repeat(200_000)), true);
    }
}
