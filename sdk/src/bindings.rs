//! What `wit-bindgen` makes of `wit/handler.wit`. Nothing in here is for users of this crate: what they need is
//! exported elsewhere, under names and types that are theirs to rely on.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../wit",
    world: "task-handler",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "__export",
    default_bindings_module: "tasq_sdk::bindings",
    additional_derives: [PartialEq, Eq],
});
