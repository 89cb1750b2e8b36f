//! AWS Key Management Service: symmetric keys that never leave it, and the aliases that name them.
//!
//! A key is a record; each version of its material is a record of its own, which only the cipher reads
//! (`cipher.rs`: AES-256-GCM, with the encryption context as additional data). A ciphertext tells its key
//! and the version of its material, so that what was encrypted before a rotation is decrypted after it.
//! A key that is scheduled for deletion is gone on the day that AWS would delete it, whatever the pace:
//! nobody wants to lose what it protects faster.
//!
//! A key's policy decides over it, the account's owner included; policies of users and roles count only
//! where it leaves the decision to the account, as the policy that a key has by default does. The keys
//! that AWS manages (`alias/aws/s3`) are made when they are first asked for, and are used by way of
//! their service alone.
//!
//! Not built, and refused: asymmetric and HMAC keys, keys of more than one region, imported material,
//! key stores of one's own, grants, Nitro enclaves.

mod alias;
mod attestation;
mod cfn;
mod cipher;
mod data_key;
mod encrypt;
mod find;
mod key;
mod managed;
mod permission;
mod policies;
mod record;
mod rotation;
mod state;
mod tags;

use cloud::Service;
use cloud::permission::everywhere;

use permission::on_key;

pub fn service() -> Service {
    Service::new(&shapes::kms::MODEL)
        .on(key::create_key, permission::create())
        .on(key::describe_key, permission::describe())
        .on(key::list_keys, everywhere())
        .on(key::update_key_description, on_key(|it| &it.key_id))
        .on(state::enable_key, on_key(|it| &it.key_id))
        .on(state::disable_key, on_key(|it| &it.key_id))
        .on(state::schedule_key_deletion, permission::schedule())
        .on(state::cancel_key_deletion, on_key(|it| &it.key_id))
        .on(alias::create_alias, permission::create_alias())
        .on(alias::update_alias, permission::update_alias())
        .on(alias::delete_alias, permission::delete_alias())
        .on(alias::list_aliases, everywhere())
        .on(encrypt::encrypt, permission::encrypt())
        .on(encrypt::decrypt, permission::decrypt())
        .on(encrypt::re_encrypt, permission::re_encrypt())
        .on(data_key::generate_data_key, permission::data_key())
        .on(
            data_key::generate_data_key_without_plaintext,
            permission::data_key_without_plaintext(),
        )
        .on(
            data_key::generate_random,
            everywhere().lacking(attestation::KEYS),
        )
        .on(policies::get_key_policy, on_key(|it| &it.key_id))
        .on(policies::put_key_policy, permission::put_policy())
        .on(policies::list_key_policies, on_key(|it| &it.key_id))
        .on(rotation::enable_key_rotation, permission::enable_rotation())
        .on(rotation::disable_key_rotation, on_key(|it| &it.key_id))
        .on(rotation::get_key_rotation_status, on_key(|it| &it.key_id))
        .on(rotation::rotate_key_on_demand, on_key(|it| &it.key_id))
        .on(rotation::list_key_rotations, on_key(|it| &it.key_id))
        .on(tags::tag_resource, on_key(|it| &it.key_id))
        .on(tags::untag_resource, on_key(|it| &it.key_id))
        .on(tags::list_resource_tags, on_key(|it| &it.key_id))
        .reconciles(state::KeyReconciler)
        .resource(cfn::KeyType)
        .resource(cfn::AliasType)
}
