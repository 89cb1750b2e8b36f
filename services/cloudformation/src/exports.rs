//! What is shown of exports, and who uses them.

use cloud::{Cx, Error};
use shapes::cloudformation as api;

use crate::check::invalid;
use crate::finish::importers;
use crate::lookup::page;
use crate::record::Export;

const EXPORTS_IN_A_PAGE: usize = 100;

pub async fn list_exports(
    cx: Cx,
    input: api::ListExportsInput,
) -> Result<api::ListExportsOutput, Error> {
    let exports: Vec<Export> = cx.read(|tx| tx.list(&cx.key("")))?;
    let (exports, next_token) = page(exports, input.next_token.as_deref(), EXPORTS_IN_A_PAGE)?;
    let shown = |it: Export| api::Export {
        exporting_stack_id: Some(it.stack_id),
        name: Some(it.name),
        value: Some(it.value),
    };
    Ok(api::ListExportsOutput {
        exports: Some(exports.into_iter().map(shown).collect()),
        next_token,
    })
}

pub async fn list_imports(
    cx: Cx,
    input: api::ListImportsInput,
) -> Result<api::ListImportsOutput, Error> {
    let name = input.export_name;
    let imports = cx.read(|tx| {
        if tx.get::<Export>(&cx.key(&name))?.is_none() {
            return Err(invalid(format!("Export '{name}' does not exist.")));
        }
        importers(tx, &cx.region, &name)
    })?;
    if imports.is_empty() {
        return Err(invalid(format!(
            "Export '{name}' is not imported by any stack."
        )));
    }
    let (imports, next_token) = page(imports, input.next_token.as_deref(), EXPORTS_IN_A_PAGE)?;
    Ok(api::ListImportsOutput {
        imports: Some(imports),
        next_token,
    })
}
