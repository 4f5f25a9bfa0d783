//! The public API of the crates that users build on: written down, so that a change of it is never an accident, and free
//! of the types of tonic and of client crates, so that their versions are nobody's business.
//!
//! What is `pub` in the source is public: the lint `unreachable_pub` sees to that.

use std::collections::{BTreeMap, BTreeSet};

use quote::{ToTokens, quote};
use syn::{Attribute, ImplItem, Item, Signature, TraitItem, UseTree, Visibility};

use crate::sources::{Source, below, root};

const CRATES: [&str; 2] = ["registry-client", "tower-discovery"];
/// Crates whose types are in no signature that the default features have. hyper is not among them: `tower-discovery` hands
/// on the bodies of its 1.0, as other HTTP clients do.
const HIDDEN: [&str; 9] =
    ["tonic", "registry_proto", "etcd_client", "hyper_util", "h2", "prost", "rustls", "tokio_rustls", "metrics"];
/// Public for the simulation of this workspace only.
const UNREACHABLE: [&str; 3] = ["channel/connector.rs", "simulation.rs", "planted.rs"];
/// Set to write the listings anew.
const BLESS: &str = "BLESS_PUBLIC_API";

/// What a crate shows: a line for each item, and which hidden crates a signature names.
#[derive(Debug, Default)]
struct Api {
    lines: BTreeSet<String>,
    leaks: Vec<String>,
    /// Public types, whose implementations count.
    types: BTreeSet<String>,
}

/// Where an item stands.
struct Place<'a> {
    module: String,
    /// What the file has imported, by name, with the crate that it is from.
    imports: &'a BTreeMap<String, String>,
    /// The features that it needs, in brackets.
    features: String,
}

fn api_of(name: &str) -> Api {
    let sources: Vec<_> =
        below(&root().join(name).join("src")).into_iter().filter(|source| !is_left_out(source)).collect();
    let gated = gated(&sources);
    let mut api = Api::default();
    // Twice: what is public has to be known before its implementations are looked at.
    for _ in 0..2 {
        for source in &sources {
            let file = syn::parse_file(&source.text).expect("sources are Rust");
            let mut imports = BTreeMap::new();
            file.items.iter().for_each(|item| note_imports(item, &mut imports));
            let module = module_of(source);
            let gate = gated.iter().find(|(gate, _)| module == **gate || module.starts_with(&format!("{gate}::")));
            let features = gate.map(|(_, features)| features.clone()).unwrap_or_default();
            let place = Place { module, imports: &imports, features };
            file.items.iter().for_each(|item| api.item(item, &place));
        }
    }
    api.leaks.sort();
    api.leaks.dedup();
    api
}

/// The modules in files of their own that need features.
fn gated(sources: &[Source]) -> BTreeMap<String, String> {
    let mut gated = BTreeMap::new();
    for source in sources {
        let file = syn::parse_file(&source.text).expect("sources are Rust");
        let imports = BTreeMap::new();
        let place = Place { module: module_of(source), imports: &imports, features: String::new() };
        for item in &file.items {
            let Item::Mod(item) = item else { continue };
            let within = place.within(&item.attrs).filter(|within| !within.features.is_empty());
            if let Some(within) = within {
                let module = [place.module.as_str(), &item.ident.to_string()].join("::");
                gated.insert(module.trim_start_matches("::").to_owned(), within.features);
            }
        }
    }
    gated
}

fn is_left_out(source: &Source) -> bool {
    source.is_test() || UNREACHABLE.iter().any(|file| source.path.ends_with(file))
}

fn module_of(source: &Source) -> String {
    let path = source.path.with_extension("");
    let parts = path.iter().filter_map(|part| part.to_str()).filter(|part| !["lib", "mod"].contains(part));
    parts.collect::<Vec<_>>().join("::")
}

impl Api {
    fn item(&mut self, item: &Item, place: &Place<'_>) {
        let Some((attributes, visibility)) = head_of(item) else { return };
        let Some(place) = place.within(attributes) else { return };
        if let Item::Impl(item) = item {
            return self.implementation(item, &place);
        }
        if !matches!(visibility, Some(Visibility::Public(_))) {
            return;
        }
        match item {
            Item::Fn(item) => self.signature("", &item.sig, &place),
            Item::Struct(item) => {
                self.types.insert(item.ident.to_string());
                let fields = item.fields.iter().filter(|field| matches!(field.vis, Visibility::Public(_)));
                let fields = fields.map(|field| (&field.ident, &field.ty)).map(|(name, ty)| quote!(pub #name: #ty));
                let (name, generics) = (&item.ident, &item.generics);
                self.line(&quote!(struct #name #generics { #(#fields),* }), &place);
            }
            Item::Enum(item) => {
                self.types.insert(item.ident.to_string());
                let variants = item.variants.iter().map(|variant| (&variant.ident, fields_of(&variant.fields)));
                let variants = variants.map(|(name, fields)| quote!(#name #fields));
                let (name, generics) = (&item.ident, &item.generics);
                self.line(&quote!(enum #name #generics { #(#variants),* }), &place);
            }
            Item::Trait(item) => {
                let (name, generics, bounds) = (&item.ident, &item.generics, &item.supertraits);
                self.line(&quote!(trait #name #generics: #bounds), &place);
                for part in &item.items {
                    if let TraitItem::Fn(part) = part
                        && let Some(place) = place.within(&part.attrs)
                    {
                        self.signature(&format!("{name}::"), &part.sig, &place);
                    }
                }
            }
            Item::Type(item) => {
                let (name, generics, ty) = (&item.ident, &item.generics, &item.ty);
                self.line(&quote!(type #name #generics = #ty), &place);
            }
            Item::Const(item) => {
                let (name, ty) = (&item.ident, &item.ty);
                self.line(&quote!(const #name: #ty), &place);
            }
            Item::Use(item) => {
                let tree = &item.tree;
                self.line(&quote!(use #tree), &place);
            }
            // A module of the name of a hidden crate shows nothing of it.
            Item::Mod(item) => drop(self.lines.insert(place.line(&format!("mod {}", item.ident)))),
            other => self.line(&quote!(#other), &place),
        }
    }

    fn implementation(&mut self, item: &syn::ItemImpl, place: &Place<'_>) {
        let ty = &item.self_ty;
        let name = match &**ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default(),
            _ => String::new(),
        };
        if !self.types.contains(&name) {
            return;
        }
        if let Some((of, _)) = &item.trait_ {
            let generics = &item.generics;
            self.line(&quote!(impl #generics #of for #ty), place);
        }
        for part in &item.items {
            match part {
                ImplItem::Fn(part) if matches!(part.vis, Visibility::Public(_)) => {
                    if let Some(place) = place.within(&part.attrs) {
                        self.signature(&format!("{name}::"), &part.sig, &place);
                    }
                }
                ImplItem::Type(part) if item.trait_.is_some() => {
                    let (associated, ty) = (&part.ident, &part.ty);
                    self.line(&quote!(type #associated = #ty), &place.of(&name));
                }
                _ => {}
            }
        }
    }

    fn signature(&mut self, owner: &str, signature: &Signature, place: &Place<'_>) {
        self.look(signature.to_token_stream(), place);
        self.lines.insert(place.line(&format!("{owner}{}", plain(&signature.to_token_stream().to_string()))));
    }

    fn line(&mut self, tokens: &impl ToTokens, place: &Place<'_>) {
        self.look(tokens.to_token_stream(), place);
        self.lines.insert(place.line(&plain(&tokens.to_token_stream().to_string())));
    }

    /// Notes what a signature names of the crates that are to be hidden.
    fn look(&mut self, tokens: impl ToTokens, place: &Place<'_>) {
        if !place.features.is_empty() {
            return;
        }
        let text = tokens.to_token_stream().to_string();
        for word in words(&text) {
            let from = place.imports.get(word).map_or(word, String::as_str);
            if HIDDEN.contains(&from) {
                self.leaks.push(format!("{}: {word} of {from} in {}", place.module, plain(&text)));
            }
        }
    }
}

impl<'a> Place<'a> {
    /// The place of an item with these attributes; none if it is no part of the API.
    fn within(&self, attributes: &[Attribute]) -> Option<Place<'a>> {
        let mut features = self.features.clone();
        for attribute in attributes.iter().map(|attribute| plain(&attribute.to_token_stream().to_string())) {
            if attribute.contains("cfg(test)")
                || attribute.contains("doc(hidden)")
                || attribute.contains("\"simulation\"")
            {
                return None;
            }
            if let Some((_, feature)) = attribute.split_once("cfg(feature=\"") {
                features = format!("[{}] ", feature.split('"').next().unwrap_or_default());
            }
        }
        Some(Place { module: self.module.clone(), imports: self.imports, features })
    }

    fn of(&self, name: &str) -> Place<'a> {
        let module = format!("{}::{name}", self.module);
        Place { module, imports: self.imports, features: self.features.clone() }
    }

    fn line(&self, text: &str) -> String {
        format!("{}{}: {text}", self.features, if self.module.is_empty() { "crate" } else { &self.module })
    }
}

/// An item's attributes and visibility; nothing for what shows nothing.
fn head_of(item: &Item) -> Option<(&[Attribute], Option<&Visibility>)> {
    Some(match item {
        Item::Fn(item) => (&item.attrs, Some(&item.vis)),
        Item::Struct(item) => (&item.attrs, Some(&item.vis)),
        Item::Enum(item) => (&item.attrs, Some(&item.vis)),
        Item::Trait(item) => (&item.attrs, Some(&item.vis)),
        Item::Type(item) => (&item.attrs, Some(&item.vis)),
        Item::Const(item) => (&item.attrs, Some(&item.vis)),
        Item::Static(item) => (&item.attrs, Some(&item.vis)),
        Item::Use(item) => (&item.attrs, Some(&item.vis)),
        Item::Mod(item) => (&item.attrs, Some(&item.vis)),
        Item::Impl(item) => (&item.attrs, None),
        _ => return None,
    })
}

fn fields_of(fields: &syn::Fields) -> proc_macro2::TokenStream {
    let parts = fields.iter().map(|field| (&field.ident, &field.ty));
    let parts = parts.map(|(name, ty)| name.as_ref().map_or_else(|| quote!(#ty), |name| quote!(#name: #ty)));
    match fields {
        syn::Fields::Named(_) => quote!({ #(#parts),* }),
        syn::Fields::Unnamed(_) => quote!((#(#parts),*)),
        syn::Fields::Unit => quote!(),
    }
}

fn note_imports(item: &Item, imports: &mut BTreeMap<String, String>) {
    if let Item::Use(item) = item {
        note_names(&item.tree, "", imports);
    }
}

fn note_names(tree: &UseTree, from: &str, imports: &mut BTreeMap<String, String>) {
    match tree {
        UseTree::Path(path) => {
            let first = path.ident.to_string();
            note_names(&path.tree, if from.is_empty() { &first } else { from }, imports);
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| note_names(tree, from, imports)),
        UseTree::Name(name) => drop(imports.insert(name.ident.to_string(), from.to_owned())),
        UseTree::Rename(name) => drop(imports.insert(name.rename.to_string(), from.to_owned())),
        UseTree::Glob(_) => {}
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).filter(|word| !word.is_empty())
}

/// Without the spaces that tokens are printed with, where nobody would write them.
fn plain(tokens: &str) -> String {
    let mut text = tokens.to_owned();
    for (spaced, tight) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        (" > ", "> "),
        (" >", ">"),
        ("< ", "<"),
        (" , ", ", "),
        (" ,", ","),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" : ", ": "),
        (" :", ":"),
        ("' ", "'"),
        ("# [", "#["),
        (" = \"", "=\""),
        ("> (", ">("),
    ] {
        text = text.replace(spaced, tight);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_public_api_is_the_one_that_was_written_down() {
    for name in CRATES {
        let file = root().join(name).join("public-api.txt");
        let found = api_of(name).lines;
        if std::env::var_os(BLESS).is_some() {
            let text: String = found.iter().map(|line| format!("{line}\n")).collect();
            tempfile::NamedTempFile::new_in(root().join(name))
                .and_then(|mut new| std::io::Write::write_all(&mut new, text.as_bytes()).map(|()| new))
                .and_then(|new| new.persist(&file).map_err(|error| error.error))
                .expect("the listing can be written");
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        let written: BTreeSet<_> = written.lines().map(str::to_owned).collect();
        let gone: Vec<_> = written.difference(&found).map(|line| format!("- {line}")).collect();
        let new: Vec<_> = found.difference(&written).map(|line| format!("+ {line}")).collect();
        assert!(
            gone.is_empty() && new.is_empty(),
            "{name}'s public API has changed:\n{}\n{}\nTell users in CHANGELOG.md (what went breaks them), and write it down with\n\
             {BLESS}=1 cargo test -p registry-tests --test rooms public_api",
            gone.join("\n"),
            new.join("\n")
        );
    }
}

#[test]
fn no_type_of_tonic_or_of_a_client_crate_is_in_the_public_api() {
    for name in CRATES {
        let api = api_of(name);
        assert!(api.types.len() > 10, "the types were not found: {:?}", api.types);
        assert!(api.leaks.is_empty(), "{name}: {:#?}", api.leaks);
    }
}

#[test]
fn a_leak_is_found_by_its_path_and_by_its_import() {
    let source = "use tonic::{Status as Answer, Code};
        pub struct Error; pub(crate) struct Inner;
        impl From<Answer> for Error { }
        impl From<Answer> for Inner { }
        impl Error { pub fn code(&self) -> Code { } fn status(&self) -> Answer { } pub fn own(&self) -> u8 { } }
        #[cfg(feature = \"grpc\")] pub fn channel() -> tonic::Channel { }
        pub fn body(body: h2::RecvStream) { }";
    let file = syn::parse_file(source).expect("it is Rust");
    let mut imports = BTreeMap::new();
    file.items.iter().for_each(|item| note_imports(item, &mut imports));
    let place = Place { module: "m".to_owned(), imports: &imports, features: String::new() };
    let mut api = Api::default();
    file.items.iter().for_each(|item| api.item(item, &place));
    let found: Vec<_> = api.leaks.iter().map(|leak| leak.split(" in ").next().unwrap_or_default()).collect();
    assert_eq!(found, ["m: Answer of tonic", "m: Code of tonic", "m: h2 of h2"]);
    assert!(api.lines.contains("[grpc] m: fn channel() -> tonic::Channel"), "{:#?}", api.lines);
}
