use bytes::{BufMut, Bytes, BytesMut};

use super::fields::{Reader, put_text};
use super::{AgentKey, Code, TunnelError};

/// A one-time right to be admitted to a relay: what `doorstep relay invite` prints (as base64) and `doorstep join` sends.
/// The MAC (HMAC-SHA-256 with a key that never leaves the relay) is made and checked by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Made at random; the relay remembers those that were used.
    pub id: [u8; 16],
    /// Seconds since 1970.
    pub expires: u64,
    /// SHA-256 of the public key (SubjectPublicKeyInfo) of the relay's certificate, where no authority vouches for it.
    pub pin: Option<AgentKey>,
    /// The relay's host and port.
    pub relay: String,
    pub mac: [u8; 32],
}

const VERSION: u8 = 1;

impl Invitation {
    /// What the MAC is made of.
    pub fn signed_part(&self) -> Bytes {
        let mut out = BytesMut::from(&b"doorstep invitation"[..]);
        self.put(&mut out);
        out.freeze()
    }

    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.put(&mut out);
        out.put_slice(&self.mac);
        out.freeze()
    }

    /// # Errors
    /// [`Code::InvitationInvalid`] for whatever is not exactly an invitation.
    pub fn decode(bytes: &[u8]) -> Result<Self, TunnelError> {
        let invalid = |_| TunnelError::from(Code::InvitationInvalid);
        let mut read = Reader(Bytes::copy_from_slice(bytes));
        if read.u8().map_err(invalid)? != VERSION {
            return Err(TunnelError::new(Code::InvitationInvalid, "it is of a later version of doorstep"));
        }
        let invitation = (|| {
            Ok(Self {
                id: read.array()?,
                expires: read.u64()?,
                pin: if read.u8()? == 0 { None } else { Some(read.array()?) },
                relay: read.text()?,
                mac: read.array()?,
            })
        })()
        .map_err(invalid)?;
        if read.0.is_empty() { Ok(invitation) } else { Err(Code::InvitationInvalid.into()) }
    }

    /// Whether it is still good at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Code::InvitationExpired`].
    pub fn check_expiry(&self, now: u64) -> Result<(), TunnelError> {
        if now < self.expires { Ok(()) } else { Err(Code::InvitationExpired.into()) }
    }

    fn put(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        out.put_slice(&self.id);
        out.put_u64(self.expires);
        out.put_u8(u8::from(self.pin.is_some()));
        out.put_slice(self.pin.as_ref().map_or(&[], |pin| &pin[..]));
        put_text(out, &self.relay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_cut_and_change() {
        for pin in [None, Some([7; 32])] {
            let invitation =
                Invitation { id: [1; 16], expires: 100, pin, relay: "tun.example.com:443".into(), mac: [9; 32] };
            let bytes = invitation.encode();
            assert_eq!(Invitation::decode(&bytes).unwrap(), invitation);
            assert!(invitation.check_expiry(99).is_ok());
            assert_eq!(invitation.check_expiry(100).unwrap_err().code, Code::InvitationExpired);
            for cut in 0..bytes.len() {
                assert_eq!(Invitation::decode(&bytes[..cut]).unwrap_err().code, Code::InvitationInvalid);
            }
            for at in 0..bytes.len() - 32 {
                let mut changed = bytes.to_vec();
                changed[at] ^= 2;
                if let Ok(other) = Invitation::decode(&changed) {
                    assert!(other.signed_part() != invitation.signed_part() || other == invitation);
                }
            }
        }
    }
}
