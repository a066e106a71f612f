//! The attribute that writes who may call a handler into its OpenAPI operation.
//!
//! The permission is read from the handler's signature, so the document cannot promise one thing
//! while the handler checks another.

use proc_macro::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Ident, ItemFn, Meta, MetaList, Token, Type, parse_macro_input};

/// Goes above `#[utoipa::path(..)]` and says where the store of a request comes from:
///
/// - `path.NAME`, `query.NAME`, `body.NAME`: the request names it;
/// - `object`: it is the store of the object that the path names;
/// - `caller`: the answer is about the caller, or limited to the caller's stores;
/// - `chain`: the operation belongs to no store;
/// - `public`: nobody has to prove who asks.
///
/// Unless it is `public`, the handler's first argument must be the extractor that checks the caller,
/// a `common::auth::Guard`. The operation gets `security`, `x-permission` and `x-store-scope`; a
/// public one that reads a token when there is one may bring its own `security`.
///
/// ```text
/// #[access(query.store_id)]
/// #[utoipa::path(tag = "orders", responses((status = 200, body = Page<OrderOut>)))]
/// #[get("/api/orders")]
/// async fn list(auth: Permit<permits::OrdersRead>, ..) -> Result<..> {
/// ```
#[proc_macro_attribute]
pub fn access(scope: TokenStream, item: TokenStream) -> TokenStream {
    let scope = parse_macro_input!(scope as Scope);
    let mut handler = parse_macro_input!(item as ItemFn);
    match annotate(&scope, &mut handler) {
        Ok(()) => quote!(#handler).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// Where the store of a request comes from, as the document writes it.
struct Scope {
    text: String,
    is_public: bool,
}

impl Parse for Scope {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let source: Ident = input.parse()?;
        let word = source.to_string();
        let text = match word.as_str() {
            "path" | "query" | "body" => {
                input.parse::<Token![.]>()?;
                let name: Ident = input.parse()?;
                format!("{word}.{name}")
            }
            "object" | "caller" | "chain" | "public" => word,
            _ => {
                let expected =
                    "expected path.NAME, query.NAME, body.NAME, object, caller, chain or public";
                return Err(syn::Error::new(source.span(), expected));
            }
        };
        Ok(Self {
            is_public: text == "public",
            text,
        })
    }
}

fn annotate(scope: &Scope, handler: &mut ItemFn) -> syn::Result<()> {
    let guard = guard_of(handler);
    let missing = "#[access] goes above #[utoipa::path(..)]";
    let missing = || syn::Error::new(handler.sig.ident.span(), missing);
    let described = handler.attrs.iter_mut().find_map(described_path);
    let described = described.ok_or_else(missing)?;
    let has_security = mentions_security(described);
    let text = &scope.text;
    let access = if scope.is_public {
        let security = (!has_security).then(|| quote!(security(()),));
        let access = quote!(::common::auth::Access::Public);
        quote!(#security extensions(
            ("x-permission" = json!(#access)), ("x-store-scope" = json!(#text))
        ))
    } else if has_security {
        let told = "security(..) is written by #[access]";
        return Err(syn::Error::new(described.span(), told));
    } else {
        let nobody =
            "the first argument of a handler checks the caller; else it is #[access(public)]";
        let guard = guard.ok_or_else(|| syn::Error::new(described.span(), nobody))?;
        // At the type's place, so that a type that checks nobody is what the compiler points at.
        let access = quote_spanned!(guard.span()=> <#guard as ::common::auth::Guard>::ACCESS);
        quote!(
            security(("bearer" = [])),
            extensions(
                ("x-permission" = json!(#access)),
                ("x-store-scope" = json!(#text))
            )
        )
    };
    let written = &described.tokens;
    let comma = needs_comma(described).then(|| quote!(,));
    described.tokens = quote!(#written #comma #access);
    Ok(())
}

/// The type of the first argument.
fn guard_of(handler: &ItemFn) -> Option<Type> {
    match handler.sig.inputs.first()? {
        FnArg::Typed(argument) => Some((*argument.ty).clone()),
        FnArg::Receiver(_) => None,
    }
}

/// The list of `#[utoipa::path(..)]`.
fn described_path(attribute: &mut Attribute) -> Option<&mut MetaList> {
    let Meta::List(list) = &mut attribute.meta else {
        return None;
    };
    let segments: Vec<String> = list
        .path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect();
    (segments == ["utoipa", "path"]).then_some(list)
}

fn mentions_security(described: &MetaList) -> bool {
    let words = described.tokens.clone().into_iter();
    words
        .filter_map(|token| match token {
            proc_macro2::TokenTree::Ident(word) => Some(word),
            _ => None,
        })
        .any(|word| word == "security")
}

fn needs_comma(described: &MetaList) -> bool {
    let last = described.tokens.clone().into_iter().last();
    !matches!(last, None | Some(proc_macro2::TokenTree::Punct(_)))
}
