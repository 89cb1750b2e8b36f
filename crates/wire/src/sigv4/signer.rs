//! A key that a request names, and who holds it.

use ring::digest;

/// What a key signs with, and whom it stands for. One look yields both, and the identity comes out only
/// against the secret: nobody is anybody before that is shown, and nobody is looked up again after.
pub struct Signer<I> {
    secret: String,
    identity: I,
}

impl<I> Signer<I> {
    pub fn new(secret: String, identity: I) -> Self {
        Self { secret, identity }
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Whom the key stands for, once a signature was found to be made with its secret.
    pub(super) fn believed(self) -> I {
        self.identity
    }

    /// The identity, if `secret` is the key's: for clients that show the secret itself.
    pub fn if_secret(self, secret: &str) -> Option<I> {
        // Digests are compared, so that the time it takes says nothing about how much was right.
        let digest = |it: &str| digest::digest(&digest::SHA256, it.as_bytes());
        (digest(&self.secret).as_ref() == digest(secret).as_ref()).then_some(self.identity)
    }

    /// The identity, if `is_right` finds that the secret made what was shown: for signatures of other
    /// kinds than AWS's.
    pub fn if_signed(self, is_right: impl FnOnce(&str) -> bool) -> Option<I> {
        is_right(&self.secret).then_some(self.identity)
    }

    /// The secret and the identity, for a library that verifies on its own. It has to refuse the request
    /// when the secret does not fit, before anybody looks at the identity.
    pub fn for_another_verifier(self) -> (String, I) {
        (self.secret, self.identity)
    }
}

/// Says whose key it is, and keeps the secret.
impl<I: std::fmt::Debug> std::fmt::Debug for Signer<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
