//! The attribute that marks an operation of a handle in `perfectpay`. Nobody else needs it.

use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

/// Has an `async fn` that begins an operation observed to its end: its body runs within
/// `crate::scope::observed::observed`.
///
/// ```text
/// #[observed]                              async fn retrieve(&self) -> Result<Profile, Error> {
/// async fn retrieve(&self)                     crate::scope::observed::observed(::std::boxed::Box::pin(async move {
///     -> Result<Profile, Error> {      =>          …
///     …                                        })).await
/// }                                        }
/// ```
///
/// The body is in a box, so that a read is small in the future of whoever awaits it. `#[observed(in_place)]` does without,
/// for what must not allocate.
///
/// It is an attribute so that a read is written like any function, and what is told of it stays in one place.
#[proc_macro_attribute]
pub fn observed(in_place: TokenStream, function: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = function.into_iter().collect();
    if let Some(body) = tokens.pop() {
        tokens.push(group(Delimiter::Brace, wrapped(body, !in_place.is_empty())).into());
    }
    tokens.into_iter().collect()
}

/// `crate::scope::observed::observed(::std::boxed::Box::pin(async move { … })).await`, or with `::core::pin::pin!`.
fn wrapped(body: TokenTree, in_place: bool) -> TokenStream {
    let block: TokenStream = [ident("async"), ident("move"), body].into_iter().collect();
    let mut pinned =
        if in_place { path(&["core", "pin", "pin"], true) } else { path(&["std", "boxed", "Box", "pin"], true) };
    pinned.extend(in_place.then(|| punct('!', Spacing::Alone)));
    pinned.extend([TokenTree::from(group(Delimiter::Parenthesis, block))]);
    let mut call = path(&["crate", "scope", "observed", "observed"], false);
    call.extend([group(Delimiter::Parenthesis, pinned).into(), punct('.', Spacing::Alone), ident("await")]);
    call
}

fn path(names: &[&str], is_global: bool) -> TokenStream {
    let mut tokens = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 || is_global {
            tokens.extend([punct(':', Spacing::Joint), punct(':', Spacing::Alone)]);
        }
        tokens.push(ident(name));
    }
    tokens.into_iter().collect()
}

fn group(delimiter: Delimiter, tokens: TokenStream) -> Group {
    Group::new(delimiter, tokens)
}

fn ident(name: &str) -> TokenTree {
    Ident::new(name, Span::call_site()).into()
}

fn punct(sign: char, spacing: Spacing) -> TokenTree {
    Punct::new(sign, spacing).into()
}
