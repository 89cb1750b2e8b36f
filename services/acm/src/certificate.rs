//! What is done to certificates that are there.

use cloud::{Cx, Error, Record};
use shapes::acm::{
    DeleteCertificateInput, DeleteCertificateOutput, ExportCertificateInput,
    ExportCertificateOutput, RenewCertificateInput, RenewCertificateOutput,
    UpdateCertificateOptionsInput, UpdateCertificateOptionsOutput, errors,
};

use crate::record::{CertificateRecord, find};

/// Neither a private authority's certificate nor one that was requested for export is ever there. The
/// passphrase is of no use, and so it is not kept either.
pub async fn export_certificate(
    cx: Cx,
    input: ExportCertificateInput,
) -> Result<ExportCertificateOutput, Error> {
    let found = cx.read(|tx| find(&cx, tx, &input.certificate_arn))?;
    drop(input.passphrase);
    Err(wire::codes::ValidationException.because(format!(
        "Certificate ARN: {} is not a private certificate and is not eligible for export.",
        found.arn()
    )))
}

pub async fn delete_certificate(
    cx: Cx,
    input: DeleteCertificateInput,
) -> Result<DeleteCertificateOutput, Error> {
    cx.write(|tx| {
        let found = find(&cx, tx, &input.certificate_arn)?;
        if !cx.servers_with(tx, &found.arn())?.is_empty() {
            return Err(errors::ResourceInUseException.because(format!(
                "Certificate {} in account {} is in use.",
                found.arn(),
                found.account
            )));
        }
        tx.delete::<CertificateRecord>(&found.key())?;
        Ok(DeleteCertificateOutput {})
    })
}

/// AWS renews by this operation exported certificates of private authorities alone; the others are renewed
/// when it is time.
pub async fn renew_certificate(
    cx: Cx,
    input: RenewCertificateInput,
) -> Result<RenewCertificateOutput, Error> {
    let found = cx.read(|tx| find(&cx, tx, &input.certificate_arn))?;
    Err(wire::codes::ValidationException.because(format!(
        "Certificate {} is not an exported private certificate: it is renewed before it expires",
        found.arn()
    )))
}

pub async fn update_certificate_options(
    cx: Cx,
    input: UpdateCertificateOptionsInput,
) -> Result<UpdateCertificateOptionsOutput, Error> {
    let wanted = input.options.certificate_transparency_logging_preference;
    cx.change(
        |tx| find(&cx, tx, &input.certificate_arn),
        |it| {
            if it.is_imported {
                return Err(errors::InvalidStateException
                    .because("An imported certificate has no options that can be changed"));
            }
            it.transparency = wanted.unwrap_or(it.transparency);
            Ok(())
        },
    )?;
    Ok(UpdateCertificateOptionsOutput {})
}
