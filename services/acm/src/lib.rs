//! AWS Certificate Manager.
//!
//! A certificate is a record, with its key, sealed with the store. One that is requested is issued by the
//! **local authority** of this installation ([`authority`]), which is made when it is needed first, and renewed
//! by it before it expires ([`issue`]). One that is imported is checked against its key and its chain
//! ([`import`]).
//!
//! **What stands for validation here**: a public authority asks for a record in the domain's zone, since it
//! vouches to everybody. The local authority vouches on machines that trust it alone, and there are no hosted zones
//! yet, so the record is described and not waited for. E-mail validation is refused: nobody is written to.
//!
//! Keys are elliptic curves' (P-256, P-384); `RSA_2048` is refused for a request, taken for an import. No
//! operation answers with a key: who serves with one finds it by [`cloud::Cx::find_certificate`].

mod authority;
mod certificate;
mod cfn;
mod describe;
mod import;
mod issue;
mod list;
mod parse;
mod pem;
mod permission;
mod record;
mod request;
mod tags;

use cloud::Service;
use cloud::permission::everywhere;

pub use authority::certificate as authority_certificate;
use permission::on_certificate;

pub fn service() -> Service {
    Service::new(&shapes::acm::MODEL)
        .on(request::request_certificate, permission::request())
        .on(import::import_certificate, permission::import())
        .on(
            describe::describe_certificate,
            on_certificate(|it| &it.certificate_arn),
        )
        .on(
            describe::get_certificate,
            on_certificate(|it| &it.certificate_arn),
        )
        .on(certificate::export_certificate, permission::export())
        .on(
            certificate::delete_certificate,
            on_certificate(|it| &it.certificate_arn),
        )
        .on(
            certificate::renew_certificate,
            on_certificate(|it| &it.certificate_arn),
        )
        .on(
            certificate::update_certificate_options,
            on_certificate(|it| &it.certificate_arn),
        )
        .on(list::list_certificates, everywhere())
        .on(
            tags::add_tags_to_certificate,
            on_certificate(|it| &it.certificate_arn),
        )
        .on(
            tags::remove_tags_from_certificate,
            on_certificate(|it| &it.certificate_arn),
        )
        .on(
            tags::list_tags_for_certificate,
            on_certificate(|it| &it.certificate_arn),
        )
        .lends_certificates(record::lend)
        .reconciles(issue::IssuingReconciler)
        .resource(cfn::CertificateResourceType)
}
