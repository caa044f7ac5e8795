// SPDX-License-Identifier: BSD-2-Clause

//! The attribute of `sel4-microkit`; use it from there.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;
use quote::quote;
use syn::{ItemFn, parse_macro_input};

/// Makes a function the domain's initialisation function: `declare_protection_domain!` with `init`
/// and the attribute's own arguments, before the function as it is.
#[proc_macro_attribute]
pub fn protection_domain(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let function = parse_macro_input!(function as ItemFn);
    let name = &function.sig.ident;
    let arguments = TokenStream2::from(arguments);
    quote! {
        ::sel4_microkit::declare_protection_domain!(init = #name, #arguments);

        #function
    }
    .into()
}
