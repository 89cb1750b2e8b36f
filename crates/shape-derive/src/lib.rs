//! `#[derive(Shape)]`: the whole binding between a struct and the wire.
//!
//! The struct says how its members are written; the derive makes a table of them and hands table
//! and members to `wire`. Attributes:
//!
//! - on the struct `#[aws(names = "camelCase")]`: how the fields' names are written in the model,
//!   `camelCase` or `PascalCase`; `#[aws(output = "camelCase")]`: how they are in answers, where
//!   that differs;
//! - on a field `#[aws(name = "…", input = "…", output = "…")]`: where a name follows no rule;
//!   `item` names a list's items in XML, where the protocol's usual name does not;
//!   `#[aws(limits = PATH)]`: a `static` of `wire::Limits`; `#[aws(sensitive)]`: never printed;
//!   `#[aws(keeps_empty)]`: an empty text means something, also in form parameters;
//! - on the struct, too, `#[aws(unbuilt(name = "…", input = "…", output = "…", only = "…"))]`: a member of
//!   the model that the struct has not, with the names that differ from the first.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Field, Ident, LitStr, Path, parse_macro_input};

#[derive(Default)]
struct Attributes {
    names: Option<String>,
    name: Option<String>,
    input: Option<String>,
    output: Option<String>,
    item: Option<String>,
    limits: Option<Path>,
    sensitive: bool,
    keeps_empty: bool,
    unbuilt: Vec<Unbuilt>,
}

/// A member that is refused.
#[derive(Default)]
struct Unbuilt {
    name: String,
    input: Option<String>,
    output: Option<String>,
    only: Option<String>,
}

fn unbuilt(meta: &syn::meta::ParseNestedMeta) -> syn::Result<Unbuilt> {
    let mut found = Unbuilt::default();
    meta.parse_nested_meta(|meta| {
        let text = meta.value()?.parse::<LitStr>()?.value();
        if meta.path.is_ident("name") {
            found.name = text;
        } else if meta.path.is_ident("input") {
            found.input = Some(text);
        } else if meta.path.is_ident("output") {
            found.output = Some(text);
        } else if meta.path.is_ident("only") {
            found.only = Some(text);
        } else {
            return Err(meta.error("unknown attribute"));
        }
        Ok(())
    })?;
    Ok(found)
}

fn attributes(of: &[syn::Attribute]) -> syn::Result<Attributes> {
    let mut found = Attributes::default();
    for attribute in of
        .iter()
        .filter(|attribute| attribute.path().is_ident("aws"))
    {
        attribute.parse_nested_meta(|meta| {
            let text = || Ok::<_, syn::Error>(Some(meta.value()?.parse::<LitStr>()?.value()));
            if meta.path.is_ident("names") {
                found.names = text()?;
            } else if meta.path.is_ident("name") {
                found.name = text()?;
            } else if meta.path.is_ident("input") {
                found.input = text()?;
            } else if meta.path.is_ident("output") {
                found.output = text()?;
            } else if meta.path.is_ident("item") {
                found.item = text()?;
            } else if meta.path.is_ident("limits") {
                found.limits = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("unbuilt") {
                found.unbuilt.push(unbuilt(&meta)?);
            } else if meta.path.is_ident("sensitive") {
                found.sensitive = true;
            } else if meta.path.is_ident("keeps_empty") {
                found.keeps_empty = true;
            } else {
                return Err(meta.error("unknown attribute"));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// A field with what the wire has to know of it.
struct Member {
    ident: Ident,
    name: String,
    input: String,
    output: String,
    item: Option<String>,
    limits: Option<Path>,
    sensitive: bool,
    keeps_empty: bool,
}

fn member(field: &Field, of: &Attributes) -> syn::Result<Member> {
    let ident = field
        .ident
        .clone()
        .ok_or_else(|| syn::Error::new_spanned(field, "Shape needs named fields"))?;
    let written = ident.to_string();
    let plain = written.strip_prefix("r#").unwrap_or(&written);
    let own = attributes(&field.attrs)?;
    let names = of.names.as_deref().unwrap_or("camelCase");
    let name = own.name.unwrap_or_else(|| rename(plain, names));
    let output = match (own.output, &of.output) {
        (Some(output), _) => output,
        (None, Some(style)) => rename(plain, style),
        (None, None) => name.clone(),
    };
    let input = own.input.unwrap_or_else(|| name.clone());
    Ok(Member {
        ident,
        name,
        input,
        output,
        item: own.item,
        limits: own.limits,
        sensitive: own.sensitive,
        keeps_empty: own.keeps_empty,
    })
}

/// `cluster_name` as `clusterName` or `ClusterName`.
fn rename(field: &str, style: &str) -> String {
    let mut out = String::new();
    let mut upper = style == "PascalCase";
    for character in field.chars() {
        match character {
            '_' => upper = true,
            _ if upper => {
                out.extend(character.to_uppercase());
                upper = false;
            }
            _ => out.push(character),
        }
    }
    out
}

fn members(input: &DeriveInput) -> syn::Result<(Vec<Member>, Vec<Unbuilt>)> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(
            &input.ident,
            "Shape is for structs",
        ));
    };
    let of = attributes(&input.attrs)?;
    let members: syn::Result<_> = data.fields.iter().map(|field| member(field, &of)).collect();
    Ok((members?, of.unbuilt))
}

/// Makes a struct a structure of the wire.
#[proc_macro_derive(Shape, attributes(aws))]
pub fn derive_shape(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let (members, unbuilt) = match members(&input) {
        Ok(members) => members,
        Err(error) => return error.into_compile_error().into(),
    };
    let struct_name = &input.ident;
    let idents: Vec<_> = members.iter().map(|member| &member.ident).collect();
    let rows = members.iter().map(|member| {
        let Member { name, input, output, sensitive, keeps_empty, .. } = member;
        let item = match &member.item {
            Some(item) => quote!(Some(#item)),
            None => quote!(None),
        };
        let limits = match &member.limits {
            Some(path) => quote!(Some(&#path)),
            None => quote!(None),
        };
        quote!(::wire::Member { name: #name, input: #input, output: #output, item: #item, limits: #limits, sensitive: #sensitive, keeps_empty: #keeps_empty })
    });
    let refused = unbuilt.iter().map(|it| {
        let name = &it.name;
        let (input, output) = (
            it.input.as_ref().unwrap_or(name),
            it.output.as_ref().unwrap_or(name),
        );
        let only = match &it.only {
            Some(only) => quote!(Some(#only)),
            None => quote!(None),
        };
        quote!(::wire::Unbuilt { name: #name, input: #input, output: #output, only: #only })
    });
    quote! {
        impl ::wire::Value for #struct_name {
            fn set(&mut self, node: ::wire::Node, cx: &mut ::wire::Decoder) {
                ::wire::derive_support::set_structure(
                    node, (<Self as ::wire::Shape>::table(), <Self as ::wire::Shape>::unbuilt()), &mut [#(&mut self.#idents),*], cx)
            }
            fn get(&self) -> ::wire::Node {
                self.get_as(::wire::How::Given)
            }
            fn get_as(&self, how: ::wire::How) -> ::wire::Node {
                ::wire::derive_support::get_structure(
                    (<Self as ::wire::Shape>::table(), <Self as ::wire::Shape>::unbuilt()), &[#(&self.#idents),*], how)
            }
            fn kind(&self) -> ::wire::ValueKind {
                ::wire::ValueKind::Structure
            }
        }
        impl ::wire::Shape for #struct_name {
            fn table() -> &'static [::wire::Member] {
                static TABLE: &[::wire::Member] = &[#(#rows),*];
                TABLE
            }
            fn unbuilt() -> &'static [::wire::Unbuilt] {
                static UNBUILT: &[::wire::Unbuilt] = &[#(#refused),*];
                UNBUILT
            }
        }
        ::wire::stored_as_value!(#struct_name);
    }
    .into()
}

/// `Debug` that shows of sensitive members only that they are there.
#[proc_macro_derive(DebugWithoutSecrets, attributes(aws))]
pub fn derive_debug_without_secrets(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let (members, _) = match members(&input) {
        Ok(members) => members,
        Err(error) => return error.into_compile_error().into(),
    };
    let struct_name = &input.ident;
    let title = struct_name.to_string();
    let fields = members.iter().map(|member| {
        let ident = &member.ident;
        let label = ident.to_string();
        match member.sensitive {
            true => quote!(.field(#label, &format_args!("…"))),
            false => quote!(.field(#label, &self.#ident)),
        }
    });
    quote! {
        impl ::core::fmt::Debug for #struct_name {
            fn fmt(&self, out: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                out.debug_struct(#title) #(#fields)* .finish()
            }
        }
    }
    .into()
}
