//! TLS, for whoever listens and whoever connects: certificates and keys from files, handshakes both ways.
//!
//! [`Settings`] say which files; [`Credentials`] read them, and look at them before each handshake, so that what was
//! replaced is used by the next connection. [`Acceptor`] and [`Connector`] shake hands with them. [`SelfSigned`] makes a
//! certificate where none is given. The room knows neither flags nor peers nor clients; files come through `storage`'s
//! `Vfs`.
//!
//! What always holds: TLS 1.2 at least; a handshake ends in time; no file is read on an async thread; what cannot be used is
//! told with its file and does not replace what could; a private key is in no text.

mod acceptor;
mod algorithms;
mod connector;
mod credentials;
mod error;
mod files;
mod identity;
mod names;
mod self_signed;
mod settings;
#[cfg(test)]
mod tests;
mod trust;

pub use acceptor::{Acceptor, PeerCertificate};
pub use algorithms::{Algorithms, AlgorithmsError, TlsVersion};
pub use connector::Connector;
pub use credentials::Credentials;
pub use error::{HandshakeError, TlsError};
pub use self_signed::SelfSigned;
pub use settings::{FlagNames, Settings, SettingsError};
