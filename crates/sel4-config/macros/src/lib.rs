// SPDX-License-Identifier: BSD-2-Clause
//! Procedural macros of `sel4-config`, which documents and re-exports them.
//!
//! A condition is a key of a switch (`KERNEL_MCS`), a comparison of any other key with a text
//! (`MAX_NUM_NODES = "1"`), or `not(…)`, `all(…)`, `any(…)` of conditions.

mod condition;

use std::sync::OnceLock;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{ToTokens, quote};
use sel4_prefix::Config;
use sel4_prefix::config::Value;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, ExprMatch, Fields, Ident, ItemEnum, ItemStruct, Result, Token};

use condition::Condition;

fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        Config::from_json(include_str!(concat!(env!("OUT_DIR"), "/config.json")))
            .expect("written by the build script")
    })
}

fn finish(result: Result<Tokens>) -> TokenStream {
    result.unwrap_or_else(|e| e.to_compile_error()).into()
}

fn holds(condition: Tokens) -> Result<bool> {
    syn::parse2::<Condition>(condition)?.eval(config())
}

/// Makes an item depend on a condition on the kernel's configuration, as `#[cfg]` does on rustc's.
#[proc_macro_attribute]
pub fn sel4_cfg(condition: TokenStream, item: TokenStream) -> TokenStream {
    finish(holds(condition.into()).map(|holds| if holds { item.into() } else { quote!() }))
}

/// Makes an attribute depend on a condition, as `#[cfg_attr]` does.
#[proc_macro_attribute]
pub fn sel4_cfg_attr(input: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |input: ParseStream| {
        let condition: Condition = input.parse()?;
        input.parse::<Token![,]>()?;
        Ok((condition, input.parse::<Tokens>()?))
    };
    let item = Tokens::from(item);
    finish(parse.parse(input).and_then(|(condition, attributes)| {
        let holds = condition.eval(config())?;
        let attributes = Punctuated::<syn::Meta, Token![,]>::parse_terminated.parse2(attributes)?;
        let attributes = attributes.iter().filter(|_| holds);
        Ok(quote!(#(#[#attributes])* #item))
    }))
}

/// Takes `#[sel4_cfg(…)]` off an element; whether all of them hold.
fn keep(attributes: &mut Vec<Attribute>) -> Result<bool> {
    let mut keep = true;
    for attribute in attributes.iter().filter(|a| is_ours(a)) {
        keep &= attribute.parse_args::<Condition>()?.eval(config())?;
    }
    attributes.retain(|a| !is_ours(a));
    Ok(keep)
}

fn is_ours(attribute: &Attribute) -> bool {
    // Written with a path (`#[sel4::sel4_cfg(…)]`) it is the same.
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "sel4_cfg")
}

fn filter<T, P: Default>(
    list: &mut Punctuated<T, P>,
    attributes: impl Fn(&mut T) -> &mut Vec<Attribute>,
) -> Result<()> {
    let mut kept = Punctuated::new();
    for mut element in std::mem::take(list) {
        if keep(attributes(&mut element))? {
            kept.push(element);
        }
    }
    *list = kept;
    Ok(())
}

/// Lets the fields of a structure carry `#[sel4_cfg(…)]`.
#[proc_macro_attribute]
pub fn sel4_cfg_struct(_: TokenStream, item: TokenStream) -> TokenStream {
    finish(syn::parse::<ItemStruct>(item).and_then(|mut item| {
        match &mut item.fields {
            Fields::Named(fields) => filter(&mut fields.named, |f| &mut f.attrs)?,
            Fields::Unnamed(fields) => filter(&mut fields.unnamed, |f| &mut f.attrs)?,
            Fields::Unit => {}
        }
        Ok(item.into_token_stream())
    }))
}

/// Lets the variants of an enumeration carry `#[sel4_cfg(…)]`.
#[proc_macro_attribute]
pub fn sel4_cfg_enum(_: TokenStream, item: TokenStream) -> TokenStream {
    finish(syn::parse::<ItemEnum>(item).and_then(|mut item| {
        filter(&mut item.variants, |v| &mut v.attrs)?;
        Ok(item.into_token_stream())
    }))
}

fn filter_match(item: TokenStream) -> TokenStream {
    finish(syn::parse::<ExprMatch>(item).and_then(|mut item| {
        let mut kept = Vec::new();
        for mut arm in std::mem::take(&mut item.arms) {
            if keep(&mut arm.attrs)? {
                kept.push(arm);
            }
        }
        item.arms = kept;
        Ok(item.into_token_stream())
    }))
}

/// Lets the arms of a `match` carry `#[sel4_cfg(…)]`. As an attribute of an expression it needs an
/// unstable language feature; [`macro@sel4_cfg_wrap_match`] does not.
#[proc_macro_attribute]
pub fn sel4_cfg_match(_: TokenStream, item: TokenStream) -> TokenStream {
    filter_match(item)
}

/// Lets the arms of the `match` that it encloses carry `#[sel4_cfg(…)]`.
#[proc_macro]
pub fn sel4_cfg_wrap_match(item: TokenStream) -> TokenStream {
    filter_match(item)
}

/// `if #[sel4_cfg(…)] { … } else if #[sel4_cfg(…)] { … } else { … }`: becomes the content of the
/// first branch whose condition holds.
#[proc_macro]
pub fn sel4_cfg_if(input: TokenStream) -> TokenStream {
    finish(syn::parse::<Branches>(input).map(|branches| branches.0))
}

struct Branches(Tokens);

impl Parse for Branches {
    fn parse(input: ParseStream) -> Result<Self> {
        let mut taken = None;
        loop {
            let conditional = taken.is_none() || input.peek(Token![if]);
            let mut holds = true;
            if conditional {
                input.parse::<Token![if]>()?;
                holds = match input.call(Attribute::parse_outer)?.as_slice() {
                    [only] if is_ours(only) => only.parse_args::<Condition>()?.eval(config())?,
                    _ => return Err(input.error("expected #[sel4_cfg(...)]")),
                };
            }
            let content;
            syn::braced!(content in input);
            let content: Tokens = content.parse()?;
            let slot: &mut Option<Tokens> = taken.get_or_insert(None);
            if holds && slot.is_none() {
                *slot = Some(content);
            }
            if input.is_empty() || !conditional {
                return Ok(Self(taken.flatten().unwrap_or_default()));
            }
            input.parse::<Token![else]>()?;
        }
    }
}

/// Whether a condition holds, as a `bool`.
#[proc_macro]
pub fn sel4_cfg_bool(condition: TokenStream) -> TokenStream {
    finish(holds(condition.into()).map(|holds| quote!(#holds)))
}

fn text(key: TokenStream) -> Result<(Ident, &'static str)> {
    let key: Ident = syn::parse(key)?;
    match config().get(&key.to_string()) {
        Some(Value::Text(text)) => Ok((key, text)),
        Some(Value::Bool(_)) => Err(Error::new(
            key.span(),
            "this key is a switch: use sel4_cfg_bool!",
        )),
        None => Err(condition::unknown(&key)),
    }
}

fn number<T: std::str::FromStr + ToTokens>(key: TokenStream) -> TokenStream {
    finish(text(key).and_then(|(key, text)| {
        let value: T = text.parse().map_err(|_| {
            Error::new(
                key.span(),
                format!("the value `{text}` is not such a number"),
            )
        })?;
        Ok(value.into_token_stream())
    }))
}

/// The value of a key that is not a switch, as a `&str`.
#[proc_macro]
pub fn sel4_cfg_str(key: TokenStream) -> TokenStream {
    finish(text(key).map(|(_, text)| quote!(#text)))
}

/// The value of a key that is a number, as a `usize`.
#[proc_macro]
pub fn sel4_cfg_usize(key: TokenStream) -> TokenStream {
    number::<usize>(key)
}

/// The value of a key that is a number, as a word of the kernel: `u64`, or `u32` on a 32-bit one.
#[proc_macro]
pub fn sel4_cfg_word(key: TokenStream) -> TokenStream {
    match config().get("WORD_SIZE") {
        Some(Value::Text(size)) if size == "32" => number::<u32>(key),
        _ => number::<u64>(key),
    }
}
