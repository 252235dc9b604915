//! Which share a payment falls into: a number that looks random and is always the same.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use crate::id::{PaymentId, ProfileId, RoutingId};

/// The key of the hash. It is no secret: it keeps these hashes apart from any others, and must never change, for a payment
/// must fall into the same share whenever it is looked at.
const DOMAIN: [u8; 16] = *b"perfectpay/split";

/// The shares there are.
pub const BUCKETS: u8 = 100;

/// A payment's bucket, 0 to 99: `SipHash-2-4` under the key `perfectpay/split`, of the profile's id, the program's id, its
/// version and the payment's id, each text behind its length as 4 bytes and the version as 8, all little-endian; of the
/// 64 bits the upper ones, as a fraction of 100.
///
/// The same in every process and every release.
pub fn bucket(profile: &ProfileId, program: &RoutingId, version: u64, payment: &PaymentId) -> u8 {
    let mut hasher = SipHasher24::new_with_key(&DOMAIN);
    write(&mut hasher, profile.as_str());
    write(&mut hasher, program.as_str());
    hasher.write(&version.to_le_bytes());
    write(&mut hasher, payment.as_str());
    let fraction = (u128::from(hasher.finish()) * u128::from(BUCKETS)) >> 64;
    u8::try_from(fraction).unwrap_or(0)
}

fn write(hasher: &mut SipHasher24, text: &str) {
    // Ids are at most 64 bytes.
    hasher.write(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    hasher.write(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(profile: &str, program: &str, version: u64, payment: &str) -> u8 {
        bucket(&profile.parse().unwrap(), &program.parse().unwrap(), version, &payment.parse().unwrap())
    }

    #[test]
    fn a_payments_bucket_is_the_same_in_every_release() {
        // Computed with another program, whose `SipHash` gives the published test vector.
        for (profile, program, version, payment, bucket) in [
            ("pro_1", "routing_1", 1, "pay_1", 39),
            ("pro_1", "routing_1", 1, "pay_2", 56),
            ("pro_1", "routing_1", 2, "pay_1", 96),
            ("pro_1", "routing_2", 1, "pay_1", 77),
            ("pro_2", "routing_1", 1, "pay_1", 98),
            ("pro_abc", "routing_abc", 7, "order-4711", 88),
        ] {
            assert_eq!(of(profile, program, version, payment), bucket, "{profile} {program} {version} {payment}");
        }
    }

    #[test]
    fn every_bucket_gets_its_share() {
        let mut counts = [0_u32; BUCKETS as usize];
        for number in 0..100_000 {
            counts[usize::from(of("pro_1", "routing_1", 1, &format!("pay_{number}")))] += 1;
        }
        // A thousand each, within six standard deviations.
        assert!(counts.iter().all(|count| (811..1_189).contains(count)), "{counts:?}");
    }
}
