//! Panics of simulated tasks: the runtime catches them, and here they are remembered.

use std::cell::RefCell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Begins to remember the panics of this thread. Those of other threads are told as always.
pub(crate) fn watch() {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            let told = SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.push(panic.to_string())));
            if told.is_none() {
                before(panic);
            }
        }));
    });
    SEEN.set(Some(Vec::new()));
}

/// The panics of this thread since then.
pub(crate) fn seen() -> Vec<String> {
    SEEN.take().unwrap_or_default()
}
